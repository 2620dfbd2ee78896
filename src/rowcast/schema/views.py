"""What the query of a view collection selects: which columns, from which collections.

Owns the loose reading of a SELECT by which the fields of a view get their kinds,
as the reference does it (core/view.go): words are sorted into columns and tables
without a grammar of SQL, so that the same query gives the same fields. Pure: which
columns there really are, SQLite says (see `admin.views`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from rowcast.schema import defaults
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fields import BoolField, Field, FileField, JSONField, NumberField, RelationField, TextField
from rowcast.schema.generate import random_text
from rowcast.schema.sqltext import split

_COMMENT = re.compile(r"/\*[\s\S]*?(?:\*/|\Z)|--.+$", re.MULTILINE)
_BLANKS = re.compile(r"""('[^']*'|"[^"]*"|`[^`]*`)|\s{2,}""", re.ASCII)
_JOIN = re.compile(
    r"\s+(full\s+outer\s+join|left\s+outer\s+join|right\s+outer\s+join|full\s+join|cross\s+join|inner\s+join"
    r"|outer\s+join|left\s+join|right\s+join|join)\s+?",
    re.IGNORECASE | re.ASCII,
)
_REST = re.compile(r"\s+(where|group\s+by|having|order|limit|with)\s+?", re.IGNORECASE | re.ASCII)
_CAST = re.compile(r"cast\s*\(.*\s+as\s+(\w+)\s*\)", re.DOTALL | re.ASCII)

_MAX_DEPTH = 5
"""How many views over views a file is followed through."""


class ViewQueryError(ValueError):
    """A query that can't be the query of a view collection; the text is for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Named:
    """A column or table as it is written, and the name under which it is known."""

    source: str
    alias: str


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """A column of a view: its field and, where it is one of a collection, which field that is."""

    field: Field
    collection: Collection | None = None
    origin: Field | None = None


def id_field() -> TextField:
    """Return the field `id` of a view."""
    return TextField(name="id", system=True, required=True, primary_key=True, pattern=defaults.ID_PATTERN)


def plain_field(name: str) -> Field:
    """Return the field of a column of which nothing is known."""
    return id_field() if name == "id" else JSONField(name=name, max_size=1)


def trim_query(query: str) -> str:
    """Return a query without blanks and semicolons around it."""
    return query.strip().strip(";")


def view_columns(query: str, catalog: Catalog) -> dict[str, ViewColumn]:
    """Return what is known of the columns of a query, by their names. Raises ViewQueryError.

    Copies core/view.go, parseQueryToFields. A field that is copied from a
    collection gets a random id, as one field may be selected more than once.
    """
    columns, tables = parse(query)
    collections = _collections(tables, catalog)
    main = tables[0].alias if tables else ""
    return {column.alias: _view_column(column, main, collections) for column in columns}


def file_origin(view: Collection, field: str, catalog: Catalog) -> tuple[Collection, Field] | None:
    """Return the collection and the field to which the files of a view's field belong.

    Follows views over views. Copies core/view.go, FindRecordByViewFile.
    """
    for _ in range(_MAX_DEPTH):
        if view.view is None:
            return None
        try:
            column = view_columns(view.view.view_query, catalog).get(field)
        except ViewQueryError:
            return None
        if column is None or column.collection is None or not isinstance(column.origin, FileField):
            return None
        if not column.collection.is_view:
            return column.collection, column.origin
        view, field = column.collection, column.origin.name
    return None


def parse(query: str) -> tuple[list[Named], list[Named]]:
    """Return the columns and the tables of a query. Raises ViewQueryError.

    Copies core/view.go, identifiersParser: words up to FROM are columns, those
    behind FROM and JOIN tables; what follows ON, WHERE, GROUP BY, ... is skipped.
    """
    text = _COMMENT.sub(" ", trim_query(query))
    # Long runs of blanks would make the patterns below slow.
    text = _BLANKS.sub(lambda match: match[1] or " ", text)
    text = _REST.sub(" __pb_discard__ ", _JOIN.sub(" __pb_join__ ", text))
    parts: dict[str, list[str]] = {"select": [], "from": [], "join": []}
    part = ""
    skips = False
    for word in _split(text, ", \n\t", keep=True):
        match word.strip().lower():
            case "select" | "from" as part:
                skips = False
            case "distinct":
                pass
            case "__pb_join__":
                if part == "join":
                    parts["join"].append(",")
                part, skips = "join", False
            case "__pb_discard__":
                skips = True
            case plain:
                skips = skips or (part == "join" and plain == "on")
                if part and not skips:
                    parts[part].append(f" {word}")
    columns, tables, joined = (_identifiers("".join(words)) for words in parts.values())
    return columns, tables + joined


def _split(text: str, separators: str, *, keep: bool = False) -> list[str]:
    try:
        return split(text, separators, keep=keep)
    except ValueError as error:
        raise ViewQueryError(str(error)) from error


def _identifiers(text: str) -> list[Named]:
    return [_identifier(_split(part, " \n\t")) for part in _split(text, ",")]


def _identifier(words: list[str]) -> Named:
    match words:
        case [source, separator, alias]:
            if separator.lower() != "as":
                raise ViewQueryError(f'invalid identifier part - expected "as", got {separator}')
        case [source, alias]:
            pass
        case [source]:
            alias = source.rpartition(".")[2]
        case _:
            raise ViewQueryError(f"invalid identifier parts [{' '.join(words)}]")
    return Named(_bare(source), _bare(alias, "'"))


def _bare(name: str, also: str = "") -> str:
    return ".".join(part.strip('`"[];' + also) for part in name.split("."))


def _collections(tables: Iterable[Named], catalog: Catalog) -> dict[str, Collection]:
    """Return the collections among the tables, by alias; their names count in their exact letters."""
    found: dict[str, Collection] = {}
    for table in tables:
        collection = catalog.find(table.source)
        if collection is not None and collection.name == table.source:
            found[table.alias] = collection
    return found


def _view_column(column: Named, main: str, collections: dict[str, Collection]) -> ViewColumn:
    name = column.alias
    if name == "*":
        raise ViewQueryError(
            "wildcard columns (*) are not supported - manually type the collection field names you want the view "
            "query to have"
        )
    if name == "id":
        return ViewColumn(id_field())
    computed = _computed_field(name, column.source.lower())
    if computed is not None:
        return ViewColumn(computed)
    parts = column.source.split(".")
    table, field = parts if len(parts) == 2 else (main, parts[0])
    collection = collections.get(table)
    if collection is None:
        return ViewColumn(plain_field(name))
    origin = next((f for f in collection.fields if f.name.lower() == field.lower()), None)
    if origin is None:
        return ViewColumn(plain_field(name), collection)
    if field.lower() == "id":
        return ViewColumn(RelationField(name=name, max_select=1, collection_id=collection.id), collection)
    clone = msgspec.structs.replace(origin, id=f"_clone_{random_text(4)}", name=name)
    return ViewColumn(clone, collection, origin)


def _computed_field(name: str, source: str) -> Field | None:
    """Return the field of a count, a total or a cast."""
    if source.startswith("count("):
        return NumberField(name=name, only_int=True)
    if source.startswith("total("):
        return NumberField(name=name)
    cast = _CAST.fullmatch(source)
    match cast[1] if cast else "":
        case "real" | "decimal" | "numeric":
            return NumberField(name=name)
        case "int" | "integer":
            return NumberField(name=name, only_int=True)
        case "text":
            return TextField(name=name)
        case "boolean" | "bool":
            return BoolField(name=name)
    return None
