"""Relations of records, expanded along paths like `author.team,comments_via_post`.

One query for each relation of each level. A related record is there only if the
view rule of its collection lets the one who asks see it, judged in the context
"expand". Copies core/record_query_expand.go and apis/record_helpers.go,
expandFetch. What can't be expanded is left out and is never an error. Unlike in the
reference, so is a step after which an answer would show hundreds of thousands of
records: records that all relate to each other would fill the memory within a few levels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rowcast.errors import FilterError
from rowcast.records.shapes import shape_of
from rowcast.records.visibility import Visibility
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.fields import RelationField
from rowcast.schema.indexes import unique_index
from rowcast.schema.jsontext import dump
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import from_row
from rowcast.sql import Fragment, quote
from rowcast.storage import Reader

_MOST_LEVELS = 6
_MOST_BACK_RELATED = 1000
"""How many records that point to one record are expanded."""
_MOST_SHOWN = 200_000
"""How many records one step adds to an answer, those below them and repeated ones counted."""

_BACK_RELATION = re.compile(r"(\w+)_via_(\w+)", re.ASCII)
_OLD_BACK_RELATION = re.compile(r"(\w+)\((\w+)\)", re.ASCII)

Tree = dict[str, "Tree"]


@dataclass(frozen=True, slots=True)
class _Related:
    """What one step of a path leads to: for each record the ids of related ones."""

    collection: Collection
    is_multiple: bool
    ids: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class _Walk:
    """One call of `expand`. `sizes` holds how many records are shown where one with relations is, by its identity."""

    reader: Reader
    request: RequestInfo
    sizes: dict[int, int]


class Expander:
    """Expands records in place."""

    def __init__(self, catalog: CatalogRef, rules: Rules, visibility: Visibility) -> None:
        self._catalog = catalog
        self._rules = rules
        self._visibility = visibility

    def expand(self, reader: Reader, records: Sequence[Record], paths: str, request: RequestInfo) -> None:
        """Set the `expand` of records of one collection, along paths parted by commas."""
        tree = parse_paths(paths)
        if tree:
            self._expand_tree(_Walk(reader, replace(request, context="expand"), {}), records, tree, 1)

    def _expand_tree(self, walk: _Walk, records: Sequence[Record], tree: Tree, level: int) -> bool:
        """Expand all steps of `tree`; False where none of them leads anywhere (then the step before counts neither)."""
        if level > _MOST_LEVELS or not records:
            return True
        done = [self._expand_step(walk, records, name, below, level) for name, below in tree.items()]
        return any(done)

    def _expand_step(self, walk: _Walk, records: Sequence[Record], name: str, below: Tree, level: int) -> bool:
        related = self._related(walk.reader, records, name)
        if related is None:
            return False
        try:
            found = self._fetch(walk.reader, related, walk.request)
        except FilterError:
            return False
        if found is None or (below and not self._expand_tree(walk, found, below, level + 1)):
            return False
        by_id = {record.id: record for record in found}
        here = [[by_id[related_id] for related_id in ids if related_id in by_id] for ids in related.ids]
        sizes = [sum([walk.sizes.get(id(one), 1) for one in some]) for some in here]
        if sum(sizes) > _MOST_SHOWN:
            return False
        for record, some, size in zip(records, here, sizes, strict=True):
            if record.expand is None:
                record.expand = {}
            if some:
                record.expand[name] = some if related.is_multiple else some[0]
                walk.sizes[id(record)] = walk.sizes.get(id(record), 1) + size
        return True

    def _related(self, reader: Reader, records: Sequence[Record], name: str) -> _Related | None:
        collection = records[0].collection
        back = _BACK_RELATION.fullmatch(name) or _OLD_BACK_RELATION.fullmatch(name)
        if back is not None:
            return self._back_related(reader, records, back[1], back[2])
        field = collection.field(name)
        target = self._catalog.current.find(field.collection_id) if isinstance(field, RelationField) else None
        if field is None or target is None:
            return None
        return _Related(target, field.is_multiple, [record.texts(name) for record in records])

    def _back_related(
        self, reader: Reader, records: Sequence[Record], collection_name: str, field_name: str
    ) -> _Related | None:
        source = self._catalog.current.find(collection_name)
        field = source.field(field_name) if source is not None else None
        if source is None or not isinstance(field, RelationField) or field.collection_id != records[0].collection.id:
            return None
        ids = _pointing_ids(reader, source, field, [record.id for record in records])
        is_multiple = unique_index(source.indexes, field_name) is None
        return _Related(source, is_multiple, [ids.get(record.id, ()) for record in records])

    def _fetch(self, reader: Reader, related: _Related, request: RequestInfo) -> list[Record] | None:
        """Return the related records that may be seen, None where the collection is for superusers only."""
        collection = related.collection
        rule = "" if request.is_superuser else collection.view_rule
        if rule is None:
            return None
        ids = dict.fromkeys(related_id for ids in related.ids for related_id in ids)
        if not ids:
            return []
        if len(ids) > _MOST_SHOWN:
            return None
        shape = shape_of(collection, reader.dialect)
        sql = f"{shape.columns} FROM {shape.table}"
        condition = f"{shape.id} IN (SELECT value FROM {reader.dialect.bound_items.format('?')})"
        if rule:
            bound = self._rules.program(rule, collection, request).bind(request)
            sql = f"{'DISTINCT ' if bound.distinct else ''}{sql} {bound.joins} WHERE {condition} AND ({bound.where})"
            rows = reader.rows(f"SELECT {sql}", [*bound.join_params, dump(list(ids)), *bound.params])
        else:
            rows = reader.rows(f"SELECT {sql} WHERE {condition}", [dump(list(ids))])
        records = [from_row(collection, row) for row in rows]
        self._mark(reader, records, request)
        return records

    def _mark(self, reader: Reader, records: list[Record], request: RequestInfo) -> None:
        try:
            self._visibility.mark(reader, records, request)
        except FilterError:
            return


def _pointing_ids(reader: Reader, source: Collection, field: RelationField, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return for each of `ids` the ids of the records of `source` that point to it, oldest rows first."""
    table, column = quote(source.name), f"{quote(source.name)}.{quote(field.name)}"
    wanted = f"(SELECT value FROM {reader.dialect.bound_items.format('?')})"
    if field.is_multiple:
        sources = f'{table}, {reader.dialect.items(Fragment(column)).text} "each"'
        sql = f'SELECT "each".value, {table}."id" FROM {sources} WHERE "each".value IN {wanted}'
    else:
        sql = f'SELECT {column}, {table}."id" FROM {table} WHERE {column} IN {wanted}'
    order = "" if source.is_view else reader.dialect.natural_order.format(table)
    sql += order and f" ORDER BY {order}"
    most = min(_MOST_BACK_RELATED * len(ids), _MOST_SHOWN + 1)
    rows = reader.rows(f"{sql} LIMIT {most}", [dump(list(ids))])
    if len(rows) == most and len(ids) > 1:
        # One record may have taken the share of the others.
        rows = []
        for one in ids:
            rows += reader.rows(f"{sql} LIMIT {_MOST_BACK_RELATED}", [dump([one])])
            if len(rows) > _MOST_SHOWN:
                break
    pointing: dict[str, list[str]] = {}
    for target, source_id in rows:
        found = pointing.setdefault(str(target), [])
        if len(found) < _MOST_BACK_RELATED and source_id not in found[-1:]:
            found.append(str(source_id))
    return pointing


def parse_paths(text: str) -> Tree:
    """Return the paths of an `expand` parameter as a tree, without blanks and empty steps at their ends."""
    tree: Tree = {}
    for path in _clean(text.split(",")):
        node = tree
        for step in path.split("."):
            node = node.setdefault(step, {})
    return tree


def _clean(paths: Iterable[str]) -> Iterable[str]:
    return filter(None, (path.replace(" ", "").strip(".") for path in paths))
