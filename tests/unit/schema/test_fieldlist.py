"""Fields as JSON."""

from __future__ import annotations

import pytest

from rowcast.schema.defaults import ID_FIELD
from rowcast.schema.fieldlist import FieldListError, add_field, field_json, parse_field, parse_fields
from rowcast.schema.fields import FIELD_KINDS, BoolField, DateField, Field, NumberField, TextField


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"type": "text", "name": "x", "unknown": 1}, TextField(name="x")),
        ({"type": "text", "NAME": "x", "MaX": 5, "min": None}, TextField(name="x", max=5)),
        ({"type": "number", "min": 5, "max": 1.5}, NumberField(min=5, max=1.5)),
        ({"type": "date", "min": "2022-01-01", "max": "bad"}, DateField(min="2022-01-01 00:00:00.000Z")),
    ],
)
def test_parse(raw: object, expected: Field) -> None:
    assert parse_field(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"type": "nope"},
        {"type": 5},
        {"type": "text", "name": 5},
        {"type": "text", "min": "5"},
        {"type": "text", "min": 5.5},
        {"type": "text", "min": 2**63},
        {"type": "text", "required": 1},
        {"type": "number", "min": "5"},
        {"type": "date", "min": 5},
        {"type": "select", "values": "a"},
        {"type": "select", "values": [1]},
    ],
)
def test_wrong_types_are_errors(raw: object) -> None:
    with pytest.raises(FieldListError):
        parse_field(raw)


def test_lists() -> None:
    with pytest.raises(FieldListError, match="list"):
        parse_fields({})
    fields = parse_fields([{"type": "text", "name": "a"}, {"type": "bool", "name": "a"}, {"type": "bool", "name": "b"}])
    assert [(field.kind, field.name, field.id) for field in fields] == [
        ("bool", "a", "text3904355907"),
        ("bool", "b", "bool1908338681"),
    ]


def test_a_field_replaces_that_of_its_id_or_name() -> None:
    fields: list[Field] = [BoolField(id="1", name="a"), BoolField(id="2", name="b")]
    add_field(fields, TextField(id="2", name="c"))
    add_field(fields, TextField(name="a"))
    add_field(fields, TextField(id="3", name="a"))
    assert [(field.id, field.name, field.kind) for field in fields] == [
        ("1", "a", "text"),
        ("2", "c", "text"),
        ("3", "a", "text"),
    ]


def test_made_up_ids_are_free() -> None:
    taken = TextField(name="x")
    fields: list[Field] = []
    add_field(fields, taken)
    add_field(fields, BoolField(id=f"{fields[0].id}2", name="y"))
    fields[0] = TextField(id=fields[0].id, name="renamed")
    add_field(fields, taken)
    assert fields[2].id == f"{fields[0].id}3"


def test_keys_are_sorted_and_whole_numbers_have_no_fraction() -> None:
    written = field_json(NumberField(id="f", name="x", min=5.0, max=0.5))
    assert list(written) == sorted(written)
    assert written["min"] == 5
    assert isinstance(written["min"], int)
    assert written["max"] == 0.5
    assert written["type"] == "number"


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_every_kind_comes_back(kind: str) -> None:
    field = FIELD_KINDS[kind](id="f", name="x", hidden=True)
    assert parse_field(field_json(field)) == field


def test_the_id_field() -> None:
    assert parse_field(field_json(ID_FIELD)) == ID_FIELD
