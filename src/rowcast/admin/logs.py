"""The log of requests as superusers read it: pages, one entry, and counts by hour.

Owns which columns may be asked for. `activity` writes what is read here. Copies
apis/logs.go and core/log_query.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rowcast import filters
from rowcast.errors import BadRequestError, FilterError, NotFoundError
from rowcast.records.pages import read_page
from rowcast.schema import dates
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fields import JSONField, NumberField, TextField
from rowcast.schema.request import RequestInfo
from rowcast.sql import Fragment, Row
from rowcast.storage import Storage, StorageError

_TABLE = Collection(
    id="_logs",
    name="_logs",
    fields=(
        *(TextField(id=name, name=name) for name in ("id", "created", "message")),
        NumberField(id="level", name="level"),
        JSONField(id="data", name="data"),
    ),
)
_DATA = '"data"'
_CATALOG = Catalog((_TABLE,))


class Logs:
    """Reads the log. Synchronous; safe to use from several threads."""

    def __init__(self, auxiliary: Storage) -> None:
        self._auxiliary = auxiliary
        self._dialect = auxiliary.dialect
        self._columns = f'"id", "created", {self._dialect.json_or_empty.format(*[_DATA] * 2)}, "message", "level"'

    def list(self, params: Mapping[str, str]) -> dict[str, object]:
        """Return a page. `params` are page, perPage, sort, filter and skipTotal. Raises BadRequestError."""
        try:
            page = read_page(params)
            bound = self._bound(params.get("filter", ""), params.get("sort", ""))
            order = f" ORDER BY {bound.order_by}" if bound.order_by else ""
            sql = f'SELECT {self._columns} FROM "_logs" WHERE {bound.where}{order} LIMIT ? OFFSET ?'
            with self._auxiliary.read() as reader:
                rows = reader.rows(sql, (*bound.params, *bound.order_params, page.size, page.offset))
                total: object = -1
                if not page.skip_total:
                    total = reader.value(f'SELECT count(*) FROM "_logs" WHERE {bound.where}', bound.params)
        except (FilterError, ValueError, StorageError) as error:
            raise BadRequestError from error
        count = total if isinstance(total, int) else 0
        return {
            "items": [_shown(row) for row in rows],
            "page": page.number,
            "perPage": page.size,
            "totalItems": count,
            "totalPages": -1 if page.skip_total else -(-count // page.size),
        }

    def view(self, log_id: str) -> dict[str, object]:
        """Return one entry. Raises NotFoundError."""
        with self._auxiliary.read() as reader:
            row = reader.row(f'SELECT {self._columns} FROM "_logs" WHERE "id" = ?', (log_id,))
        if row is None:
            raise NotFoundError
        return _shown(row)

    def stats(self, text: str) -> Sequence[dict[str, object]]:
        """Return how many entries each hour has, of those that a filter lets pass. Raises BadRequestError."""
        try:
            bound = self._bound(text)
        except (FilterError, ValueError) as error:
            raise BadRequestError("Invalid filter format.") from error
        hour = self._dialect.time_text([Fragment("'%Y-%m-%d %H:00:00'"), Fragment('"created"')]).text
        sql = f'SELECT {hour} AS "date", count("id") FROM "_logs" WHERE {bound.where} GROUP BY 1 ORDER BY 1'
        try:
            with self._auxiliary.read() as reader:
                rows = reader.rows(sql, bound.params)
        except StorageError as error:
            raise BadRequestError("Failed to generate logs stats.") from error
        return [{"date": dates.parse(str(date or "")), "total": total} for date, total in rows]

    def _bound(self, text: str, sort: str = "") -> filters.Bound:
        """Compile and bind a filter. Raises FilterError, and ValueError for one that reads more than the log."""
        parts = (filters.Part(text, is_client=True),) if text else ()
        program = filters.compile(parts, filters.Scope(_CATALOG, _TABLE, dialect=self._dialect), sort=sort)
        if not program.is_local or program.inputs - {"now"}:
            raise ValueError("only the columns of the log can be asked for")
        return program.bind(RequestInfo())


def _shown(row: Row) -> dict[str, object]:
    log_id, created, data, message, level = row
    return {
        "id": log_id,
        "created": dates.parse(str(created)),
        "data": msgspec.Raw(str(data).encode()),
        "message": message,
        "level": level,
    }
