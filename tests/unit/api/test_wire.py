"""Bodies become values as the reference's BindBody and UnmarshalRequestData make them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.api import wire
from rowcast.api.wire import Body, Kind, MalformedBodyError, UnsupportedContentTypeError, infer
from rowcast.errors import BodyTooLargeError
from tests.unit.api.client import request

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"


def read(
    data: bytes | None,
    content_type: str = JSON,
    *,
    method: str = "POST",
    target: str = "/",
    pieces: Sequence[bytes] | None = None,
    limit: int = 1 << 20,
) -> Body:
    headers = [("Content-Type", content_type)]
    if pieces is not None:
        headers.append(("Transfer-Encoding", "chunked"))
    elif data is not None:
        headers.append(("Content-Length", str(len(data))))
    made = request(method, target, headers, pieces if pieces is not None else (data or b"",))
    made.body_limit = limit
    try:
        return asyncio.run(wire.read(made))
    finally:
        made.cleanup()


def part(name: str, value: bytes, file_name: str = "") -> bytes:
    file = f'; filename="{file_name}"' if file_name else ""
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "0.0", "-0.0", "000.1", "000001", "-000001", "1.6E-35", "-1.6E-35", "10e100", "1_000_000", "1.000.000",
        " 123 ", "0b1", "0xFF", "1234A", "Infinity", "-Infinity", "NaN", "undefined", "null", "True", "-", ".5", "5.",
        "--1", "1-1", "12345678901234567891", "0.10000000000000001", "٣", "9" * 400, "1\n",
    ],
)  # fmt: skip
def test_other_form_values_stay_texts(text: str) -> None:
    assert infer(text) == text
    assert isinstance(infer(text), str)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("1", 1),
        ("-3.4", -3.4),
        ("0", 0),
        ("-0", 0),
        ("0.0001", 0.0001),
        ("123.456", 123.456),
        ("1234567890123456", 1234567890123456),
        ("12345678901234567000", 12345678901234567000.0),
        ("100000000000000000000000", 1e23),
        ("0.00000000000000000001", 1e-20),
        ("-1234567890.1234567", -1234567890.1234567),
    ],
)
def test_numbers_and_bools_of_forms_are_told_from_texts(text: str, value: object) -> None:
    found = infer(text)
    assert found == value
    assert isinstance(found, bool) == isinstance(value, bool)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_in_its_shortest_spelling_is_a_number(value: float) -> None:
    from decimal import Decimal

    text = format(Decimal(repr(value)), "f").removesuffix(".0")
    if text != "-0" and len(text) < 300:
        assert infer(text) == value
        assert not isinstance(infer(text), str)


@pytest.mark.parametrize(
    ("content_type", "data", "target", "values"),
    [
        (JSON, b'{"a":[1,"x"]}', "/?q=1", {"a": [1, "x"]}),
        (JSON, b"null", "/", {}),
        (JSON + "; charset=utf-8", b'{"a":1}garbage', "/", {"a": 1}),
        (FORM, b"a=1&b=x&b=true", "/", {"a": 1, "b": ["x", True]}),
        (FORM, b"a=1", "/?a=2&c=3", {"a": [1, 2], "c": 3}),
        (FORM, b"a=1&@jsonPayload=%7B%22a%22%3A%221%22%7D&%40jsonPayload=%7B%22b%22%3A2%7D", "/", {"a": "1", "b": 2}),
        (MULTIPART, part("a", b"1") + part("b", b"x") + part("b", b"") + b"--XX--", "/", {"a": 1, "b": ["x", ""]}),
        (MULTIPART, part("a", b"1") + b"--XX--", "/?a=2", {"a": [2, 1]}),
        (MULTIPART, part("@jsonPayload", b'{"a":{"b":[1]}}') + b"--XX--\r\n", "/", {"a": {"b": [1]}}),
        (MULTIPART, part("f", b"content", "f.txt") + b"--XX--\r\n", "/", {}),
    ],
)
def test_reads_bodies_as_maps(content_type: str, data: bytes, target: str, values: dict[str, object]) -> None:
    assert read(data, content_type, target=target).values() == values


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (JSON, b"[]"),
        (JSON, b'"x"'),
        (JSON, b"{"),
        (FORM, b"@jsonPayload=x"),
        (FORM, b"a=%zz"),
        (FORM, b"a=1;b=2"),
        ("text/xml", b"<a>1</a>"),
        (FORM, b"@jsonPayload=%7B%7Dx"),
        (FORM, b"@jsonPayload=%5B%5D"),
        ("multipart/form-data", b"x"),
        (MULTIPART, b"x"),
        (MULTIPART, part("a", b"1")),
        (MULTIPART, b"--XX\r\nbroken\r\n\r\n1\r\n--XX--"),
        (MULTIPART, b"".join(part(str(index), b"1") for index in range(1001)) + b"--XX--"),
        (MULTIPART, b"--XX\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n1\r\n--XX--"),
    ],
)
def test_refuses_malformed_bodies(content_type: str, data: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        read(data, content_type).values()


@pytest.mark.parametrize("content_type", ["", "text/plain", "Application/JSON", "application/octet-stream"])
def test_refuses_other_content_types(content_type: str) -> None:
    with pytest.raises(UnsupportedContentTypeError) as caught:
        read(b"x", content_type)
    assert caught.value.message == "Unsupported Content-Type."


@pytest.mark.parametrize("content_type", [JSON, "text/plain", ""])
def test_no_body_is_an_empty_one(content_type: str) -> None:
    assert read(None, content_type).values() == {}
    assert read(b"", content_type).values() == {}


def test_a_chunked_body_without_a_piece_is_not_json() -> None:
    with pytest.raises(MalformedBodyError):
        read(None, pieces=[b""])


def test_pieces_are_joined() -> None:
    assert read(None, pieces=[b'{"a', b'":', b"1}"]).values() == {"a": 1}


def test_xml_is_read_as_a_form_without_known_fields() -> None:
    assert read(b"<name>x</name>", "application/xml").bind(KINDS) == ZERO


def test_a_malformed_query_spoils_a_form_but_no_json() -> None:
    assert read(b'{"a":1}', target="/?x=%zz").values() == {"a": 1}
    for content_type, data in ((FORM, b"a=1"), (MULTIPART, part("a", b"1") + b"--XX--")):
        with pytest.raises(MalformedBodyError):
            read(data, content_type, target="/?x=%zz")


@pytest.mark.parametrize(
    ("pieces", "values"), [([b""], {}), ([b'{"a":1}'], {"a": 1}), ([b"", b'{"a"', b":1}"], {"a": 1})]
)
def test_http_2_bodies_need_no_length(pieces: list[bytes], values: dict[str, object]) -> None:
    made = request("POST", "/", [("Content-Type", JSON)], pieces)
    made.scope["http_version"] = "2"
    assert asyncio.run(wire.read(made)).values() == values


def test_get_requests_have_no_urlencoded_body() -> None:
    assert read(b"a=1", FORM, method="GET", target="/?b=2").values() == {"b": 2}


@pytest.mark.parametrize("content_type", [JSON, FORM, MULTIPART])
def test_the_limit_is_exact(content_type: str) -> None:
    if content_type == MULTIPART:
        data = part("a", b"x" * 100) + b"--XX--"
    else:
        data = b'{"a":"' + b"x" * 100 + b'"}' if content_type == JSON else b"a=" + b"x" * 100
    read(data, content_type, limit=len(data))
    for pieces in ([data], [data[:50], data[50:]], [data[:50], data[50:-1], data[-1:]]):
        with pytest.raises(BodyTooLargeError):
            read(None, content_type, pieces=pieces, limit=len(data) - 1)


@pytest.mark.parametrize("content_type", [JSON, MULTIPART])
def test_a_body_that_stops_short_is_malformed(content_type: str) -> None:
    async def cut_off() -> None:
        made = request("POST", "/", [("Content-Type", content_type), ("Content-Length", "9")], ())
        made.body_limit = 100
        made.receive = disconnected
        await wire.read(made)

    async def disconnected() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(MalformedBodyError):
        asyncio.run(cut_off())


def test_a_body_must_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.api.wire._READ_TIMEOUT_S", 0.01)

    async def wait() -> None:
        made = request("POST", "/", [("Content-Type", JSON), ("Content-Length", "9")])
        made.receive = never
        await wire.read(made)

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    with pytest.raises(MalformedBodyError):
        asyncio.run(wait())


KINDS: dict[str, Kind] = {
    "name": "text", "isOn": "flag", "count": "integer", "tags": "texts", "items": "objects"
}  # fmt: skip
ZERO = {"name": "", "isOn": False, "count": 0, "tags": [], "items": []}


@pytest.mark.parametrize(
    ("json", "changed"),
    [
        (None, {}),
        ({}, {}),
        ({"NAME": "x", "ison": True, "Count": 3, "tAgs": ["a", None], "other": 1}, {
            "name": "x", "isOn": True, "count": 3, "tags": ["a", ""]}),
        ({"name": None, "items": [{"a": 1}, None]}, {"items": [{"a": 1}, {}]}),
        ({"name": "a", "Name": "b"}, {"name": "b"}),
    ],
)  # fmt: skip
def test_binds_json_members_in_any_letter_case(json: object, changed: dict[str, object]) -> None:
    assert Body(json).bind(KINDS) == ZERO | changed


@pytest.mark.parametrize(
    "json",
    [[], "x", {"name": 1}, {"isOn": 1}, {"count": "1"}, {"count": 1.5}, {"count": True}, {"tags": "a"}, {"tags": [1]},
     {"items": {}}, {"items": [1]}],
)  # fmt: skip
def test_refuses_members_of_another_type(json: object) -> None:
    with pytest.raises(MalformedBodyError):
        Body(json).bind(KINDS)


def test_binds_forms_by_exact_name() -> None:
    form = {"name": ["a", "b"], "isOn": ["t"], "count": ["0x1f"], "tags": ["1", ""], "NAME": ["z"]}
    assert Body(form=form).bind(KINDS) == {"name": "a", "isOn": True, "count": 31, "tags": ["1", ""], "items": []}
    assert Body(form={"count": [""], "isOn": [""]}).bind(KINDS) == ZERO
    assert Body(form={"@jsonPayload": ['{"Items":[{}]}']}).bind(KINDS) == ZERO | {"items": [{}]}


@pytest.mark.parametrize(
    "form",
    [{"isOn": ["yes"]}, {"count": ["1.5"]}, {"count": ["99999999999999999999"]}, {"count": ["08"]}, {"count": ["1__0"]},
     {"items": ["x"]}, {"@jsonPayload": ["1"]}],
)  # fmt: skip
def test_refuses_form_values_of_another_type(form: dict[str, list[str]]) -> None:
    with pytest.raises(MalformedBodyError):
        Body(form=form).bind(KINDS)


@given(st.binary(max_size=80), st.sampled_from([JSON, FORM, MULTIPART, "multipart/form-data; boundary=", "text/xml"]))
def test_any_body_is_read_or_refused(data: bytes, content_type: str) -> None:
    try:
        body = read(data, content_type)
        body.values()
        body.bind(KINDS)
    except (MalformedBodyError, UnsupportedContentTypeError):
        pass
