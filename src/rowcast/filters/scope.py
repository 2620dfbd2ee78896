"""Where the names of a filter are looked up, and the texts that a statement consists of."""

from __future__ import annotations

from dataclasses import dataclass, field

from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.sql import SQLITE, Dialect

MAX_LENGTH = 3500
"""The greatest length in bytes of a filter that a client sends (tools/search/provider.go)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a filter is about.

    `collection` is the base collection, `auth_collection` the collection of the
    account that asks (None for a guest), `table` the SQL name or alias under which
    the base row stands in the FROM of the statement (default: the name of the
    collection). A filter refers to the base row by this name only and never reads it
    again, so it may be a real table or a row image (see `row_image`).

    `is_new` says that the base row is a record that does not exist yet, as in
    create rules: nothing can refer to it, so a back-relation from it is an error,
    and its columns have no type affinity (apis/record_crud.go, recordCreate).
    Relations, also to its own collection, and `@collection` see the stored rows.
    """

    catalog: Catalog
    collection: Collection
    auth_collection: Collection | None = None
    table: str = ""
    is_new: bool = False
    dialect: Dialect = SQLITE
    key: tuple[object, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        key = (self.catalog.version, self.collection, self.auth_collection, self.table, self.is_new, self.dialect.name)
        object.__setattr__(self, "key", key)

    @property
    def base(self) -> str:
        """The SQL name of the base row."""
        return self.table or self.collection.name


@dataclass(frozen=True, slots=True)
class Part:
    """One rule or filter of a statement; parts are ANDed and share joins.

    `allow_hidden` is True for rules and for the list filters of superusers. Without it
    hidden fields are errors, joined rows must pass the list rule of their
    collection, and e-mails that are not visible match nothing. `is_client` is True
    for what a client sent: the length limit applies.
    """

    text: str
    allow_hidden: bool = False
    is_client: bool = False
