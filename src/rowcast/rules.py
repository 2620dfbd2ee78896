"""Rules: may this request see, create, change or delete this record?

The evaluator is chosen here: a Python closure where the rule needs nothing but
the record and the request, else SQL over the row image, so that a record is
judged as it is given, stored or not. Null rules are for superusers only, empty
ones for everybody. Whoever calls says which rule is asked; nothing here knows
what it guards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rowcast import filters
from rowcast.filters import Part, Program, Scope
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import to_row
from rowcast.sql import Input, SQLValue, quote
from rowcast.storage import Reader

Row = Mapping[str, SQLValue]
Closure = Callable[[Row, RequestInfo], bool]

_MOST_JUDGES = 4_000
"""Clients can send any number of different filters; when so many are kept, all are dropped."""


@dataclass(frozen=True, slots=True)
class RuleReads:
    """What the outcome of a rule may depend on, besides the record.

    `auth`: which account of its collection asks. `options`: the query and the headers. `rows`: other rows.
    """

    auth: bool
    options: bool
    rows: bool


@dataclass(frozen=True, slots=True)
class _Reach:
    """What gives the texts of which an account must have one as `name` for a rule to hold."""

    name: str
    value: str
    joins: str
    params: tuple[SQLValue, ...]


@dataclass(frozen=True, slots=True)
class _Judge:
    """One text compiled for one collection, kind of account and use."""

    scope: Scope
    program: Program
    closure: Closure | None
    reads: RuleReads
    owners: tuple[filters.AuthEquality, ...]
    reach: _Reach | None


class Rules:
    """Judges records. Safe to use from several threads."""

    def __init__(self, catalog: CatalogRef) -> None:
        self._catalog = catalog
        self._judges: dict[tuple[object, ...], _Judge] = {}
        self._version = 0

    def allows(
        self,
        reader: Reader,
        rule: str | None,
        record: Record,
        request: RequestInfo,
        *,
        is_new: bool = False,
        row: Row | None = None,
    ) -> bool:
        """Whether `rule` lets `request` do what it guards with `record`, as it stands in memory.

        `is_new` says that the record is not stored yet. `row` is `to_row(record)`, for
        who asks more than once. Copies core/record_query.go, CanAccessRecord. Raises FilterError.
        """
        if request.is_superuser:
            return True
        if not rule:
            return rule is not None
        judge = self._judge(rule, record.collection, request, is_new=is_new)
        return _judge_image(reader, judge, record, request, row)

    def matches(
        self, reader: Reader, text: str, record: Record, request: RequestInfo, *, row: Row | None = None
    ) -> bool:
        """Whether `record` matches the filter of a client; hidden fields can't be named. Raises FilterError."""
        if not text:
            return True
        judge = self._judge(text, record.collection, request, is_filter=True)
        return _judge_image(reader, judge, record, request, row)

    def holds(
        self, reader: Reader, rule: str, collection: Collection, record_id: str, request: RequestInfo, *, row: Row
    ) -> bool:
        """Whether a stored record matches a rule that isn't empty, whoever asks. Raises FilterError."""
        judge = self._judge(rule, collection, request)
        if judge.closure is not None:
            return judge.closure(row, request)
        bound = judge.program.bind(request)
        table = quote(collection.name)
        found = reader.row(
            f'SELECT 1 FROM {table} {bound.joins} WHERE {table}."id" = ? AND ({bound.where}) LIMIT 1',
            [*bound.join_params, record_id, *bound.params],
        )
        return found is not None

    def allow_each(
        self,
        reader: Reader,
        text: str,
        record: Record,
        requests: Sequence[RequestInfo],
        *,
        row: Row,
        is_filter: bool = False,
    ) -> set[int]:
        """Return the places of those `requests` that a rule or, with `is_filter`, a filter lets see `record`.

        The requests are of accounts of one collection and none of a superuser. What
        needs SQL is asked for all of them together. Raises FilterError.
        """
        if not requests:
            return set()
        judge = self._judge(text, record.collection, requests[0], is_filter=is_filter)
        if judge.closure is not None:
            holds = judge.closure
            return {place for place, request in enumerate(requests) if holds(row, request)}
        source, params = filters.row_image(judge.scope, row)
        allowed: set[int] = set()
        for places, bound in judge.program.bind_sets(requests):
            found = reader.rows(
                f"{bound.table} SELECT DISTINCT {bound.number} FROM {source} {bound.joins} WHERE {bound.where}",
                [*bound.table_params, *params, *bound.params],
            )
            allowed.update(places[int(number or 0)] for (number,) in found)
        return allowed

    def owners(
        self, text: str, collection: Collection, auth_collection: Collection | None
    ) -> tuple[filters.AuthEquality, ...]:
        """Return the conditions `field = @request.auth.<name>` without which a rule can't hold. Raises FilterError."""
        return self._compiled(text, collection, auth_collection, is_new=False, is_filter=False).owners

    def reached(
        self, reader: Reader, text: str, record: Record, auth_collection: Collection | None, *, row: Row, most: int
    ) -> tuple[str, set[str]] | None:
        """Return the name of a text of the account, and the values of which it must have one for a rule to hold.

        They are found behind the relations of `record`; an account whose text is empty is left to the rule. None
        where the rule asks for no such thing, or there are more than `most`. Raises FilterError.
        """
        judge = self._compiled(text, record.collection, auth_collection, is_new=False, is_filter=False)
        reach = judge.reach
        if reach is None:
            return None
        source, params = filters.row_image(judge.scope, row)
        found = reader.rows(
            f"SELECT DISTINCT {reach.value} FROM {source} {reach.joins} LIMIT ?", [*params, *reach.params, most + 1]
        )
        if len(found) > most:
            return None
        return reach.name, {value for (value,) in found if isinstance(value, str)}

    def reads(
        self, text: str, collection: Collection, auth_collection: Collection | None, *, is_filter: bool = False
    ) -> RuleReads:
        """Return what a rule or, with `is_filter`, the filter of a client reads. Raises FilterError."""
        return self._compiled(text, collection, auth_collection, is_new=False, is_filter=is_filter).reads

    def closure(self, rule: str, collection: Collection, request: RequestInfo) -> Closure | None:
        """Return a rule as a function of a row and the request, None where it needs SQL. Raises FilterError."""
        return self._judge(rule, collection, request).closure

    def program(self, rule: str, collection: Collection, request: RequestInfo) -> Program:
        """Return a rule compiled for statements over the table of `collection`. Raises FilterError."""
        return self._judge(rule, collection, request).program

    def _judge(
        self, text: str, collection: Collection, request: RequestInfo, *, is_new: bool = False, is_filter: bool = False
    ) -> _Judge:
        auth_collection = request.auth.collection if request.auth is not None else None
        return self._compiled(text, collection, auth_collection, is_new=is_new, is_filter=is_filter)

    def _compiled(
        self, text: str, collection: Collection, auth_collection: Collection | None, *, is_new: bool, is_filter: bool
    ) -> _Judge:
        catalog, judges = self._catalog.current, self._judges
        if catalog.version != self._version or len(judges) > _MOST_JUDGES:
            # A new dictionary, since another thread may be filling the old one. The version stands
            # in the keys too: only to drop what is old would leave a race between threads.
            judges = self._judges = {}
            self._version = catalog.version
        key = (catalog.version, text, collection, auth_collection, is_new, is_filter)
        judge = judges.get(key)
        if judge is None:
            scope = Scope(catalog, collection, auth_collection, is_new=is_new, dialect=self._catalog.dialect)
            judge = judges[key] = _compile(text, scope, is_filter)
        return judge


def _compile(text: str, scope: Scope, is_filter: bool) -> _Judge:
    part = Part(text, allow_hidden=not is_filter, is_client=is_filter)
    program = filters.compile((part,), scope)
    return _Judge(
        scope=scope,
        program=program,
        closure=filters.closure(text, scope, allow_hidden=not is_filter),
        reads=RuleReads(
            auth=program.reads_auth,
            options=any(key.startswith(("query.", "headers.")) for key in program.inputs),
            rows=not program.is_local,
        ),
        owners=() if is_filter else filters.auth_equalities(text, scope),
        reach=None if is_filter else _reach(text, scope),
    )


def _reach(text: str, scope: Scope) -> _Reach | None:
    for reach in filters.auth_reaches(text, scope):
        found = filters.reached(reach.column, scope)
        params = (*found.value.params, *found.joins.params)
        if not found.value.params and not any(isinstance(param, Input) for param in params):
            values = [param for param in params if not isinstance(param, Input)]
            return _Reach(reach.name, found.value.text, found.joins.text, tuple(values))
    return None


def _judge_image(reader: Reader, judge: _Judge, record: Record, request: RequestInfo, row: Row | None) -> bool:
    if row is None:
        row = to_row(record)
    if judge.closure is not None:
        return judge.closure(row, request)
    source, params = filters.row_image(judge.scope, row)
    bound = judge.program.bind(request)
    found = reader.row(
        f"SELECT 1 FROM {source} {bound.joins} WHERE {bound.where} LIMIT 1",
        [*params, *bound.join_params, *bound.params],
    )
    return found is not None
