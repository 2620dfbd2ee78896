"""Resolved filters to SQL.

A condition on a path that leads to many rows holds if it holds for one joined row
and, unless its operator has a `?`, for all of them: the latter is a NOT EXISTS
that starts from the base row again. Copies tools/search/filter.go
(buildResolversExpr, manyVsOneExpr, manyVsManyExpr).

What SQL fits a comparison may depend on whether a value of the request is empty
(see `terms.switches`). A statement is written for one set of answers, the facts;
`program` keeps a statement for each set that comes up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

from rowcast.filters.analysis import is_local_row
from rowcast.filters.compare import Fallback, State, Term, comparison
from rowcast.filters.model import AllOf, Column, Condition, Operand, Test, is_many
from rowcast.filters.rows import Rows
from rowcast.filters.scope import Scope
from rowcast.filters.terms import Terms
from rowcast.sql import Fragment, compose, joined, quote


@dataclass(frozen=True, slots=True)
class SortTerm:
    """A column to sort by, or "@random" or "@rowid"."""

    column: Column | str
    is_descending: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """The SQL of some filters and sort terms for one set of facts. `where` is "1" where nothing limits."""

    where: Fragment
    joins: Fragment
    order_by: Fragment
    distinct: bool


def write(
    conditions: tuple[Condition, ...], order: tuple[SortTerm, ...], scope: Scope, facts: frozenset[str]
) -> Statement:
    """Return the SQL for conditions that must all hold. Raises FilterError for too many joins."""
    return _Writer(scope, facts).statement(conditions, order)


@dataclass(frozen=True, slots=True)
class Reached:
    """SQL that gives the values of one column behind the base row: `SELECT DISTINCT {value} FROM <base> {joins}`."""

    joins: Fragment
    value: Fragment


def reached(column: Column, scope: Scope) -> Reached:
    """Return the SQL for the values that a column has in the rows that its path leads to."""
    return _Writer(scope, frozenset()).reached(column)


class _Writer:
    def __init__(self, scope: Scope, facts: frozenset[str]) -> None:
        self._scope = scope
        self._dialect = scope.dialect
        self._rows = Rows(self._dialect, scope.base, count(1))
        self._terms = Terms(self._rows, self._dialect, facts, is_new=scope.is_new)

    def statement(self, conditions: tuple[Condition, ...], order: tuple[SortTerm, ...]) -> Statement:
        where = self._condition(AllOf(conditions)) if conditions else Fragment(self._dialect.true)
        values = [self._sort_value(term) for term in order]
        terms = [self._sort_term(term, value) for term, value in zip(order, values, strict=True)]
        if self._dialect.natural_order and not self._scope.collection.is_view:
            # Equal ones keep the order in which they were added.
            number = Fragment(self._dialect.natural_order.format(quote(self._scope.base)))
            terms.append(self._first_of(number))
        order_by = joined(", ", terms)
        return Statement(where, joined(" ", self._rows.joins), order_by, distinct=self._rows.repeats)

    def reached(self, column: Column) -> Reached:
        value = self._terms.term(column).sql
        return Reached(joined(" ", self._rows.joins), value)

    def _condition(self, condition: Condition) -> Fragment:
        if isinstance(condition, Test):
            return self._test(condition)
        items = [self._condition(item) for item in condition.items]
        if isinstance(condition, AllOf):
            return joined(" AND ", items)
        return compose("({})", joined(" OR ", items))

    def _test(self, test: Test) -> Fragment:
        left, right = self._terms.effective(test.left), self._terms.effective(test.right)
        ours, theirs = self._terms.term(left), self._terms.term(right)
        found = comparison(test.sign, ours, theirs, self._dialect)
        if not test.is_any and (is_many(left) or is_many(right)):
            found = compose("({} AND {})", found, self._all_match(test.sign, (left, ours), (right, theirs)))
        visible = self._terms.is_visible(left) + self._terms.is_visible(right)
        return compose("({})", joined(" AND ", [found, *visible])) if visible else found

    def _all_match(self, sign: str, *sides: tuple[Operand, Term]) -> Fragment:
        """Return that no row on the way to a many-sided operand breaks the comparison.

        Unlike in the reference, a row whose e-mail is not visible breaks it, so that
        hidden e-mails can't be guessed from records that also lead to visible ones.
        """
        joins: list[Fragment] = []
        terms: list[Term] = []
        visible: list[Fragment] = []
        for operand, term in sides:
            if is_many(operand):
                inner = self._terms.inner(self._rows.inner(joins))
                terms.append(replace(inner.term(operand), state=State.UNKNOWN, pattern=None))
                visible += inner.is_visible(operand)
            else:
                terms.append(replace(term, fallback=Fallback.AUTO))
        left, right = terms
        found = comparison(sign, left, right, self._dialect, is_negated=True)
        rows = joined(" ", [Fragment(self._dialect.one_row), *joins])
        return compose("NOT EXISTS (SELECT 1 FROM {} WHERE NOT ({}))", rows, joined(" AND ", [found, *visible]))

    def _first_of(self, value: Fragment) -> Fragment:
        """Return a value to sort by, where several joined rows may belong to one."""
        return compose(self._dialect.first_of, value) if self._rows.repeats else value

    def _sort_term(self, term: SortTerm, value: Fragment) -> Fragment:
        if term.column == "@random":
            return value
        direction = "DESC" if term.is_descending else "ASC"
        nulls = self._dialect.nulls[term.is_descending]
        if isinstance(term.column, str) or (is_local_row(term.column.row) and not self._may_be_null(term.column)):
            nulls = ""
        return compose(f"{{}} {direction}{nulls}", self._first_of(value))

    def _may_be_null(self, column: Column) -> bool:
        is_plain = not column.path and not column.modifier and not self._scope.collection.is_view
        return not (is_plain and column.field.column_type.endswith("NOT NULL"))

    def _sort_value(self, term: SortTerm) -> Fragment:
        if term.column == "@random":
            return Fragment(self._dialect.random)
        if isinstance(term.column, str):
            return Fragment(self._dialect.row_number.format(quote(self._scope.base)))
        value = self._terms.term(term.column).sql
        for visible in self._terms.is_visible(term.column):
            # Unlike in the reference, the order doesn't tell hidden e-mails.
            value = compose("CASE WHEN {} THEN {} ELSE '' END", visible, value)
        return value
