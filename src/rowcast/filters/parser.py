"""Tokens of a filter to a tree.

    filter      = comparison { join comparison }
    comparison  = operand sign operand | "(" filter ")"
    join        = "&&" | "||"
    operand     = identifier | text | number | call
    call        = identifier "(" [ argument { "," argument } [ "," ] ] ")"
    argument    = operand

`&&` binds tighter than `||`, as AND and OR do in the SQL that the reference
writes. A group may follow a comparison without a join and repeats the last one,
as in fexpr (parser.go). Names mean nothing yet; `resolve` looks them up.

Bounds: 200 comparisons, 100 nested groups, 3 nested calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from rowcast.errors import FilterError
from rowcast.filters.lexer import Kind, Token, group_end, next_token, unexpected_character
from rowcast.schema.jsontext import go_quote

MAX_COMPARISONS = 200
MAX_GROUP_DEPTH = 100
MAX_CALL_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Operand:
    """One side of a comparison. `kind` is IDENTIFIER, TEXT, NUMBER or CALL; only a CALL has `arguments`."""

    kind: Kind
    value: str
    start: int
    end: int
    arguments: tuple[Operand, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left sign right`; `sign` is the operator as written ("=", "?!~", ...)."""

    left: Operand
    sign: str
    right: Operand


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every item holds (`&&`). Has two or more items."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one item holds (`||`). Has two or more items."""

    items: tuple[Node, ...]


Node = Comparison | AllOf | AnyOf

_OPERANDS = (Kind.IDENTIFIER, Kind.TEXT, Kind.NUMBER, Kind.CALL)


def parse(text: str) -> Node:
    """Return the tree of a filter. Raises FilterError with the place of what is wrong."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FilterError("invalid character", text, error.start, error.end) from None
    return _Parser(text).filter(0, len(text), 0)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._count = 0

    def filter(self, start: int, end: int, depth: int) -> Node:
        """filter = comparison { join comparison }, for the text between `start` and `end`."""
        text = self._text
        alternatives: list[list[Node]] = [[]]
        join = "&&"
        token = next_token(text, start, end)
        if token.kind is Kind.END:
            raise FilterError("empty filter expression", text, start, end)
        while True:
            item, place = self._comparison(token, end, depth)
            alternatives[-1].append(item)
            token = next_token(text, place, end)
            if token.kind is Kind.END:
                return _any(alternatives)
            if token.kind is Kind.JOIN:
                join = token.value
                token = next_token(text, token.end, end)
            elif token.kind is not Kind.OPEN:
                raise self._expected("&& or ||", token)
            if join == "||":
                alternatives.append([])

    def _comparison(self, token: Token, end: int, depth: int) -> tuple[Node, int]:
        """comparison = operand sign operand | "(" filter ")"; also returns where it ends."""
        if token.kind is Kind.OPEN:
            if depth >= MAX_GROUP_DEPTH:
                raise FilterError(
                    f"max nested groups reached (max: {MAX_GROUP_DEPTH})", self._text, token.start, token.end
                )
            close = group_end(self._text, token.end, end)
            return self.filter(token.end, close, depth + 1), close + 1
        self._count += 1
        if self._count > MAX_COMPARISONS:
            raise FilterError("max filter expressions limit reached", self._text, token.start, token.end)
        left, place = self._operand(token, end, "left operand (identifier, function, text or number)")
        sign = next_token(self._text, place, end)
        if sign.kind is not Kind.SIGN:
            raise self._expected("a sign operator", sign)
        token = next_token(self._text, sign.end, end)
        right, place = self._operand(token, end, "right operand (identifier, function text or number)")
        return Comparison(left, sign.value, right), place

    def _operand(self, token: Token, end: int, expected: str, calls: int = 0) -> tuple[Operand, int]:
        """operand = identifier | text | number | call"""
        if token.kind not in _OPERANDS:
            raise self._expected(expected, token)
        if token.kind is Kind.CALL:
            return self._call(token, end, calls)
        return Operand(token.kind, token.value, token.start, token.end), token.end

    def _call(self, name: Token, end: int, calls: int) -> tuple[Operand, int]:
        """call = identifier "(" [ argument { "," argument } [ "," ] ] ")" """
        if calls >= MAX_CALL_DEPTH:
            message = f"max nested function arguments reached (max: {MAX_CALL_DEPTH})"
            raise FilterError(message, self._text, name.start, name.end)
        arguments: list[Operand] = []
        place = name.end
        while True:
            token = next_token(self._text, place, end)
            if token.kind is Kind.CLOSE:
                return Operand(Kind.CALL, name.value, name.start, token.end, tuple(arguments)), token.end
            if token.kind not in _OPERANDS:
                raise self._no_argument(name, token)
            argument, place = self._operand(token, end, "", calls + 1)
            arguments.append(argument)
            token = next_token(self._text, place, end)
            if token.kind is Kind.COMMA:
                place = token.end
            elif token.kind is not Kind.CLOSE:
                raise self._no_comma(name, token)

    def _no_argument(self, name: Token, token: Token) -> FilterError:
        if token.kind is Kind.END:
            return self._unclosed(name, token)
        message = "unexpected comma" if token.kind is Kind.COMMA else "unsupported argument character"
        return FilterError(f"{message} in function {go_quote(name.value)}", self._text, token.start, token.end)

    def _no_comma(self, name: Token, token: Token) -> FilterError:
        if token.kind is Kind.END:
            return self._unclosed(name, token)
        message = f"expected comma after the last argument in function {go_quote(name.value)}"
        return FilterError(message, self._text, token.start, token.end)

    def _unclosed(self, name: Token, token: Token) -> FilterError:
        message = f"invalid or incomplete function {go_quote(name.value)} (expected ')')"
        return FilterError(message, self._text, name.start, token.end)

    def _expected(self, what: str, token: Token) -> FilterError:
        if token.kind is Kind.END:
            return FilterError("invalid or incomplete filter expression", self._text, token.start, token.end)
        if token.kind in {Kind.CLOSE, Kind.COMMA}:
            return unexpected_character(self._text, token.start)
        message = f"expected {what}, got {go_quote(token.value)} ({token.kind.value})"
        return FilterError(message, self._text, token.start, token.end)


def _any(alternatives: list[list[Node]]) -> Node:
    """Return `||` of `&&`s; groups that only repeat the operator around them dissolve."""
    items: list[Node] = []
    for conjuncts in alternatives:
        node = _all(conjuncts)
        items.extend(node.items if isinstance(node, AnyOf) else (node,))
    return items[0] if len(items) == 1 else AnyOf(tuple(items))


def _all(conjuncts: list[Node]) -> Node:
    items: list[Node] = []
    for node in conjuncts:
        items.extend(node.items if isinstance(node, AllOf) else (node,))
    return items[0] if len(items) == 1 else AllOf(tuple(items))
