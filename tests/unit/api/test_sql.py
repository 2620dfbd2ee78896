from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.api.client import Client, Reply
from tests.unit.api.conftest import Template

Tell = Callable[..., None]


async def ask(client: Client, template: Template, query: object) -> Reply:
    return await client("POST", "/api/sql", {"query": query}, token=template.root_token)


@pytest.mark.parametrize(
    ("query", "columns", "rows"),
    [
        ("select 1", [("1", "")], [["1"]]),
        ("select 1; select 2 a; -- done", [("a", "")], [["2"]]),
        ("select 1 where 0; values (1, null)", [("column1", ""), ("column2", "")], [["1", None]]),
        ("select 1.5, 1e6, 0.00001, 1000000.5, x'61ff', 2.0", [(n, "") for n in
         ("1.5", "1e6", "0.00001", "1000000.5", "x'61ff'", "2.0")],
         [["1.5", "1e+06", "1e-05", "1.0000005e+06", "a\ufffd", "2"]]),
        ("pragma foreign_keys", [("foreign_keys", "")], [["1"]]),
        ("select title from posts", [("title", "TEXT")], []),
        ("with recursive c(x) as (select 1 union all select x + 1 from c) select x from c", [("x", "")],
         [[str(n)] for n in range(1, 1001)]),
    ],
)  # fmt: skip
def test_what_reads_gives_texts(
    tell: Tell, template: Template, query: str, columns: list[tuple[str, str]], rows: list[list[str | None]]
) -> None:
    async def story(client: Client) -> None:
        answer = await ask(client, template, query)
        assert answer.status == 200, answer.body
        assert list(answer.json()) == ["execTime", "affectedRows", "columns", "rows"]
        assert answer.json()["affectedRows"] == 0
        assert answer.json()["columns"] == [{"name": n, "type": t, "nullable": True} for n, t in columns]
        assert answer.json()["rows"] == rows

    tell(story)


def test_what_writes_gives_a_number_and_all_or_nothing(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        async def run(query: str) -> Any:
            return (await ask(client, template, query)).json()

        assert (await run("create table t (a int); insert into t values (1), (2), (3)"))["affectedRows"] == 3
        assert (await run("insert into t values (4) returning a"))["rows"] == []
        assert (await run("create table other (a)"))["affectedRows"] == 0
        failed = await run("delete from t; insert into missing values (1)")
        assert failed["message"] == (
            "Failed to execute query. Raw error:\nSQL logic error: no such table: missing (1)."
        )
        assert (await run("select count(*) from t"))["rows"] == [["4"]]
        # What does not begin with the word is run all the same.
        assert (await run("-- why\ndelete from t where a = 1"))["affectedRows"] == 0
        assert (await run("with x as (select 2 b) delete from t where a in (select b from x) returning a"))["rows"] == [
            ["2"]
        ]
        assert (await run("select count(*) from t"))["rows"] == [["2"]]

    tell(story)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("invalid", 'SQL logic error: near "invalid": syntax error (1).'),
        ("  ", "empty query."),
        ("select 1 from", "SQL logic error: incomplete input (1)."),
        ("begin", "authorization denied"),
        ("delete from posts; commit", "authorization denied"),
        ("delete from posts; savepoint x", "authorization denied"),
        ("attach 'other.db' as other", "authorization denied"),
        ("pragma query_only = 0", "authorization denied"),
        ("-- c\nupdate posts set id = id; pragma journal_mode = delete", "authorization denied"),
        ("vacuum", "authorization denied"),
        ("select zeroblob(100000000)", "string or blob too big"),
        ("select hex(randomblob(3000000)) from (values (1), (2), (3), (4))", "the result has more than 16777216 bytes"),
        ("drop table _collections", "no such table: _collections"),
        ("delete from _params", "the settings can't be deleted"),
        ("update _collections set fields = '[{\"type\":\"magic\"}]' where name = 'posts'", "can't be understood"),
        ("update _params set value = '{\"meta\":1}' where id = 'settings'", "can't be read"),
    ],
)
def test_what_fails_says_why_and_changes_nothing(tell: Tell, template: Template, query: str, reason: str) -> None:
    async def story(client: Client) -> None:
        await ask(client, template, "insert into posts (id, title) values ('a', 'b')")
        refused = await ask(client, template, query)
        assert refused.status == 400
        assert refused.message.startswith("Failed to execute query. Raw error:\n")
        assert reason in refused.message
        assert (await ask(client, template, "select title from posts")).json()["rows"] == [["b"]]
        assert (await client("GET", "/api/collections/posts/records")).json()["totalItems"] == 1

    tell(story)


@pytest.mark.parametrize(
    ("body", "message", "fields"),
    [
        ({"query": ""}, "An error occurred while validating the submitted data.", {"query": "validation_required"}),
        ({"query": "x" * 5001}, "An error occurred while validating the submitted data.",
         {"query": "validation_length_too_long"}),
        ({"query": 5}, "An error occurred while loading the submitted data.", {}),
        ([1], "An error occurred while loading the submitted data.", {}),
    ],
)  # fmt: skip
def test_forms_are_checked(tell: Tell, template: Template, body: object, message: str, fields: object) -> None:
    async def story(client: Client) -> None:
        refused = await client("POST", "/api/sql", body, token=template.root_token)
        assert (refused.status, refused.message) == (400, message)
        assert {name: error["code"] for name, error in refused.json()["data"].items()} == fields

    tell(story)


def test_it_is_for_superusers(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        assert (await client("POST", "/api/sql", {"query": "select 1"})).status == 401
        assert (await client("POST", "/api/sql", {"query": "select 1"}, token=template.user_token)).status == 403

    tell(story)


def test_changed_collections_and_settings_are_in_force_at_once(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        listed = "/api/collections/posts/records"
        assert (await client("GET", listed)).status == 200
        await ask(client, template, "update _collections set listRule = null where name = 'posts'")
        assert (await client("GET", listed)).status == 403
        await ask(
            client,
            template,
            "update _params set value = json_set(cast(value as text), '$.meta.appName', 'Changed')"
            " where id = 'settings'",
        )
        shown = (await client("GET", "/api/settings", token=template.root_token)).json()
        assert shown["meta"]["appName"] == "Changed"
        dropped = await ask(client, template, "delete from _collections where name = 'posts'; drop table posts")
        assert dropped.status == 200, dropped.body
        assert (await client("GET", listed)).status == 404

    tell(story)


def test_a_query_that_takes_too_long_is_ended_and_others_go_on_meanwhile(tell: Tell, template: Template) -> None:
    endless = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"

    async def story(client: Client) -> None:
        reading = [asyncio.create_task(ask(client, template, endless)) for _ in range(3)]
        writing = asyncio.create_task(ask(client, template, f"create table t as {endless}"))
        while not all(task.done() for task in (*reading, writing)):
            assert (await client("GET", "/api/collections/posts/records")).status == 200
            await asyncio.sleep(0.01)
        for task in (*reading, writing):
            assert "the query took longer than 0.3 s" in task.result().message
        made = await client("POST", "/api/collections/posts/records", {"title": "after"})
        assert made.status == 200

    tell(story, query_timeout_s=0.3)


def test_nothing_of_it_stays_with_the_connections(tell: Tell, template: Template, data_dir: Path) -> None:
    async def story(client: Client) -> None:
        await ask(client, template, "create temp table leftover (a)")
        # The next write has neither deadline nor authorizer.
        assert (await client("POST", "/api/collections/posts/records", {"title": "x"})).status == 200
        assert (await ask(client, template, "pragma integrity_check")).json()["rows"] == [["ok"]]

    tell(story)
    with sqlite3.connect(data_dir / "data.db") as connection:
        assert connection.execute("SELECT count(*) FROM posts").fetchone() == (1,)
