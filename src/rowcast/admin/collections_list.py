"""The list of collections: filter, sort and pages over a few columns of `_collections`.

Owns which columns may be asked for and the limits of tools/search/provider.go.
The collections themselves come from the catalog; the query only says which, in
which order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rowcast import filters
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fields import BoolField, TextField
from rowcast.schema.request import RequestInfo
from rowcast.storage import Reader

DEFAULT_PER_PAGE = 30
MAX_PER_PAGE = 1000
MAX_SORT_TERMS = 8
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))

_TABLE = Collection(
    id="_collections",
    name="_collections",
    fields=(
        *(TextField(id=name, name=name) for name in ("id", "created", "updated", "name", "type")),
        BoolField(id="system", name="system"),
    ),
)
_CATALOG = Catalog((_TABLE,))


@dataclass(frozen=True, slots=True)
class Page:
    """Some collections. Totals are -1 where they were not asked for."""

    collections: list[Collection]
    page: int
    per_page: int
    total_items: int
    total_pages: int


def list_collections(reader: Reader, catalog: Catalog, params: Mapping[str, str]) -> Page:
    """Return the collections that a query string asks for.

    `params` are page, perPage, sort, filter and skipTotal. Raises ValueError for a
    number that is none, FilterError for a filter or a sort term.
    """
    page = max(int(params.get("page") or 1), 1)
    per_page = int(params.get("perPage") or DEFAULT_PER_PAGE)
    per_page = min(per_page, MAX_PER_PAGE) if per_page > 0 else DEFAULT_PER_PAGE
    skips_total = _flag(params.get("skipTotal") or "false")
    program = filters.compile(
        (filters.Part(params["filter"], is_client=True),) if params.get("filter") else (),
        filters.Scope(_CATALOG, _TABLE, dialect=reader.dialect),
        sort=params.get("sort") or "",
    )
    if not program.is_local or program.inputs - {"now"}:
        raise ValueError("only the columns of the collections can be asked for")
    bound = program.bind(RequestInfo())
    order = f" ORDER BY {bound.order_by}" if bound.order_by else ""
    # Without an index the rows come in the order in which they were added.
    table = f'"_collections"{reader.dialect.not_indexed}'
    rows = reader.rows(
        f'SELECT "_collections"."id" FROM {table} WHERE {bound.where}{order} LIMIT ? OFFSET ?',
        (*bound.params, *bound.order_params, per_page, min(per_page * (page - 1), 2**62)),
    )
    found = [collection for (id,) in rows if (collection := catalog.find(str(id))) is not None]
    if skips_total:
        return Page(found, page, per_page, -1, -1)
    total = reader.value(f'SELECT count(*) FROM "_collections" WHERE {bound.where}', bound.params)
    count = total if isinstance(total, int) else 0
    return Page(found, page, per_page, count, -(-count // per_page))


def _flag(text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise ValueError(f"{text!r} is neither true nor false")
    return text in _TRUE
