"""What of a record an answer shows.

The result is a dict with its keys in alphabetical order, as Go writes maps, ready
for `encoding.encode`. A hidden field leaves this module only where the record
says `shows_hidden`; passwords and token keys of accounts never do.
"""

from __future__ import annotations

from rowcast.schema.codec import codec_of
from rowcast.schema.record import Record


def public_values(record: Record) -> dict[str, object]:
    """Return the values of a record that the receiver of an answer may see, with its expanded records.

    Copies core/record_model.go, PublicExport.
    """
    collection, values = record.collection, record.values
    codec = codec_of(collection)
    skipped = "email" if collection.is_auth and not (record.shows_email or values.get("emailVisibility")) else ""
    exported: dict[str, object] = {}
    for name, convert in codec.public_all if record.shows_hidden else codec.public:
        if name == "collectionId":
            exported[name] = collection.id
        elif name == "collectionName":
            exported[name] = collection.name
        elif name == "expand":
            if record.expand is not None:
                exported[name] = _expanded(record.expand)
        elif name != skipped:
            exported[name] = convert(values[name]) if convert else values[name]
    return exported


def _expanded(expand: dict[str, Record | list[Record]]) -> dict[str, object]:
    return {
        name: [public_values(one) for one in found] if isinstance(found, list) else public_values(found)
        for name, found in sorted(expand.items())
    }
