"""Batches: all parts or none, with their files, their events and the work that passwords make."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from rowcast import credentials
from rowcast.schema.record import Change
from tests.unit.api.client import Client, Reply
from tests.unit.api.conftest import PASSWORD, Template
from tests.unit.api.test_handlers import Tell

USERS, POSTS = "/api/collections/users/records", "/api/collections/posts/records"
MULTIPART = [("Content-Type", "multipart/form-data; boundary=XX")]


async def enable(client: Client, template: Template, **options: object) -> None:
    settings = {"batch": {"enabled": True, "maxRequests": 50, "timeout": 3, **options}}
    assert (await client("PATCH", "/api/settings", settings, token=template.root_token)).status == 200


def part(method: str, url: str, body: object = None) -> dict[str, object]:
    return {"method": method, "url": url, "body": body or {}}


def account(name: str, password: str = PASSWORD) -> dict[str, object]:
    return {"email": f"{name}@example.com", "password": password, "passwordConfirm": password}


async def run(client: Client, *parts: dict[str, object], token: str = "") -> Reply:
    return await client("POST", "/api/batch", {"requests": parts}, token=token)


def stored(client: Client) -> list[Path]:
    """Return the files of all records."""
    running = client.app._running
    return [path for path in running.directory.files.rglob("*") if path.is_file() and path.suffix != ".attrs"]


def form(parts: list[dict[str, object]], **files: bytes) -> bytes:
    payload = msgspec.json.encode({"requests": parts})
    text = b'--XX\r\nContent-Disposition: form-data; name="@jsonPayload"\r\n\r\n' + payload + b"\r\n"
    for key, content in files.items():
        head = f'--XX\r\nContent-Disposition: form-data; name="requests.{key}.files"; filename="report.txt"\r\n\r\n'
        text += head.encode() + content + b"\r\n"
    return text + b"--XX--\r\n"


def test_passwords_are_hashed_before_the_transaction(
    tell: Tell, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    hash_password, is_password = credentials.hash_password, credentials.is_password

    def hashed(plain: str, cost: int = 0) -> str:
        threads.append(threading.current_thread().name)
        return hash_password(plain, 4)

    def compared(plain: str, stored: str) -> bool:
        threads.append(threading.current_thread().name)
        return is_password(plain, stored)

    monkeypatch.setattr(credentials, "hash_password", hashed)
    monkeypatch.setattr(credentials, "is_password", compared)

    async def story(client: Client) -> None:
        await enable(client, template)
        made = await run(client, *(part("POST", USERS, account(f"many{number}")) for number in range(10)))
        assert [result["status"] for result in made.json()] == [200] * 10
        user = made.json()[0]["body"]
        form = {"identity": "many0@example.com", "password": PASSWORD}
        token = (await client("POST", "/api/collections/users/auth-with-password", form)).json()["token"]
        threads.clear()
        new = {"password": "another one", "passwordConfirm": "another one"}
        wrong = await run(client, part("PATCH", f"{USERS}/{user['id']}", {**new, "oldPassword": "x"}), token=token)
        assert wrong.json()["data"]["requests"]["0"]["response"]["data"]["oldPassword"]
        right = {**new, "oldPassword": PASSWORD}
        upsert = await run(client, part("PUT", USERS, {"id": user["id"], **right}), token=token)
        assert upsert.status == 200, upsert.body
        assert len(threads) == 4
        assert {name.rpartition("_")[0] for name in threads} == {"rowcast-hash"}
        again = {"identity": "many0@example.com", "password": "another one"}
        assert (await client("POST", "/api/collections/users/auth-with-password", again)).status == 200

    tell(story)


@pytest.mark.parametrize(
    "refused",
    [
        part("POST", "/api/collections/_superusers/records", account("me")),
        part("POST", "/api/collections/nope/records", account("me")),
        part("POST", "/api/elsewhere", account("me")),
        part("DELETE", f"{USERS}/x", account("me")),
        part("POST", POSTS, {"password": PASSWORD}),
    ],
)
def test_what_is_refused_at_once_is_not_hashed(
    tell: Tell, template: Template, monkeypatch: pytest.MonkeyPatch, refused: dict[str, object]
) -> None:
    hashed: list[str] = []

    async def story(client: Client) -> None:
        await enable(client, template)
        monkeypatch.setattr(credentials, "hash_password", lambda plain, cost=0: hashed.append(plain))
        await run(client, refused, part("POST", POSTS, {"title": {}}))
        assert hashed == []

    tell(story)


def test_events_leave_after_the_commit_and_in_order(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        await enable(client, template)
        running = client.app._running
        told: list[tuple[str, str, bool]] = []
        publish = running.directory.data.publish

        def note(changes: list[Change]) -> None:
            with running.directory.data.read() as reader:
                found = reader.rows("SELECT title FROM posts")
            told.extend((change.action, change.record.text("title"), bool(found)) for change in changes)
            publish(changes)

        running.directory.data.publish = note
        made = await run(client, *(part("POST", POSTS, {"title": title}) for title in "abc"))
        one = f"{POSTS}/{made.json()[0]['body']['id']}"
        assert told == [("create", title, True) for title in "abc"]
        told.clear()
        failed = await run(client, part("PATCH", one, {"title": "z"}), part("DELETE", f"{POSTS}/nobody"))
        assert failed.status == 400
        assert told == []
        await run(client, part("PATCH", one, {"title": "z"}), part("POST", POSTS, {"title": "d"}), part("DELETE", one))
        assert [(action, title) for action, title, _ in told] == [("update", "z"), ("create", "d"), ("delete", "z")]

    tell(story)


def test_a_failed_batch_leaves_no_file(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        await enable(client, template)
        parts = [part("POST", POSTS, {"title": "a"}), part("POST", POSTS, {"title": "b"})]
        kept = await client(
            "POST", "/api/batch", form(parts, **{"0": b"one", "1": b"two" * 400_000}), headers=MULTIPART
        )
        assert kept.status == 200, kept.body
        before = stored(client)
        assert sorted(path.stat().st_size for path in before) == [3, 1_200_000]
        one = kept.json()[0]["body"]
        parts = [
            part("POST", POSTS, {"title": "c"}),
            part("PATCH", f"{POSTS}/{one['id']}", {"files-": one["files"]}),
            part("DELETE", f"{POSTS}/nobody"),
        ]
        failed = await client("POST", "/api/batch", form(parts, **{"0": b"three", "1": b"four"}), headers=MULTIPART)
        assert (failed.status, failed.message) == (400, "Batch transaction failed.")
        assert list(failed.json()["data"]["requests"]) == ["2"]
        assert stored(client) == before
        page: Any = (await client("GET", POSTS)).json()
        assert page["totalItems"] == 2

    tell(story)


def test_a_batch_that_takes_too_long_leaves_nothing(
    tell: Tell, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(client: Client) -> None:
        await enable(client, template, timeout=1)
        clock = iter(range(100))
        monkeypatch.setattr("rowcast.records.batch.time", SimpleNamespace(monotonic=lambda: next(clock)))
        failed = await run(client, *(part("POST", POSTS, {"title": title}) for title in "abc"))
        monkeypatch.undo()
        assert (failed.status, failed.json()["data"]) == (400, {})
        assert (await client("GET", POSTS)).json()["totalItems"] == 0

    tell(story)


def test_the_parts_of_a_batch_are_counted_one_by_one(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        await enable(client, template)
        limits = {"enabled": True, "rules": [{"label": "posts:create", "maxRequests": 2, "duration": 60}]}
        await client("PATCH", "/api/settings", {"rateLimits": limits}, token=template.root_token)
        failed = await run(client, *(part("POST", POSTS, {"title": title}) for title in "abc"))
        assert failed.json()["data"]["requests"]["2"]["response"]["status"] == 429
        assert (await client("GET", POSTS)).json()["totalItems"] == 0

    tell(story)
