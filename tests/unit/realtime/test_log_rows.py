"""Changes as rows of the log, and back."""

from __future__ import annotations

import msgspec
import pytest

from rowcast.realtime.log_rows import change_of, row_of
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fields import JSONField, NumberField, PasswordField, SelectField, TextField
from rowcast.schema.record import Action, Change, Position
from rowcast.schema.rows import new_record, to_row
from rowcast.sql import SQLValue
from tests.unit.schema.samples import collection_of

NOTES = collection_of(
    TextField(id="f2", name="title"),
    NumberField(id="f3", name="count"),
    SelectField(id="f4", name="tags", values=("a", "b"), max_select=2),
    JSONField(id="f5", name="body"),
    PasswordField(id="f6", name="secret"),
)


def note(**values: object) -> Change:
    record = new_record(NOTES)
    record.values |= {"id": "n1", "secret": "hash", **values}
    return Change("create", record, position=Position(7, "tag"))


def read(row: str, previous: str = "{}", *, collection: Collection = NOTES) -> Change:
    change = change_of(Catalog([collection]), (7, "tag", "update", collection.id, row, previous))
    assert isinstance(change, Change)
    return change


@pytest.mark.parametrize(
    "values",
    [
        {"title": "plain", "count": 2.5},
        {"title": "[in brackets]", "tags": ["a", "b"]},
        {"title": "0123456789012345678901234567890", "count": 1e300},
        {"body": '{"a":[1,"\\u0000"]}', "count": -3.0},
    ],
)
def test_what_was_logged_comes_back_without_its_password(values: dict[str, object]) -> None:
    change = note(**values)
    number, tag, at, action, collection_id, record_id, row, previous = row_of(change, 5)
    assert (number, tag, at, action, collection_id, record_id, previous) == (7, "tag", 5, "create", "pbc_1", "n1", "{}")
    back = change_of(Catalog([NOTES]), (number, tag, action, collection_id, row, previous))
    assert isinstance(back, Change)
    assert (back.action, back.position, back.previous) == ("create", Position(7, "tag"), None)
    assert to_row(back.record) == {**to_row(change.record), "secret": ""}
    assert back.record.original == back.record.values


def test_an_update_holds_what_was_otherwise_before() -> None:
    before = note(title="one", count=1.0).record
    change = Change("update", note(title="two", count=1.0).record, before, Position(8, "tag"))
    assert msgspec.json.decode(str(row_of(change, 5)[-1])) == {"f2": "one"}
    back = read('{"f2":"two","f3":1}', '{"f2":"one"}')
    assert back.previous is not None
    assert (back.record.values["title"], back.previous.values["title"], back.previous.values["count"]) == (
        "two", "one", 1.0,
    )  # fmt: skip


@pytest.mark.parametrize("action", ["create", "update", "delete"])
def test_the_trace_of_a_transaction_goes_with_its_change(action: Action) -> None:
    before = note(title="one").record if action == "update" else None
    change = Change(action, note(title="two").record, before, Position(8, "tag"), trace="00-ab-cd-01")
    number, tag, _, _, collection_id, _, row, previous = row_of(change, 5)
    back = change_of(Catalog([NOTES]), (number, tag, action, collection_id, row, previous))
    assert isinstance(back, Change)
    assert (back.trace, back.action, back.record.values["title"]) == ("00-ab-cd-01", action, "two")
    if action == "update":
        assert back.previous is not None
        assert back.previous.values["title"] == "one"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('["616263"]', "abc"),
        ('["ff"]', "\ufffd"),
        ("[]", ""),
        ("12345678901234567890123", "1.2345678901234568e+22"),
        ("9223372036854775807", "9223372036854775807"),
        ("null", ""),
    ],
)
def test_what_sql_has_put_there_is_read_as_from_the_table(written: str, value: SQLValue) -> None:
    assert read(f'{{"f2":{written}}}').record.values["title"] == value


def test_a_field_that_was_renamed_keeps_its_value_and_a_new_one_is_empty() -> None:
    renamed = collection_of(TextField(id="f2", name="head"), TextField(id="f9", name="tail"))
    values = read('{"f2":"kept","f3":1}', collection=renamed).record.values
    assert (values["head"], values["tail"], "title" in values) == ("kept", "", False)
