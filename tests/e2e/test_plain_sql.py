"""Tables that rowcast has not made, and changes that it has not made: a real server, and SQL of another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from rowcast import cli
from tests.e2e.client import Api, EventStream
from tests.e2e.server import Kind, Server, environment, make_directory, running

pytestmark = pytest.mark.e2e

_RUN_SQLITE = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], 20); c.execute('PRAGMA trusted_schema = OFF');"
    " c.executescript(sys.argv[2]); c.close()"
)

LINES = '"Order ""Lines"""'

_TABLES = {
    "rowcast": f"""
        CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, vip BOOLEAN, since DATETIME);
        CREATE TABLE {LINES} ("the key" TEXT PRIMARY KEY NOT NULL, "group" TEXT, "a ""b"" $f$ c?" INTEGER,
            customer INTEGER REFERENCES customers (id) ON DELETE CASCADE, pic BLOB, price REAL);
        """,
    "postgres": f"""
        CREATE TYPE mood AS ENUM ('good', 'bad');
        CREATE TABLE customers (id bigserial PRIMARY KEY, name varchar(50) NOT NULL, vip boolean, since timestamptz);
        CREATE TABLE {LINES} ("the key" text PRIMARY KEY, "group" text, "a ""b"" $f$ c?" integer,
            customer bigint REFERENCES customers (id) ON DELETE CASCADE, pic bytea, price double precision,
            feeling mood, tags jsonb, number uuid);
        """,
}


class Plain:
    """Another program that writes SQL into the database of a server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def run(self, sql: str) -> None:
        """Run statements, each on its own unless the SQL says otherwise."""
        if self.server.kind == "postgres":
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(sql.encode())
            return
        file = str(self.server.data_dir / "data.db")
        subprocess.run([sys.executable, "-c", _RUN_SQLITE, file, sql], check=True, timeout=30)

    @property
    def url(self) -> str:
        """The database on PostgreSQL."""
        return environment("postgres", self.server.data_dir)["ROWCAST_DB"]

    def rowcast(self, *args: str) -> str:
        """Run a command on the directory of the server, which goes on."""
        env = environment(self.server.kind, self.server.data_dir)
        arguments = cli.ordered([*args, "--dir", str(self.server.data_dir)])
        run = CliRunner().invoke(cli.command, arguments, env=env)
        assert run.exit_code == 0, run.output
        return run.output


def adopt_tables(plain: Plain) -> None:
    plain.rowcast("adopt", "customers", "--collection", "clients", "--capture", "--list-rule=", "--view-rule=")
    plain.rowcast(
        "adopt", 'Order "Lines"', "--collection=lines", "--capture", "--list-rule", "price > 0 && group != 'x'"
    )


@pytest.fixture(scope="module", params=["rowcast", "postgres"])
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    kind: Kind = request.param
    data_dir: Path = tmp_path_factory.mktemp("plain") / "pb_data"
    make_directory(kind, data_dir)
    with running(kind, data_dir) as server:
        plain = Plain(server)
        plain.run(_TABLES[kind])
        adopt_tables(plain)
        yield server


@pytest.fixture
def plain(server: Server) -> Plain:
    return Plain(server)


@pytest.fixture
def api(server: Server, plain: Plain) -> Iterator[Api]:
    """A superuser, who has seen the new collections; the tables are empty afterwards."""
    api = Api(server.url)
    api.sign_in()
    while api.call("GET", "/api/collections/lines")[0] != 200:
        pass
    yield api
    plain.run(f"DELETE FROM {LINES}; DELETE FROM customers")


def event(stream: EventStream) -> tuple[str, Any]:
    """Action and record of the next event."""
    data = json.loads(stream.frame().partition("\ndata:")[2])
    return data["action"], data["record"]


def told(stream: EventStream, count: int) -> list[tuple[str, str]]:
    return [(action, record["id"]) for action, record in (event(stream) for _ in range(count))]


def test_the_fields_are_those_of_the_table(api: Api, server: Server) -> None:
    fields = {each["name"]: each["type"] for each in api.ok("GET", "/api/collections/lines")["fields"]}
    expected = {"id": "text", "group": "text", "a_b_f_c_": "number", "customer": "relation", "price": "number"}
    if server.kind == "postgres":
        expected |= {"feeling": "select", "tags": "json", "number": "text"}
    assert fields == expected
    fields = {each["name"]: each["type"] for each in api.ok("GET", "/api/collections/clients")["fields"]}
    assert fields == {"id": "text", "name": "text", "vip": "bool", "since": "date"}


def test_records_of_the_table_are_listed_filtered_and_expanded(api: Api, plain: Plain) -> None:
    plain.run("INSERT INTO customers VALUES (7, 'Ann', NULL, '2026-01-02 03:04:05Z'), (12, 'Bob', TRUE, NULL)")
    plain.run(f"""INSERT INTO {LINES} ("the key", "group", customer, price) VALUES ('k1', NULL, 12, 2.5)""")
    found = api.ok("GET", "/api/collections/clients/records?sort=name")["items"]
    assert [(each["id"], each["name"], each["vip"], each["since"]) for each in found] == [
        ("7", "Ann", False, "2026-01-02 03:04:05.000Z"),
        ("12", "Bob", True, ""),
    ]
    path = "/api/collections/lines/records?expand=customer&filter="
    line = api.ok("GET", path + "customer.name='Bob'%26%26group=''%26%26price>2")["items"][0]
    assert (line["id"], line["group"], line["price"], line["expand"]["customer"]["id"]) == ("k1", "", 2.5, "12")
    back = api.ok("GET", "/api/collections/clients/records?filter=lines_via_customer.price>1")["items"]
    assert [each["id"] for each in back] == ["12"]
    assert api.call("GET", "/api/collections/clients/records/x")[0] == 404


def test_the_api_writes_the_table_and_tells_it_once(api: Api, server: Server, plain: Plain) -> None:
    stream = EventStream(api, ["clients/*"])
    body = {"id": "5", "name": "Eve", "vip": True, "since": "2026-01-02 03:04:05.678Z"}
    assert api.call("POST", "/api/collections/clients/records", {"name": "x"})[0] == 400
    created = api.ok("POST", "/api/collections/clients/records", body)
    assert {key: created[key] for key in body} == body
    assert api.call("POST", "/api/collections/clients/records", body)[0] == 400
    api.ok("PATCH", "/api/collections/clients/records/5", {"name": "Eva"})
    assert api.ok("GET", "/api/collections/clients/records/5")["since"] == body["since"]
    api.ok("DELETE", "/api/collections/clients/records/5")
    assert api.call("GET", "/api/collections/clients/records/5")[0] == 404
    plain.run("INSERT INTO customers (id, name) VALUES (99, 'end')")
    assert told(stream, 4) == [("create", "5"), ("update", "5"), ("delete", "5"), ("create", "99")]


def test_values_that_were_not_changed_stay_as_they_are(api: Api, server: Server, plain: Plain) -> None:
    if server.kind != "postgres":
        pytest.skip("it has types that rowcast does not know")
    number = "550e8400-e29b-41d4-a716-446655440000"
    plain.run(
        f"INSERT INTO {LINES} VALUES ('k2', NULL, NULL, NULL, '\\x00ff', 0.1, 'good', '{{\"b\": 1}}', '{number}')"
    )
    seen = api.ok("PATCH", "/api/collections/lines/records/k2", {"price": 1.5})
    assert (seen["feeling"], seen["tags"], seen["number"]) == ("good", {"b": 1}, number)
    refused = api.call("PATCH", "/api/collections/lines/records/k2", {"feeling": "odd"})
    assert refused[1]["data"]["feeling"]["code"] == "validation_invalid_value"
    assert api.call("PATCH", "/api/collections/lines/records/k2", {"number": "none"})[0] == 400
    api.ok("PATCH", "/api/collections/lines/records/k2", {"feeling": "", "tags": [2]})
    with psycopg.connect(plain.url) as connection:
        row = connection.execute(
            f'SELECT "group", customer, pic, price, feeling, tags FROM {LINES}'.encode()
        ).fetchone()
    assert row == (None, None, b"\x00\xff", 1.5, None, [2])


def test_what_sql_changes_is_told_to_those_who_may_see_it(api: Api, plain: Plain, server: Server) -> None:
    everybody, guest = EventStream(api, ["lines/*"]), Api(server.url)
    some = EventStream(guest, ["lines/*", "clients/*"])
    insert = f"""INSERT INTO {LINES} ("the key", "group", price) VALUES"""
    plain.run(f"{insert} ('a', 'x', 1), ('b', 'y', 2), ('c', NULL, 0)")
    plain.run(f"""UPDATE {LINES} SET price = price + 1""")
    plain.run(f"""UPDATE {LINES} SET pic = NULL, price = price""")
    plain.run(f"""DELETE FROM {LINES} WHERE "group" = 'y'""")
    plain.run(f"""UPDATE {LINES} SET "the key" = 'd' WHERE "the key" = 'c'""")
    plain.run("INSERT INTO customers (id, name) VALUES (1, 'end')")
    seen = told(everybody, 9)
    assert sorted(seen[:3]) == [("create", "a"), ("create", "b"), ("create", "c")]
    assert sorted(seen[3:6]) == [("update", "a"), ("update", "b"), ("update", "c")]
    assert seen[6:] == [("delete", "b"), ("delete", "c"), ("create", "d")]
    # For c the group is NULL, which is no 'x'; its price is 0 at first, as is that of d never.
    heard = told(some, 7)
    assert heard[0] == ("create", "b")
    assert sorted(heard[1:3]) == [("update", "b"), ("update", "c")]
    assert heard[3:] == [("delete", "b"), ("delete", "c"), ("create", "d"), ("create", "1")]


def test_a_transaction_that_stays_open_keeps_nobody_waiting(api: Api, plain: Plain, server: Server) -> None:
    if server.kind != "postgres":
        pytest.skip("SQLite has one writer at a time")
    stream = EventStream(api, ["clients/*"])
    with psycopg.connect(plain.url) as connection:
        connection.execute("INSERT INTO customers (id, name) VALUES (1, 'late')")
        api.ok("POST", "/api/collections/clients/records", {"id": "2", "name": "soon"})
        plain.run("INSERT INTO customers (id, name) VALUES (3, 'soon')")
        assert told(stream, 2) == [("create", "2"), ("create", "3")]
    assert told(stream, 1) == [("create", "1")]


def test_whoever_may_write_a_table_need_not_see_the_log(api: Api, plain: Plain, server: Server) -> None:
    if server.kind != "postgres":
        pytest.skip("SQLite knows no rights")
    stream, role = EventStream(api, ["clients/*"]), f"clerk_{os.getpid()}"
    plain.run(f"CREATE ROLE {role}; GRANT INSERT ON customers TO {role}")
    try:
        plain.run(f"SET ROLE {role}; INSERT INTO customers (id, name) VALUES (1, 'a')")
        assert told(stream, 1) == [("create", "1")]
    finally:
        plain.run(f"REVOKE ALL ON customers FROM {role}; DROP ROLE {role}")


def test_all_processes_tell_the_changes_of_all_programs_in_one_order(api: Api, plain: Plain, server: Server) -> None:
    with running(server.kind, server.data_dir) as second:
        other = Api(second.url)
        other.token = api.token
        streams = [EventStream(each, ["clients/*"]) for each in (api, other)]

        def ask(node: Api, first: int) -> None:
            for number in range(first, first + 20):
                node.ok("POST", "/api/collections/clients/records", {"id": str(number), "name": "x"})
                node.ok("PATCH", f"/api/collections/clients/records/{number}", {"name": "y"})

        def write(first: int) -> None:
            for number in range(first, first + 8):
                plain.run(f"INSERT INTO customers (id, name) VALUES ({number}, 'x'), ({number + 50}, 'x')")
                plain.run(f"UPDATE customers SET name = 'y' WHERE id IN ({number}, {number + 50})")

        threads = [threading.Thread(target=ask, args=(api, 100)), threading.Thread(target=ask, args=(other, 200))]
        threads += [threading.Thread(target=write, args=(first,)) for first in (300, 400)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen = [told(stream, 144) for stream in streams]
        assert seen[0] == seen[1]
        assert len(set(seen[0])) == 144
        for number in (100, 219, 300, 450, 457):
            assert seen[0].index(("create", str(number))) < seen[0].index(("update", str(number)))


def test_a_rollback_tells_nothing(api: Api, plain: Plain) -> None:
    stream = EventStream(api, ["clients/*"])
    plain.run("BEGIN; INSERT INTO customers (id, name) VALUES (1, 'gone'); ROLLBACK")
    plain.run(
        "BEGIN; INSERT INTO customers (id, name) VALUES (2, 'a'), (3, 'b'); UPDATE customers SET name = 'c'; COMMIT"
    )
    assert told(stream, 4) == [("create", "2"), ("create", "3"), ("update", "2"), ("update", "3")]


def test_a_stream_resumes_behind_what_sql_changed(api: Api, plain: Plain) -> None:
    stream = EventStream(api, ["clients/*"], query="?cursor=")
    plain.run("INSERT INTO customers (id, name) VALUES (1, 'a')")
    cursor = json.loads(stream.frame().partition("\ndata:")[2])["cursor"]
    stream.socket.close()
    plain.run("UPDATE customers SET name = 'b'; DELETE FROM customers")
    api.ok("POST", "/api/collections/clients/records", {"id": "2", "name": "x"})
    plain.run("INSERT INTO customers (id, name) VALUES (3, 'c')")
    again = EventStream(api, ["clients/*"], query=f"?cursor={cursor}")
    assert '"resumed":true' in again.first
    assert told(again, 4) == [("update", "1"), ("delete", "1"), ("create", "2"), ("create", "3")]


def test_what_a_delete_brings_about_by_a_foreign_key_is_told(api: Api, plain: Plain) -> None:
    lines, clients = EventStream(api, ["lines/*"]), EventStream(api, ["clients/*"])
    plain.run("INSERT INTO customers (id, name) VALUES (1, 'a')")
    plain.run(f"""INSERT INTO {LINES} ("the key", customer) VALUES ('l1', 1), ('1', 1)""")
    assert (told(lines, 2), told(clients, 1)) == ([("create", "l1"), ("create", "1")], [("create", "1")])
    api.ok("DELETE", "/api/collections/clients/records/1")
    assert sorted(told(lines, 2)) == [("delete", "1"), ("delete", "l1")]
    plain.run(f"""INSERT INTO {LINES} ("the key") VALUES ('end'); INSERT INTO customers (id, name) VALUES (2, 'b')""")
    assert told(clients, 2) == [("delete", "1"), ("create", "2")]
    assert told(lines, 1) == [("create", "end")]


def test_values_that_rowcast_would_not_have_stored_are_told_as_they_are_read(
    api: Api, plain: Plain, server: Server
) -> None:
    odd = 'é\u2028" \\ \n\r\t \x01'
    stream = EventStream(api, ["lines/*", "clients/*"])
    if server.kind == "postgres":
        plain.run(f"""INSERT INTO {LINES} ("the key", price) VALUES ('n', 'NaN'), ('i', '-Infinity')""")
        plain.run(f"INSERT INTO customers VALUES (4, '{odd}', NULL, 'infinity')")
    else:
        plain.run(f"""INSERT INTO {LINES} ("the key", price) VALUES ('n', 'text'), ('i', -9e999)""")
        plain.run(f"INSERT INTO customers VALUES (4, '{odd}', 'maybe', x'ff')")
    seen = [event(stream)[1] for _ in range(3)]
    assert [each.get("price") for each in seen[:2]] == [0, 0]
    assert {**seen[2], "since": ""} == {
        "collectionId": seen[2]["collectionId"], "collectionName": "clients",
        "id": "4", "name": odd, "vip": False, "since": "",
    }  # fmt: skip
    for each in seen:
        assert api.ok("GET", f"/api/collections/{each['collectionName']}/records/{each['id']}") == each


def test_a_text_that_is_no_utf_8_spoils_no_list(api: Api, plain: Plain, server: Server) -> None:
    if server.kind == "postgres":
        pytest.skip("its texts are UTF-8")
    stream = EventStream(api, ["clients/*"])
    plain.run("INSERT INTO customers (id, name) VALUES (1, CAST(x'ff41' AS TEXT)), (2, 'b')")
    assert [event(stream)[1]["name"] for _ in range(2)] == ["\ufffdA", "b"]
    assert [each["name"] for each in api.ok("GET", "/api/collections/clients/records")["items"]] == ["\ufffdA", "b"]
    assert api.ok("GET", "/api/collections/clients/records/1")["name"] == "\ufffdA"


def test_an_own_collection_is_captured_through_renames_until_it_is_not(api: Api, plain: Plain) -> None:
    api.create_open_collection("notes", [{"name": "title", "type": "text"}, {"name": "old", "type": "number"}])
    plain.rowcast("capture", "notes")
    stream = EventStream(api, [f"{api.ok('GET', '/api/collections/notes')['id']}/*"])
    plain.run("INSERT INTO notes (title, old) VALUES ('one', 1)")
    record = event(stream)[1]
    assert (record["title"], record["old"], bool(record["id"])) == ("one", 1, True)
    fields = api.ok("GET", "/api/collections/notes")["fields"]
    renamed = [{**each, "name": {"title": "select"}.get(each["name"], each["name"])} for each in fields]
    kept = [each for each in renamed if each["name"] != "old"]
    api.ok("PATCH", "/api/collections/notes", {"name": "papers", "fields": kept})
    plain.run("""UPDATE papers SET "select" = 'two'""")
    assert event(stream)[1]["select"] == "two"
    api.ok("PATCH", f"/api/collections/papers/records/{record['id']}", {"select": "three"})
    plain.run("DELETE FROM papers")
    assert told(stream, 2) == [("update", record["id"]), ("delete", record["id"])]
    plain.rowcast("capture", "papers", "--off")
    plain.run("""INSERT INTO papers ("select") VALUES ('unheard')""")
    created = api.ok("POST", "/api/collections/papers/records", {"select": "four"})
    assert told(stream, 1) == [("create", created["id"])]
    assert "papers" not in plain.rowcast("capture")
    api.ok("DELETE", "/api/collections/papers")


def test_an_adopted_collection_may_be_renamed_with_what_is_built_on_it(api: Api, plain: Plain, server: Server) -> None:
    query = "SELECT id, name FROM clients"
    api.ok("POST", "/api/collections", {"name": "shown", "type": "view", "viewQuery": query, "listRule": ""})
    found = api.ok("GET", "/api/collections/clients")
    stream = EventStream(api, [f"{found['id']}/*"])
    plain.run("INSERT INTO customers (id, name, vip) VALUES (1, 'a', TRUE)")
    assert told(stream, 1) == [("create", "1")]
    api.ok("PATCH", "/api/collections/clients", {"listRule": "name != ''"})
    assert api.ok("GET", "/api/collections/shown/records")["totalItems"] == 1
    kept = [{**each, "name": {"name": "called"}.get(each["name"], each["name"])} for each in found["fields"][:2]]
    api.ok("PATCH", "/api/collections/clients", {"name": "buyers", "fields": kept, "listRule": ""})
    plain.run("UPDATE customers SET name = 'b', vip = FALSE")
    assert event(stream)[1] == {
        "collectionId": found["id"], "collectionName": "buyers", "id": "1", "called": "b",
    }  # fmt: skip
    assert api.ok("PATCH", "/api/collections/buyers/records/1", {"called": "c"})["called"] == "c"
    assert told(stream, 1) == [("update", "1")]
    if server.kind == "postgres":
        # SQLite renames no views: the query has to be changed by hand.
        assert api.ok("GET", "/api/collections/shown/records")["items"][0]["name"] == "c"
    api.ok("DELETE", "/api/collections/shown")
    api.ok("DELETE", "/api/collections/lines")
    api.ok("DELETE", "/api/collections/buyers")
    adopt_tables(plain)


def test_a_delete_is_judged_by_the_state_before_it(api: Api, plain: Plain, server: Server) -> None:
    api.create_open_collection("teams", [{"name": "is_open", "type": "bool"}])
    target = {"name": "team", "type": "relation", "collectionId": api.ok("GET", "/api/collections/teams")["id"]}
    api.create_open_collection("tasks", [target])
    api.ok("PATCH", "/api/collections/tasks", {"listRule": "team.is_open = true"})
    plain.rowcast("capture", "tasks")
    stream = EventStream(Api(server.url), ["tasks/*"])
    plain.run(
        "INSERT INTO teams (id, is_open) VALUES ('open', 1), ('shut', 0);"
        "INSERT INTO tasks (id, team) VALUES ('a', 'shut'), ('b', 'open')"
    )
    assert told(stream, 1) == [("create", "b")]
    plain.run("BEGIN; DELETE FROM teams; DELETE FROM tasks; COMMIT")
    assert told(stream, 1) == [("delete", "b")]
    for name in ("tasks", "teams"):
        api.ok("DELETE", f"/api/collections/{name}")


def test_truncate_is_told_as_the_delete_of_each_record(api: Api, plain: Plain, server: Server) -> None:
    if server.kind != "postgres":
        pytest.skip("SQLite has no TRUNCATE")
    stream = EventStream(api, ["clients/*"])
    plain.run("INSERT INTO customers (id, name) VALUES (1, 'a'), (2, 'b')")
    plain.run("TRUNCATE customers CASCADE")
    assert sorted(told(stream, 4)[2:]) == [("delete", "1"), ("delete", "2")]


def test_sql_of_superusers_is_told_as_well(api: Api, plain: Plain) -> None:
    stream = EventStream(api, ["clients/*"])
    api.ok("POST", "/api/sql", {"query": "INSERT INTO customers (id, name) VALUES (1, 'a')"})
    api.ok("PATCH", "/api/collections/clients/records/1", {"name": "b"})
    assert told(stream, 2) == [("create", "1"), ("update", "1")]


def test_a_deleted_collection_leaves_its_table_alone(api: Api, plain: Plain) -> None:
    plain.run("CREATE TABLE kept (id TEXT PRIMARY KEY NOT NULL, note TEXT); INSERT INTO kept VALUES ('a', 'b')")
    plain.rowcast("adopt", "kept", "--collection", "held", "--capture")
    while api.call("GET", "/api/collections/held")[0] != 200:
        pass
    assert api.ok("GET", "/api/collections/held/records")["totalItems"] == 1
    added = api.ok("GET", "/api/collections/held")["fields"] + [{"name": "more", "type": "text"}]
    status, refused = api.call("PATCH", "/api/collections/held", {"fields": added})
    assert (status, refused["data"]["fields"]["2"]["name"]["code"]) == (400, "validation_adopted_table")
    api.ok("DELETE", "/api/collections/held")
    plain.run("INSERT INTO kept VALUES ('c', 'd')")
    plain.rowcast("adopt", "kept", "--collection", "held")
    while api.call("GET", "/api/collections/held")[0] != 200:
        pass
    assert api.ok("GET", "/api/collections/held/records")["totalItems"] == 2
    api.ok("DELETE", "/api/collections/held")
    plain.run("DROP TABLE kept")
