"""Paths and query strings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TypedDict
from urllib.parse import quote

import msgspec

from rowcast.client.filters import Condition, moment


class RequestOptions(TypedDict, total=False):
    """What every request may be given besides its own arguments."""

    query: Mapping[str, object]
    """More query values; None is left out, a list is repeated."""

    headers: Mapping[str, str]
    """More headers; `Authorization` replaces the account of the client for this request."""

    timeout_s: float | None
    """How long each step of the request may take, in seconds; None: as long as it wants."""


def text_of(value: object) -> str:
    """Return a query value as text; dates in UTC, mappings and lists as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Condition):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return moment(value)
    if isinstance(value, int | float):
        return str(value)
    return msgspec.json.encode(value).decode()


def query_string(values: Mapping[str, object]) -> str:
    """Return `a=1&b=2`; values of None are left out, each item of a list is a value of its own."""
    pairs = []
    for name, value in values.items():
        items = value if isinstance(value, list | tuple) else [value]
        pairs += [f"{quote(name, safe='')}={quote(text_of(item), safe='')}" for item in items if item is not None]
    return "&".join(pairs)


def merged(options: RequestOptions, **values: object) -> RequestOptions:
    """Return options with some query values put before those that are given by hand."""
    query = {name: value for name, value in values.items() if value is not None}
    merged: RequestOptions = {**options, "query": {**query, **options.get("query", {})}}
    return merged


def path(*parts: str) -> str:
    """Return `/api/a/b` of parts that may hold any character."""
    return "/".join(["/api", *(quote(part, safe="") for part in parts)])
