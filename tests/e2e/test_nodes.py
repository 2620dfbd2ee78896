"""Several processes that serve one data directory: every stream hears every change, in one order."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from tests.e2e.client import TEXT_FIELD, Api, EventStream
from tests.e2e.server import Kind, Server, apart, make_directory, running
from tests.redis_server import RedisServer
from tests.s3 import S3Server
from tests.unit.mail.sink import running_sink

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module", params=["rowcast", "postgres", "redis"])
def servers(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[list[Server]]:
    """Two servers on one data directory, with SQLite or on PostgreSQL, or with SQLite and Redis in place of sockets."""
    data_dir = tmp_path_factory.mktemp("nodes") / "pb_data"
    kind: Kind = "postgres" if request.param == "postgres" else "rowcast"
    make_directory(kind, data_dir)
    with ExitStack() as stack:
        if request.param == "redis":
            redis: RedisServer = request.getfixturevalue("redis_server")
            yield [stack.enter_context(apart(data_dir, redis.url(data_dir.parent.name))) for _ in range(2)]
        else:
            yield [stack.enter_context(running(kind, data_dir)) for _ in range(2)]


@pytest.fixture
def apis(servers: list[Server]) -> Iterator[list[Api]]:
    """A client of each, signed in as superuser; a collection `notes` for everybody."""
    apis = [Api(server.url) for server in servers]
    apis[0].sign_in()
    apis[1].token = apis[0].token
    apis[0].create_open_collection("notes", TEXT_FIELD)
    yield apis
    apis[1].ok("DELETE", "/api/collections/notes")


def event(stream: EventStream) -> Any:
    """The data of the next event."""
    return json.loads(stream.frame().partition("\ndata:")[2])


def event_of(stream: EventStream) -> tuple[str, str]:
    """The action and the title of the next event of a record."""
    while True:
        found = event(stream)
        if "record" in found:
            return found["action"], found["record"]["title"]


def titles(stream: EventStream, count: int) -> list[str]:
    return [event(stream)["record"]["title"] for _ in range(count)]


def test_a_collection_that_one_made_is_there_for_the_other_at_once(apis: list[Api]) -> None:
    for number in range(5):
        apis[number % 2].create_open_collection(f"made{number}", TEXT_FIELD)
        created = apis[(number + 1) % 2].ok("POST", f"/api/collections/made{number}/records", {"title": "x"})
        assert created["title"] == "x"


def test_settings_that_one_changed_hold_for_the_other_at_once(apis: list[Api]) -> None:
    for number in range(5):
        apis[number % 2].ok("PATCH", "/api/settings", {"meta": {"appName": f"app {number}"}})
        assert apis[(number + 1) % 2].ok("GET", "/api/settings")["meta"]["appName"] == f"app {number}"


def test_streams_of_both_hear_the_changes_of_both_in_one_order(apis: list[Api]) -> None:
    streams = [EventStream(api, ["notes/*"]) for api in apis]

    def write(api: Api, name: str) -> None:
        for number in range(100):
            api.ok("POST", "/api/collections/notes/records", {"title": f"{name} {number}"})

    threads = [threading.Thread(target=write, args=(api, name)) for api, name in zip(apis, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard = [titles(stream, 200) for stream in streams]
    assert heard[0] == heard[1]
    for name in "ab":
        assert [title for title in heard[0] if title.startswith(name)] == [f"{name} {number}" for number in range(100)]


def test_topics_may_be_submitted_to_either(apis: list[Api]) -> None:
    stream = EventStream(apis[0], [])
    apis[1].ok("POST", "/api/realtime", {"clientId": stream.client_id, "subscriptions": ["notes/*"]})
    apis[1].ok("POST", "/api/collections/notes/records", {"title": "there"})
    assert titles(stream, 1) == ["there"]
    listed = [apis[0].ok("GET", "/api/realtime/clients"), apis[1].ok("GET", "/api/realtime/clients")]
    assert [[each["id"] for each in found["items"]] for found in listed] == [[stream.client_id]] * 2


@pytest.mark.parametrize("query", ["", "?cursor"])
def test_who_wrote_by_one_does_not_hear_that_from_the_other(apis: list[Api], query: str) -> None:
    for number in range(12):
        writer, reader = apis[number % 2], apis[1 - number % 2]
        record = writer.ok("POST", "/api/collections/notes/records", {"title": f"early {number}"})["id"]
        stream = EventStream(reader, query=query)
        writer.ok("PATCH", f"/api/collections/notes/records/{record}", {"title": f"late {number}"} if not query else {})
        asked = apis[number // 2 % 2]
        asked.ok("POST", "/api/realtime", {"clientId": stream.client_id, "subscriptions": ["notes/*"]})
        writer.ok("POST", "/api/collections/notes/records", {"title": f"new {number}"})
        # A cursor begins where the stream was opened, so it hears of the update too.
        heard = [event_of(stream) for _ in range(2 if query else 1)]
        assert heard[-1] == ("create", f"new {number}")
        assert heard[:-1] == ([("update", f"early {number}")] if query else [])


@pytest.mark.parametrize("asked", [0, 1])
def test_refusals_are_the_same_everywhere(apis: list[Api], asked: int) -> None:
    stream = EventStream(apis[0], ["notes/*"])
    guest = Api(f"http://127.0.0.1:{apis[asked].port}")
    status, body = guest.call("POST", "/api/realtime", {"clientId": stream.client_id, "subscriptions": []})
    assert (status, body["message"]) == (403, "The current and the previous request authorization don't match.")
    unknown = "x" * 40
    status, body = guest.call("POST", "/api/realtime", {"clientId": unknown, "subscriptions": []})
    assert (status, body["message"]) == (404, "Missing or invalid client id.")


def test_the_end_of_an_oauth2_sign_in_may_come_to_either(apis: list[Api]) -> None:
    stream = EventStream(apis[0], ["@oauth2"])
    where = f"/api/oauth2-redirect?state={stream.client_id}&code=abc"
    ends = ["../_/#/auth/oauth2-redirect-success", "../_/#/auth/oauth2-redirect-failure"]
    for end in ends:
        connection = http.client.HTTPConnection("127.0.0.1", apis[1].port, timeout=10)
        connection.request("GET", where)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("location")) == (307, end)
        connection.close()
    assert event(stream) == {"state": stream.client_id, "code": "abc"}


def test_an_operator_ends_a_stream_of_the_other(apis: list[Api]) -> None:
    stream = EventStream(apis[0], ["notes/*"])
    apis[1].ok("DELETE", f"/api/realtime/clients/{stream.client_id}")
    assert stream.rest().strip() == b""


def test_a_node_that_dies_takes_its_streams_away(apis: list[Api], servers: list[Server]) -> None:
    if servers[0].kind != "postgres":
        pytest.skip("the links of one machine and of Redis have tests of their own")
    with running("postgres", servers[0].data_dir) as third:
        api = Api(third.url)
        api.token = apis[0].token
        stream = EventStream(api, ["notes/*"])
        assert stream.client_id in [each["id"] for each in apis[0].ok("GET", "/api/realtime/clients")["items"]]
        third.process.kill()
        third.process.wait()
    began = time.monotonic()
    form: dict[str, object] = {"clientId": stream.client_id, "subscriptions": []}
    status, body = apis[0].call("POST", "/api/realtime", form)
    assert (status, body["message"]) == (404, "Missing or invalid client id.")
    assert apis[0].ok("GET", "/api/realtime/clients")["items"] == []
    assert time.monotonic() - began < 5


def test_messages_reach_the_streams_of_both_in_order_with_changes(apis: list[Api]) -> None:
    streams = [EventStream(api, ["notes/*", "news"]) for api in apis]
    for number in range(10):
        apis[number % 2].ok("POST", "/api/realtime/publish", {"topic": "news", "data": {"n": number}})
        apis[number % 2].ok("POST", "/api/collections/notes/records", {"title": str(number)})
    heard = [[event(stream) for _ in range(20)] for stream in streams]
    assert heard[0] == heard[1]
    assert [event["n"] for event in heard[0][::2]] == list(range(10))


def test_a_new_password_takes_the_rights_of_streams_at_the_other(apis: list[Api]) -> None:
    users = "/api/collections/users/records"
    account = {"email": "a@example.com", "password": "1234567890", "passwordConfirm": "1234567890"}
    user = apis[0].ok("POST", users, account)
    apis[0].ok("PATCH", "/api/collections/notes", {"listRule": "@request.auth.id != ''"})
    member = Api(f"http://127.0.0.1:{apis[1].port}")
    member.sign_in("users", ("a@example.com", "1234567890"))
    stream, public = EventStream(member, ["notes/*", "end"]), EventStream(apis[1], ["notes/*"])
    apis[0].ok("POST", "/api/collections/notes/records", {"title": "before"})
    assert titles(stream, 1) == titles(public, 1) == ["before"]
    apis[0].ok("PATCH", f"{users}/{user['id']}", {"password": "0987654321", "passwordConfirm": "0987654321"})
    assert apis[1].call("GET", "/api/collections/notes/records")[0] == 200
    assert member.call("POST", "/api/collections/users/auth-refresh")[0] == 401
    apis[0].ok("POST", "/api/collections/notes/records", {"title": "after"})
    assert titles(public, 1) == ["after"]
    apis[0].ok("POST", "/api/realtime/publish", {"topic": "end", "data": "end"})
    assert event(stream) == "end"


def test_a_delete_is_told_to_those_who_saw_it_by_records_that_went_with_it(apis: list[Api]) -> None:
    apis[0].ok("POST", "/api/collections", {"name": "rooms", "type": "base", "fields": TEXT_FIELD})
    room_id = apis[0].ok("GET", "/api/collections/rooms")["id"]
    relation = {"name": "room", "type": "relation", "collectionId": room_id, "cascadeDelete": True, "maxSelect": 1}
    keys = {"name": "keys", "type": "base", "fields": [{"name": "word", "type": "text"}, relation]}
    apis[0].ok("POST", "/api/collections", keys)
    apis[0].ok("PATCH", "/api/collections/rooms", {"listRule": "keys_via_room.word ?= 'open'"})
    room = apis[0].ok("POST", "/api/collections/rooms/records", {"title": "hall"})
    apis[0].ok("POST", "/api/collections/keys/records", {"word": "open", "room": room["id"]})
    guest = Api(f"http://127.0.0.1:{apis[1].port}")
    stream = EventStream(guest, ["rooms/*"])
    apis[0].ok("PATCH", f"/api/collections/rooms/records/{room['id']}", {"title": "den"})
    assert event(stream)["action"] == "update"
    apis[0].ok("DELETE", f"/api/collections/rooms/records/{room['id']}")
    assert event(stream)["action"] == "delete"


def test_a_field_that_is_renamed_by_one_fails_no_request_of_the_other(apis: list[Api]) -> None:
    record = apis[0].ok("POST", "/api/collections/notes/records", {"title": "x"})["id"]
    statuses: set[tuple[str, int]] = set()
    is_done = threading.Event()

    def ask() -> None:
        own = Api(f"http://127.0.0.1:{apis[0].port}")
        while not is_done.is_set():
            statuses.add(("GET", own.call("GET", "/api/collections/notes/records")[0]))
            statuses.add(("PATCH", own.call("PATCH", f"/api/collections/notes/records/{record}", {})[0]))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(20):
        fields = apis[1].ok("GET", "/api/collections/notes")["fields"]
        for field in fields:
            field["name"] = f"title{number}" if field["name"].startswith("title") else field["name"]
        apis[1].ok("PATCH", "/api/collections/notes", {"fields": fields})
    is_done.set()
    for thread in threads:
        thread.join()
    assert {status for method, status in statuses if method == "GET"} == {200}
    assert {status for method, status in statuses if method == "PATCH"} <= {200, 503}


def test_a_stream_keeps_its_account_when_another_changes_it_and_loses_it_with_its_password(apis: list[Api]) -> None:
    body = {"email": "ann@example.com", "password": "correct horse", "passwordConfirm": "correct horse"}
    ann = apis[0].ok("POST", "/api/collections/users/records", body)["id"]
    apis[0].ok("PATCH", "/api/collections/notes", {"listRule": "@request.auth.id != ''"})
    own = Api(f"http://127.0.0.1:{apis[0].port}")
    own.sign_in("users", ("ann@example.com", "correct horse"))
    stream, root = EventStream(own, ["notes/*"]), EventStream(apis[0], ["notes/*"])
    apis[1].ok("PATCH", f"/api/collections/users/records/{ann}", {"name": "Ann"})
    apis[1].ok("POST", "/api/collections/notes/records", {"title": "hers"})
    assert titles(stream, 1) == ["hers"]
    new = {"password": "another horse", "passwordConfirm": "another horse"}
    apis[1].ok("PATCH", f"/api/collections/users/records/{ann}", new)
    apis[1].ok("POST", "/api/collections/notes/records", {"title": "secret"})
    # Heard here, so it was judged by the rule of that time.
    assert titles(root, 2) == ["hers", "secret"]
    apis[1].ok("PATCH", "/api/collections/notes", {"listRule": ""})
    apis[0].ok("POST", "/api/collections/notes/records", {"title": "open"})
    assert titles(stream, 1) == ["open"]


@pytest.fixture
def settings(apis: list[Api]) -> Iterator[Callable[..., None]]:
    """Changes settings at the first server; they are the former ones afterwards."""
    before = apis[0].ok("GET", "/api/settings")

    def change(**groups: object) -> None:
        apis[0].ok("PATCH", "/api/settings", groups)

    yield change
    change(**before)


def test_superuser_addresses_hold_for_the_other_at_once(apis: list[Api], settings: Callable[..., None]) -> None:
    proxy = {"headers": ["X-Real-IP"], "useLeftmostIP": False}
    settings(superuserIPs=["127.0.0.1", "10.0.0.1"], trustedProxy=proxy)
    assert apis[1].call("GET", "/api/settings")[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", apis[1].port, timeout=10)
    connection.request("GET", "/api/settings", headers={"Authorization": apis[1].token, "X-Real-IP": "10.0.0.2"})
    assert connection.getresponse().status == 403
    connection.close()


def test_rate_limits_hold_for_the_other_at_once(apis: list[Api], settings: Callable[..., None]) -> None:
    guest = Api(f"http://127.0.0.1:{apis[1].port}")
    path = "/api/collections/notes/records"
    rule = {"label": "notes:list", "audience": "", "duration": 600, "maxRequests": 2}
    settings(rateLimits={"enabled": True, "rules": [rule], "excludedIPs": []})
    assert [guest.call("GET", path)[0] for _ in range(3)] == [200, 200, 429]
    settings(rateLimits={"enabled": True, "rules": [{**rule, "maxRequests": 3}], "excludedIPs": []})
    assert [guest.call("GET", path)[0] for _ in range(4)] == [200, 200, 200, 429]


def test_the_schedule_of_backups_holds_for_the_other_at_once(apis: list[Api], settings: Callable[..., None]) -> None:
    def schedules() -> list[str]:
        jobs = apis[1].ok("GET", "/api/crons")
        return [job["expression"] for job in jobs if job["id"] == "__pbAutoBackup__"]

    assert schedules() == []
    settings(backups={"cron": "0 0 1 1 *"})
    assert schedules() == ["0 0 1 1 *"]
    settings(backups={"cron": ""})
    assert schedules() == []


def test_the_mail_server_holds_for_the_other_at_once(apis: list[Api], settings: Callable[..., None]) -> None:
    with running_sink() as sink:
        settings(smtp={"enabled": True, "host": "127.0.0.1", "port": sink.port, "tls": False})
        mail = {"template": "verification", "email": "a@example.com", "collection": "_superusers"}
        apis[1].ok("POST", "/api/settings/test/email", mail)
        assert sink.arrived.wait(10)


def test_the_bucket_holds_for_the_other_at_once(
    apis: list[Api], settings: Callable[..., None], s3: S3Server, bucket: str
) -> None:
    apis[0].create_open_collection("papers", [{"name": "file", "type": "file", "maxSelect": 1}])
    settings(s3=msgspec.to_builtins(s3.settings(bucket=bucket)))
    form = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nkept\r\n--x--\r\n'
    connection = http.client.HTTPConnection("127.0.0.1", apis[1].port, timeout=20)
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    connection.request("POST", "/api/collections/papers/records", form, kind)
    made = json.loads(connection.getresponse().read())
    connection.close()
    key = f"{made['collectionId']}/{made['id']}/{made['file']}"
    assert s3.keys(bucket) == [key]
    path = f"/api/files/papers/{made['id']}/{made['file']}"
    assert [Api(f"http://127.0.0.1:{api.port}").text(path) for api in apis] == ["kept", "kept"]
    apis[1].ok("DELETE", f"/api/collections/papers/records/{made['id']}")
    apis[0].ok("DELETE", "/api/collections/papers")
