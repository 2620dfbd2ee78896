"""Changes as rows of the log, and back.

Values stand under the ids of their fields, which a rename keeps. Rows are written by `changelog`
and, where SQL changes a captured table, by triggers (`storage.sources`): those hold whatever somebody
has put into the table, so a row is read as records are, and nothing in it is an error.
"""

from __future__ import annotations

from typing import Annotated, cast

import msgspec

from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.record import Action, Change, Logged, Message, Position
from rowcast.schema.rows import from_ids, logged_row, new_record
from rowcast.sql import Row, SQLValue

_MESSAGE = "message"
"""The action of a row that holds what the application told: the topic stands for the collection."""

_ACTIONS: dict[str, Action] = {"create": "create", "update": "update", "delete": "delete"}
_INT64 = 2**63
_NOTHING = "{}"
_TRACE = "@trace"
"""Where the trace of a transaction stands among the values that were otherwise before; no field has such an id."""


COLUMNS = "number, tag, action, collection, row, previous"
"""The columns of the log in the order in which `change_of` reads them."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, bool | int | float | str | list[str] | None]).decode
_Int64 = Annotated[int, msgspec.Meta(ge=-_INT64, le=_INT64 - 1)]
_decode_plain = msgspec.json.Decoder(dict[str, bool | _Int64 | float | str | None]).decode
"""For a row in which every value is as a column gives it, which is nearly every one."""


def row_of(change: Logged, at: int) -> tuple[SQLValue, ...]:
    """Return the row of a change that was made at a time in milliseconds."""
    position = change.position
    if isinstance(change, Message):
        place = (position.number, position.tag) if position else (0, "")
        return (*place, at, _MESSAGE, change.topic, "", change.data.decode(), _NOTHING)
    record = change.record
    values = logged_row(record)
    previous = logged_row(change.previous) if change.previous is not None else {}
    before = {key: value for key, value in previous.items() if values.get(key) != value}
    if change.trace:
        before = {_TRACE: change.trace, **before}
    return (
        position.number if position else 0,
        position.tag if position else "",
        at,
        change.action,
        record.collection.id,
        record.id,
        _encode(values).decode(),
        _encode(before).decode() if before else _NOTHING,
    )


def change_of(catalog: Catalog, row: Row) -> Logged:
    """Return a logged change, with its record in the form that its collection has now."""
    number, tag, action, collection_id, values, previous = row
    position = Position(int(number or 0), str(tag))
    if action == _MESSAGE:
        return Message(str(collection_id), str(values).encode(), position)
    collection = catalog.find(str(collection_id))
    if collection is None:
        # Nobody can listen to a collection that is gone.
        return Change("delete", new_record(Collection(id=str(collection_id))), position=position)
    after = _values(str(values))
    before = _values(str(previous)) if previous != _NOTHING else {}
    earlier = from_ids(collection, after | before) if action == "update" else None
    trace = str(before.get(_TRACE, ""))
    return Change(_ACTIONS[str(action)], from_ids(collection, after), earlier, position, trace=trace)


def _values(text: str) -> dict[str, SQLValue]:
    try:
        return cast("dict[str, SQLValue]", _decode_plain(text))
    except msgspec.ValidationError:
        return {key: _value(value) for key, value in _decode(text).items()}


def _value(value: bool | float | str | list[str] | None) -> SQLValue:
    if isinstance(value, list):
        # A BLOB, or a text with odd characters, in hexadecimal digits.
        return bytes.fromhex(value[0]) if value else b""
    # As a column gives it.
    return float(value) if isinstance(value, int) and not -_INT64 <= value < _INT64 else value
