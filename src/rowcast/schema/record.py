"""A record and a change of a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rowcast.schema.collection import Collection
from rowcast.schema.uploads import Upload

Action = Literal["create", "update", "delete"]


@dataclass(slots=True, eq=False)
class Record:
    """One record of a collection, with its values in Python form.

    `values` has one entry for each field of the collection, in the form that the
    field's `from_db` and `prepare` return (see `schema.fields`). `original` is
    what the database held when the record was loaded (empty for a new record).
    `expand` maps relation field names to records; `uploads` maps file names to
    uploads that are not stored yet; `passwords` maps password fields to the plain
    text that was set in this request, for validation only.
    """

    collection: Collection
    values: dict[str, object]
    original: Mapping[str, object] = field(default_factory=dict)
    is_new: bool = True
    expand: dict[str, Record | list[Record]] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The record id ("" for a new record that has none yet)."""
        return str(self.values.get("id") or "")

    def text(self, name: str) -> str:
        """Return a value as text, "" where there is none."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        """Return a bool value, False where there is none."""
        return bool(self.values.get(name))

    def is_same(self, other: Record | None) -> bool:
        """Whether both are the same row of the same collection."""
        return other is not None and self.id == other.id and self.collection.id == other.collection.id


@dataclass(frozen=True, slots=True)
class Change:
    """A record that was created, updated or deleted by a committed transaction.

    `record` is the row after the change (for a delete: the last one). `previous`
    is the row before an update. `before` is, for a delete, a reader on the state
    before the transaction, present only where somebody asked for it (see
    `storage.Snapshot`), shared by the deletes of one commit; its reader closes it.
    """

    action: Action
    record: Record
    previous: Record | None = None
    before: object | None = None
