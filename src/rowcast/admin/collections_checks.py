"""Whether a collection may be saved as it is: names, fields, rules, indexes.

Owns the order, codes and texts of the reference's checks
(core/collection_validate.go). Reads the schema of the database through a `Reader`;
changes nothing. The options of auth collections have their own module, and so
has the query of a view.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rowcast import filters
from rowcast.errors import ErrorData, FieldError, FilterError
from rowcast.schema import checks
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fields import BoolField, EmailField, Field, PasswordField, TextField
from rowcast.schema.indexes import Index, parse_index, unique_index
from rowcast.storage import Reader, ddl

Problem = FieldError | ErrorData | None

_WORD = re.compile(r"\w+", re.ASCII)
_KINDS = ("base", "auth", "view")
_RESERVED_OF_ACCOUNTS = ("passwordConfirm", "oldPassword")

_TAKEN_ID = FieldError("validation_invalid_or_existing_id", "The model id is invalid or already exists.")
_VIA = FieldError("validation_found_via", 'The value cannot contain "_via_".')
_TAKEN_NAME = FieldError("validation_collection_name_exists", "Collection name must be unique (case insensitive).")
_NAME_IS_ID = FieldError(
    "validation_collection_name_id_duplicate", "The name must not match an existing collection id."
)
_NAME_IS_TABLE = FieldError(
    "validation_collection_name_invalid", "The name shouldn't match with an existing internal table."
)
_SYSTEM_NAME = FieldError("validation_collection_system_name_change", "System collection name cannot be changed.")
_SYSTEM_FLAG = FieldError("validation_collection_system_flag_change", "System collection state cannot be changed.")
_SYSTEM_RULE = FieldError("validation_collection_system_rule_change", "System collection API rule cannot be changed.")
_KIND_CHANGED = FieldError("validation_collection_type_change", "Collection type cannot be changed.")
_FIELD_KIND_CHANGED = FieldError("validation_field_type_change", "Field type cannot be changed.")
_SYSTEM_FIELDS = FieldError("validation_system_field_change", "System fields cannot be deleted or renamed.")
_RESERVED_NAME = FieldError("validation_reserved_field_name", "The field name is reserved and cannot be used.")
_NO_ID = FieldError("validation_missing_primary_key", 'Missing or invalid "id" PK field.')
_NOT_SYSTEM = FieldError("validation_must_be_system", 'The field must be marked as "System".')
_NOT_SYSTEM_AND_HIDDEN = FieldError(
    "validation_must_be_system_and_hidden", 'The field must be marked as "System" and "Hidden".'
)
_NIL = FieldError("validation_nil", "Must be blank.")
_NO_VIEW_INDEXES = FieldError("validation_indexes_not_supported", "View collections don't support indexes.")
_BAD_INDEX = FieldError("validation_invalid_index_expression", "Invalid CREATE INDEX expression.")
_SAME_INDEX_NAME = FieldError("validation_duplicated_index_name", "The index name already exists.")
_SAME_INDEX = FieldError("validation_duplicated_index_definition", "The index definition already exists.")

_ACCOUNT_FIELDS: tuple[tuple[str, type[Field], bool], ...] = (
    ("password", PasswordField, True),
    ("tokenKey", TextField, True),
    ("email", EmailField, False),
    ("emailVisibility", BoolField, False),
    ("verified", BoolField, False),
)
"""Name, kind, and whether it must be hidden."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A collection that somebody wants to save.

    `catalog` is what is saved now, `old` the saved state of the same collection
    (None for a new one).
    """

    new: Collection
    old: Collection | None
    catalog: Catalog
    reader: Reader

    @property
    def is_system(self) -> bool:
        """Whether it is one of the collections that may hardly be changed."""
        return self.old is not None and self.old.system


def check_collection(candidate: Candidate) -> ErrorData:
    """Return what is wrong with a collection, apart from the options of its type; in the order of the reference."""
    new, old = candidate.new, candidate.old
    writes_nothing = new.is_view
    rules = {
        "listRule": (new.list_rule, old.list_rule if old else None, False),
        "viewRule": (new.view_rule, old.view_rule if old else None, False),
        "createRule": (new.create_rule, old.create_rule if old else None, writes_nothing),
        "updateRule": (new.update_rule, old.update_rule if old else None, writes_nothing),
        "deleteRule": (new.delete_rule, old.delete_rule if old else None, writes_nothing),
    }
    return checks.collect(
        id=_check_id(candidate),
        system=_SYSTEM_FLAG if old is not None and new.system != old.system else None,
        type=_check_kind(candidate),
        name=_check_name(candidate),
        fields=_check_fields(candidate),
        **{
            name: _NIL if must_be_nil and rule is not None else check_rule(candidate, rule, before)
            for name, (rule, before, must_be_nil) in rules.items()
        },
        indexes=_check_indexes(candidate),
    )


def check_rule(candidate: Candidate, rule: str | None, before: str | None) -> FieldError | None:
    """Return what is wrong with a rule: it must compile, and stay as it is in a system collection."""
    if rule:
        scope = filters.Scope(candidate.catalog.replaced(candidate.new), candidate.new)
        try:
            filters.compile((filters.Part(rule, allow_hidden=True),), scope)
        except FilterError as error:
            return FieldError("validation_invalid_rule", f"Invalid rule. Raw error: {error.message}")
    return _SYSTEM_RULE if candidate.is_system and rule != before else None


def check_unique_fields(candidate: Candidate, names: tuple[str, ...]) -> FieldError | None:
    """Refuse names of fields that are not there or have no unique index of their own."""
    for name in names:
        if candidate.new.field(name) is None:
            return FieldError("validation_missing_field", f"Invalid or missing field {name}", {"fieldName": name})
        if unique_index(candidate.new.indexes, name) is None:
            text = f"The field {name} doesn't have a UNIQUE constraint."
            return FieldError("validation_missing_unique_constraint", text, {"fieldName": name})
    return None


def _check_id(candidate: Candidate) -> FieldError | None:
    id = candidate.new.id
    if candidate.old is not None:
        return checks.first(checks.required(id), checks.MISMATCH if id != candidate.old.id else None)
    is_taken = any(collection.id == id for collection in candidate.catalog)
    return checks.first(
        checks.required(id), checks.length(id, 1, 100), checks.matches(id, _WORD), _TAKEN_ID if is_taken else None
    )


def _check_kind(candidate: Candidate) -> FieldError | None:
    kind, old = candidate.new.type, candidate.old
    return checks.first(
        checks.required(kind),
        None if kind in _KINDS else checks.INVALID_CHOICE,
        _KIND_CHANGED if old is not None and kind != old.type else None,
    )


def _check_name(candidate: Candidate) -> FieldError | None:
    name, old = candidate.new.name, candidate.old
    error = checks.first(
        checks.required(name),
        checks.length(name, 1, 255),
        _VIA if "_via_" in name.lower() else None,
        checks.matches(name, _WORD),
        _SYSTEM_NAME if candidate.is_system and old is not None and name != old.name else None,
    )
    return error or _check_unique_name(candidate)


def _check_unique_name(candidate: Candidate) -> FieldError | None:
    name, old = candidate.new.name, candidate.old
    named = [collection for collection in candidate.catalog if collection.name.lower() == name.lower()]
    if any(old is None or collection.id != old.id for collection in named):
        return _TAKEN_NAME
    if any(collection.id == name for collection in candidate.catalog):
        return _NAME_IS_ID
    is_changed = old is None or old.name != name
    # A collection that was saved before its checks (import) has its table already.
    return _NAME_IS_TABLE if is_changed and not named and ddl.has_table(candidate.reader, name) else None


def _check_fields(candidate: Candidate) -> Problem:
    new = candidate.new
    steps: list[Callable[[Candidate], Problem]] = [_check_duplicates, _check_needed]
    if not new.is_view:
        steps += [_check_system_fields, _check_kinds]
    if new.is_auth:
        steps.append(_check_reserved)
    steps.append(_check_settings)
    return next((problem for step in steps if (problem := step(candidate))), None)


def _check_duplicates(candidate: Candidate) -> Problem:
    ids: set[str] = set()
    names: set[str] = set()
    for at, field in enumerate(candidate.new.fields):
        if field.id in ids:
            error = FieldError("validation_duplicated_field_id", f'Duplicated or invalid field id "{field.id}"')
            return ErrorData({str(at): ErrorData(id=error)})
        if field.name.lower() in names:
            text = f"Duplicated or invalid field name {field.name}"
            error = FieldError("validation_duplicated_field_name", text, {"fieldName": field.name})
            return ErrorData({str(at): ErrorData(name=error)})
        ids.add(field.id)
        names.add(field.name.lower())
    return None


def _check_needed(candidate: Candidate) -> Problem:
    new = candidate.new
    if not new.fields:
        return checks.REQUIRED
    id = _named(new, "id")
    if not isinstance(id, TextField) or not id.primary_key:
        return _NO_ID
    for name, kind, must_hide in _ACCOUNT_FIELDS if new.is_auth else ():
        field = _named(new, name)
        if not isinstance(field, kind):
            return FieldError(f"validation_missing_{name}_field", f'System "{name}" field is required.')
        if not field.system or (must_hide and not field.hidden):
            return ErrorData({name: _NOT_SYSTEM_AND_HIDDEN if must_hide else _NOT_SYSTEM})
    return None


def _named(collection: Collection, name: str) -> Field | None:
    return next((field for field in collection.fields if field.name == name), None)


def _check_system_fields(candidate: Candidate) -> Problem:
    names = {field.id: field.name for field in candidate.new.fields}
    for field in candidate.old.fields if candidate.old else ():
        if field.system and names.get(field.id) != field.name:
            return _SYSTEM_FIELDS
    return None


def _check_kinds(candidate: Candidate) -> Problem:
    before = {field.id: field.kind for field in candidate.old.fields} if candidate.old else {}
    return ErrorData(
        {
            str(at): _FIELD_KIND_CHANGED
            for at, field in enumerate(candidate.new.fields)
            if before.get(field.id, field.kind) != field.kind
        }
    )


def _check_reserved(candidate: Candidate) -> Problem:
    return ErrorData(
        {
            str(at): ErrorData(name=_RESERVED_NAME)
            for at, field in enumerate(candidate.new.fields)
            if field.name in _RESERVED_OF_ACCOUNTS
        }
    )


def _check_settings(candidate: Candidate) -> Problem:
    return ErrorData(
        {
            str(at): errors
            for at, field in enumerate(candidate.new.fields)
            if (errors := field.validate_settings(candidate.new, candidate.catalog))
        }
    )


def _check_indexes(candidate: Candidate) -> Problem:
    new = candidate.new
    if new.is_view:
        return _NO_VIEW_INDEXES if new.indexes else None
    names: set[str] = set()
    definitions: set[str] = set()
    for at, text in enumerate(new.indexes):
        # The table is always that of the collection, whatever the text says.
        index = parse_index(text).on("validator")
        error = _check_index(candidate, index, names, definitions)
        if error is not None:
            return ErrorData({str(at): error})
    return _check_lost_indexes(candidate) or _check_account_indexes(candidate)


def _check_index(candidate: Candidate, index: Index, names: set[str], definitions: set[str]) -> FieldError | None:
    """Check one index against those before it, whose names and definitions are collected."""
    if not index.is_valid:
        return _BAD_INDEX
    if index.name.lower() in names:
        return _SAME_INDEX_NAME
    names.add(index.name.lower())
    old_name = candidate.old.name if candidate.old else ""
    owner = ddl.index_owner(candidate.reader, index.name, old_name, candidate.new.name)
    if owner:
        text = f"The index name is already used in {owner} collection."
        return FieldError("validation_existing_index_name", text, {"usedTableName": owner})
    definition = replace(index, schema="validator", name="validator").to_sql()
    if definition in definitions:
        return _SAME_INDEX
    definitions.add(definition)
    return None


def _check_lost_indexes(candidate: Candidate) -> FieldError | None:
    """Refuse to lose or change a unique index on a system field."""
    kept = [parse_index(text).uniqueness() for text in candidate.new.indexes]
    for index, field in _unique_system_indexes(candidate.old):
        wanted = index.uniqueness()
        same = (
            replace(other, schema=wanted.schema, name=wanted.name, table=wanted.table, where=wanted.where)
            for other in kept
        )
        if not any(other.to_sql() == wanted.to_sql() for other in same):
            text = f"Unique index definition on system fields ({field}) is invalid or missing."
            return FieldError("validation_invalid_unique_system_field_index", text, {"fieldName": field})
    return None


def _unique_system_indexes(collection: Collection | None) -> Iterator[tuple[Index, str]]:
    """Give the unique indexes that hold a system field, with the name of the first such field."""
    if collection is None:
        return
    system = {field.name.lower(): field.name for field in collection.fields if field.system}
    for text in collection.indexes:
        index = parse_index(text)
        names = (system[column.name.lower()] for column in index.columns if column.name.lower() in system)
        if index.is_unique and (name := next(names, "")):
            yield index, name


def _check_account_indexes(candidate: Candidate) -> FieldError | None:
    for name in ("tokenKey", "email") if candidate.new.is_auth else ():
        if unique_index(candidate.new.indexes, name) is None:
            text = f'Missing required unique index for field "{name}".'
            return FieldError("validation_missing_required_unique_index", text, {"fieldName": name})
    return None
