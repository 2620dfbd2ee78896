"""Comparisons as SQL, with NULL and '' taken for the same where the reference does so.

Columns of old data directories may hold NULL where newer ones hold ''. `a = ''` is
therefore `(a = '' OR a IS NULL)`, which an index answers, and two columns are
compared through COALESCE. Copies tools/search/filter.go, resolveEqualExpr.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rowcast.filters.values import Affinity, comparable
from rowcast.sql import Dialect, Fragment, compose


class Fallback(Enum):
    """Whether NULL counts as ''."""

    AUTO = "where it may be NULL"
    NEVER = "no: JSON knows null"
    ALWAYS = "yes, whatever its parameters are: functions that fail give NULL"


class State(Enum):
    """What is known about a value."""

    UNKNOWN = "nothing"
    EMPTY = "NULL or ''"
    FULL = "neither NULL nor ''"
    SET = "neither NULL nor '', but of a column: NULL on the other side is false and not NULL"


@dataclass(frozen=True, slots=True)
class Term:
    """One side of a comparison.

    `pattern` stands on the right of LIKE; without one the value of `sql` is put
    between wildcards by the engine. `is_text` marks columns with the affinity of texts,
    `affinity` is that of SQLite, for engines that have none.
    """

    sql: Fragment
    fallback: Fallback = Fallback.AUTO
    state: State = State.UNKNOWN
    pattern: Fragment | None = None
    is_text: bool = False
    affinity: Affinity = Affinity.NONE


def comparison(sign: str, left: Term, right: Term, dialect: Dialect, *, is_negated: bool = False) -> Fragment:
    """Return `left sign right`. Where `is_negated`, it will stand under a NOT, and NULL is not as good as false."""
    if sign == "=":
        return _equal(left, right, dialect, is_negated=is_negated)
    if sign == "!=":
        return _different(left, right, dialect)
    if sign in {"~", "!~"}:
        if right.pattern is None:
            template = dialect.operators["contains" if sign == "~" else "not_contains"]
            return compose(template, left.sql, right.sql)
        return compose(dialect.operators["like" if sign == "~" else "not_like"], left.sql, right.pattern)
    return _compared(sign, left, right, dialect)


def _compared(operator: str, left: Term, right: Term, dialect: Dialect) -> Fragment:
    ours, theirs = left.sql, right.sql
    if dialect.casts:
        casts = [dialect.casts.get(cast.value) for cast in comparable(left.affinity, right.affinity)]
        ours, theirs = (compose(cast, sql) if cast else sql for cast, sql in zip(casts, (ours, theirs), strict=True))
    return compose(dialect.operators[operator], ours, theirs)


def _equal(left: Term, right: Term, dialect: Dialect, *, is_negated: bool) -> Fragment:
    if Fallback.NEVER in {left.fallback, right.fallback}:
        return _compared("same", left, right, dialect)
    if left.is_text and right.is_text and State.SET in {left.state, right.state}:
        return _compared("same" if is_negated else "=", left, right, dialect)
    ours, theirs = _state(left), _state(right)
    if State.FULL in {ours, theirs} or ours is theirs is State.EMPTY:
        return _compared("=", _value(left, ours, dialect), _value(right, theirs, dialect), dialect)
    if State.EMPTY in {ours, theirs}:
        return dialect.is_empty((right if ours is State.EMPTY else left).sql)
    return compose(dialect.operators["="], *[compose(dialect.or_empty, term.sql) for term in (left, right)])


def _different(left: Term, right: Term, dialect: Dialect) -> Fragment:
    if Fallback.NEVER in {left.fallback, right.fallback}:
        return _compared("differs", left, right, dialect)
    ours, theirs = _state(left), _state(right)
    if State.FULL in {ours, theirs} or ours is theirs is State.EMPTY:
        return _compared("differs", _value(left, ours, dialect), _value(right, theirs, dialect), dialect)
    if State.EMPTY in {ours, theirs}:
        return dialect.is_filled((right if ours is State.EMPTY else left).sql)
    return compose(dialect.operators["differs"], *[compose(dialect.or_empty, term.sql) for term in (left, right)])


def _state(term: Term) -> State:
    return State.UNKNOWN if term.fallback is Fallback.ALWAYS or term.state is State.SET else term.state


def _value(term: Term, state: State, dialect: Dialect) -> Term:
    return Term(Fragment(dialect.empty)) if state is State.EMPTY else term
