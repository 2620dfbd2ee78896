"""Request bodies: keys with modifiers ("n+", "tags-", "slug:autogenerate") become plain values.

A modifier starts from the record's present value, so its caller must hold that
value for as long as the write takes: resolve inside of the write transaction.
"""

from __future__ import annotations

from collections.abc import Mapping

from rowcast.schema.fields import Field, FileField, PasswordField
from rowcast.schema.record import Record


def resolve_body(record: Record, body: Mapping[str, object]) -> dict[str, object]:
    """Return `body` with the final value, in Python form, under the name of each field that it sets.

    Files are lists or single values of names and uploads, a password is its plain
    text; keys that mean no field stay as they are. Shorter keys count first, so that
    "n" comes before "n+". Copies core/record_model.go, ReplaceModifiers. The record
    itself stays as it is.
    """
    resolved = dict(body)
    changed = record.copy()
    for key in sorted(body, key=lambda key: len(key.encode("utf-8", "surrogatepass"))):
        field = changed.set(key, body[key])
        if field is None:
            continue
        resolved.pop(key, None)
        if isinstance(field, PasswordField):
            resolved[field.name] = changed.passwords.get(field.name, "")
        elif isinstance(field, FileField):
            resolved[field.name] = _with_uploads(changed, field)
        else:
            resolved[field.name] = changed.values[field.name]
    return resolved


def _with_uploads(record: Record, field: FileField) -> object:
    value = record.values[field.name]
    if isinstance(value, list):
        return [record.uploads.get(name, name) for name in value]
    return record.uploads.get(value, value) if isinstance(value, str) else value


def load_resolved(record: Record, body: Mapping[str, object], *, is_superuser: bool) -> None:
    """Set the values of a body from `resolve_body` on a record (forms/record_upsert.go, Load).

    A hidden field keeps its value for everybody but superusers, with the exception
    of an account's password. "expand" and keys that mean no field are left out.
    """
    for name, value in body.items():
        field = record.collection.field(name)
        if field is None or name == "expand" or not (is_superuser or _may_set(record, field)):
            continue
        if isinstance(field, PasswordField | FileField):
            record.set(name, value)
        else:
            record.values[name] = value


def _may_set(record: Record, field: Field) -> bool:
    return not field.hidden or (record.collection.is_auth and field.name == "password")
