"""Text of a filter to tokens.

The tokens are those of github.com/ganigeorgiev/fexpr v0.6 (scanner.go), the
grammar that PocketBase rules are written in. Each token keeps its place in the
whole text, so that errors can point at it.

Invariant: a token is found in time linear in its length; nothing here recurses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from rowcast.errors import FilterError
from rowcast.schema.jsontext import go_quote


class Kind(Enum):
    """What a token is, as the reference calls it."""

    END = "eof"
    JOIN = "join"
    SIGN = "sign"
    IDENTIFIER = "identifier"
    CALL = "function"
    NUMBER = "number"
    TEXT = "text"
    OPEN = "group"
    CLOSE = "closing bracket"
    COMMA = "comma"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a filter: `value` is the text without quotes and escapes, or the name of a function."""

    kind: Kind
    value: str
    start: int
    end: int


SIGNS = frozenset(sign + op for sign in ("", "?") for op in ("=", "!=", "~", "!~", "<", "<=", ">", ">="))
JOINS = frozenset(("&&", "||"))

_TOKEN = re.compile(
    r"""
      (?P<skip>    [ \t\n]+ | //[^\n]* )
    | (?P<name>    [A-Za-z@_\#][A-Za-z0-9_.:]* ) (?P<call>\()?
    | (?P<number>  (?:-[0-9]*|[0-9]+) (?:\.[0-9]*)? )
    | (?P<text>    '(?:[^'\\\0]|\\[^\0])*' | "(?:[^"\\\0]|\\[^\0])*" )
    | (?P<sign>    [=?!<>~]+ )
    | (?P<join>    [&|]+ )
    | (?P<mark>    [(),] )
    """,
    re.VERBOSE | re.DOTALL,
)
_GROUP_MARK = re.compile(r"""[()]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|['"]""", re.DOTALL)
_ESCAPE = re.compile(r"\\([ntr\\'\"])")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
_OPERATORS = {"sign": (Kind.SIGN, SIGNS), "join": (Kind.JOIN, JOINS)}
_MARKS = {"(": Kind.OPEN, ")": Kind.CLOSE, ",": Kind.COMMA}


def next_token(text: str, start: int, end: int) -> Token:
    """Return the first token of `text[start:end]` that is not a space or comment. Raises FilterError."""
    while True:
        if start >= end:
            return Token(Kind.END, "", end, end)
        found = _TOKEN.match(text, start, end)
        if found is None:
            raise _unexpected(text, start, end)
        group = found.lastgroup
        if group != "skip":
            break
        start = found.end()
    return _token(found, group, text)


def group_end(text: str, start: int, end: int) -> int:
    """Return the place of the `)` that closes a group whose inside begins at `start`.

    As in fexpr, quotes are minded on the way but comments are not: a bracket in a
    comment inside of a group counts. Raises FilterError.
    """
    depth = 1
    for mark in _GROUP_MARK.finditer(text, start, end):
        what = mark.group()
        if what == "(":
            depth += 1
        elif what == ")":
            depth -= 1
            if not depth:
                return mark.start()
        elif len(what) == 1:
            raise _unexpected(text, mark.start(), end)
    raise FilterError(f"invalid formatted group - missing {depth} closing bracket(s)", text, start - 1, end)


def _token(found: re.Match[str], group: str | None, text: str) -> Token:
    value, start, stop = found.group(), found.start(), found.end()
    if group == "text":
        return Token(Kind.TEXT, _unescape(value[1:-1]), start, stop)
    if group == "number":
        return _number(text, value, start, stop)
    if group == "mark":
        return Token(_MARKS[value], value, start, stop)
    if group in _OPERATORS:
        kind, known = _OPERATORS[group]
        if value not in known:
            raise FilterError(f"invalid {group} operator {go_quote(value)}", text, start, stop)
        return Token(kind, value, start, stop)
    name = found.group("name")
    if name[-1] in ".:" or name in {"@", "_", "#"}:
        what = "function name" if group == "call" else "identifier"
        raise FilterError(f"invalid {what} {go_quote(name)}", text, start, start + len(name))
    return Token(Kind.CALL if group == "call" else Kind.IDENTIFIER, name, start, stop)


def _number(text: str, value: str, start: int, stop: int) -> Token:
    if value == "-" or value[-1] == ".":
        raise FilterError(f"invalid number {go_quote(value)}", text, start, stop)
    return Token(Kind.NUMBER, value, start, stop)


def _unescape(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), value)


def unexpected_character(text: str, place: int) -> FilterError:
    """Return the error for a character that can't stand at `place`."""
    char = text[place]
    quoted = char if char == '"' else go_quote(char)[1:-1]
    return FilterError(f"unexpected character '{quoted}'", text, place, place + 1)


def _unexpected(text: str, start: int, end: int) -> FilterError:
    if text[start] in "'\"":
        return FilterError(f"invalid quoted text {go_quote(text[start:end])}", text, start, end)
    if text[start] == "/":
        return FilterError("invalid comment", text, start, start + 1)
    return unexpected_character(text, start)
