"""Which parts of a record the one who asks may see.

Marks records before they are shown: hidden fields are for superusers; the e-mail
of an account for superusers, its owner and those whom the manage rule lets in.
Copies apis/record_helpers.go, autoResolveRecordsFlags.
"""

from __future__ import annotations

from collections.abc import Sequence

from rowcast.records.shapes import shape_of
from rowcast.rules import Rules
from rowcast.schema.collection import Collection
from rowcast.schema.jsontext import dump
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import to_row
from rowcast.storage import Reader


class Visibility:
    """Says what of a record is shown."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def mark(self, reader: Reader, records: Sequence[Record], request: RequestInfo) -> None:
        """Set `shows_hidden` and `shows_email` of stored records of one collection.

        Raises FilterError for a broken manage rule.
        """
        if not records:
            return
        if request.is_superuser:
            for record in records:
                record.shows_hidden = record.shows_email = True
            return
        collection = records[0].collection
        if collection.auth is None:
            return
        known = {request.auth.id} if request.auth is not None else set()
        if collection.auth.manage_rule:
            known |= self._managed(reader, collection, records, collection.auth.manage_rule, request)
        for record in records:
            record.shows_email = record.id in known

    def _managed(
        self, reader: Reader, collection: Collection, records: Sequence[Record], rule: str, request: RequestInfo
    ) -> set[str]:
        judge = self._rules.closure(rule, collection, request)
        if judge is not None:
            return {record.id for record in records if judge(to_row(record), request)}
        bound = self._rules.program(rule, collection, request).bind(request)
        shape = shape_of(collection, reader.dialect)
        rows = reader.rows(
            f"SELECT {shape.id} FROM {shape.table} {bound.joins}"
            f" WHERE {shape.id} IN (SELECT value FROM {reader.dialect.bound_items.format('?')}) AND ({bound.where})",
            [*bound.join_params, dump([record.id for record in records]), *bound.params],
        )
        return {str(row[0]) for row in rows}
