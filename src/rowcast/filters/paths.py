"""Paths over relations to the column at their end.

    path    = { hop "." } field [ ":" modifier ]
    hop     = relation field | collection "_via_" relation field
    field   = any field | json or geoPoint field { "." key or index }

Copies core/record_field_resolver_runner.go, processActiveProps and
finalizeActivePropsProcessing. At most 6 hops.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from rowcast.errors import FilterError
from rowcast.filters.model import NULL, Column, Hop, Modifier, Operand, Row
from rowcast.filters.scope import Scope
from rowcast.schema.collection import Collection
from rowcast.schema.fields import Field, RelationField
from rowcast.schema.indexes import parse_index
from rowcast.schema.jsontext import go_quote

MAX_HOPS = 6
LIST_KINDS = frozenset(("select", "file", "relation"))

_VIA = re.compile(r"(\w+)_via_(\w+)", re.ASCII)
_KEY = re.compile(r"\w+", re.ASCII)
_INDEX = re.compile(r"[0-9]{1,18}", re.ASCII)
_MODIFIERS = frozenset(("each", "isset", "length", "lower", "changed"))
_EMAIL = "email"


@dataclass(slots=True)
class Context:
    """What a text is resolved against; the texts of one statement share `visited` and `aliases`.

    `base` is the row that plain names start at. `visited` holds the joined rows
    that must pass the list rule of their collection, in order.
    """

    scope: Scope
    base: Row
    allow_hidden: bool = True
    visited: dict[Row, None] = field(default_factory=dict)
    aliases: dict[tuple[Row | None, str], Collection] = field(default_factory=dict)

    @property
    def guard(self) -> Row | None:
        """The row whose list rule this is, or None."""
        return self.base.root.guard

    def find(self, name_or_id: str) -> Collection | None:
        """Return a collection; the base collection may be one that isn't saved yet."""
        base = self.scope.collection
        return base if name_or_id in {base.name, base.id} else self.scope.catalog.find(name_or_id)

    def visit(self, row: Row) -> Row:
        """Note that `row` is joined. Copies core/record_field_resolver.go, registerJoin."""
        if not self.allow_hidden:
            if row.collection.list_rule is None:
                raise not_listable(row.collection)
            self.visited[row] = None
        return row

    def under(self, **changes: object) -> Context:
        """Return a context for another text of the same statement."""
        return replace(self, **changes)  # type: ignore[arg-type]


def not_listable(collection: Collection) -> FilterError:
    """Return the error for rows that only superusers may list."""
    return FilterError(
        f"{go_quote(collection.name)} fields can be accessed only when allowHiddenFields is enabled or by superusers"
    )


def split_modifier(prop: str) -> tuple[str, str]:
    """Return name and modifier of "name:modifier"; with more or no colons there is no modifier."""
    parts = prop.split(":")
    if len(parts) != 2:
        return prop, ""
    if parts[1] not in _MODIFIERS:
        raise FilterError(f"unknown modifier in {go_quote(prop)}")
    return parts[0], parts[1]


def walk(
    row: Row, props: tuple[str, ...], context: Context, *, is_request: bool = False, is_many: bool = False
) -> Operand:
    """Return the column that `props` lead to from `row`.

    What is missing is NULL in `@request` paths and a FilterError in others.
    """
    for index, prop in enumerate(props[:-1]):
        found = row.collection.field(prop)
        if found is not None:
            _check_visible(found, context)
            if found.kind in {"json", "geoPoint"}:
                return Column(row, found, path=_json_path(props[index + 1 :]), is_many=is_many)
        if index >= MAX_HOPS:
            raise FilterError(f"max nested relations reached for field {go_quote(prop)}")
        if found is None:
            hop = _back_hop(row, prop, context)
            if isinstance(hop, FilterError):
                if is_request:
                    return NULL
                raise hop
            is_many = is_many or not hop.is_unique
        else:
            hop = _hop(found, context)
            if not found.is_multiple and props[index + 1 :] == ("id",):
                return Column(row, found, is_many=is_many)
            is_many = is_many or found.is_multiple
        row = context.visit(Row(row.root, (*row.hops, hop)))
    return _last(row, props[-1], context, is_request=is_request, is_many=is_many)


def _last(row: Row, prop: str, context: Context, *, is_request: bool, is_many: bool) -> Operand:
    name, modifier = split_modifier(prop)
    found = row.collection.field(name)
    if found is None:
        if is_request:
            return NULL
        raise FilterError(f"unknown field {go_quote(name)}")
    _check_visible(found, context)
    if found.kind in LIST_KINDS and modifier in {"length", "each"}:
        kept: Modifier = "length" if modifier == "length" else "each"
        return Column(row, found, kept, is_many=is_many or (kept == "each" and found.is_multiple))
    return Column(
        row,
        found,
        "lower" if modifier == "lower" else "",
        path="$" if found.kind == "json" else "",
        is_many=is_many,
        is_guarded=name == _EMAIL and not context.allow_hidden and row.collection.is_auth,
    )


def _check_visible(found: Field, context: Context) -> None:
    if found.hidden and not context.allow_hidden:
        raise FilterError(f"non-filterable field {go_quote(found.name)}")


def _hop(found: Field, context: Context) -> Hop:
    if not isinstance(found, RelationField):
        raise FilterError(f"field {go_quote(found.name)} is not a valid relation")
    collection = context.find(found.collection_id)
    if collection is None:
        raise FilterError(f"failed to load field {go_quote(found.name)} collection")
    return Hop(found, collection)


def _back_hop(row: Row, prop: str, context: Context) -> Hop | FilterError:
    """Return the hop of "posts_via_author", or why there is none."""
    parts = _VIA.fullmatch(prop)
    if parts is None:
        return FilterError(f"failed to resolve field {go_quote(prop)}")
    collection = context.find(parts[1])
    if collection is None:
        return FilterError(f"failed to load back relation field {go_quote(prop)} collection")
    found = collection.field(parts[2])
    if not isinstance(found, RelationField):
        what = "missing" if found is None else "invalid"
        return FilterError(f"{what} back relation field {go_quote(parts[2])}")
    _check_visible(found, context)
    if found.collection_id != row.collection.id or (row.is_base and context.scope.is_new):
        return FilterError(f"invalid collection reference of a back relation field {go_quote(found.name)}")
    is_single = not found.is_multiple and _is_unique(collection, found.name)
    return Hop(found, collection, is_back=True, is_unique=is_single)


def _is_unique(collection: Collection, column: str) -> bool:
    """Whether a unique index covers this column alone; conditions of indexes are not minded, as in the reference."""
    indexes = (parse_index(text) for text in collection.indexes)
    return any(
        index.is_unique and len(index.columns) == 1 and index.columns[0].name.lower() == column.lower()
        for index in indexes
    )


def _json_path(keys: tuple[str, ...]) -> str:
    """Return the path of `keys` inside a JSON value: word characters and indexes only."""
    path = "$"
    for raw in keys:
        key = raw.replace(":", "")
        if _INDEX.fullmatch(key):
            path += f"[{int(key)}]"
        elif _KEY.fullmatch(key):
            path += f".{key}"
        else:
            raise FilterError(f"invalid JSON path {go_quote('.'.join(keys))}")
    return path
