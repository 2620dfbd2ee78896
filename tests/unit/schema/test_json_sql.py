"""What SQLite makes of a column and what Python makes of its value must be the same JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast import encoding
from rowcast.schema.collection import Collection
from rowcast.schema.fields import (
    AutodateField,
    BoolField,
    DateField,
    EditorField,
    EmailField,
    Field,
    FileField,
    GeoPointField,
    JSONField,
    NumberField,
    PasswordField,
    RelationField,
    SelectField,
    TextField,
    URLField,
)
from rowcast.schema.record import Record
from rowcast.sql import SQLValue
from tests.unit.schema.samples import Known

KINDS: dict[str, Field] = {
    "text": TextField(name="x"),
    "editor": EditorField(name="x"),
    "email": EmailField(name="x"),
    "url": URLField(name="x"),
    "password": PasswordField(name="x"),
    "number": NumberField(name="x"),
    "bool": BoolField(name="x"),
    "date": DateField(name="x"),
    "autodate": AutodateField(name="x"),
    "json": JSONField(name="x"),
    "geoPoint": GeoPointField(name="x"),
    "select": SelectField(name="x"),
    "selects": SelectField(name="x", max_select=3),
    "relation": RelationField(name="x"),
    "relations": RelationField(name="x", max_select=3),
    "file": FileField(name="x"),
    "files": FileField(name="x", max_select=3),
}

ODD: list[SQLValue] = [
    None, "", "a", "5", "5.5", "-1", "1e3", "abc", "true", "false", "null", "NULL", 0, 1, 2, -3, 5.5, 5.0, 0.1, 1e300,
    0.1 + 0.2, 123456789.125, "[]", "[ ]", '["a"]', '["a","b"]', '["a", "b"]', '["a","a"]', '["a",1,null,""]',
    '["a",["b"]]', '[["a"]]', '["a,b","c"]', '["a\\"b"]', '[""]', '["",""]', "[bad", '{"a":1}', '{"a": [1, 2.50]}',
    "{bad", '"a"', '"a', ' "a"', ' {"a":1}', '{"lon":1,"lat":2}', '{"lon":1.5,"lat":-2}', '{"lon":1,"lat":2,"x":3}',
    '{"lat":2}', '{"lon":"a","lat":2}', '{"lon":{"a":1},"lat":2}', "2022-01-01 10:00:00.123Z", "2022-01-01 10:00:00Z",
    "2022-01-01", "2022-01-01T10:00:00.500+02:00", "2022-99-99", "99", "now", "12:00", "a\nb\t\x01\x7f", "\u2028<&>😀",
    b"blob", "1e999", "-", "[1]x", "01", "0x10", "+5", "inf", "\u00e9",
]  # fmt: skip


class Table:
    """A column as the reference declares it, and one without affinity, as a view gives it."""

    def __init__(self) -> None:
        self.db = apsw.Connection(":memory:")

    def json_of(self, field: Field, value: SQLValue, declared: str) -> tuple[object, object]:
        """Return the JSON of a stored value as SQLite and as Python see it."""
        self.db.execute(f"CREATE TABLE t (x {declared})")
        try:
            self.db.execute("INSERT INTO t VALUES (?)", (value,))
            sql, stored = next(iter(self.db.execute(f"SELECT json_object('x', {field.json_sql('t.x')}), x FROM t")))
        finally:
            self.db.execute("DROP TABLE t")
        ours = encoding.encode({"x": field.to_json(field.from_db(stored))})
        return _numbers(json.loads(sql)["x"]), _numbers(json.loads(ours)["x"])


def _numbers(value: object) -> object:
    """Return a JSON value with the numbers that a client gets: floats."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return {name: _numbers(item) for name, item in value.items()} if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    made = Table()
    yield made
    made.db.close()


@pytest.mark.parametrize("kind", KINDS)
def test_odd_values(kind: str, table: Table) -> None:
    field = KINDS[kind]
    for value in ODD:
        for declared in (field.column_type.replace(" NOT NULL", ""), ""):
            from_sql, from_python = table.json_of(field, value, declared)
            assert from_sql == from_python, (kind, value, declared)
            assert type(from_sql) is type(from_python)


columns = (
    st.none()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=12)
    | st.lists(st.text(max_size=4), max_size=4).map(json.dumps)
    | st.lists(st.text(max_size=4) | st.integers() | st.none(), max_size=4).map(json.dumps)
    | st.dictionaries(st.sampled_from(["lon", "lat", "x"]), st.floats(-180, 180) | st.integers(-180, 180)).map(
        json.dumps
    )
    | st.datetimes().map(lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}Z")
)


@pytest.mark.property
@given(columns)
def test_any_value(value: SQLValue) -> None:
    table = Table()
    for kind, field in KINDS.items():
        if kind in ("date", "autodate") and value and not str(value).endswith("Z"):
            continue  # a foreign form of a date is rounded by SQLite and cut by us
        if isinstance(value, float) and kind not in ("number", "bool", "json", "geoPoint"):
            continue  # no column of texts holds a float, and SQLite writes them in its own way
        from_sql, from_python = table.json_of(field, value, field.column_type.replace(" NOT NULL", ""))
        assert from_sql == from_python, kind


sent = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["lon", "lat", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.property
@given(sent)
def test_what_is_stored_comes_back(raw: object) -> None:
    """`from_db` undoes `to_db` for everything that a client may send and validation lets pass."""
    db = apsw.Connection(":memory:")
    for kind, field in KINDS.items():
        value = field.prepare(raw)
        if kind == "json" and field.validate_value(_record_with(value), Known()):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            continue
        column = field.to_db(value)
        db.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (x {field.column_type})")
        db.execute("INSERT INTO t VALUES (?)", (column,))
        ((stored,),) = db.execute("SELECT x FROM t")
        assert stored == column, (kind, value)
        assert field.to_db(field.from_db(stored)) == column
        if kind != "json":  # SQLite may write a number in another way
            assert field.from_db(stored) == value, kind


def _record_with(value: object) -> Record:
    return Record(Collection(), {"x": value})
