"""From a request's body to values: JSON, forms, multipart.

Copies tools/router/event.go (BindBody) and unmarshal_request_data.go. A body is
read once; what is too large never is. Large uploads go to temporary files, which
`Request.cleanup` removes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from rowcast.api import jsonbody
from rowcast.api.multipart import MultipartReader
from rowcast.api.request import Message, Receive, Request, query_pairs
from rowcast.errors import ApiError, BadRequestError, BodyTooLargeError
from rowcast.schema.uploads import Upload

_log = logging.getLogger("rowcast.api")

JSON_PAYLOAD = "@jsonPayload"

_MAX_URLENCODED = 10 << 20
"""Go's net/http, parsePostForm."""

_READ_TIMEOUT_S = 300
"""How long a body may take to arrive; the reference's ReadTimeout (apis/serve.go)."""

_SPOOLED_AT_ONCE = 1 << 20

_XML = ("text/xml", "application/xml")
_FORM_METHODS = frozenset({"POST", "PUT", "PATCH"})
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d*[1-9])?", re.ASCII)
_INTEGER = re.compile(r"[+-]?(?:0[xX][\da-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]*|[1-9][\d_]*)", re.ASCII)
_EXACT_DIGITS = 15
_LONGEST_NUMBER = 350
_INT64 = 1 << 63

Kind = Literal["text", "flag", "integer", "texts", "object", "objects"]
_ZEROS: dict[Kind, object] = {"text": "", "flag": False, "integer": 0, "texts": [], "object": {}, "objects": []}
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})


class MalformedBodyError(BadRequestError):
    """A body that does not hold what its content type says."""


class FullError(ApiError):
    """There is no room for a body. The reference calls it malformed."""

    status = 507
    default_message = "The server has no room for the files."


class UnsupportedContentTypeError(BadRequestError):
    """A body of a type that is not read."""

    default_message = "Unsupported Content-Type"


@dataclass(slots=True)
class Body:
    """What a body holds: JSON, or the fields and files of a form. Without a body all is empty."""

    json: object = None
    form: Mapping[str, list[str]] | None = None
    files: Mapping[str, list[Upload]] = field(default_factory=dict)
    is_xml: bool = False
    """Whether the body is XML, of which the reference makes forms by the names of their Go fields, and no maps."""

    @property
    def holds_values(self) -> bool:
        """Whether `values` has something to return."""
        return self.form is not None or isinstance(self.json, dict)

    def values(self) -> dict[str, object]:
        """Return the body as a map. Raises MalformedBodyError where it is none."""
        if self.form is None:
            if isinstance(self.json, dict):
                return self.json
            if self.json is not None or self.is_xml:
                raise MalformedBodyError
            return {}
        found: dict[str, object] = {}
        for name, texts in self.form.items():
            if name != JSON_PAYLOAD:
                found[name] = infer(texts[0]) if len(texts) == 1 else [infer(text) for text in texts]
        for payload in self._payloads():
            found.update(payload)
        return found

    def bind(self, kinds: Mapping[str, Kind]) -> dict[str, object]:
        """Return the named values, each of its kind or zero; others are ignored. Raises MalformedBodyError.

        The names of JSON members may be in any letter case, as Go's are.
        """
        found = {name: _ZEROS[kind] for name, kind in kinds.items()}
        if self.form is None:
            if self.json is not None:
                if not isinstance(self.json, dict):
                    raise MalformedBodyError
                _bind_members(self.json, kinds, found)
            return found
        for name, kind in kinds.items():
            if texts := self.form.get(name):
                found[name] = _from_form(texts, kind)
        for payload in self._payloads():
            _bind_members(payload, kinds, found)
        return found

    def _payloads(self) -> Iterable[dict[str, object]]:
        for text in (self.form or {}).get(JSON_PAYLOAD, ()):
            try:
                payload = jsonbody.decode(text.encode(), whole=True)
            except jsonbody.MalformedError as error:
                raise MalformedBodyError from error
            if isinstance(payload, dict):
                yield payload
            elif payload is not None:
                raise MalformedBodyError


_EMPTY = Body()


async def read(request: Request) -> Body:
    """Read the body of a request.

    Raises MalformedBodyError, UnsupportedContentTypeError, and BodyTooLargeError
    past `request.body_limit`.
    """
    if not await _has_body(request):
        return _EMPTY
    content_type = request.header(b"content-type")
    if content_type.startswith("application/json"):
        try:
            return Body(jsonbody.decode(await content(request)))
        except jsonbody.MalformedError as error:
            raise MalformedBodyError from error
    if content_type.startswith("multipart/form-data"):
        return await _read_multipart(request, content_type)
    if content_type.startswith("application/x-www-form-urlencoded"):
        text = await content(request, _MAX_URLENCODED) if request.method in _FORM_METHODS else b""
        return Body(form=_grouped(_pairs(text) + _pairs(request.scope["query_string"])))
    if content_type.startswith(_XML):
        return Body(is_xml=True)
    raise UnsupportedContentTypeError


async def _has_body(request: Request) -> bool:
    headers = request.headers
    length = headers.get(b"content-length")
    if length is not None or b"transfer-encoding" in headers:
        return length != b"0"
    if request.scope["http_version"].startswith("1"):
        return False
    # From HTTP/2 on a body needs no header; its first piece tells.
    first, receive = await request.receive(), request.receive
    request.receive = lambda: _replayed(request, first, receive)
    return bool(first.get("body") or first.get("more_body"))


async def _replayed(request: Request, first: Message, receive: Receive) -> Message:
    request.receive = receive
    return first


async def content(request: Request, limit: int = 0) -> bytes:
    """Read the whole body into memory. Raises BodyTooLargeError past the limit of the request, or the lower one."""
    parts: list[bytes] = []

    async def take(piece: bytes) -> None:
        parts.append(piece)

    await _receive(request, min(limit, request.body_limit) if limit else request.body_limit, take)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _receive(request: Request, limit: int, take: Callable[[bytes], Awaitable[None]]) -> None:
    """Hand over the pieces of the body. Raises MalformedBodyError where it does not arrive whole, or in time."""
    size, is_more = 0, True
    try:
        async with asyncio.timeout(_READ_TIMEOUT_S):
            while is_more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise MalformedBodyError
                piece = message.get("body", b"")
                size += len(piece)
                if size > limit:
                    raise BodyTooLargeError
                await take(piece)
                is_more = message.get("more_body", False)
    except TimeoutError as error:
        raise MalformedBodyError from error


async def _read_multipart(request: Request, content_type: str) -> Body:
    try:
        reader = MultipartReader(content_type, request.spool)
        request.cleanups.append(reader.close)

        async def take(piece: bytes) -> None:
            reader.feed(piece)
            if reader.waiting_bytes >= _SPOOLED_AT_ONCE:
                await asyncio.to_thread(reader.flush)

        await _receive(request, request.body_limit, take)
        reader.end()
        if reader.waiting_bytes:
            await asyncio.to_thread(reader.flush)
    except ValueError as error:
        raise MalformedBodyError from error
    except OSError as error:
        _log.warning("an upload could not be taken: %s", error)
        raise FullError from error
    # Go's Request.Form holds the query besides the body.
    return Body(form=_grouped(_pairs(request.scope["query_string"]) + reader.fields), files=reader.uploads())


def _pairs(text: bytes) -> list[tuple[str, str]]:
    """Return the pairs of a form or a query. Raises MalformedBodyError where one of them is malformed."""
    pairs = query_pairs(text) if text else []
    if len(pairs) != sum(map(bool, text.split(b"&"))):
        raise MalformedBodyError
    return pairs


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def infer(text: str) -> object:
    """Return a form value as JSON would have it: bools, and numbers that are spelled the shortest way."""
    if text == "true":
        return True
    if text == "false":
        return False
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return text
    if len(text) <= _EXACT_DIGITS:
        # "-0" is what Go prints for it too.
        return float(text) if "." in text or text == "-0" else int(text)
    value = float(text)
    return value if _plain(value) == text else text


def _plain(value: float) -> str:
    """Return the shortest spelling of a number without an exponent."""
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    digits, _, exponent = text.partition("e")
    whole, _, fraction = digits.lstrip("-").partition(".")
    sign, shift = "-" if value < 0 else "", int(exponent)
    if shift >= 0:
        return sign + whole + fraction.ljust(shift, "0")
    return f"{sign}0.{'0' * (-shift - 1)}{whole}{fraction}"


def _bind_members(members: Mapping[str, object], kinds: Mapping[str, Kind], found: dict[str, object]) -> None:
    folded = {name.casefold(): name for name in kinds}
    for key, value in members.items():
        name = key if key in kinds else folded.get(key.casefold())
        if name is not None and value is not None:
            found[name] = _from_json(value, kinds[name])


def _from_json(value: object, kind: Kind) -> object:
    """Return a JSON value of a kind; null items are zero. Raises MalformedBodyError for another type."""
    if kind == "text" and isinstance(value, str):
        return value
    if kind == "flag" and isinstance(value, bool):
        return value
    if kind == "integer" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "texts" and isinstance(value, list):
        return ["" if item is None else _from_json(item, "text") for item in value]
    if kind == "object" and isinstance(value, dict):
        return value
    if kind == "objects" and isinstance(value, list) and all(item is None or isinstance(item, dict) for item in value):
        return [item or {} for item in value]
    raise MalformedBodyError


def _from_form(texts: list[str], kind: Kind) -> object:
    """Return form values as one value of a kind (setRegularReflectedValue)."""
    first = texts[0]
    if kind == "text":
        return first
    if kind == "texts":
        return texts
    if kind == "flag" and first in _TRUE | _FALSE:
        return first in _TRUE
    if kind == "integer":
        if not first:
            return 0
        if _INTEGER.fullmatch(first) and len(first) < 70:
            digits = first.lower().lstrip("+-")
            base = 8 if digits.startswith("0") and digits[1:2].isdigit() else 0
            try:
                value = int(first, base)
            except ValueError as error:
                raise MalformedBodyError from error
            if -_INT64 <= value < _INT64:
                return value
    raise MalformedBodyError
