"""What can be said about a resolved filter without running it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rowcast.filters import resolve
from rowcast.filters.model import (
    AllOf,
    Changed,
    Column,
    Condition,
    Distance,
    Given,
    Item,
    Literal,
    Operand,
    Root,
    Row,
    Start,
    Test,
    TimeText,
)
from rowcast.filters.paths import Context
from rowcast.filters.scope import Scope
from rowcast.filters.terms import is_text


@dataclass(frozen=True, slots=True)
class AuthEquality:
    """A condition `field = @request.auth.<name>` that must hold for a rule to hold.

    `field` is a text column of the base row. Where the value of the account is not
    empty, the condition holds for exactly the rows whose column is that text.
    """

    field: str
    name: str


def auth_equalities(text: str, scope: Scope) -> tuple[AuthEquality, ...]:
    """Return the top-level `&&` conditions of a rule that ask a column to be a text of the account.

    Empty for guests and where there is none. Raises FilterError.
    """
    asked = _asked_of_account(text, scope)
    return tuple(AuthEquality(column.field.name, name) for column, name in asked if column.row.is_base)


@dataclass(frozen=True, slots=True)
class AuthReach:
    """A condition `path = @request.auth.<name>` that must hold for a rule to hold, over relations of the base row.

    `column` is a text of the rows that the path leads to. Where the value of the account is not empty,
    the condition can only hold where one of them has it.
    """

    column: Column
    name: str


def auth_reaches(text: str, scope: Scope) -> tuple[AuthReach, ...]:
    """Return the top-level `&&` conditions of a rule that ask a text behind a relation to be one of the account.

    Empty for guests and where there is none. Raises FilterError.
    """
    asked = _asked_of_account(text, scope)
    return tuple(AuthReach(column, name) for column, name in asked if _is_behind_base(column.row))


def _asked_of_account(text: str, scope: Scope) -> Iterator[tuple[Column, str]]:
    """Yield each text that a top-level `&&` condition of a rule asks to be one of the account, and the name of that."""
    context = Context(scope, Row(Root(Start.BASE, scope.collection)))
    for test in conjuncts(resolve.condition(text, context)):
        if test.sign == "=":
            for column, value in ((test.left, test.right), (test.right, test.left)):
                name = _account_text(value)
                if name and isinstance(column, Column) and is_text(column):
                    yield column, name


def _is_behind_base(row: Row) -> bool:
    return bool(row.hops) and row.root.start is Start.BASE and row.root.guard is None


def _account_text(operand: Operand) -> str:
    """Return the name of a text of the account, "" for all else."""
    if isinstance(operand, Given) and operand.key in {"auth.id", "auth.email"}:
        return operand.key.removeprefix("auth.")
    if isinstance(operand, Column) and operand.row.is_account and is_text(operand):
        return operand.field.name
    return ""


def tests(condition: Condition) -> Iterator[Test]:
    """Yield the comparisons of a filter."""
    if isinstance(condition, Test):
        yield condition
    else:
        for item in condition.items:
            yield from tests(item)


def conjuncts(condition: Condition) -> Iterator[Test]:
    """Yield the comparisons that must hold for the filter to hold."""
    if isinstance(condition, Test):
        yield condition
    elif isinstance(condition, AllOf):
        for item in condition.items:
            yield from conjuncts(item)


def operands(condition: Condition) -> Iterator[Operand]:
    """Yield everything that is compared, and what functions are given."""
    for test in tests(condition):
        yield from _parts(test.left)
        yield from _parts(test.right)


def is_local(condition: Condition) -> bool:
    """Whether nothing but the base row and the request is read."""
    return all(is_local_row(part.row) for part in operands(condition) if isinstance(part, Column | Item))


def is_local_row(row: Row) -> bool:
    """Whether a row is the base row, the account or in the request."""
    root = row.root
    return not row.hops and root.guard is None and root.start not in {Start.COLLECTION, Start.SUBMITTED}


def reads_clock(condition: Condition) -> bool:
    """Whether the engine may read its clock: strftime without a time, or with one that may be 'now'."""
    return any(
        isinstance(part, TimeText) and (part.time is None or isinstance(part.time, Literal | Given))
        for part in operands(condition)
    )


def _parts(operand: Operand) -> Iterator[Operand]:
    yield operand
    if isinstance(operand, TimeText) and operand.time is not None:
        yield from _parts(operand.time)
    elif isinstance(operand, Distance):
        for argument in operand.arguments:
            yield from _parts(argument)
    elif isinstance(operand, Changed):
        yield from (operand.isset, operand.submitted, operand.stored)
