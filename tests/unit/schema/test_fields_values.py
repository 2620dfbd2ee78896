"""What each kind of field makes of what a client sends."""

from __future__ import annotations

import math

import msgspec
import pytest

from rowcast import encoding
from rowcast.schema.fields import (
    AutodateField,
    BoolField,
    DateField,
    EditorField,
    EmailField,
    Field,
    FileField,
    GeoPoint,
    GeoPointField,
    JSONField,
    JSONText,
    Modifier,
    NumberField,
    PasswordField,
    RelationField,
    SelectField,
    TextField,
    URLField,
)

NUMBER = NumberField(name="x")
ONE = SelectField(name="x", values=("a", "b"))
MANY = SelectField(name="x", values=("a", "b"), max_select=3)
FILE = FileField(name="x")
FILES = FileField(name="x", max_select=3)
JSON = JSONField(name="x")
GEO = GeoPointField(name="x")


@pytest.mark.parametrize(
    ("field", "raw", "value", "column"),
    [
        (TextField(name="x"), None, "", ""),
        (TextField(name="x"), 5.0, "5", "5"),
        (TextField(name="x"), ["a"], "", ""),
        (EditorField(name="x"), True, "true", "true"),
        (EmailField(name="x"), "a@b.co", "a@b.co", "a@b.co"),
        (URLField(name="x"), None, "", ""),
        (PasswordField(name="x"), None, "", ""),
        (NUMBER, None, 0, 0),
        (NUMBER, "5.5", 5.5, 5.5),
        (NUMBER, "abc", 0, 0),
        (NUMBER, True, 1, 1),
        (BoolField(name="x"), "t", True, 1),
        (BoolField(name="x"), "yes", False, 0),
        (BoolField(name="x"), 3, True, 1),
        (DateField(name="x"), "2022-01-01", "2022-01-01 00:00:00.000Z", "2022-01-01 00:00:00.000Z"),
        (DateField(name="x"), 5, "", ""),
        (AutodateField(name="x"), "2022-01-01", "2022-01-01 00:00:00.000Z", "2022-01-01 00:00:00.000Z"),
        (ONE, ["a", "b"], "b", "b"),
        (ONE, '["a","b"]', "b", "b"),
        (ONE, [], "", ""),
        (MANY, "a", ["a"], '["a"]'),
        (MANY, ["a", "b", "a", ""], ["a", "b"], '["a","b"]'),
        (MANY, None, [], "[]"),
        (MANY, ["<"], ["<"], '["\\u003c"]'),
        (RelationField(name="x", max_select=2), {"a": 1}, [], "[]"),
        (FILE, ["a.txt", "b.txt"], "b.txt", "b.txt"),
        (FILES, ["a.txt", ["b.txt"], ["c", "d"], "a.txt"], ["a.txt", "b.txt"], '["a.txt","b.txt"]'),
        (JSON, None, "null", None),
        (JSON, "null", "null", None),
        (JSON, "", '""', '""'),
        (JSON, "abc", '"abc"', '"abc"'),
        (JSON, '{"b": 1}', '{"b": 1}', '{"b": 1}'),
        (JSON, "{bad", '"{bad"', '"{bad"'),
        (JSON, "5", "5", 5),
        (JSON, "-5.50", "-5.50", -5.5),
        (JSON, "123456789012345678", "123456789012345678", 123456789012345678),
        (JSON, "12345678901234567890", "12345678901234567890", 1.2345678901234567e19),
        (JSON, "1e999", '"1e999"', '"1e999"'),
        (JSON, b"1e999", "1e999", math.inf),
        (JSON, True, "true", "true"),
        (JSON, {"b": [1.0], "a": None}, '{"a":null,"b":[1]}', '{"a":null,"b":[1]}'),
        (JSON, b"raw", "raw", "raw"),
        (JSON, b"-", "-", "-"),
        (JSON, JSONText("[1]"), "[1]", "[1]"),
        (GEO, None, GeoPoint(), '{"lon":0,"lat":0}'),
        (GEO, {"lon": 1.5, "lat": "x"}, GeoPoint(1.5, 0), '{"lon":1.5,"lat":0}'),
        (GEO, '{"LON":-2e1,"Lat":5}', GeoPoint(-20, 5), '{"lon":-20,"lat":5}'),
        (GEO, b'{"lon":1,"lat":2}', GeoPoint(1, 2), '{"lon":1,"lat":2}'),
        (GEO, "[1,2]", GeoPoint(), '{"lon":0,"lat":0}'),
        (GEO, "{bad", GeoPoint(), '{"lon":0,"lat":0}'),
        (GEO, GeoPoint(1, 2), GeoPoint(1, 2), '{"lon":1,"lat":2}'),
    ],
)
def test_prepare_and_to_db(field: Field, raw: object, value: object, column: object) -> None:
    prepared = field.prepare(raw)
    assert prepared == value
    assert field.to_db(prepared) == column
    assert type(field.to_db(prepared)) is type(column)


def test_json_that_nests_too_deep_has_no_text() -> None:
    nested: object = 1
    for _ in range(300):
        nested = [nested]
    assert JSON.prepare(nested) == ""
    assert JSON.to_json("") == msgspec.Raw(b"null")
    assert JSON.to_db([1]) == "[1]"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (PasswordField(name="x"), "$2a$hash", b'""'),
        (JSON, JSON.prepare('{ "a" : 1 }'), b'{"a":1}'),
        (GEO, GeoPoint(1, 2.5), b'{"lon":1,"lat":2.5}'),
        (MANY, ["a"], b'["a"]'),
        (NUMBER, 5, b"5"),
    ],
)
def test_to_json(field: Field, value: object, expected: bytes) -> None:
    assert encoding.encode(field.to_json(value)) == expected


@pytest.mark.parametrize(
    ("field", "modifier", "current", "raw", "expected"),
    [
        (NUMBER, "set", 5, "2", 2),
        (NUMBER, "append", 5, "2.5", 7.5),
        (NUMBER, "subtract", 5, 7, -2),
        (NUMBER, "append", 0.1, 0.2, 0.1 + 0.2),
        (NUMBER, "append", None, 1, 1),
        (ONE, "append", "a", "b", "b"),
        (ONE, "prepend", "a", "b", "a"),
        (ONE, "subtract", "a", "a", ""),
        (MANY, "append", ["a"], ["b", "a"], ["a", "b"]),
        (MANY, "prepend", ["a"], ["b", "a"], ["b", "a"]),
        (MANY, "subtract", ["a", "b"], "a", ["b"]),
        (MANY, "set", ["a"], '["b"]', ["b"]),
        (FILES, "subtract", ["a.txt", "b.txt"], ["b.txt", "c.txt"], ["a.txt"]),
        (FILES, "append", ["a.txt"], "b.txt", ["a.txt", "b.txt"]),
        (TextField(name="x"), "autogenerate", "old", "new", "new"),
        (AutodateField(name="x"), "set", "2022", "2023-01-01", "2022"),
        (BoolField(name="x"), "set", True, "false", False),
    ],
)
def test_modify(field: Field, modifier: Modifier, current: object, raw: object, expected: object) -> None:
    assert field.modify(modifier, current, raw) == expected


def test_autogenerate_adds_to_what_is_sent() -> None:
    field = TextField(name="x", autogenerate_pattern="[a-c]{5}")
    text = field.modify("autogenerate", "old", "pre-")
    assert text.startswith("pre-")
    assert len(text) == 9
    assert TextField(name="x", autogenerate_pattern="^a").generate() == ""


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (TextField(name="x"), "TEXT DEFAULT '' NOT NULL"),
        (TextField(name="x", primary_key=True), "TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL"),
        (NUMBER, "NUMERIC DEFAULT 0 NOT NULL"),
        (BoolField(name="x"), "BOOLEAN DEFAULT FALSE NOT NULL"),
        (AutodateField(name="x"), "TEXT DEFAULT '' NOT NULL"),
        (ONE, "TEXT DEFAULT '' NOT NULL"),
        (MANY, "JSON DEFAULT '[]' NOT NULL"),
        (JSON, "JSON DEFAULT NULL"),
        (GEO, """JSON DEFAULT '{"lon":0,"lat":0}' NOT NULL"""),
    ],
)
def test_column_type(field: Field, expected: str) -> None:
    assert field.column_type == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (TextField(name="x"), 0),
        (EditorField(name="x"), 5 << 20),
        (EditorField(name="x", max_size=7), 7),
        (JSON, 1 << 20),
        (JSONField(name="x", max_size=7), 7),
        (FILE, 5 << 20),
        (FileField(name="x", max_size=7, max_select=3), 21),
    ],
)
def test_max_body_size(field: Field, expected: int) -> None:
    assert field.max_body_size == expected


def test_required_is_known_of_every_kind() -> None:
    assert TextField(name="x", required=True).is_required
    assert not AutodateField(name="x").is_required
