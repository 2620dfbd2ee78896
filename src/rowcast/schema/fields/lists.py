"""Fields whose value is one of several texts, or a list of them: select, relation, file.

Copies core/field_select.go, field_relation.go and field_file.go. A file is known
by its name; a file that this request brings stands in `record.uploads` too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rowcast.errors import ErrorData, FieldError
from rowcast.schema import checks, jsontext
from rowcast.schema.casts import column_text, unique_texts
from rowcast.schema.fields.field import Field, Lookup, Modifier, common_settings
from rowcast.schema.uploads import Upload
from rowcast.sql import SQLValue

if TYPE_CHECKING:
    from rowcast.schema.catalog import Catalog
    from rowcast.schema.collection import Collection
    from rowcast.schema.record import Record

DEFAULT_MAX_FILE = 5 << 20

_FILE_NAME = re.compile(r"[^./\\][^/\\]+", re.DOTALL)
_THUMB = re.compile(r"\d+x\d+[tbf]?", re.ASCII)
_NO_THUMBS = ("0x0", "0x0t", "0x0b", "0x0f")
_NO_COLLECTION = FieldError(
    "validation_missing_rel_collection", "Relation connection is missing or cannot be accessed."
)
_NO_RECORDS = FieldError("validation_missing_rel_records", "Failed to find all relation records with the provided ids.")
_RELATION_CHANGED = FieldError("validation_field_relation_change", "The relation collection cannot be changed.")
_RELATION_MISSING = FieldError("validation_field_relation_missing_collection", "The relation collection doesn't exist.")
_RELATION_TO_VIEW = FieldError(
    "validation_relation_field_non_view_base_collection",
    "Only view collections are allowed to have relations to other views.",
)


class _Texts(Field, frozen=True, kw_only=True):
    """One text, or with `max_select` above 1 a list of different texts."""

    modifiers = ("set", "append", "prepend", "subtract")
    max_select: int = 0

    @property
    def is_multiple(self) -> bool:
        return self.max_select > 1

    @property
    def column_type(self) -> str:
        return "JSON DEFAULT '[]' NOT NULL" if self.is_multiple else "TEXT DEFAULT '' NOT NULL"

    def texts(self, raw: object) -> list[str]:
        """Return the different texts in `raw`, whatever its form."""
        return unique_texts(raw)

    def prepare(self, raw: object) -> str | list[str]:
        return self._normal(self.texts(raw))

    def _normal(self, texts: list[str]) -> str | list[str]:
        if self.max_select > 1:
            return texts
        return texts[-1] if texts else ""

    def modify(self, modifier: Modifier, current: object, raw: object) -> str | list[str]:
        texts = self.texts(raw)
        if modifier == "set":
            return self._normal(texts)
        before = self.texts(current)
        if modifier == "subtract":
            return self._normal([text for text in before if text not in texts])
        both = texts + before if modifier == "prepend" else before + texts
        return self._normal(self.texts(both))

    def from_db(self, value: SQLValue) -> str | list[str]:
        if self.max_select > 1:
            if value == "[]":
                return []
        elif isinstance(value, str) and "[" not in value:
            return value
        return self._normal(_stored_texts(value))

    def to_db(self, value: object) -> SQLValue:
        if self.max_select > 1:
            return str(jsontext.dump(value)) if isinstance(value, list) and value else "[]"
        return value if isinstance(value, str) else ""

    def json_sql(self, column: str) -> str:
        each = f"json_each({column}) WHERE type='text' AND value<>'' ORDER BY key"
        is_list = f"json_valid({column}) AND json_type({column})='array'"
        if not self.is_multiple:
            return (
                f"CASE WHEN instr({column},'[')=0 THEN CAST({column} AS TEXT) WHEN {is_list}"
                f" THEN ifnull((SELECT value FROM {each} DESC LIMIT 1),'')"
                f" ELSE ifnull(CAST({column} AS TEXT),'') END"
            )
        # Lists as this server or the reference writes them are taken as they are.
        return (
            f"CASE WHEN {column}='[]' THEN json('[]')"
            f""" WHEN {column} GLOB '[[]"*"]' AND {column} NOT GLOB '*,[^"]*' AND instr({column},'""')=0"""
            f" AND json_valid({column}) THEN json({column})"
            f" WHEN ifnull({column},'')='' THEN json('[]')"
            f" WHEN {is_list} THEN json((SELECT json_group_array(value) FROM (SELECT value FROM {each})))"
            f" ELSE json_array(CAST({column} AS TEXT)) END"
        )

    def _too_many(self, count: int) -> FieldError | None:
        most = max(self.max_select, 1)
        if count <= most:
            return None
        return FieldError("validation_too_many_values", f"Select no more than {most}.", {"maxSelect": most})


def _stored_texts(value: SQLValue) -> list[str]:
    """Return the texts in a column value; items of a list that aren't texts are left out.

    Repeated ones stay, because `json_sql` can't drop them cheaply; nothing writes them.
    """
    if isinstance(value, str) and "[" in value:
        decoded = jsontext.decode_list(value)
        if decoded is not None:
            return [item for item in decoded if isinstance(item, str) and item]
    text = column_text(value)
    return [text] if text else []


class SelectField(_Texts, frozen=True, kw_only=True, tag="select"):
    kind = "select"
    help: str = ""
    values: tuple[str, ...] = ()
    required: bool = False

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        texts = self.texts(record.values.get(self.name))
        if not texts:
            return checks.REQUIRED if self.required else None
        if (error := self._too_many(len(texts))) is not None:
            return error
        for text in texts:
            if text not in self.values:
                return FieldError("validation_invalid_value", f"Invalid value {text}", {"value": text})
        return None

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)
        errors.update(
            checks.collect(
                values=checks.required(self.values),
                maxSelect=checks.within(self.max_select, 0, len(self.values) or 1),
            )
        )
        return errors


class RelationField(_Texts, frozen=True, kw_only=True, tag="relation"):
    kind = "relation"
    help: str = ""
    collection_id: str = ""
    cascade_delete: bool = False
    min_select: int = 0
    required: bool = False

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        ids = self.texts(record.values.get(self.name))
        if not ids:
            return checks.REQUIRED if self.required else None
        if self.min_select > 0 and len(ids) < self.min_select:
            text = f"Select at least {self.min_select}."
            return FieldError("validation_not_enough_values", text, {"minSelect": self.min_select})
        if (error := self._too_many(len(ids))) is not None:
            return error
        related = lookup.catalog.find(self.collection_id)
        if related is None:
            return _NO_COLLECTION
        return None if lookup.count_ids(related, ids) == len(ids) else _NO_RECORDS

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)
        needs_max = checks.required(self.max_select) if self.min_select > 0 else None
        errors.update(
            checks.collect(
                collectionId=checks.first(checks.required(self.collection_id), self._check_target(collection, catalog)),
                minSelect=checks.at_least(self.min_select, 0),
                maxSelect=checks.first(needs_max, checks.at_least(self.max_select, self.min_select)),
            )
        )
        return errors

    def _check_target(self, collection: Collection, catalog: Catalog) -> FieldError | None:
        saved = catalog.find(collection.id) if collection.id else None
        before = next((f for f in saved.fields if f.id == self.id), None) if saved else None
        if isinstance(before, RelationField) and before.collection_id != self.collection_id:
            return _RELATION_CHANGED
        related = catalog.find(self.collection_id)
        if related is None or related.id != self.collection_id:
            return _RELATION_MISSING
        return _RELATION_TO_VIEW if related.is_view and not collection.is_view else None


class FileField(_Texts, frozen=True, kw_only=True, tag="file"):
    kind = "file"
    help: str = ""
    max_size: int = 0
    mime_types: tuple[str, ...] | None = None
    thumbs: tuple[str, ...] | None = None
    protected: bool = False
    required: bool = False

    @property
    def max_body_size(self) -> int:
        return self.max_file_size * max(self.max_select, 1)

    @property
    def max_file_size(self) -> int:
        """How many bytes one file may have."""
        return self.max_size if self.max_size > 0 else DEFAULT_MAX_FILE

    def texts(self, raw: object) -> list[str]:
        """Return the names of the files in `raw`: uploads, names, or lists of both."""
        return list(dict.fromkeys(item if isinstance(item, str) else item.name for item in _files(raw)))

    @staticmethod
    def uploads(raw: object) -> list[Upload]:
        """Return the uploads in `raw`."""
        return [item for item in _files(raw) if isinstance(item, Upload)]

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        names = self.texts(record.values.get(self.name))
        if not names:
            return checks.REQUIRED if self.required else None
        known = self.texts(record.original.get(self.name))
        unknown = [_cut(name) for name in names if name not in record.uploads and name not in known]
        if unknown:
            text = f"Invalid new files: [{' '.join(unknown)}]."
            return FieldError("validation_invalid_file", text, {"invalidFiles": unknown})
        most = max(self.max_select, 1)
        if len(names) > most:
            text = f"The maximum allowed files is {most}."
            return FieldError("validation_too_many_files", text, {"maxSelect": most})
        uploads = (record.uploads[name] for name in names if name in record.uploads)
        return next((error for upload in uploads if (error := self._check_upload(upload)) is not None), None)

    def _check_upload(self, upload: Upload) -> FieldError | None:
        error = checks.first(checks.length(upload.name, 1, 150), checks.matches(upload.name, _FILE_NAME))
        if error is not None:
            return error
        shown = _cut(upload.original_name, 300, "...")
        if upload.size > self.max_file_size:
            return FieldError(
                "validation_file_size_limit",
                f"Failed to upload {shown} - the maximum allowed file size is {self.max_file_size} bytes.",
                {"file": shown, "maxSize": self.max_file_size},
            )
        if self.mime_types and not upload.is_of_type(self.mime_types):
            allowed = ", ".join(self.mime_types)
            name = jsontext.go_quote(upload.name)
            return FieldError("validation_invalid_mime_type", f"{name} mime type must be one of: {allowed}.")
        return None

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)

        def check_thumb(size: str) -> FieldError | None:
            return checks.first(checks.none_of(size, _NO_THUMBS), checks.matches(size, _THUMB))

        errors.update(
            checks.collect(
                maxSelect=checks.within(self.max_select, 0),
                maxSize=checks.within(self.max_size, 0),
                thumbs=checks.each(self.thumbs or (), check_thumb),
            )
        )
        return errors


def _files(raw: object) -> list[str | Upload]:
    """Return the names and uploads in `raw`; of a list only the items that are one file each."""
    if isinstance(raw, Upload):
        return [raw]
    if isinstance(raw, list | tuple):
        inner = (_files(item) for item in raw)
        return [files[0] for files in inner if len(files) == 1]
    return list(unique_texts(raw))


def _cut(text: str, size: int = 250, end: str = "") -> str:
    raw = text.encode("utf-8", "surrogatepass")
    return text if len(raw) <= size else raw[:size].decode("utf-8", "replace") + end
