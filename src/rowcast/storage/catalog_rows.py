"""Collections as rows of `_collections`, in the form that the reference writes them.

Owns the JSON of the columns `fields`, `indexes` and `options`: the objects of
`fields` have their keys in alphabetical order, those of `options` in the order of
the structs. Knows nothing of the tables that hold the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from rowcast import encoding
from rowcast.config import without_nulls
from rowcast.errors import DataDirError
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import AuthOptions, Collection, ViewOptions
from rowcast.schema.fields import AnyField, Field
from rowcast.sql import SQLValue, quote
from rowcast.storage import Reader, Row, Transaction

_COLUMNS = (
    "id",
    "system",
    "type",
    "name",
    "fields",
    "indexes",
    "listRule",
    "viewRule",
    "createRule",
    "updateRule",
    "deleteRule",
    "options",
    "created",
    "updated",
)
_NAMES = [quote(column) for column in _COLUMNS]
_SELECT = f"SELECT {', '.join(_NAMES)} FROM _collections"
_INSERT = f"INSERT INTO _collections ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_UPDATE = f"UPDATE _collections SET {', '.join(f'{column} = ?' for column in _NAMES[1:])} WHERE id = ?"


def load_catalog(reader: Reader) -> Catalog:
    """Read all collections in rowid order. Raises DataDirError where one can't be understood."""
    return Catalog(collection_from_row(row) for row in collection_rows(reader))


def collection_rows(reader: Reader) -> list[Row]:
    """Return the rows of all collections in rowid order, each beginning with its id."""
    return reader.rows(f"{_SELECT} ORDER BY _rowid_")


def insert_collection(transaction: Transaction, collection: Collection) -> None:
    """Add the row of a collection. Raises UniqueError for an id or a name that exists."""
    transaction.run(_INSERT, _row(collection))


def update_collection(transaction: Transaction, collection: Collection) -> None:
    """Rewrite the row of a collection, found by its id. Raises UniqueError for a name that exists."""
    values = _row(collection)
    transaction.run(_UPDATE, (*values[1:], values[0]))


def delete_collection(transaction: Transaction, collection_id: str) -> None:
    """Delete the row of a collection; its table stays."""
    transaction.run("DELETE FROM _collections WHERE id = ?", (collection_id,))


def is_same(one: Collection, other: Collection) -> bool:
    """Whether two collections would be stored alike."""
    return one is other or _row(one) == _row(other)


def collection_from_row(row: Row) -> Collection:
    """Return the collection of a row with the columns in the order of `_COLUMNS`."""
    values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    name, kind = values["name"], values["type"]
    try:
        options = without_nulls(msgspec.json.decode(values["options"] or "{}"))
        return Collection(
            id=values["id"],
            name=name,
            type=kind,
            system=bool(values["system"]),
            fields=parse_fields(values["fields"] or "[]"),
            indexes=msgspec.json.decode(values["indexes"] or "[]", type=tuple[str, ...] | None) or (),
            list_rule=values["listRule"],
            view_rule=values["viewRule"],
            create_rule=values["createRule"],
            update_rule=values["updateRule"],
            delete_rule=values["deleteRule"],
            created=values["created"],
            updated=values["updated"],
            auth=msgspec.convert(options, AuthOptions) if kind == "auth" else None,
            view=msgspec.convert(options, ViewOptions) if kind == "view" else None,
        )
    except msgspec.MsgspecError as error:
        raise DataDirError(
            f"the collection {name!r} can't be understood ({error}); "
            "the data directory was written by a newer version of PocketBase or rowcast, or is damaged"
        ) from error


def parse_fields(text: str | bytes) -> tuple[Field, ...]:
    """Read the JSON of a list of fields. Raises msgspec errors, also for unknown types of fields."""
    return msgspec.convert(without_nulls(msgspec.json.decode(text)) or (), tuple[AnyField, ...])


def field_json(field: Field) -> dict[str, Any]:
    """Return the JSON form of a field: its keys in alphabetical order, whole numbers without a fraction."""
    raw: dict[str, Any] = msgspec.to_builtins(field)
    return {key: _whole(raw[key]) for key in sorted(raw)}


def fields_json(fields: Iterable[Field]) -> list[dict[str, Any]]:
    """Return the JSON form of fields, as it is stored and as the API shows it."""
    return [field_json(field) for field in fields]


def options_json(collection: Collection) -> dict[str, Any]:
    """Return the JSON form of the options that depend on the type, with all secrets."""
    if collection.view is not None:
        view: dict[str, Any] = msgspec.to_builtins(collection.view)
        return view
    if collection.auth is None:
        return {}
    options: dict[str, Any] = msgspec.to_builtins(collection.auth)
    # As the reference stores its defaults: a list that nobody has set is null.
    options["oauth2"]["providers"] = options["oauth2"]["providers"] or None
    for secret, holders in (
        ("secret", [value for key, value in options.items() if key.endswith("Token")]),
        ("clientSecret", options["oauth2"]["providers"] or ()),
    ):
        for holder in holders:
            if not holder[secret]:
                del holder[secret]
    return options


def _row(collection: Collection) -> tuple[SQLValue, ...]:
    return (
        collection.id,
        int(collection.system),
        collection.type,
        collection.name,
        encoding.encode(fields_json(collection.fields)).decode(),
        encoding.encode(collection.indexes).decode(),
        collection.list_rule,
        collection.view_rule,
        collection.create_rule,
        collection.update_rule,
        collection.delete_rule,
        encoding.encode(options_json(collection)).decode(),
        collection.created,
        collection.updated,
    )


def _whole(value: object) -> object:
    """Return a float that is a whole number as an int, as Go writes it."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value
