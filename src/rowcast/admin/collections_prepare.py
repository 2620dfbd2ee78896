"""What a collection gets before it is checked and saved: defaults, ids, system fields, indexes.

Pure but for random texts. Copies core/collection_model.go: the factories
(NewCollection), onCollectionSave and initDefaultFields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from rowcast.schema import defaults
from rowcast.schema.collection import Collection, ViewOptions
from rowcast.schema.fieldlist import add_field
from rowcast.schema.fields import BoolField, EmailField, Field, PasswordField, TextField
from rowcast.schema.generate import ID_ALPHABET, random_text
from rowcast.schema.indexes import parse_index, unique_index

SECRET_LENGTH = 50


def new_secret() -> str:
    """Return a new secret for tokens."""
    return random_text(SECRET_LENGTH)


def new_collection(kind: str, name: str, id: str = "") -> Collection:
    """Return a new collection of a type (any unknown one counts as base) with its default id, fields and options."""
    known = kind if kind in {"auth", "view"} else "base"
    collection = Collection(
        id=id or defaults.collection_id(known, name),
        name=name,
        type=known,  # type: ignore[arg-type]
        auth=defaults.auth_options(new_secret) if known == "auth" else None,
        view=ViewOptions() if known == "view" else None,
    )
    return with_system_fields(collection)


def prepared(collection: Collection, moment: str, *, is_new: bool) -> Collection:
    """Return a collection as it is to be checked and saved. Copies onCollectionSave, without the default id."""
    fields: list[Field] = []
    for field in collection.fields:
        add_field(fields, field)
    changes: dict[str, Any] = {"fields": tuple(fields), "type": collection.type or "base", "updated": moment}
    if is_new:
        changes["created"] = moment
    prepared = without_unknown_mapped_fields(with_system_fields(collection.replaced(**changes)))
    return with_indexes_on_table(prepared)


def with_fresh_id(collection: Collection, generated: str, is_taken: Callable[[str], bool]) -> Collection:
    """Return a new collection with the id of its present type and name, where it still has its generated one.

    Copies updateGeneratedIdIfExists: a taken id gets a number, names of indexes follow.
    """
    if not collection.id or collection.id != generated:
        return collection
    base = defaults.collection_id(collection.type, collection.name)
    fresh = next((id for id in (base, *(f"{base}{n}" for n in range(2, 1000))) if not is_taken(id)), base)
    if fresh == collection.id:
        return collection
    indexes = []
    for text in collection.indexes:
        index = parse_index(text)
        renamed = replace(index, name=index.name.replace(collection.id, fresh))
        indexes.append(text if renamed == index else renamed.to_sql())
    return collection.replaced(id=fresh, indexes=tuple(indexes))


def with_indexes_on_table(collection: Collection) -> Collection:
    """Return a collection whose indexes all name its table; a broken index stays for the checks to find."""
    indexes = []
    for text in collection.indexes:
        index = parse_index(text)
        indexes.append(text if index.table == collection.name else index.on(collection.name).to_sql() or text)
    return collection.replaced(indexes=tuple(indexes))


def without_unknown_mapped_fields(collection: Collection) -> Collection:
    """Return an auth collection whose OAuth2 mapping names only fields that there are."""
    if collection.auth is None:
        return collection
    oauth2 = collection.auth.oauth2
    unknown = {
        name: ""
        for name in ("id", "name", "username", "avatar_url")
        if (target := getattr(oauth2.mapped_fields, name)) and collection.field(target) is None
    }
    if not unknown:
        return collection
    mapped = msgspec.structs.replace(oauth2.mapped_fields, **unknown)
    return collection.replaced(
        auth=msgspec.structs.replace(collection.auth, oauth2=msgspec.structs.replace(oauth2, mapped_fields=mapped))
    )


def with_superuser_options(collection: Collection) -> Collection:
    """Return `_superusers` with the options that it must have, every other collection as it is.

    Superusers sign in with passwords, never with OAuth2, and with one-time passwords only as
    a second step. Copies core/record_model_superusers.go.
    """
    options = collection.auth
    if options is None or collection.name != "_superusers":
        return collection
    changed = msgspec.structs.replace(
        options,
        oauth2=msgspec.structs.replace(options.oauth2, enabled=False, providers=()),
        password_auth=msgspec.structs.replace(options.password_auth, enabled=True),
        mfa=msgspec.structs.replace(options.mfa, enabled=options.mfa.enabled or options.otp.enabled),
    )
    return collection.replaced(auth=changed)


def with_system_fields(collection: Collection) -> Collection:
    """Return a collection with the fields and indexes that its type demands. Copies initDefaultFields."""
    if collection.type not in {"base", "auth"}:
        return collection
    fields = list(collection.fields)
    _ensure_id(fields)
    if collection.type == "base":
        return collection.replaced(fields=tuple(fields))
    password, token_key, email, email_visibility, verified = defaults.AUTH_FIELDS
    _ensure(fields, PasswordField, password, hidden=True, required=True)
    _ensure(fields, TextField, token_key, hidden=True, required=True)
    _ensure(fields, EmailField, email, hidden=False)
    _ensure(fields, BoolField, email_visibility)
    _ensure(fields, BoolField, verified)
    indexes = list(collection.indexes)
    owner = collection.id or collection.name or random_text(10, ID_ALPHABET)
    if unique_index(indexes, "tokenKey") is None:
        indexes.append(defaults.token_key_index(owner, collection.name))
    if unique_index(indexes, "email") is None:
        indexes.append(defaults.email_index(owner, collection.name))
    return collection.replaced(fields=tuple(fields), indexes=tuple(indexes))


def _first(fields: list[Field], name: str) -> int:
    return next((at for at, field in enumerate(fields) if field.name == name), -1)


def _ensure_id(fields: list[Field]) -> None:
    at = _first(fields, "id")
    field = fields[at] if at >= 0 else None
    if isinstance(field, TextField):
        fields[at] = msgspec.structs.replace(
            field,
            system=True,
            required=True,
            primary_key=True,
            hidden=False,
            pattern=field.pattern or defaults.ID_PATTERN,
        )
        return
    rest, fields[:] = tuple(fields), [defaults.ID_FIELD]
    for field in rest:
        add_field(fields, field)


def _ensure(fields: list[Field], kind: type[Field], default: Field, **enforced: bool) -> None:
    """Put a default field into the list, or what the system demands into the one that is there."""
    at = _first(fields, default.name)
    if at >= 0 and isinstance(fields[at], kind):
        fields[at] = msgspec.structs.replace(fields[at], system=True, **enforced)
    else:
        # Without its id, so that it takes the place of a field of that name and of another type.
        add_field(fields, msgspec.structs.replace(default, id=""))
