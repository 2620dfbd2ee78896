"""What a request brings: values, escapes, the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rowcast.filters import given
from rowcast.filters.model import Given
from rowcast.schema.geo import GeoPoint
from rowcast.schema.jsontext import JSONText
from rowcast.schema.request import RequestInfo
from rowcast.schema.uploads import Upload

BODY: dict[str, Any] = {
    "text": "x",
    "empty": "",
    "none": None,
    "yes": True,
    "number": 5,
    "huge": 10**400,
    "list": ["a", 1, {"k": None}],
    "object": {"b": 1, "a": [1.5]},
    "raw": JSONText('{"a":[1,"b"]}'),
    "broken": JSONText("{"),
    "geo": GeoPoint(1.5, 2),
    "file": [Upload("stored.txt", "My file.txt", 3, b"abc")],
}


def read(*path: str, as_number: bool = False) -> object:
    return given.value(path, as_number=as_number).read(RequestInfo(body=BODY, query={"q": "5e1", "n": "nan"}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("body", "text"), "x"),
        (("body", "empty"), ""),
        (("body", "none"), None),
        (("body", "missing"), None),
        (("body", "yes"), 1),
        (("body", "number"), 5.0),
        (("body", "huge"), float("inf")),
        (("body", "list"), '["a",1,{"k":null}]'),
        (("body", "list", "0"), "a"),
        (("body", "list", "01"), 1.0),
        (("body", "list", "9"), None),
        (("body", "list", "x"), None),
        (("body", "list", "2", "k"), None),
        (("body", "object"), '{"a":[1.5],"b":1}'),
        (("body", "object", "a", "0"), 1.5),
        (("body", "text", "x"), None),
        (("body", "raw"), '{"a":[1,"b"]}'),
        (("body", "raw", "a", "1"), "b"),
        (("body", "broken", "a"), None),
        (("body", "geo"), '{"lon":1.5,"lat":2}'),
        (("body", "geo", "lon"), 1.5),
        (("body", "file", "0", "originalName"), "My file.txt"),
        (("body", "file"), '[{"name":"stored.txt","originalName":"My file.txt","size":3}]'),
        (("query", "q"), "5e1"),
        (("query", "q", "x"), None),
        (("method",), "GET"),
    ],
)
def test_values(path: tuple[str, ...], value: object) -> None:
    found = read(*path)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5.0),
        ("-.5", -0.5),
        ("1e2", 100.0),
        ("0x1p4", 16.0),
        ("inf", float("inf")),
        ("1e999", "1e999"),
        (" 5", " 5"),
        ("x", "x"),
    ],
)
def test_texts_in_number_fields_are_numbers(text: str, value: object) -> None:
    assert given.value(("query", "q"), as_number=True).read(RequestInfo(query={"q": text})) == value


@pytest.mark.parametrize(
    ("path", "isset"), [(("body", "none"), 1), (("body", "x"), 0), (("query", "q"), 1), (("query", "q", "x"), 0)]
)
def test_isset(path: tuple[str, ...], isset: int) -> None:
    assert given.isset(path).read(RequestInfo(body=BODY, query={"q": ""})) == isset


def test_items_of_the_body() -> None:
    request = RequestInfo(body={**BODY, "ids": ["a", "b", "a", ""], "text_ids": '["a","b"]'})
    assert given.submitted_length("list").read(request) == 3
    assert [given.submitted_length(name).read(request) for name in ("text", "none", "missing")] == [1, 0, 0]
    assert given.submitted_items("text").read(request) == '["x"]'
    assert given.submitted_items("missing").read(request) == "[]"
    assert given.submitted_ids("ids").read(request) == given.submitted_ids("text_ids").read(request) == '["a","b"]'
    assert given.submitted_ids("missing").read(request) == "[]"
    assert [given.submitted_text(name).read(request) for name in ("text", "none", "geo", "list")] == [
        "x",
        "",
        '{"lon":1.5,"lat":2}',
        "",
    ]


@pytest.mark.parametrize(
    ("raw", "pattern"),
    [
        ("a", "%a%"),
        ("", "%%"),
        ("a%", "a%"),
        ("a\\%", "%a\\%%"),
        ("a\\\\%", "a\\\\%"),
        ("_", "%\\_%"),
        ("a_b", "%a\\_b%"),
        ("__", "%_\\_%"),
        ("\\", "%\\\\%"),
        ("a\\b", "%a\\\\b%"),
        (5.0, "%5%"),
        (5.25, "%5.25%"),
        (True, "%true%"),
        (None, None),
    ],
)
def test_patterns(raw: object, pattern: str | None) -> None:
    assert given.like(raw) == pattern


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("@now", "2024-02-29 13:14:15.678Z"),
        ("@yesterday", "2024-02-28 13:14:15.678Z"),
        ("@tomorrow", "2024-03-01 13:14:15.678Z"),
        ("@second", 15),
        ("@minute", 14),
        ("@hour", 13),
        ("@day", 29),
        ("@month", 2),
        ("@weekday", 4),
        ("@year", 2024),
        ("@todayStart", "2024-02-29 00:00:00.000Z"),
        ("@todayEnd", "2024-02-29 23:59:59.999Z"),
        ("@monthStart", "2024-02-01 00:00:00.000Z"),
        ("@monthEnd", "2024-02-29 23:59:59.999Z"),
        ("@yearStart", "2024-01-01 00:00:00.000Z"),
        ("@yearEnd", "2024-12-31 23:59:59.999Z"),
    ],
)
def test_macros(name: str, value: str | int) -> None:
    assert given._MACROS[name](datetime(2024, 2, 29, 13, 14, 15, 678_901, UTC)) == value


def test_macros_of_other_months() -> None:
    assert given._MACROS["@monthEnd"](datetime(2023, 12, 31, tzinfo=UTC)) == "2023-12-31 23:59:59.999Z"
    assert given._MACROS["@weekday"](datetime(2024, 3, 3, tzinfo=UTC)) == 0
    assert given.macro("@nope") is None


def test_the_clock_is_read_when_a_filter_is_bound() -> None:
    now = given.macro("@now")
    assert isinstance(now, Given)
    before = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    assert str(now.read(RequestInfo())) >= before


def test_equal_reads_are_equal() -> None:
    assert given.value(("query", "q")) == given.value(("query", "q"))
    assert given.value(("query", "q")) != given.value(("query", "q"), as_number=True)
