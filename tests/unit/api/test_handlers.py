"""Each route reaches its service with what the request holds, and back."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from rowcast.blobs.spool import FOLDER
from tests.unit.api.client import Client
from tests.unit.api.conftest import PASSWORD, ROOT, Template

Tell = Callable[..., None]

POSTS = "/api/collections/posts/records"
MULTIPART = [("Content-Type", "multipart/form-data; boundary=XX")]


def test_records_are_written_and_read(tell: Tell) -> None:
    async def story(client: Client) -> None:
        made = await client("POST", POSTS, {"title": "<a>", "count": 2})
        assert made.status == 200
        assert made.body.endswith(b"\n")
        assert b'"title":"\\u003ca\\u003e"' in made.body
        one = f"{POSTS}/{made.json()['id']}"
        assert (await client("GET", one)).body == made.body
        changed = await client("PATCH", one + "?fields=count", {"count+": 3})
        assert changed.body == b'{"count":5}\n'
        page = await client("GET", POSTS + "?perPage=1&filter=" + "count%3D5&fields=title")
        assert page.json() == {"items": [{"title": "<a>"}], "page": 1, "perPage": 1, "totalItems": 1, "totalPages": 1}
        gone = await client("DELETE", one)
        assert (gone.status, gone.body) == (204, b"")
        assert (await client("GET", one)).status == 404

    tell(story)


def test_records_come_as_forms_with_files(tell: Tell, data_dir: Path) -> None:
    async def story(client: Client) -> None:
        form = (
            b'--XX\r\nContent-Disposition: form-data; name="count"\r\n\r\n7\r\n'
            b'--XX\r\nContent-Disposition: form-data; name="@jsonPayload"\r\n\r\n{"title":"7"}\r\n'
            b'--XX\r\nContent-Disposition: form-data; name="files"; filename="first.txt"\r\n\r\none\r\n'
            b'--XX\r\nContent-Disposition: form-data; name="files"; filename="second.txt"\r\n\r\n'
            + b"two" * 200_000
            + b"\r\n--XX--\r\n"
        )
        made = (await client("POST", POSTS, form, headers=MULTIPART)).json()
        assert (made["count"], made["title"]) == (7, "7")
        assert [name.partition("_")[0] for name in made["files"]] == ["first", "second"]
        urlencoded = [("Content-Type", "application/x-www-form-urlencoded")]
        changed = await client(
            "PATCH", f"{POSTS}/{made['id']}", b"files-=" + made["files"][0].encode(), headers=urlencoded
        )
        assert changed.json()["files"] == made["files"][1:]
        # Large uploads are gone from their temporary places by now; the stored file is whole.
        stored = client.app._running.directory.files / made["collectionId"] / made["id"] / made["files"][1]
        assert stored.read_bytes() == b"two" * 200_000
        # They waited in the data directory, where they can be linked to, and a small /tmp is no limit.
        assert list((data_dir / FOLDER).iterdir()) == []

    tell(story)


@pytest.mark.parametrize(
    ("method", "target", "message"),
    [
        ("GET", "/api/collections/nope/records", "Missing collection context."),
        ("GET", "/api/collections/nope/records/x", "Missing collection context."),
        ("POST", "/api/collections/nope/records", "Missing or invalid collection context."),
        ("PATCH", "/api/collections/nope/records/x", "Missing or invalid collection context."),
        ("DELETE", "/api/collections/nope/records/x", "Missing collection context."),
        ("GET", "/api/collections/nope/auth-methods", "Missing or invalid collection context."),
        ("GET", "/api/collections/posts/auth-methods", "Missing or invalid auth collection context."),
        ("POST", "/api/collections/posts/auth-with-password", "Missing or invalid auth collection context."),
    ],
)
def test_a_collection_that_is_not_there_is_told(tell: Tell, method: str, target: str, message: str) -> None:
    async def story(client: Client) -> None:
        reply = await client(method, target, {})
        assert (reply.status, reply.message) == (404, message)

    tell(story)


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"{", "application/json", "Something went wrong while processing your request."),
        (b"[]", "application/json", "Something went wrong while processing your request."),
        (b"x", "text/plain", "Unsupported Content-Type."),
        (b"<a/>", "application/xml", "Something went wrong while processing your request."),
    ],
)
def test_unreadable_records_are_refused(tell: Tell, body: bytes, content_type: str, message: str) -> None:
    async def story(client: Client) -> None:
        for method, target in (("POST", POSTS), ("GET", POSTS), ("DELETE", POSTS + "/x")):
            reply = await client(method, target, body, headers=[("Content-Type", content_type)])
            assert (reply.status, reply.message) == (400, message)

    tell(story)


def test_who_guesses_by_filters_is_held_back(tell: Tell, template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def story(client: Client) -> None:
        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        await client("PATCH", "/api/collections/posts", {"listRule": "title != ''"}, token=template.root_token)
        monkeypatch.setattr("rowcast.api.records.asyncio.sleep", sleep)
        target = POSTS + "?filter=title%3D%22x%22"
        for _ in range(5):
            assert (await client("GET", target)).status == 200
        assert (await client("GET", target, token=template.root_token)).status == 200
        assert (await client("GET", POSTS)).status == 200

    tell(story)
    assert len(waits) == 2
    assert all(0 <= wait < 0.5 for wait in waits)


def test_collections_are_managed(tell: Tell, template: Template) -> None:
    token = template.root_token

    async def story(client: Client) -> None:
        one = "/api/collections/notes"
        made = await client("POST", "/api/collections", {"name": "notes", "type": "base"}, token=token)
        assert made.body.startswith(b'{"id":"pbc_')
        assert (await client("GET", one, token=token)).body == made.body
        changed = await client("PATCH", one + "?fields=listRule", {"listRule": ""}, token=token)
        assert changed.body == b'{"listRule":""}\n'
        page = await client("GET", "/api/collections?filter=name%3D%22notes%22&fields=name", token=token)
        assert page.json()["items"] == [{"name": "notes"}]
        assert (await client("DELETE", one + "/truncate", token=token)).status == 204
        items = {"collections": [{"name": "more", "type": "base", "fields": [{"name": "a", "type": "text"}]}]}
        assert (await client("PUT", "/api/collections/import", items, token=token)).status == 204
        assert (await client("GET", "/api/collections/more/records", token=token)).json()["items"] == []
        assert (await client("DELETE", one, token=token)).status == 204
        assert (await client("GET", one, token=token)).status == 404
        scaffolds = await client("GET", "/api/collections/meta/scaffolds", token=token)
        assert sorted(scaffolds.json()) == ["auth", "base", "view"]
        providers = await client("GET", "/api/collections/meta/oauth2-providers", token=token)
        assert {"name", "displayName", "logo"} == set(providers.json()[0])
        query = {"query": "SELECT id, title FROM posts"}
        tried = await client("POST", "/api/collections/meta/dry-run-view", query, token=token)
        assert [field["name"] for field in tried.json()["fields"]] == ["id", "title"]

    tell(story)


@pytest.mark.parametrize(
    ("method", "target", "message"),
    [
        ("POST", "", "Failed to load the collection type data due to invalid formatting."),
        ("PATCH", "/posts", "Failed to load the submitted data due to invalid formatting."),
        ("PUT", "/import", "An error occurred while loading the submitted data."),
        ("POST", "/meta/dry-run-view", "An error occurred while loading the submitted data."),
    ],
)
def test_unreadable_collections_are_refused(
    tell: Tell, template: Template, method: str, target: str, message: str
) -> None:
    async def story(client: Client) -> None:
        headers = [("Content-Type", "application/json")]
        for body in (b"{", b"[]"):
            reply = await client(method, "/api/collections" + target, body, headers=headers, token=template.root_token)
            assert (reply.status, reply.message) == (400, message)

    tell(story)


def test_foreign_content_types_are_told_where_the_reference_tells(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        messages = {
            ("PUT", "/api/collections/import"): "Unsupported Content-Type.",
            ("POST", "/api/collections"): "Failed to load the collection type data due to invalid formatting.",
            ("POST", "/api/collections/users/auth-with-password"): "Unsupported Content-Type.",
        }
        for (method, target), message in messages.items():
            reply = await client(method, target, b"x", headers=[("Content-Type", "a/b")], token=template.root_token)
            assert (reply.status, reply.message) == (400, message)

    tell(story)


def test_a_collection_can_come_as_a_form(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        headers = [("Content-Type", "application/x-www-form-urlencoded")]
        body = b"name=formed&type=base&listRule="
        made = await client("POST", "/api/collections", body, headers=headers, token=template.root_token)
        assert (made.json()["name"], made.json()["listRule"]) == ("formed", "")

    tell(story)


def test_accounts_sign_in(tell: Tell, template: Template) -> None:
    users = "/api/collections/users"

    async def story(client: Client) -> None:
        methods = await client("GET", users + "/auth-methods?fields=password.enabled")
        assert methods.json() == {"password": {"enabled": True}}
        form = {"IDENTITY": "u@example.com", "password": PASSWORD}
        signed_in = await client("POST", users + "/auth-with-password?fields=token", form)
        assert list(signed_in.json()) == ["token"]
        token = signed_in.json()["token"]
        renewed = await client("POST", users + "/auth-refresh", token=f"Bearer {token}")
        assert renewed.json()["record"]["email"] == "u@example.com"
        again = await client("POST", users + "/auth-refresh", token=template.user_token)
        assert again.json()["token"] == template.user_token
        refused = await client("POST", "/api/collections/_superusers/auth-refresh", token=token)
        assert (refused.status, refused.message) == (403, "The request requires auth record from users collection.")
        assert (await client("POST", users + "/auth-refresh")).status == 401

    tell(story)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"identity":"u@example.com","password":"wrong"}', "Failed to authenticate."),
        (b'{"identity":1}', "An error occurred while loading the submitted data."),
        (b"[1]", "An error occurred while loading the submitted data."),
        (b"{", "An error occurred while loading the submitted data."),
        (b"{}", "An error occurred while validating the submitted data."),
    ],
)
def test_sign_ins_are_refused(tell: Tell, body: bytes, message: str) -> None:
    async def story(client: Client) -> None:
        headers = [("Content-Type", "application/json")]
        reply = await client("POST", "/api/collections/users/auth-with-password", body, headers=headers)
        assert (reply.status, reply.message) == (400, message)

    tell(story)


def test_a_second_method_is_asked_for(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        options = {"mfa": {"enabled": True, "duration": 600}, "otp": {"enabled": True, "duration": 600, "length": 8}}
        changed = await client("PATCH", "/api/collections/users", options, token=template.root_token)
        assert changed.status == 200, changed.body
        form = {"identity": "u@example.com", "password": PASSWORD}
        target = "/api/collections/users/auth-with-password"
        reply = await client("POST", target, form)
        assert reply.status == 401
        mfa_id = reply.json()["mfaId"]
        for again in (
            await client("POST", f"{target}?mfaId={mfa_id}", form),
            await client("POST", target, form | {"mfaId": mfa_id}),
        ):
            assert (again.status, again.message) == (400, "A different authentication method is required.")

    tell(story)


def test_superusers_act_for_others(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        users = await client("GET", "/api/collections/users/records", token=template.root_token)
        target = f"/api/collections/users/impersonate/{users.json()['items'][0]['id']}"
        assert (await client("POST", target, {"duration": 5}, token=template.root_token)).status == 200
        refused = await client("POST", target, {"duration": -5}, token=template.root_token)
        assert refused.json()["data"]["duration"]["code"] == "validation_min_greater_equal_than_required"
        assert (await client("POST", target, {"duration": "x"}, token=template.root_token)).status == 400
        assert (await client("POST", target[:-1] + "x", token=template.root_token)).status == 404
        missing = await client("POST", "/api/collections/posts/impersonate/x", token=template.root_token)
        assert missing.message == "Missing or invalid auth collection context."
        assert (await client("POST", target)).status == 401

    tell(story)


def test_a_changed_password_ends_tokens(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        roots = "/api/collections/_superusers/records"
        (root,) = (await client("GET", roots, token=template.root_token)).json()["items"]
        assert root["email"] == ROOT
        new = {"password": "another1234", "passwordConfirm": "another1234", "oldPassword": PASSWORD}
        assert (await client("PATCH", f"{roots}/{root['id']}", new, token=template.root_token)).status == 200
        assert (await client("GET", roots, token=template.root_token)).status == 403

    tell(story)


def test_files_are_sent(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        form = (
            b'--XX\r\nContent-Disposition: form-data; name="files"; filename="page.html"'
            b"\r\n\r\n<html><body>hi</body></html>"
            b'\r\n--XX\r\nContent-Disposition: form-data; name="files"; filename="drawing.svg"\r\n\r\n<svg xmlns="x"/>'
            b'\r\n--XX\r\nContent-Disposition: form-data; name="files"; filename="document.pdf"'
            b"\r\n\r\n%PDF-1.4 x\r\n--XX--\r\n"
        )
        made = (await client("POST", POSTS, form, headers=MULTIPART)).json()
        page, drawing, document = (f"/api/files/posts/{made['id']}/{name}" for name in made["files"])
        reply = await client("GET", page + "?thumb=100x100")
        assert reply.body == b"<html><body>hi</body></html>"
        assert reply.headers["content-disposition"] == f"attachment; filename={made['files'][0]}"
        assert reply.headers["content-security-policy"].endswith("sandbox")
        assert "x-frame-options" not in reply.headers
        assert (await client("GET", drawing)).headers["content-type"] == "image/svg+xml"
        shown = await client("GET", document, headers=[("Range", "bytes=1-3")])
        assert (shown.status, shown.body) == (206, b"PDF")
        never = ("If-Modified-Since", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT")
        assert (await client("GET", document, headers=[never])).status == 200
        assert shown.headers["content-disposition"].startswith("inline")
        assert (await client("GET", document + "?download=1")).headers["content-disposition"].startswith("attachment")
        for missing in (
            page + "x",
            page.replace(made["id"], "x"),
            "/api/files/nope/x/y",
            f"/api/files/posts/{made['id']}/..%2f",
        ):
            assert (await client("GET", missing)).status == 404

    tell(story)


def test_thumbs_are_sent(tell: Tell, template: Template, data_dir: Path) -> None:
    async def story(client: Client) -> None:
        content = io.BytesIO()
        Image.new("RGB", (300, 100)).save(content, "PNG")
        form = b'--XX\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n%b\r\n--XX--\r\n'
        made = (await client("POST", POSTS, form % content.getvalue(), headers=MULTIPART)).json()
        (name,) = made["files"]
        target = f"/api/files/posts/{made['id']}/{name}"
        replies = await asyncio.gather(*(client("GET", target + "?thumb=100x100") for _ in range(20)))
        assert {reply.headers["content-disposition"] for reply in replies} == {f"inline; filename=100x100_{name}"}
        (body,) = {reply.body for reply in replies}
        with Image.open(io.BytesIO(body)) as image:
            assert image.size == (100, 100)
        other = await client("GET", target + "?thumb=50x50")  # not in the options of the field
        assert other.body == content.getvalue()
        folder = data_dir / "storage" / made["collectionId"] / made["id"]
        stored = sorted(path.name for path in (folder / f"thumbs_{name}").iterdir())
        assert stored == [f"100x100_{name}", f"100x100_{name}.attrs"]
        await client("DELETE", f"{POSTS}/{made['id']}")
        assert not folder.exists()

    tell(story)


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"x"', 200),
        ("If-Match", "*", 200),
        ("If-Match", '"x"', 412),
        ("If-Unmodified-Since", "Mon, 01 Jan 2001 00:00:00 GMT", 412),
        ("If-Unmodified-Since", "Mon, 01 Jan 2999 00:00:00 GMT", 200),
        ("If-Modified-Since", "Mon, 01 Jan 2999 00:00:00 GMT", 304),
        ("If-Modified-Since", "Mon, 01 Jan 2001 00:00:00 GMT", 200),
    ],
)
def test_conditions_are_those_of_the_reference(tell: Tell, header: str, value: str, status: int) -> None:
    async def story(client: Client) -> None:
        form = b'--XX\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\none\r\n--XX--\r\n'
        made = (await client("POST", POSTS, form, headers=MULTIPART)).json()
        target = f"/api/files/posts/{made['id']}/{made['files'][0]}"
        reply = await client("GET", target, headers=[(header, value)])
        assert (reply.status, reply.body) == (status, b"one" if status == 200 else b"")

    tell(story)


def test_ranges_that_mean_nothing_are_refused(tell: Tell) -> None:
    async def story(client: Client) -> None:
        form = b'--XX\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\none\r\n--XX--\r\n'
        made = (await client("POST", POSTS, form, headers=MULTIPART)).json()
        target = f"/api/files/posts/{made['id']}/{made['files'][0]}"
        outside = await client("GET", target, headers=[("Range", "bytes=9-")])
        assert (outside.status, outside.body) == (416, b"invalid range: failed to overlap\n")
        assert outside.headers["content-range"] == "bytes */3"
        assert "cache-control" not in outside.headers
        other = await client("GET", target, headers=[("Range", "lines=1-")])
        assert (other.status, other.body) == (416, b"invalid range\n")
        several = await client("GET", target, headers=[("Range", "bytes=0-0,2-2")])
        assert (several.status, several.body) == (200, b"one")

    tell(story)


def test_protected_files_need_a_token(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        root = template.root_token
        posts = (await client("GET", "/api/collections/posts", token=root)).json()
        for field in posts["fields"]:
            if field["name"] == "files":
                field["protected"] = True
        changes = {"viewRule": "@request.auth.email = 'u@example.com'", "fields": posts["fields"]}
        assert (await client("PATCH", "/api/collections/posts", changes, token=root)).status == 200
        form = b'--XX\r\nContent-Disposition: form-data; name="files"; filename="first.txt"\r\n\r\none\r\n--XX--\r\n'
        made = (await client("POST", POSTS, form, headers=MULTIPART, token=root)).json()
        target = f"/api/files/{made['collectionId']}/{made['id']}/{made['files'][0]}"
        assert (await client("POST", "/api/files/token")).status == 401
        tokens = [
            (await client("POST", "/api/files/token", token=token)).json()["token"]
            for token in (template.user_token, root)
        ]
        tried = ("", "x", template.user_token, *tokens)
        found = [(await client("GET", f"{target}?token={token}")).status for token in tried]
        assert found == [404, 404, 404, 200, 200]
        # The account of the request itself does not count.
        assert (await client("GET", target, token=root)).status == 404
        client.app._running.settings.current = msgspec.structs.replace(
            client.app._running.settings.current, superuser_ips=("1.1.1.1",)
        )
        assert [(await client("GET", f"{target}?token={token}")).status for token in tokens] == [200, 404]

    tell(story)
