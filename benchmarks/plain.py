"""The plain-request table: 16 clients side by side on 5,000 records, one kind of request after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from urllib.parse import quote

from benchmarks import usage
from benchmarks.wire import Client, LoadError, drive, percentile, request
from tests.e2e.server import SUPERUSER, Server

CLIENTS = 16
RECORDS = 5_000

_WARM_UP = 64
BODY = b'{"title":"hello world","n":42,"ok":true,"meta":{"a":[1,2,3]}}'
_ACCOUNTS = "/api/collections/_superusers"
_LOGIN = json.dumps({"identity": SUPERUSER[0], "password": SUPERUSER[1]}).encode()
_LOGINS = 100
"""Few: nearly all of a login is bcrypt."""

_FILTER = quote('n > 10 && title ~ "hello"')


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how often per second, CPU of the server and waiting time per request."""

    name: str
    per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


def measure(server: Server, port: int) -> Iterator[Row]:
    """Measure each kind of request. Raises LoadError if one is refused."""
    client = Client(port)
    token = client.sign_in(*SUPERUSER)
    collection = create_collection(client, token)
    records = f"/api/collections/{collection}/records"

    create = request("POST", records, BODY)
    yield hammer(server, port, "create", create, RECORDS - _WARM_UP)
    record_id = client.call("GET", f"{records}?perPage=1")["items"][0]["id"]
    kinds = [
        ("view", request("GET", f"{records}/{record_id}"), RECORDS),
        ("update", request("PATCH", f"{records}/{record_id}", BODY), 3_000),
        ("list30", request("GET", f"{records}?perPage=30"), 1_500),
        ("list30 skipTotal", request("GET", f"{records}?perPage=30&skipTotal=1"), 2_000),
        ("list500 skipTotal", request("GET", f"{records}?perPage=500&skipTotal=1"), 400),
        ("filter_sort", request("GET", f"{records}?perPage=30&skipTotal=1&sort=-created&filter={_FILTER}"), 400),
        ("health", request("GET", "/api/health"), RECORDS),
        ("auth-refresh", request("POST", f"{_ACCOUNTS}/auth-refresh", b"{}", token), 2_000),
        ("password login", request("POST", f"{_ACCOUNTS}/auth-with-password", _LOGIN), _LOGINS),
    ]
    for name, sent, count in kinds:
        yield hammer(server, port, name, sent, count)


def create_collection(client: Client, token: str) -> str:
    """Create the collection that the requests are about; anybody may do anything with it."""
    rules = dict.fromkeys(("listRule", "viewRule", "createRule", "updateRule", "deleteRule"), "")
    fields = [
        {"name": "title", "type": "text"},
        {"name": "n", "type": "number"},
        {"name": "ok", "type": "bool"},
        {"name": "meta", "type": "json"},
        {"name": "created", "type": "autodate", "onCreate": True},
        {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
    ]
    body = {"name": "plain", "type": "base", "fields": fields, **rules}
    return str(client.call("POST", "/api/collections", body, token)["name"])


def hammer(server: Server, port: int, name: str, sent: bytes, count: int) -> Row:
    """Send one request `count` times by all clients. Raises LoadError if it is refused."""
    drive(port, repeat(lambda: sent, _WARM_UP), clients=CLIENTS)
    before_s = usage.cpu_s(server.process.pid)
    load = drive(port, repeat(lambda: sent, count), clients=CLIENTS)
    used_s = usage.cpu_s(server.process.pid) - before_s
    if load.errors:
        raise LoadError(f"{name}: {load.errors} of {count} requests were refused")
    return Row(
        name=name,
        per_s=count / load.seconds,
        cpu_us=used_s * 1e6 / count,
        p50_ms=percentile(load.latencies_ms, 50),
        p99_ms=percentile(load.latencies_ms, 99),
    )
