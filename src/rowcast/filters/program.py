"""Filters and sort terms compiled once and bound to many requests.

A program is found by its texts and its scope, whose key holds the catalog version,
so nothing must be thrown away when the schema changes: old programs are no longer
asked for. What can't be compiled is kept as well, as its error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from rowcast.errors import FilterError
from rowcast.filters import resolve
from rowcast.filters.analysis import is_local, is_local_row, reads_clock
from rowcast.filters.cache import Cache
from rowcast.filters.model import Column, Condition, Root, Row, Start
from rowcast.filters.paths import Context
from rowcast.filters.scope import MAX_LENGTH, Part, Scope
from rowcast.filters.statement import SortTerm, Statement, write
from rowcast.filters.terms import switches
from rowcast.schema.request import RequestInfo
from rowcast.sql import Dialect, Fragment, Input, Param, SQLValue, quote

MAX_SORT_TERMS = 8
MAX_SORT_LENGTH = 255
_MAX_VARIANTS = 64
_ASKED = "__asked"
_encode = msgspec.json.Encoder().encode


class Bound(msgspec.Struct, frozen=True, gc=False):
    """A program with the values of one request.

    Put together as `SELECT [DISTINCT] ... FROM <base> {joins} WHERE {where} ORDER BY {order_by}`
    with the parameters in the order join_params, params, order_params. `joins` and
    `order_by` may be empty; `where` is "1" where nothing limits. `distinct` says
    that the joins may repeat base rows.
    """

    where: str
    params: list[SQLValue]
    joins: str
    join_params: list[SQLValue]
    order_by: str
    order_params: list[SQLValue]
    distinct: bool


@dataclass(frozen=True, slots=True)
class BoundSet:
    """A program with the values of many requests at once.

    Put together as `{table} SELECT DISTINCT {number} FROM <base> {joins} WHERE {where}` with the parameters in the
    order table_params, those of the base, params: the rows are the places in `requests` for which
    the program holds.
    """

    table: str
    table_params: list[SQLValue]
    number: str
    joins: str
    where: str
    params: list[SQLValue]


class _Params:
    """Parameters with the places that are read from the request."""

    __slots__ = ("_reads", "_values")

    def __init__(self, params: tuple[Param, ...]) -> None:
        self._values: list[SQLValue] = [None if isinstance(param, Input) else param for param in params]
        self._reads = [(index, param.read) for index, param in enumerate(params) if isinstance(param, Input)]

    def bind(self, request: RequestInfo) -> list[SQLValue]:
        values = self._values.copy()
        for index, read in self._reads:
            values[index] = read(request)
        return values


class _Variant:
    """The statement for one set of facts."""

    __slots__ = (
        "_dialect", "_distinct", "_join_params", "_joins", "_order_by", "_order_params", "_params", "_set",
        "_statement", "_where",
    )  # fmt: skip

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        self._statement = statement
        self._dialect = dialect
        self._set: _SetStatement | None = None
        where, joins, order_by = statement.where, statement.joins, statement.order_by
        self._where, self._joins, self._order_by = where.text, joins.text, order_by.text
        self._params, self._join_params, self._order_params = (
            _Params(fragment.params) for fragment in (where, joins, order_by)
        )
        self._distinct = statement.distinct

    def bind(self, request: RequestInfo) -> Bound:
        return Bound(
            self._where,
            self._params.bind(request),
            self._joins,
            self._join_params.bind(request),
            self._order_by,
            self._order_params.bind(request),
            self._distinct,
        )

    def bind_set(self, requests: Sequence[RequestInfo]) -> BoundSet:
        if self._set is None:
            self._set = _SetStatement(self._statement, self._dialect)
        return self._set.bind(requests)


class _SetStatement:
    """A statement that is asked for many requests at once: what they bring stands in a table, one row for each."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        self._inputs: dict[str, Input] = {}
        joins, join_params = self._with_columns(statement.joins)
        where, where_params = self._with_columns(statement.where)
        # Behind the joins, where they don't need it: then an index on it is looked up for each joined row.
        asked = quote(_ASKED)
        is_joined = any(isinstance(param, Input) for param in statement.joins.params)
        self._joins = f"{dialect.cross}{asked} {joins}" if is_joined else f"{joins}{dialect.cross_behind}{asked}"
        self._where = where
        self._params = [*join_params, *where_params]
        columns = [f"a{index}" for index in range(len(self._inputs))]
        self._table = f"WITH {asked} AS MATERIALIZED ({dialect.asked(columns)})"

    def _with_columns(self, fragment: Fragment) -> tuple[str, list[SQLValue]]:
        """Return a fragment whose inputs are read from the table; the other parameters stay."""
        pieces = fragment.text.split("?")
        text, params = pieces[0], []
        for piece, param in zip(pieces[1:], fragment.params, strict=True):
            if isinstance(param, Input):
                self._inputs.setdefault(param.key, param)
                index = list(self._inputs).index(param.key)
                text += f"{quote(_ASKED)}.a{index}{piece}"
            else:
                params.append(param)
                text += "?" + piece
        return text, params

    def bind(self, requests: Sequence[RequestInfo]) -> BoundSet:
        reads = [given.read for given in self._inputs.values()]
        rows = [[read(request) for read in reads] for request in requests]
        return BoundSet(
            self._table, [_encode(rows).decode()], f"{quote(_ASKED)}.number", self._joins, self._where, self._params
        )


class Program:
    """Compiled filters and sort terms; bound to a request in a few microseconds.

    `inputs` are the keys of what is read of the request: "auth.id", "auth.team", "body.title", "query.x",
    "headers.x_token", "method", "context", "now". `is_local` says that nothing but
    the base row and the inputs is read: no other row of the database.
    """

    __slots__ = ("_conditions", "_order", "_scope", "_switches", "_variants", "inputs", "is_local")

    def __init__(self, conditions: tuple[Condition, ...], order: tuple[SortTerm, ...], scope: Scope) -> None:
        self._conditions, self._order, self._scope = conditions, order, scope
        self._switches = tuple({switch.key: switch for c in conditions for switch in switches(c)}.values())
        self._variants: dict[frozenset[str], _Variant] = {}
        statement = self._write(frozenset())
        everything = (*statement.joins.params, *statement.where.params, *statement.order_by.params)
        keys = [param.key for param in everything if isinstance(param, Input)] + [s.key for s in self._switches]
        clock = ["now"] if any(reads_clock(condition) for condition in conditions) else []
        self.inputs = frozenset([key.partition(":")[0] for key in keys] + clock)
        self.is_local = all(is_local(condition) for condition in conditions) and all(
            isinstance(term.column, str) or is_local_row(term.column.row) for term in order
        )

    @property
    def reads_auth(self) -> bool:
        """Whether the outcome may differ between accounts of one collection."""
        return any(key.startswith("auth.") for key in self.inputs)

    def bind(self, request: RequestInfo) -> Bound:
        """Return the SQL for one request."""
        facts = self._facts(request)
        variant = self._variants.get(facts)
        if variant is None:
            variant = self._add(facts)
        return variant.bind(request)

    def bind_sets(self, requests: Sequence[RequestInfo]) -> list[tuple[list[int], BoundSet]]:
        """Return SQL that asks for many requests at once, with the places in `requests` that each is for.

        There is more than one where the values of the requests need different SQL. Sort terms are left out.
        """
        places: dict[frozenset[str], list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(self._facts(request), []).append(place)
        return [
            (found, (self._variants.get(facts) or self._add(facts)).bind_set([requests[place] for place in found]))
            for facts, found in places.items()
        ]

    def _facts(self, request: RequestInfo) -> frozenset[str]:
        if not self._switches:
            return _NO_FACTS
        return frozenset([switch.key for switch in self._switches if switch.is_on(request)])

    def _add(self, facts: frozenset[str]) -> _Variant:
        if len(self._variants) >= _MAX_VARIANTS:
            self._variants = {}
        variant = self._variants[facts] = _Variant(self._write(facts), self._scope.dialect)
        return variant

    def _write(self, facts: frozenset[str]) -> Statement:
        return write(self._conditions, self._order, self._scope, facts)


_NO_FACTS: frozenset[str] = frozenset()
_programs: Cache[Program] = Cache(2000)


def compile(parts: tuple[Part, ...], scope: Scope, sort: str = "", *, sort_hidden: bool = False) -> Program:
    """Return the program for filters, which must all hold, and a sort expression. Cached.

    `sort` is a list like "-created,+title,@random"; hidden fields may be sorted by
    only with `sort_hidden`. Empty texts in `parts` don't limit. Raises FilterError.
    """
    return _programs.find((parts, sort, sort_hidden, scope.key), lambda: _compile(parts, scope, sort, sort_hidden))


def _compile(parts: tuple[Part, ...], scope: Scope, sort: str, sort_hidden: bool) -> Program:
    context = Context(scope, Row(Root(Start.BASE, scope.collection)))
    conditions = []
    for part in parts:
        if part.is_client and len(part.text.encode("utf-8", "surrogatepass")) > MAX_LENGTH:
            raise FilterError("max filter length limit reached")
        if part.text:
            conditions.append(resolve.condition(part.text, context.under(allow_hidden=part.allow_hidden)))
    order = tuple(_sort_terms(sort, context.under(allow_hidden=sort_hidden))) if sort else ()
    conditions += list_rules(context)
    return Program(tuple(conditions), order, scope)


def list_rules(context: Context) -> Iterator[Condition]:
    """Yield the list rules that joined rows must pass, where there is a row.

    Copies core/record_field_resolver.go, updateQueryWithCollectionListRule.
    """
    for row in context.visited:
        rule = row.collection.list_rule
        if rule:
            base = Row(Root(Start.BASE, row.collection, guard=row))
            guarded = context.under(base=base, allow_hidden=True)
            yield resolve.condition(f"id='' || (\n{rule}\n)", guarded)


def _sort_terms(sort: str, context: Context) -> Iterator[SortTerm]:
    """Yield the terms of a sort expression. Copies tools/search/sort.go and provider.go."""
    terms = sort.split(",")
    if len(terms) > MAX_SORT_TERMS:
        raise FilterError("max sort expressions limit reached", sort, 0, len(sort))
    start = 0
    for raw in terms:
        text = raw.strip()
        name = text[1:] if text[:1] in {"-", "+"} else text
        try:
            yield SortTerm(_sort_column(name, context), is_descending=text.startswith("-"))
        except FilterError as error:
            raise FilterError(error.message, sort, start, start + len(raw)) from None
        start += len(raw) + 1


def _sort_column(name: str, context: Context) -> Column | str:
    if len(name) > MAX_SORT_LENGTH:
        raise FilterError("max sort field length limit reached")
    if name == "@rowid" and context.scope.collection.is_view:
        raise FilterError("records of views have no rowid")
    return name if name in {"@random", "@rowid"} else resolve.sort_column(name, context)


def row_image(scope: Scope, row: Mapping[str, SQLValue]) -> tuple[str, list[SQLValue]]:
    """Return `(SELECT ? AS "id", ...) AS "posts"` for a FROM, with its parameters.

    `row` is in DB column form; fields that it lacks are NULL. Columns have the type affinity that the
    stored table has, unless `scope.is_new`, as in the reference; those of JSON have none,
    which shows only where they are compared with a text column. There is no `_rowid_`.
    """
    columns, params = [], []
    for field in scope.collection.fields:
        as_column = scope.dialect.fresh if scope.is_new else scope.dialect.typed
        value = as_column(field.column_type, Fragment("?"))
        columns.append(f"{value.text} AS {quote(field.name)}")
        found = row.get(field.name)
        # A new record is not in a NUMERIC column yet, which would make an integer of 5.0.
        params.append(float(found) if scope.is_new and field.kind == "number" and isinstance(found, int) else found)
    return f"(SELECT {', '.join(columns)}) AS {quote(scope.base)}", params
