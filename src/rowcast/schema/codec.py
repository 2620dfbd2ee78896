"""What is computed once for each collection, so that rows and bodies are read fast.

A codec belongs to one `Collection` value and lives in its `caches`: a collection
never changes, so neither does its codec.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rowcast.schema.collection import Collection
from rowcast.schema.fields import AutodateField, Field, JSONField, Modifier, PasswordField, TextField
from rowcast.sql import SQLValue, quote

FromDB = Callable[[SQLValue], object]
ToDB = Callable[[object], SQLValue]
ToJSON = Callable[[object], object]

_KEYS: dict[Modifier, str] = {
    "set": "{}",
    "append": "{}+",
    "prepend": "+{}",
    "subtract": "{}-",
    "autogenerate": "{}:autogenerate",
}
_HIDDEN_OF_ACCOUNTS = frozenset(("password", "tokenKey"))


class Codec:
    """Converters of one collection's values, in the order of its fields."""

    __slots__ = (
        "autodates",
        "by_id",
        "columns",
        "defaults",
        "from_db",
        "generated",
        "keys",
        "lists",
        "logged",
        "names",
        "public",
        "public_all",
        "to_db",
    )

    def __init__(self, collection: Collection) -> None:
        fields = collection.fields
        self.names: tuple[str, ...] = tuple(field.name for field in fields)
        self.columns: tuple[str, ...] = tuple(quote(name) for name in self.names)
        self.from_db: tuple[FromDB, ...] = tuple(field.from_db for field in fields)
        self.to_db: dict[str, ToDB] = {field.name: field.to_db for field in fields}
        self.defaults: dict[str, object] = {field.name: field.prepare(None) for field in fields}
        self.lists: tuple[str, ...] = tuple(field.name for field in fields if field.is_multiple)
        self.autodates = tuple(field for field in fields if isinstance(field, AutodateField))
        self.generated = tuple(field for field in fields if isinstance(field, TextField) and field.autogenerate_pattern)
        self.keys: dict[str, tuple[Field, Modifier]] = _keys(fields)
        self.by_id = tuple((field.id, field.name, field.from_db) for field in fields)
        # What the log of changes holds: nothing that opens an account.
        self.logged = tuple(
            (field.id, field.name, field.to_db)
            for field in fields
            if not isinstance(field, PasswordField) and not (collection.is_auth and field.name == "tokenKey")
        )
        self.public = _public(collection, with_hidden=False)
        self.public_all = _public(collection, with_hidden=True)


def codec_of(collection: Collection) -> Codec:
    """Return the codec of a collection."""
    codec: Codec | None = collection.caches.get("codec")
    if codec is None:
        codec = collection.caches["codec"] = Codec(collection)
    return codec


def _keys(fields: tuple[Field, ...]) -> dict[str, tuple[Field, Modifier]]:
    """Return which field and modifier each key of a request body means."""
    keys: dict[str, tuple[Field, Modifier]] = {}
    for field in fields:
        for modifier in field.modifiers:
            keys.setdefault(_KEYS[modifier].format(field.name), (field, modifier))
    return keys


@dataclass(frozen=True, slots=True)
class Public:
    """What an answer holds of a record: `blank` has its keys in their order, to be filled with the record's values.

    Then those in `left_out` go, and those in `converted` get the form that they have in JSON. `size` is
    how many keys there are before.
    """

    blank: dict[str, object]
    left_out: tuple[str, ...]
    converted: tuple[tuple[str, ToJSON], ...]
    size: int


def _public(collection: Collection, *, with_hidden: bool) -> Public:
    """Return what an answer holds. Copies core/record_model.go, PublicExport."""
    left_out = tuple(
        field.name
        for field in collection.fields
        if (field.hidden and not with_hidden) or (collection.is_auth and field.name in _HIDDEN_OF_ACCOUNTS)
    )
    shown = [field for field in collection.fields if field.name not in left_out]
    of_collection = {"collectionId": collection.id, "collectionName": collection.name}
    keys = sorted({*of_collection, *(field.name for field in shown)})
    return Public(
        blank={key: of_collection.get(key) for key in keys},
        left_out=left_out,
        converted=tuple((field.name, field.to_json) for field in shown if isinstance(field, JSONField | PasswordField)),
        size=len({*keys, *left_out}),
    )
