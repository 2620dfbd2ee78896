"""Comparisons as SQL, with NULL and '' taken for the same where the reference does so.

Columns of old data directories may hold NULL where newer ones hold ''. `a = ''` is
therefore `(a = '' OR a IS NULL)`, which an index answers, and two columns are
compared through COALESCE. Copies tools/search/filter.go, resolveEqualExpr.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

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
    between wildcards by the engine. `is_text` marks columns with the affinity of texts.
    """

    sql: Fragment
    fallback: Fallback = Fallback.AUTO
    state: State = State.UNKNOWN
    pattern: Fragment | None = None
    is_text: bool = False


EMPTY = Fragment("''")
_ORDER = {"<": "{} < {}", "<=": "{} <= {}", ">": "{} > {}", ">=": "{} >= {}"}


def comparison(sign: str, left: Term, right: Term, dialect: Dialect, *, is_negated: bool = False) -> Fragment:
    """Return `left sign right`. Where `is_negated`, it will stand under a NOT, and NULL is not as good as false."""
    if sign == "=":
        return _equal(left, right, dialect, is_negated=is_negated)
    if sign == "!=":
        return _different(left, right, dialect)
    if sign in {"~", "!~"}:
        if right.pattern is None:
            template = dialect.contains if sign == "~" else dialect.not_contains
            return compose(template, left.sql, right.sql)
        return compose(dialect.like if sign == "~" else dialect.not_like, left.sql, right.pattern)
    return compose(_ORDER[sign], left.sql, right.sql)


def _equal(left: Term, right: Term, dialect: Dialect, *, is_negated: bool) -> Fragment:
    if Fallback.NEVER in {left.fallback, right.fallback}:
        return compose(dialect.same, left.sql, right.sql)
    if left.is_text and right.is_text and State.SET in {left.state, right.state}:
        return compose(dialect.same if is_negated else "{} = {}", left.sql, right.sql)
    ours, theirs = _state(left), _state(right)
    if State.FULL in {ours, theirs} or ours is theirs is State.EMPTY:
        return compose("{} = {}", _value(left, ours), _value(right, theirs))
    if State.EMPTY in {ours, theirs}:
        other = (right if ours is State.EMPTY else left).sql
        return compose("({} = '' OR {} IS NULL)", other, other)
    return compose("COALESCE({}, '') = COALESCE({}, '')", left.sql, right.sql)


def _different(left: Term, right: Term, dialect: Dialect) -> Fragment:
    if Fallback.NEVER in {left.fallback, right.fallback}:
        return compose(dialect.differs, left.sql, right.sql)
    ours, theirs = _state(left), _state(right)
    if State.FULL in {ours, theirs} or ours is theirs is State.EMPTY:
        return compose(dialect.differs, _value(left, ours), _value(right, theirs))
    if State.EMPTY in {ours, theirs}:
        other = (right if ours is State.EMPTY else left).sql
        return compose("({} <> '' AND {} IS NOT NULL)", other, other)
    return compose(dialect.differs, *[compose("COALESCE({}, '')", term.sql) for term in (left, right)])


def _state(term: Term) -> State:
    return State.UNKNOWN if term.fallback is Fallback.ALWAYS or term.state is State.SET else term.state


def _value(term: Term, state: State) -> Fragment:
    return EMPTY if state is State.EMPTY else term.sql
