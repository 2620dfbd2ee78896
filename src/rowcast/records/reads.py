"""Lists and views of records: the only place where rules and the filters of clients meet.

SQLite writes the JSON where it can: nothing to expand, and no manage rule that
each e-mail depends on. Else records are built and `Output` shows them. Both ways
give the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from rowcast import encoding, filters
from rowcast.errors import BadRequestError, FilterError, ForbiddenError, NotFoundError
from rowcast.filters import Bound, Part, Scope
from rowcast.records import pick
from rowcast.records.expand import parse_paths
from rowcast.records.output import Output
from rowcast.records.pages import Page, check_rule_fields, read_page
from rowcast.records.pick import Pick
from rowcast.records.shapes import Shape, Visible, shape_of
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.fields import GeoPointField, JSONField
from rowcast.schema.public import public_values
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import from_row
from rowcast.sql import SQLValue, quote
from rowcast.storage import Reader, Storage

ONLY_SUPERUSERS = "Only superusers can perform this action."


class _Look(NamedTuple):
    """How the rows of one request become JSON. `sql` is None where records must be built in Python."""

    sql: str | None
    params: list[SQLValue]
    expand: str
    pick: Pick | None


class Reads:
    """Answers lists and views."""

    def __init__(self, storage: Storage, catalog: CatalogRef, output: Output) -> None:
        self._storage = storage
        self._catalog = catalog
        self._output = output

    def list(self, request: RequestInfo, collection: Collection) -> bytes:
        """Return a page of records as JSON. Copies apis/record_crud.go, recordsList.

        Reads page, perPage, skipTotal, filter, sort, expand and fields of `request.query`.
        Raises ForbiddenError and BadRequestError.
        """
        rule = collection.list_rule
        if rule is None and not request.is_superuser:
            raise ForbiddenError(ONLY_SUPERUSERS)
        check_rule_fields(request)
        page = read_page(request.query)
        look = self._look(collection, request)
        try:
            bound = self._bind(collection, request, rule)
        except FilterError as error:
            raise BadRequestError from error
        with self._storage.read() as reader:
            items, count = self._items(reader, request, collection, bound, page, look)
            total = -1 if page.skip_total else _total(reader, shape_of(collection, reader.dialect), bound, page, count)
        pages = -1 if page.skip_total else -(-total // page.size)
        counts = (page.number, page.size, total, pages)
        return b'{"items":[%b],"page":%d,"perPage":%d,"totalItems":%d,"totalPages":%d}' % (items, *counts)

    def view(self, request: RequestInfo, collection: Collection, record_id: str) -> bytes:
        """Return one record as JSON. Copies apis/record_crud.go, recordView.

        Reads expand and fields of `request.query`. Raises ForbiddenError, NotFoundError and BadRequestError.
        """
        rule = collection.view_rule
        if rule is None and not request.is_superuser:
            raise ForbiddenError(ONLY_SUPERUSERS)
        look = self._look(collection, request)
        try:
            bound = self._bind(collection, request, rule, is_list=False)
        except FilterError as error:
            raise NotFoundError from error
        shape = shape_of(collection, self._storage.dialect)
        is_any = not bound.joins and bound.where == shape.dialect.true
        condition = f"{shape.id} = ?" if is_any else f"{shape.id} = ? AND ({bound.where})"
        source = f"FROM {shape.table} {bound.joins} WHERE {condition} LIMIT 1"
        params = [*bound.join_params, record_id, *bound.params]
        with self._storage.read() as reader:
            if look.sql is not None:
                text = reader.value(f"SELECT {look.sql} {source}", look.params + params)
                if text is None:
                    raise NotFoundError
                found = encoding.html_safe(str(text).encode())
            else:
                row = reader.row(f"SELECT {shape.columns} {source}", params)
                if row is None:
                    raise NotFoundError
                record = from_row(collection, row)
                self._output.enrich(reader, [record], request, expand=look.expand)
                found = encoding.encode(public_values(record))
        return found if look.pick is None else look.pick.apply_json(found)

    def _look(self, collection: Collection, request: RequestInfo) -> _Look:
        query = request.query
        picked = pick.parse(query.get("fields", ""))
        if picked is not None and picked.is_everything and not _has_free_json(collection, None):
            picked = None
        expand = query.get("expand", "")
        if expand and not parse_paths(expand):
            expand = ""
        shape = shape_of(collection, self._storage.dialect)
        if expand or not shape.is_json_built or (_has_manage_rule(collection) and not request.is_superuser):
            return _Look(None, [], expand, picked)
        names = picked.names if picked is not None else None
        if names is not None and not _has_free_json(collection, names):
            # What is left to SQLite is whole, so nothing remains to be picked.
            picked = None
        else:
            names = None
        if not collection.is_auth or request.is_superuser:
            return _Look(shape.json_sql(Visible(request.is_superuser, True, names)), [], expand, picked)
        return _Look(*_with_own_email(shape, request, names), expand, picked)

    def _bind(self, collection: Collection, request: RequestInfo, rule: str | None, *, is_list: bool = True) -> Bound:
        """Return rule, filter and sort of a request as SQL. Raises FilterError."""
        query = request.query
        text, sort = (query.get("filter", ""), query.get("sort", "")) if is_list else ("", "")
        parts: tuple[Part, ...] = ()
        if rule and not request.is_superuser:
            parts = (Part(rule, allow_hidden=True),)
        if text:
            parts += (Part(text, allow_hidden=request.is_superuser, is_client=True),)
        if not parts and not sort:
            return _anything(shape_of(collection, self._storage.dialect))
        auth = request.auth
        auth_collection = auth.collection if auth is not None else None
        scope = Scope(self._catalog.current, collection, auth_collection, dialect=self._storage.dialect)
        return filters.compile(parts, scope, sort, sort_hidden=request.is_superuser).bind(request)

    def _items(
        self, reader: Reader, request: RequestInfo, collection: Collection, bound: Bound, page: Page, look: _Look
    ) -> tuple[bytes, int]:
        """Return the items of a page, parted by commas, and their number."""
        shape = shape_of(collection, reader.dialect)
        chosen = shape.columns if look.sql is None else look.sql
        rows = reader.rows(
            _page_sql(shape, bound, chosen),
            [*look.params, *bound.join_params, *bound.params, *bound.order_params, page.size, page.offset],
        )
        if look.sql is not None:
            text = encoding.html_safe(",".join([row[0] for row in rows]).encode())  # type: ignore[misc]  # json_object()
        else:
            records = [from_row(collection, row) for row in rows]
            self._output.enrich(reader, records, request, expand=look.expand)
            text = encoding.encode([public_values(record) for record in records])[1:-1]
        if look.pick is not None:
            text = look.pick.apply_json(b"[%b]" % text)[1:-1]
        return text, len(rows)


def _page_sql(shape: Shape, bound: Bound, chosen: str) -> str:
    """Return the SELECT of a page of rows; its last parameters are limit and offset."""
    distinct, together = "", ""
    if bound.distinct and shape.dialect.groups:
        # Behind the key of a table PostgreSQL leaves out the rest; an adopted one is a view, which has no key.
        number = "" if shape.collection.is_view else f",{shape.order}"
        together = f" GROUP BY {shape.columns}{number}"
    elif bound.distinct:
        distinct = "DISTINCT "
    order = f" ORDER BY {bound.order_by}" if bound.order_by else ""
    source = f"FROM {shape.table} {bound.joins} WHERE {bound.where}{together}{order} LIMIT ? OFFSET ?"
    if shape.collection.is_view or shape.dialect.groups or not (distinct or order):
        return f"SELECT {distinct}{chosen} {source}"
    # First which rows, then what is in them: else SQLite makes the JSON of every row that it sorts.
    # The cross join keeps the order of its left side.
    return (
        f'SELECT {chosen} FROM (SELECT {distinct}{shape.id} AS "id" {source}) AS "@page"'
        f' CROSS JOIN {shape.table} ON {shape.id} = "@page"."id"'
    )


def _anything(shape: Shape) -> Bound:
    """Return what limits nothing."""
    return Bound(
        where=shape.dialect.true,
        params=[],
        joins="",
        join_params=[],
        order_by=shape.order,
        order_params=[],
        distinct=False,
    )


def _has_manage_rule(collection: Collection) -> bool:
    return collection.auth is not None and bool(collection.auth.manage_rule)


def _has_free_json(collection: Collection, names: frozenset[str] | None) -> bool:
    """Whether one of these fields has a JSON text of its own, which picking writes anew."""
    return any(
        isinstance(field, JSONField | GeoPointField) and (names is None or field.name in names)
        for field in collection.fields
    )


def _with_own_email(shape: Shape, request: RequestInfo, names: frozenset[str] | None) -> tuple[str, list[SQLValue]]:
    """Return the JSON of accounts for somebody who sees the e-mail of some of them, with its parameters."""
    without = shape.json_sql(Visible(False, False, names))
    full = shape.json_sql(Visible(False, True, names))
    field = shape.collection.field("emailVisibility")
    if full == without or field is None:
        return without, []
    condition = f"{field.json_sql(f'{shape.table}.{quote(field.name)}')} = 'true'"
    params: list[SQLValue] = []
    if request.auth is not None:
        condition, params = f"{condition} OR {shape.id} = ?", [request.auth.id]
    return f"CASE WHEN {condition} THEN {full} ELSE {without} END", params


def _total(reader: Reader, shape: Shape, bound: Bound, page: Page, count: int) -> int:
    """Return how many records match; a page that isn't full tells it without counting."""
    if count < page.size and (count or page.number == 1):
        return page.offset + count
    counted = f"COUNT(DISTINCT {shape.id})" if bound.distinct else "COUNT(*)"
    total = reader.value(
        f"SELECT {counted} FROM {shape.table} {bound.joins} WHERE {bound.where}", [*bound.join_params, *bound.params]
    )
    return total if isinstance(total, int) else 0
