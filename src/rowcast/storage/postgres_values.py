"""Values and placeholders between SQLite's view, which the core has, and PostgreSQL.

Every number is sent as `numeric` in its shortest form, every text, and None, as `text`: so
the type of each parameter is known before it is bound. What comes back is None, int,
float or str again; a number that is whole comes as int, as from SQLite's NUMERIC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import psycopg
from psycopg.adapt import AdaptersMap, Buffer, Dumper, Loader
from psycopg.types.string import TextLoader

from rowcast.sql import SQLValue

_INT64 = 2**63
NUMERIC, TEXT = (psycopg.postgres.types[name].oid for name in ("numeric", "text"))
_KEPT = frozenset(("int2", "int4", "int8", "oid", "float4", "float8", "bytea"))

# What is not closed reaches to the end, as in `schema.sqltext`.
_PART = re.compile(r"""'(?:[^']|'')*(?:'|\Z)|"(?:[^"]|"")*(?:"|\Z)|\$f\$.*?(?:\$f\$|\Z)|\?""", re.DOTALL)

_ADDS_A_ROW = re.compile(r"INSERT INTO [^()?]+(?:\([^()?]+\) )?VALUES (\((?:[^()']|\([^()']*\))+\))")
"""An INSERT of one row of parameters, or of functions of these, with nothing behind it."""


class Null:
    """NULL as a text; psycopg would leave the type of a None open."""


NULL = Null()


@lru_cache(maxsize=4096)
def numbered(sql: str) -> str:
    """Return a statement with `$1`, `$2`, ... for each `?` outside of quotes."""
    if "?" not in sql:
        return sql
    number = 0

    def place(match: re.Match[str]) -> str:
        nonlocal number
        if match[0] != "?":
            return match[0]
        number += 1
        return f"${number}"

    return _PART.sub(place, sql)


@lru_cache(maxsize=256)
def adding(sql: str, count: int) -> str | None:
    """Return an INSERT of one row as one of `count` rows, None for any other statement.

    It is the same text each time, so that its statement is known as a prepared one.
    """
    found = _ADDS_A_ROW.fullmatch(sql)
    return f"{sql}{f', {found[1]}' * (count - 1)}" if found else None


def sent(params: Sequence[SQLValue], *, replaces_nul: bool) -> tuple[list[bytes | None], tuple[int, ...]]:
    """Return parameters as they are sent, and their types."""
    values: list[bytes | None] = []
    types: list[int] = []
    for value in params:
        if isinstance(value, str) and "\0" not in value:
            values.append(value.encode())
            types.append(TEXT)
        else:
            values.append(as_bytes(value, replaces_nul=replaces_nul))
            types.append(NUMERIC if isinstance(value, int | float) else TEXT)
    return values, tuple(types)


def as_bytes(value: SQLValue, *, replaces_nul: bool = False) -> bytes | None:
    """Return a parameter as it is sent. No text of PostgreSQL holds a NUL: what only looks for one finds none."""
    if value is None:
        return None
    if isinstance(value, int):  # bool as well
        return str(int(value)).encode()
    if isinstance(value, float):
        return repr(value).replace("inf", "Infinity").encode()
    raw = value.encode() if isinstance(value, str) else bytes(value)
    if b"\0" in raw:
        if not replaces_nul or not isinstance(value, str):
            raise psycopg.DataError("a text that PostgreSQL stores can't hold NUL")
        return value.replace("\0", "\ufffd").encode()
    return raw


class _NumberDumper(Dumper):
    oid = NUMERIC

    def dump(self, obj: float) -> Buffer | None:
        return as_bytes(obj)


class _TextDumper(Dumper):
    oid = TEXT

    def dump(self, obj: str | bytes) -> Buffer | None:
        return as_bytes(obj)


class _NullDumper(Dumper):
    oid = TEXT

    def dump(self, obj: Null) -> Buffer | None:  # noqa: ARG002 - as psycopg calls it
        return None


class _NumberLoader(Loader):
    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        if "." not in text and text.lstrip("-").isdigit():
            # What other programs have stored may be more than a float holds; it is infinite then.
            number = int(text) if len(text) <= len(str(-_INT64)) else _INT64
            return number if -_INT64 <= number < _INT64 else float(text)
        real = float(text)
        return int(real) if real.is_integer() and abs(real) < _INT64 else real


class _BoolLoader(Loader):
    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


class Context:
    """The adapters of a connection, in the form in which psycopg takes them."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(psycopg.adapters)
        for kind in (int, float, bool):
            self.adapters.register_dumper(kind, _NumberDumper)
        for text in (str, bytes):
            self.adapters.register_dumper(text, _TextDumper)
        self.adapters.register_dumper(Null, _NullDumper)
        for info in psycopg.postgres.types:
            if info.name not in _KEPT:
                self.adapters.register_loader(info.oid, TextLoader)
            if info.array_oid:
                self.adapters.register_loader(info.array_oid, TextLoader)
        self.adapters.register_loader("numeric", _NumberLoader)
        self.adapters.register_loader("bool", _BoolLoader)
