"""Passwords and tokens of one server are those of the other, on one data directory."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.server import SUPERUSER, Kind, make_directory, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not os.environ.get("ROWCAST_REFERENCE"), reason="ROWCAST_REFERENCE does not name a PocketBase binary"
    ),
]

KINDS: tuple[Kind, ...] = ("rowcast", "reference")
USER = ("user@example.com", "correct horse ä")


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def post(url: str, path: str, token: str = "", **body: object) -> Answer:
    where = urlsplit(url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=20)
    try:
        headers = {"Authorization": token, "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode())
    finally:
        connection.close()


def signed_in(url: str, collection: str, account: tuple[str, str]) -> str:
    answer = post(url, f"/api/collections/{collection}/auth-with-password", identity=account[0], password=account[1])
    assert answer.status == 200, answer.text
    token: str = answer.json()["token"]
    return token


@pytest.mark.parametrize(("first", "second"), list(permutations(KINDS)))
def test_both_take_what_the_other_made(tmp_path: Path, first: Kind, second: Kind) -> None:
    data_dir = tmp_path / "first"
    make_directory(first, data_dir)
    tokens: dict[str, list[str]] = {"_superusers": [], "users": []}
    with running(first, data_dir) as server:
        root = signed_in(server.url, "_superusers", SUPERUSER)
        made = post(
            server.url,
            "/api/collections/users/records",
            root,
            email=USER[0],
            password=USER[1],
            passwordConfirm=USER[1],
        )
        assert made.status == 200, made.text
        user = signed_in(server.url, "users", USER)
        static = post(server.url, f"/api/collections/users/impersonate/{made.json()['id']}", root, duration=500)
        tokens["_superusers"] = [root]
        tokens["users"] = [user, static.json()["token"]]
    other_dir = tmp_path / "second"
    shutil.copytree(data_dir, other_dir)
    with running(second, other_dir) as server:
        for collection, known in tokens.items():
            account = SUPERUSER if collection == "_superusers" else USER
            for token in tuple(known):
                renewed = post(server.url, f"/api/collections/{collection}/auth-refresh", token)
                assert renewed.status == 200, renewed.text
                known.append(renewed.json()["token"])
            known.append(signed_in(server.url, collection, account))
    with running(first, data_dir) as server:
        for collection, known in tokens.items():
            for token in known:
                assert post(server.url, f"/api/collections/{collection}/auth-refresh", token).status == 200
            changed = known[-1][:-2] + ("AA" if known[-1][-2:] != "AA" else "BB")
            assert post(server.url, f"/api/collections/{collection}/auth-refresh", changed).status == 401
