"""A record, a change of a record, and a message between changes.

Places, changes and messages are structs: each node makes one of each for every change that anybody commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from rowcast.schema.codec import codec_of
from rowcast.schema.collection import Collection
from rowcast.schema.fields import Field, FileField, Modifier, PasswordField, TextField
from rowcast.schema.uploads import Upload
from rowcast.sql import Snapshot

Action = Literal["create", "update", "delete"]


@dataclass(slots=True, eq=False)
class Record:
    """One record of a collection, with its values in Python form.

    `values` has one entry for each field of the collection, in the form that the
    field's `from_db` and `prepare` return (see `schema.fields`). `original` is
    what the database held when the record was loaded (empty for a new record).
    `expand` maps relation field names to records, None where nothing was asked for;
    `uploads` maps file names to uploads that are not stored yet; `passwords` maps
    password fields to the plain text that was set in this request, until somebody
    puts its hash into `values`.
    `shows_hidden` and `shows_email` say what of it the receiver of an answer may see.

    Values that are lists are replaced, never changed in place.
    """

    collection: Collection
    values: dict[str, object]
    original: Mapping[str, object] = field(default_factory=dict)
    is_new: bool = True
    expand: dict[str, Record | list[Record]] | None = None
    uploads: dict[str, Upload] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    shows_hidden: bool = False
    shows_email: bool = False

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

    def texts(self, name: str) -> list[str]:
        """Return the ids, names or choices of a select, relation or file field, single or multiple."""
        value = self.values.get(name)
        if isinstance(value, list):
            return list(value)
        return [value] if isinstance(value, str) and value else []

    def is_same(self, other: Record | None) -> bool:
        """Whether both are the same row of the same collection."""
        return other is not None and self.id == other.id and self.collection.id == other.collection.id

    def copy(self) -> Record:
        """Return a record with the same values that can be changed on its own. Expanded records are left out."""
        return Record(
            self.collection,
            dict(self.values),
            self.original,
            self.is_new,
            uploads=dict(self.uploads),
            passwords=dict(self.passwords),
        )

    def set(self, key: str, raw: object) -> Field | None:
        """Set a value as a request does: `key` is a field name or one with a modifier ("n+").

        Returns the field, None where the key means none (then nothing happens).
        A file that leaves the value leaves `uploads` too. Copies
        core/record_model.go, SetIfFieldExists.
        """
        found = codec_of(self.collection).keys.get(key)
        if found is None:
            return None
        target, modifier = found
        if isinstance(target, PasswordField):
            self._set_password(target, raw)
        elif isinstance(target, FileField):
            self._set_files(target, modifier, raw)
        elif modifier == "set" and target.kind != "autodate":
            self.values[target.name] = target.prepare(raw)
        else:
            self.values[target.name] = target.modify(modifier, self.values.get(target.name), raw)
        return target

    def _set_password(self, target: PasswordField, raw: object) -> None:
        plain = target.prepare(raw)
        self.passwords[target.name] = plain
        self.values[target.name] = ""

    def _set_files(self, target: FileField, modifier: Modifier, raw: object) -> None:
        for upload in target.uploads(raw):
            self.uploads[upload.name] = upload
        before = self.texts(target.name)
        self.values[target.name] = target.modify(modifier, before, raw)
        gone = set(before) - set(self.texts(target.name))
        for name in gone:
            self.uploads.pop(name, None)

    def refresh_token_key(self) -> None:
        """Give an account a new `tokenKey`, which ends all of its tokens."""
        target = self.collection.field("tokenKey")
        if isinstance(target, TextField):
            self.values["tokenKey"] = target.generate()


class Position(msgspec.Struct, frozen=True):
    """A place in the order of all committed changes: that behind change number `number`.

    `tag` is random for each process that writes, so that a number of another data
    directory, or from before a restored backup, is not taken for one of this.
    """

    number: int
    tag: str

    def __str__(self) -> str:
        return f"{self.number}-{self.tag}"


class Change(msgspec.Struct, frozen=True):
    """A record that was created, updated or deleted by a committed transaction.

    `record` is the row after the change (for a delete: the last one). `previous`
    is the row before an update, `position` its place in the order of changes.
    `before` is, for a delete or an update, a reader on the state before the
    transaction, present only where somebody asked for it (see `sql.Snapshot`), shared
    by the changes of one commit; its reader closes it. `trace` is the context of the
    transaction (W3C `traceparent`), where it is traced, at the last of its changes.
    """

    action: Action
    record: Record
    previous: Record | None = None
    position: Position | None = None
    before: Snapshot | None = None
    trace: str = ""


class Message(msgspec.Struct, frozen=True):
    """What the application tells the streams of a topic; `data` is JSON text.

    It has a `position` where it is in the log of changes, as between several processes.
    """

    topic: str
    data: bytes
    position: Position | None = None


Logged = Change | Message
"""What has a place in the order of all committed changes."""
