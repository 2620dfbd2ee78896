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

from rowcast.filters.compare import Fallback, State, Term, comparison
from rowcast.filters.model import AllOf, Column, Condition, Operand, Test, is_many
from rowcast.filters.rows import Rows
from rowcast.filters.terms import Terms
from rowcast.sql import Dialect, Fragment, compose, joined, quote


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
    conditions: tuple[Condition, ...], order: tuple[SortTerm, ...], base: str, dialect: Dialect, facts: frozenset[str]
) -> Statement:
    """Return the SQL for conditions that must all hold. Raises FilterError for too many joins."""
    return _Writer(base, dialect, facts).statement(conditions, order)


class _Writer:
    def __init__(self, base: str, dialect: Dialect, facts: frozenset[str]) -> None:
        self._base = base
        self._dialect = dialect
        self._rows = Rows(dialect, base, count(1))
        self._terms = Terms(self._rows, dialect, facts)

    def statement(self, conditions: tuple[Condition, ...], order: tuple[SortTerm, ...]) -> Statement:
        where = self._condition(AllOf(conditions)) if conditions else Fragment("1")
        order_by = joined(", ", [self._sort_term(term) for term in order])
        return Statement(where, joined(" ", self._rows.joins), order_by, distinct=self._rows.repeats)

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

    def _sort_term(self, term: SortTerm) -> Fragment:
        direction = "DESC" if term.is_descending else "ASC"
        if term.column == "@random":
            return Fragment(self._dialect.random)
        if isinstance(term.column, str):
            return Fragment(f"{self._dialect.row_number.format(quote(self._base))} {direction}")
        value = self._terms.term(term.column).sql
        for visible in self._terms.is_visible(term.column):
            # Unlike in the reference, the order doesn't tell hidden e-mails.
            value = compose("CASE WHEN {} THEN {} ELSE '' END", visible, value)
        return compose(f"{{}} {direction}", value)
