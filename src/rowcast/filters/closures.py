"""Resolved filters to Python functions, for those that read nothing but one row and the request.

The functions answer as the SQL of `statement` does. In a filter nothing negates a
comparison (`!=` is an operator of its own), so NULL and false are the same here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rowcast.filters import given, resolve, values
from rowcast.filters.analysis import is_local
from rowcast.filters.cache import Cache
from rowcast.filters.compare import State
from rowcast.filters.model import (
    AllOf,
    Changed,
    Column,
    Condition,
    Constant,
    Distance,
    Given,
    Literal,
    Operand,
    Root,
    Start,
    Test,
)
from rowcast.filters.model import Row as ModelRow
from rowcast.filters.paths import Context
from rowcast.filters.scope import Scope
from rowcast.filters.terms import affinity_of
from rowcast.filters.values import CASTS, Affinity
from rowcast.schema.request import RequestInfo
from rowcast.sql import SQLValue

Row = Mapping[str, SQLValue]
Predicate = Callable[[Row, RequestInfo], bool]
Read = Callable[[Row, RequestInfo], SQLValue]

_PATH_KEY = re.compile(r"\.(\w+)|\[(\d+)\]", re.ASCII)
_EARTH_RADIUS = 6371


class _NeedsSQLError(Exception):
    """The filter can't be a closure."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a comparison. `state` tells what `compare.State` a value of it has."""

    read: Read
    state: Callable[[SQLValue], State]
    affinity: Affinity = Affinity.NONE
    knows_null: bool = False
    pattern: Read | None = None
    column: str = ""


_closures: Cache[tuple[Predicate | None]] = Cache(2000)


def closure(text: str, scope: Scope, *, allow_hidden: bool = True) -> Predicate | None:
    """Return a filter as a function of the row (DB column form) and the request, None where it needs SQL.

    The answer is that of the compiled program; the columns of the row have the
    types of the stored table unless `scope.is_new`. Cached. Raises FilterError.
    """
    key = (text, allow_hidden, scope.key)
    return _closures.find(key, lambda: (_build(text, scope, allow_hidden),))[0]


def _build(text: str, scope: Scope, allow_hidden: bool) -> Predicate | None:
    context = Context(scope, ModelRow(Root(Start.BASE, scope.collection)), allow_hidden)
    condition = resolve.condition(text, context)
    if not is_local(condition) or any(row.collection.list_rule for row in context.visited):
        return None
    try:
        return _predicate(condition, not scope.is_new)
    except _NeedsSQLError:
        return None


def _predicate(condition: Condition, has_affinity: bool) -> Predicate:
    if isinstance(condition, Test):
        return _test(condition, has_affinity)
    items = [_predicate(item, has_affinity) for item in condition.items]
    return _all_of(items) if isinstance(condition, AllOf) else _any_of(items)


def _all_of(items: list[Predicate]) -> Predicate:
    if len(items) == 2:
        first, second = items
        return lambda row, request: first(row, request) and second(row, request)

    def every(row: Row, request: RequestInfo) -> bool:
        for item in items:  # noqa: SIM110 -- a generator would cost as much as the comparisons
            if not item(row, request):
                return False
        return True

    return every


def _any_of(items: list[Predicate]) -> Predicate:
    if len(items) == 2:
        first, second = items
        return lambda row, request: first(row, request) or second(row, request)

    def some(row: Row, request: RequestInfo) -> bool:
        for item in items:  # noqa: SIM110 -- as above
            if item(row, request):
                return True
        return False

    return some


def _test(test: Test, has_affinity: bool) -> Predicate:
    left, right = _side(test.left, has_affinity), _side(test.right, has_affinity)
    if test.sign in {"=", "!="}:
        found = _equal(left, right)
        if test.sign == "!=":
            equal = found
            found = lambda row, request: not equal(row, request)  # noqa: E731 -- as short as its meaning
    elif test.sign in {"~", "!~"}:
        if isinstance(test.right, Distance):
            raise _NeedsSQLError
        found = _like(left, right, wanted=test.sign == "~")
    else:
        found = _ordered(test.sign, left, right)
    visible = [_is_visible(c) for c in (test.left, test.right) if isinstance(c, Column) and c.is_guarded]
    return _all_of([*visible, found]) if visible else found


def _is_visible(column: Column) -> Predicate:
    field = column.row.collection.field("emailVisibility")
    if field is None:
        raise _NeedsSQLError
    read = _column_reader(Column(column.row, field))
    return lambda row, request: read(row, request) == 1


def _casts(left: _Side, right: _Side) -> tuple[Read, Read]:
    ours, theirs = values.comparable(left.affinity, right.affinity)
    return _cast(left.read, ours), _cast(right.read, theirs)


def _cast(read: Read, affinity: Affinity) -> Read:
    cast = CASTS.get(affinity)
    return read if cast is None else lambda row, request: cast(read(row, request))


def _equal(left: _Side, right: _Side) -> Predicate:
    """Return `left = right`, by the rules of `compare`; its negation is `left != right`."""
    if left.knows_null or right.knows_null:
        ours, theirs = _casts(left, right)
        return lambda row, request: ours(row, request) == theirs(row, request)
    for column, other in ((left, right), (right, left)):
        if column.column and column.affinity is not Affinity.NUMERIC and not other.column:
            return _equal_column(column.column, other, _equal_any(left, right))
    return _equal_any(left, right)


def _equal_column(name: str, other: _Side, otherwise: Predicate) -> Predicate:
    """Compare a text column with a value that is mostly a text, as in `owner = @request.auth.id`."""
    read, state = other.read, other.state

    def equal(row: Row, request: RequestInfo) -> bool:
        value = read(row, request)
        if type(value) is str and value and state(value) is State.FULL:
            return row.get(name) == value
        return otherwise(row, request)

    return equal


def _equal_any(left: _Side, right: _Side) -> Predicate:
    ours, theirs = values.comparable(left.affinity, right.affinity)
    cast_left, cast_right = CASTS.get(ours, _as_it_is), CASTS.get(theirs, _as_it_is)

    def equal(row: Row, request: RequestInfo) -> bool:
        a, b = left.read(row, request), right.read(row, request)
        of_a, of_b = left.state(a), right.state(b)
        if of_a is State.EMPTY or of_b is State.EMPTY:
            other = b if of_a is State.EMPTY else a
            return other is None or other == ""
        if of_a is State.FULL or of_b is State.FULL:
            return a is not None and b is not None and cast_left(a) == cast_right(b)
        return ("" if a is None else a) == ("" if b is None else b)

    return equal


def _as_it_is(value: SQLValue) -> SQLValue:
    return value


def _ordered(sign: str, left: _Side, right: _Side) -> Predicate:
    ours, theirs = _casts(left, right)
    is_ordered = values.is_ordered
    return lambda row, request: is_ordered(sign, ours(row, request), theirs(row, request))


def _like(left: _Side, right: _Side, *, wanted: bool) -> Predicate:
    read, pattern = left.read, right.pattern or _between_wildcards(right.read)
    is_like = values.is_like
    return lambda row, request: is_like(read(row, request), pattern(row, request)) is wanted


def _between_wildcards(read: Read) -> Read:
    def pattern(row: Row, request: RequestInfo) -> SQLValue:
        text = values.to_text(read(row, request))
        return None if text is None else f"%{text!s}%"

    return pattern


def _side(operand: Operand, has_affinity: bool) -> _Side:
    if isinstance(operand, Constant):
        constant = operand.value
        return _Side(lambda _row, _request: constant, _always(State.EMPTY if constant is None else State.FULL))
    if isinstance(operand, Literal):
        return _literal(operand.value)
    if isinstance(operand, Given):
        return _given(operand)
    if isinstance(operand, Column):
        return _column(operand, has_affinity)
    if isinstance(operand, Changed):
        return _changed(operand, has_affinity)
    if isinstance(operand, Distance):
        return _distance(operand, has_affinity)
    raise _NeedsSQLError


def _literal(value: str | float) -> _Side:
    pattern = given.like(value)
    state = State.EMPTY if value == "" else State.FULL
    return _Side(lambda _row, _request: value, _always(state), pattern=lambda _row, _request: pattern)


def _given(operand: Given) -> _Side:
    read, raw = operand.read, operand.raw
    if operand.is_bare:
        return _Side(lambda _row, request: read(request), _always(State.FULL) if operand.is_known else _of_count)
    state = _always(State.FULL) if operand.is_known else _of_value
    if operand.lower:
        return _Side(
            lambda _row, request: values.lower(read(request)),
            state,
            pattern=lambda _row, request: values.lower(given.like(raw(request))),
        )
    return _Side(lambda _row, request: read(request), state, pattern=lambda _row, request: given.like(raw(request)))


def _column(operand: Column, has_affinity: bool) -> _Side:
    field, stored = operand.field, _column_reader(operand)
    if field.kind == "number" and not has_affinity and not operand.row.is_account:
        stored = _as_real(stored)
    if operand.modifier == "each":
        raise _NeedsSQLError
    if operand.modifier == "length":
        return _Side(lambda row, request: values.length(stored(row, request)), _always(State.UNKNOWN))
    read, unknown = stored, _always(State.UNKNOWN)
    if operand.path:
        keys = tuple(name or int(index) for name, index in _PATH_KEY.findall(operand.path))
        read = lambda row, request: values.inside(stored(row, request), keys)  # noqa: E731 -- as short as its meaning
    if operand.modifier == "lower":
        return _Side(lambda row, request: values.lower(read(row, request)), unknown, knows_null=bool(operand.path))
    if operand.path:
        return _Side(read, unknown, knows_null=True)
    name = "" if operand.row.is_account else field.name
    return _Side(read, unknown, affinity_of(operand, is_new=not has_affinity), column=name)


def _column_reader(operand: Column) -> Read:
    name = operand.field.name
    if not operand.row.is_account:
        return lambda row, _request: row.get(name)
    read = given.account_column(operand.field).read
    return lambda _row, request: read(request)


def _as_real(read: Read) -> Read:
    """Return a number as it is before a column stores it, see `row_image`."""

    def real(row: Row, request: RequestInfo) -> SQLValue:
        value = read(row, request)
        return float(value) if isinstance(value, int) else value

    return real


def _changed(operand: Changed, has_affinity: bool) -> _Side:
    isset = operand.isset.read
    same = _equal(_given(operand.submitted), _column(operand.stored, has_affinity))
    visible = _is_visible(operand.stored) if operand.stored.is_guarded else None

    def read(row: Row, request: RequestInfo) -> SQLValue:
        if not isset(request) or same(row, request):
            return 0
        return 1 if visible is None or visible(row, request) else 0

    return _Side(read, _always(State.UNKNOWN), knows_null=True)


def _distance(operand: Distance, has_affinity: bool) -> _Side:
    sides = [_side(argument, has_affinity) for argument in operand.arguments]
    reads = [side.read for side in sides]
    return _Side(lambda row, request: _haversine(reads, row, request), _always(State.UNKNOWN), knows_null=True)


def _haversine(reads: list[Read], row: Row, request: RequestInfo) -> SQLValue:
    degrees = [values.to_number(read(row, request)) for read in reads]
    numbers = [float(value) for value in degrees if isinstance(value, int | float)]
    if len(numbers) < len(reads):
        return None
    lon_a, lat_a, lon_b, lat_b = map(math.radians, numbers)
    try:
        angle = math.acos(
            math.cos(lat_a) * math.cos(lat_b) * math.cos(lon_b - lon_a) + math.sin(lat_a) * math.sin(lat_b)
        )
    except ValueError:
        return None
    return _EARTH_RADIUS * angle


def _always(state: State) -> Callable[[SQLValue], State]:
    return lambda _value: state


def _of_value(value: SQLValue) -> State:
    return State.EMPTY if value is None or value == "" else State.FULL


def _of_count(value: SQLValue) -> State:
    return State.FULL if value in {0, 1} else State.UNKNOWN
