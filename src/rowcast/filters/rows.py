"""Rows of a statement to joins and column names.

Every name that lands in SQL here is that of a collection or field of the catalog,
or an alias like "@1", which no collection can have. Ids and lists that the
request brings are parameters.
"""

from __future__ import annotations

from collections.abc import Iterator

from rowcast.errors import FilterError
from rowcast.filters import given
from rowcast.filters.model import Given, Hop, Root, Row, Start
from rowcast.schema.fields import Field
from rowcast.sql import Dialect, Fragment, Input, compose, quote

MAX_JOINS = 50
"""SQLite joins 64 tables at most, and the caller of a filter may need some."""


def as_input(value: Given) -> Fragment:
    """Return a parameter that is read from the request."""
    return Fragment("?", (Input(value.key, value.read),))


class Rows:
    """The joins of one FROM, made as rows are asked for.

    `outer` is the FROM around it: a subquery starts at the outer base row and
    joins on from there. `repeats` tells whether the joins may repeat base rows.
    """

    def __init__(self, dialect: Dialect, base: str, aliases: Iterator[int], outer: Rows | None = None) -> None:
        self._dialect = dialect
        self._base = base
        self._numbers = aliases
        self._outer = outer
        self._aliases: dict[object, str] = {}
        self.joins: list[Fragment] = []
        self.repeats = False

    def inner(self, joins: list[Fragment]) -> Rows:
        """Return the rows of a subquery whose joins are added to `joins`."""
        rows = Rows(self._dialect, self._base, self._numbers, self)
        rows.joins = joins
        return rows

    def column(self, row: Row, field: Field) -> Fragment:
        """Return a field of a row as it can stand in an expression."""
        if row.is_account:
            return self._dialect.typed(field.column_type, as_input(given.account_column(field)))
        return self._named(row, field.name)

    def items(self, row: Row, field: Field) -> Fragment:
        """Return an item of the list in a field of a row."""
        alias = self._aliases.get((row, field.name))
        if alias is None:
            table = self._dialect.items(self.column(row, field))
            alias = self._join((row, field.name), table, None, repeats=field.is_multiple)
        return Fragment(f"{alias}.value")

    def item(self, row: Row) -> Fragment:
        """Return an item of a list in the request body."""
        return Fragment(f"{self.alias(row)}.value")

    def alias(self, row: Row) -> str:
        """Return the quoted name under which `row` stands in the statement; joins what it needs."""
        alias = self._aliases.get(row)
        if alias is not None:
            return alias
        return self._hop(row, row.hops[-1]) if row.hops else self._start(row, row.root)

    def _start(self, row: Row, root: Root) -> str:
        if root.start is Start.BASE:
            if root.guard is None:
                return quote(self._base)
            return (self._outer or self).alias(root.guard)
        if root.start is Start.ITEMS:
            items = compose(self._dialect.bound_items, as_input(given.submitted_items(root.name)))
            return self._join(row, items, None, repeats=True)
        table = Fragment(quote(root.collection.name))
        if root.start is Start.COLLECTION:
            return self._join(row, table, None, repeats=True)
        ids = compose(self._dialect.bound_items, as_input(given.submitted_ids(root.name)))
        return self._join(row, table, compose('{{alias}}."id" IN (SELECT value FROM {})', ids), repeats=True)

    def _hop(self, row: Row, hop: Hop) -> str:
        table = Fragment(quote(hop.collection.name))
        parent, name = row.parent, quote(hop.field.name)
        if not hop.is_back:
            found = self.items if hop.field.is_multiple else self.column
            on = compose('{{alias}}."id" = {}', found(parent, hop.field))
            return self._join(row, table, on, repeats=hop.field.is_multiple or hop.collection.is_view)
        parent_id = self._id(parent)
        if not hop.field.is_multiple:
            return self._join(row, table, compose(f"{{{{alias}}}}.{name} = {{}}", parent_id), repeats=True)
        items = self._dialect.items(Fragment(f"{{alias}}.{name}"))
        return self._join(row, table, compose("{} IN (SELECT value FROM {})", parent_id, items), repeats=True)

    def _id(self, row: Row) -> Fragment:
        field = row.collection.field("id")
        if row.is_account and field is not None:
            return self.column(row, field)
        return self._named(row, "id")

    def _named(self, row: Row, column: str) -> Fragment:
        return Fragment(f"{self.alias(row)}.{quote(column)}")

    def _join(self, key: object, table: Fragment, on: Fragment | None, *, repeats: bool) -> str:
        """Add a LEFT JOIN; `{alias}` in `on` stands for its alias, which is returned."""
        if len(self.joins) >= MAX_JOINS:
            raise FilterError("too many joined relations")
        alias = self._aliases[key] = f'"@{next(self._numbers)}"'
        join = compose(f"LEFT JOIN {{}} AS {alias}", table)
        if on is None:
            join = Fragment(join.text + self._dialect.no_condition, join.params)
        else:
            join = compose("{} ON {}", join, Fragment(on.text.replace("{alias}", alias), on.params))
        self.joins.append(join)
        self.repeats = self.repeats or repeats
        return alias
