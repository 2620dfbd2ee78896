"""Bodies with modifiers."""

from __future__ import annotations

from typing import Any

import pytest

from rowcast.schema.fields import AutodateField, FileField, JSONField, JSONText, NumberField, SelectField, TextField
from rowcast.schema.modifiers import load_resolved, resolve_body
from rowcast.schema.record import Record
from rowcast.schema.rows import new_record
from rowcast.schema.uploads import Upload
from tests.unit.schema.samples import accounts, collection_of

ITEMS = collection_of(
    NumberField(name="n"),
    SelectField(name="tags", values=("a", "b", "c"), max_select=3),
    TextField(name="slug", autogenerate_pattern="x{3}"),
    TextField(name="secret", hidden=True),
    JSONField(name="data"),
    FileField(name="doc"),
    FileField(name="docs", max_select=3),
    AutodateField(name="created", on_create=True),
)


def item(**values: Any) -> Record:
    record = new_record(ITEMS)
    record.values |= {"n": 10, "tags": ["a"], "docs": ["old.txt"], "created": "then", **values}
    return record


def upload(name: str) -> Upload:
    return Upload(name, name, 1, b"x")


@pytest.mark.parametrize(
    ("body", "resolved"),
    [
        ({}, {}),
        ({"unknown": 1, "n:each": 2}, {"unknown": 1, "n:each": 2}),
        ({"n": "5"}, {"n": 5}),
        ({"n+": 5}, {"n": 15}),
        ({"n-": "2.5"}, {"n": 7.5}),
        ({"n+": 2, "n-": 5, "n": 1}, {"n": -2}),
        ({"tags+": "b"}, {"tags": ["a", "b"]}),
        ({"+tags": ["b", "c"]}, {"tags": ["b", "c", "a"]}),
        ({"tags-": "a"}, {"tags": []}),
        ({"tags": "b", "tags+": "c"}, {"tags": ["b", "c"]}),
        ({"slug:autogenerate": "a-"}, {"slug": "a-xxx"}),
        ({"data": {"a": 1}}, {"data": JSONText('{"a":1}')}),
        ({"created": "2022-01-01"}, {"created": "then"}),
        ({"docs-": "old.txt"}, {"docs": []}),
        ({"docs": None}, {"docs": []}),
        ({"expand": {"a": 1}}, {"expand": {"a": 1}}),
    ],
)
def test_resolve(body: dict[str, object], resolved: dict[str, object]) -> None:
    record = item()
    before = dict(record.values)
    assert resolve_body(record, body) == resolved
    assert record.values == before


def test_files_stay_uploads() -> None:
    first, second = upload("a.txt"), upload("b.txt")
    resolved = resolve_body(item(), {"docs+": [first], "doc": [second]})
    assert resolved == {"docs": ["old.txt", first], "doc": second}
    record = item()
    load_resolved(record, resolved, is_superuser=False)
    assert record.values["docs"] == ["old.txt", "a.txt"]
    assert record.values["doc"] == "b.txt"
    assert record.uploads == {"a.txt": first, "b.txt": second}
    again = resolve_body(record, {"docs+": "a.txt"})
    assert again == {"docs": ["old.txt", first]}


def test_a_file_that_leaves_is_no_upload_any_more() -> None:
    record = item()
    record.set("docs+", upload("a.txt"))
    record.set("docs-", "a.txt")
    assert record.values["docs"] == ["old.txt"]
    assert record.uploads == {}


def test_hidden_fields_are_for_superusers() -> None:
    body = {"secret": "new", "n": 1, "expand": {}, "unknown": 1, "id": "r1"}
    record, owned = item(secret="old"), item(secret="old")
    load_resolved(record, resolve_body(record, body), is_superuser=False)
    load_resolved(owned, resolve_body(owned, body), is_superuser=True)
    assert (record.values["secret"], owned.values["secret"]) == ("old", "new")
    assert record.id == "r1"
    assert "unknown" not in record.values


def test_accounts_may_set_their_hidden_password() -> None:
    record = new_record(accounts())
    resolved = resolve_body(record, {"password": "secret123", "tokenKey": "stolen", "passwordConfirm": "x"})
    assert resolved["password"] == "secret123"
    load_resolved(record, resolved, is_superuser=False)
    assert record.passwords == {"password": "secret123"}
    assert record.values["password"] == ""
    assert record.values["tokenKey"] == ""


def test_a_key_without_a_field_sets_nothing() -> None:
    record = item()
    assert record.set("gone", 1) is None
    assert record.set("+n", 1) is None
    assert "gone" not in record.values


def test_a_copy_is_a_record_of_its_own() -> None:
    record = item()
    record.set("docs+", upload("a.txt"))
    copy = record.copy()
    copy.set("n", 99)
    copy.set("docs", [])
    assert record.values["n"] == 10
    assert record.uploads
