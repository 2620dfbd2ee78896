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
    shown = visible_values(record, shows_hidden=record.shows_hidden, shows_email=record.shows_email)
    if record.expand is None:
        return shown
    return dict(sorted((*shown.items(), ("expand", _expanded(record.expand)))))


def visible_values(record: Record, *, shows_hidden: bool, shows_email: bool) -> dict[str, object]:
    """Return the values of a record that somebody may see who is shown so much, without expanded records."""
    collection, values = record.collection, record.values
    codec = codec_of(collection)
    public = codec.public_all if shows_hidden else codec.public
    shown = public.blank | values
    if len(shown) != public.size:
        # What is no field is nobody's to see.
        shown = public.blank | {name: values[name] for name in codec.names}
    for name in public.left_out:
        del shown[name]
    for name, convert in public.converted:
        shown[name] = convert(values[name])
    if collection.is_auth and not (shows_email or values.get("emailVisibility")):
        shown.pop("email", None)
    return shown


def _expanded(expand: dict[str, Record | list[Record]]) -> dict[str, object]:
    return {
        name: [public_values(one) for one in found] if isinstance(found, list) else public_values(found)
        for name, found in sorted(expand.items())
    }
