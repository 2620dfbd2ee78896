"""Operands to SQL terms, and the questions about the request that their SQL depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rowcast.filters import given
from rowcast.filters.compare import Fallback, State, Term, comparison
from rowcast.filters.model import (
    NULL,
    Changed,
    Column,
    Condition,
    Constant,
    Distance,
    Given,
    Item,
    Literal,
    Operand,
    Start,
    Test,
    TimeText,
)
from rowcast.filters.rows import Rows, as_input
from rowcast.filters.values import Affinity
from rowcast.schema.request import RequestInfo
from rowcast.sql import Dialect, Fragment, Input, SQLValue, compose, joined

TEXT_KINDS = frozenset(("text", "editor", "email", "url", "date", "autodate", "select", "file", "relation"))
_NO_IDS = "[]"


@dataclass(frozen=True, slots=True)
class Switch:
    """A question about the request that decides which SQL fits; `is_on` answers it."""

    key: str
    is_on: Callable[[RequestInfo], bool]


class Terms:
    """Writes operands for one FROM and one set of facts (the keys of the switches that are on)."""

    def __init__(self, rows: Rows, dialect: Dialect, facts: frozenset[str], *, is_new: bool = False) -> None:
        self._rows = rows
        self._dialect = dialect
        self._facts = facts
        self._is_new = is_new

    def inner(self, rows: Rows) -> Terms:
        """Return the terms of a subquery."""
        return Terms(rows, self._dialect, self._facts, is_new=self._is_new)

    def term(self, operand: Operand) -> Term:
        """Return `operand` as one side of a comparison."""
        if isinstance(operand, Constant):
            return self._constant(operand)
        if isinstance(operand, Literal):
            return _literal(operand.value)
        if isinstance(operand, Given):
            return self._given(operand)
        if isinstance(operand, Column):
            return self._column(operand)
        if isinstance(operand, Item):
            return Term(self._rows.item(operand.row), state=State.FULL)
        if isinstance(operand, Changed):
            return self._changed(operand)
        return self._distance(operand) if isinstance(operand, Distance) else self._time_text(operand)

    def is_visible(self, operand: Operand) -> list[Fragment]:
        """Return what must hold so that `operand` may be looked at: its e-mails are visible."""
        found = []
        for column in _columns(operand):
            field = column.row.collection.field("emailVisibility")
            if column.is_guarded and field is not None:
                found.append(compose(self._dialect.is_true, self._rows.column(column.row, field)))
        return found

    def _constant(self, operand: Constant) -> Term:
        if operand.value is None:
            return Term(Fragment(self._dialect.null), state=State.EMPTY)
        return Term(Fragment(str(operand.value)), state=State.FULL)

    def _given(self, operand: Given) -> Term:
        sql = as_input(operand)
        is_on = operand.key in self._facts
        if operand.is_bare:
            return Term(sql, state=State.UNKNOWN if is_on else State.FULL)
        pattern = Fragment("?", (Input(f"{operand.key}:~", _pattern_reader(operand)),))
        if operand.lower:
            sql, pattern = compose(self._dialect.lower, sql), compose(self._dialect.lower, pattern)
        return Term(sql, state=State.EMPTY if is_on else State.FULL, pattern=pattern)

    def _column(self, operand: Column) -> Term:
        if operand.modifier == "each":
            return Term(self._rows.items(operand.row, operand.field))
        column = self._rows.column(operand.row, operand.field)
        if operand.modifier == "length":
            return Term(self._dialect.length(column))
        fallback = Fallback.AUTO
        if operand.path:
            column, fallback = self._dialect.inside(column, operand.path), Fallback.NEVER
        if operand.modifier == "lower":
            return Term(compose(self._dialect.lower, column), fallback)
        state = State.UNKNOWN
        if is_account_text(operand):
            state = State.EMPTY if f"auth.{operand.field.name}" in self._facts else State.SET
        affinity = Affinity.NONE if operand.path else affinity_of(operand, is_new=self._is_new)
        return Term(column, fallback, state, is_text=is_text(operand), affinity=affinity)

    def _changed(self, operand: Changed) -> Term:
        isset, submitted, stored = (self.term(x) for x in (operand.isset, operand.submitted, operand.stored))
        different = comparison("!=", submitted, stored, self._dialect)
        one = Term(Fragment("1"), state=State.FULL)
        asked = comparison("=", isset, one, self._dialect)
        whole = joined(" AND ", [asked, different, *self.is_visible(operand.stored)])
        return Term(compose(self._dialect.flag, whole), Fallback.NEVER)

    def _distance(self, operand: Distance) -> Term:
        terms = [self.term(argument) for argument in operand.arguments]
        has_params = any(term.pattern is not None for term in terms)
        return Term(
            self._haversine([term.sql for term in terms]),
            Fallback.NEVER,
            State.FULL if has_params else State.UNKNOWN,
            self._haversine([term.pattern or term.sql for term in terms]) if has_params else None,
        )

    def _haversine(self, places: list[Fragment]) -> Fragment:
        lon_a, lat_a, lon_b, lat_b = places
        return compose(self._dialect.distance, lat_a, lat_b, lon_b, lon_a, lat_a, lat_b)

    def _time_text(self, operand: TimeText) -> Term:
        time = [] if operand.time is None else [self.term(operand.time)]
        terms = [_literal(operand.format), *time, *map(_literal, operand.modifiers)]
        params = [term for term in terms if term.pattern is not None]
        empty = [term for term in params if term.state is State.EMPTY]
        state = State.FULL if not empty else State.EMPTY if len(params) == 1 else State.UNKNOWN
        sql, pattern = (
            self._dialect.time_text(fragments)
            for fragments in ([term.sql for term in terms], [term.pattern or term.sql for term in terms])
        )
        return Term(sql, Fallback.ALWAYS, state, pattern)

    def effective(self, operand: Operand) -> Operand:
        """Return NULL for a path from a relation for which the body brings nothing, else `operand`."""
        if isinstance(operand, Column) and operand.row.root.start is Start.SUBMITTED:
            return NULL if _ids_key(operand) in self._facts else operand
        if isinstance(operand, TimeText) and operand.time is not None:
            return replace(operand, time=self.effective(operand.time))
        if isinstance(operand, Distance):
            return Distance(tuple(self.effective(argument) for argument in operand.arguments))
        return operand


def switches(condition: Condition) -> Iterator[Switch]:
    """Yield what the SQL of `condition` depends on. Keys may repeat."""
    if not isinstance(condition, Test):
        for item in condition.items:
            yield from switches(item)
        return
    left, right = condition.left, condition.right
    for column in (*_columns(left), *_columns(right)):
        if column.row.root.start is Start.SUBMITTED:
            ids = given.submitted_ids(column.row.root.name)
            yield Switch(ids.key, lambda request, ids=ids: ids.read(request) == _NO_IDS)  # type: ignore[misc]
    if condition.sign in {"=", "!="}:
        for side, other in ((left, right), (right, left)):
            if not _knows_null(other):
                yield from _emptiness(side, other)


def _emptiness(operand: Operand, other: Operand) -> Iterator[Switch]:
    if isinstance(operand, Changed):
        yield from switches(Test(operand.submitted, "!=", operand.stored))
    elif isinstance(operand, Given):
        if operand.is_bare and not operand.is_known:
            yield Switch(operand.key, lambda request: operand.read(request) not in {0, 1})
        elif not operand.is_known:
            yield Switch(operand.key, _is_empty(operand))
    elif isinstance(operand, Column) and is_account_text(operand) and isinstance(other, Column) and is_text(other):
        column = given.account_column(operand.field)
        yield Switch(column.key, _is_empty(column))


def is_text(operand: Column) -> bool:
    """Whether `operand` is a plain column of texts."""
    field = operand.field
    return not operand.modifier and not operand.path and field.kind in TEXT_KINDS and not field.is_multiple


def affinity_of(operand: Column, *, is_new: bool) -> Affinity:
    """Return the affinity that SQLite gives a column; the row of a new record has none yet."""
    field = operand.field
    if is_new and not operand.row.is_account and not operand.row.hops and operand.row.root.start is Start.BASE:
        return Affinity.NONE
    if field.kind in TEXT_KINDS | {"password"} and not field.is_multiple:
        return Affinity.TEXT
    is_plain = field.kind in {"number", "bool"} or not operand.row.is_account
    return Affinity.NUMERIC if is_plain else Affinity.NONE


def is_account_text(operand: Column) -> bool:
    """Whether `operand` is a text of the account itself."""
    return operand.row.is_account and is_text(operand)


def _columns(operand: Operand | None) -> list[Column]:
    """Return the columns that an operand reads."""
    if isinstance(operand, Column):
        return [operand]
    if isinstance(operand, TimeText):
        return _columns(operand.time)
    if isinstance(operand, Distance):
        return [column for argument in operand.arguments for column in _columns(argument)]
    return []


def _knows_null(operand: Operand) -> bool:
    """Whether NULL and '' are different for a comparison with `operand`."""
    return isinstance(operand, Distance) or (isinstance(operand, Column) and bool(operand.path))


def _ids_key(operand: Column) -> str:
    return given.submitted_ids(operand.row.root.name).key


def _is_empty(value: Given) -> Callable[[RequestInfo], bool]:
    return lambda request: value.read(request) in {None, ""}


def _pattern_reader(operand: Given) -> Callable[[RequestInfo], SQLValue]:
    return lambda request: given.like(operand.raw(request))


def _literal(value: str | float) -> Term:
    state = State.EMPTY if value == "" else State.FULL
    return Term(Fragment("?", (value,)), state=state, pattern=Fragment("?", (given.like(value),)))
