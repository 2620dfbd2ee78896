"""The tables, indexes and views that belong to collections.

Owns the statements that bring a table from one state of its collection to the
next, with the data kept: fields are told apart by their ids, so a renamed field
keeps its column. The statements and their order are the reference's
(core/collection_record_table_sync.go, view.go); the texts are those of an
engine (`sqlite_ddl`, `postgres_ddl`), on SQLite the reference's own. Validates nothing; runs
inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from rowcast import encoding
from rowcast.errors import ErrorData, FieldError, InvalidFieldsError
from rowcast.schema.collection import Collection
from rowcast.schema.fields import Field
from rowcast.schema.generate import random_text
from rowcast.schema.indexes import parse_index
from rowcast.schema.sqltext import stays_inside
from rowcast.storage import Reader, StorageError, Transaction, sources
from rowcast.storage.catalog_rows import fields_json
from rowcast.storage.postgres_ddl import PostgresDefinitions
from rowcast.storage.sqlite_ddl import SQLiteDefinitions

_ENGINES: dict[str, SQLiteDefinitions | PostgresDefinitions] = {
    "sqlite": SQLiteDefinitions(),
    "postgresql": PostgresDefinitions(),
}

_INVALID_INDEX = FieldError("validation_invalid_index_expression", "Invalid CREATE INDEX expression.")


def create_table(transaction: Transaction, collection: Collection) -> None:
    """Create the table of a collection and its indexes. Raises InvalidFieldsError for an index that SQLite refuses."""
    texts = _texts(transaction)
    columns = sorted({field.name: field.column_type for field in collection.fields}.items())
    declared = ", ".join(f"{texts.name(name)} {texts.column_type(kind)}" for name, kind in columns)
    transaction.run(f"CREATE TABLE {texts.name(collection.name)} ({declared}{texts.hidden_column})")
    _create_indexes(transaction, collection)


def sync_table(transaction: Transaction, old: Collection | None, new: Collection) -> None:
    """Bring the table of `old` to the state of `new`, or create it where there is none.

    Raises InvalidFieldsError for an index that SQLite refuses, StorageError for a
    change that a view forbids. Copies core/collection_record_table_sync.go. A collection over the
    table of somebody else has a view instead, and what watches a table is made anew.
    """
    source = sources.find(transaction, new.id)
    if source is None or (old is not None and _columns(old) == _columns(new)):
        if source is None or not source.is_adopted:
            _sync(transaction, old, new)
        return
    above: list[tuple[str, str]] = []
    if old is not None:
        old = sources.rename(transaction, old, new, source)
        above = _texts(transaction).views(transaction, old.name) if source.is_adopted else []
        sources.clear(transaction, old, source)
    source = sources.renewed(transaction, source, new)
    if not source.is_adopted:
        _sync(transaction, old, new)
    sources.build(transaction, new, source)
    _create_views(transaction, [(name, sql) for name, sql in above if old is None or name != old.name])


def _columns(collection: Collection) -> tuple[str, list[tuple[str, str, str]]]:
    """Return what views and triggers name of a collection."""
    return collection.name, [(field.id, field.name, field.column_type) for field in collection.fields]


def _create_views(transaction: Transaction, views: Sequence[tuple[str, str]]) -> None:
    """Create views again that were dropped with one that they read; those that can't be are left out."""
    for name, sql in views:
        if not has_table(transaction, name):
            with suppress(StorageError), transaction.savepoint():
                transaction.run(sql)


def _sync(transaction: Transaction, old: Collection | None, new: Collection) -> None:
    if old is None or not has_table(transaction, old.name):
        create_table(transaction, new)
        return
    is_renamed = old.name.lower() != new.name.lower()
    is_reindexed = is_renamed or old.indexes != new.indexes or _text(old.fields) != _text(new.fields)
    if is_reindexed:
        _drop_indexes(transaction, old)
    if is_renamed:
        texts = _texts(transaction)
        transaction.run(f"ALTER TABLE {texts.name(old.name)} RENAME TO {texts.name(new.name)}")
    _sync_columns(transaction, old, new)
    _convert_values(transaction, old, new)
    if is_reindexed:
        _create_indexes(transaction, new)


def drop_table(transaction: Transaction, name: str) -> None:
    """Drop a table with its rows and indexes; none is no error."""
    texts = _texts(transaction)
    transaction.run(f"DROP TABLE IF EXISTS {texts.name(name)}{texts.cascade}")


def drop_collection(transaction: Transaction, collection: Collection) -> None:
    """Drop the table of a collection. That of somebody else stays as it is, with all its rows."""
    source = sources.find(transaction, collection.id)
    if source is not None:
        sources.clear(transaction, collection, source)
        sources.forget(transaction, source)
    if source is None or not source.is_adopted:
        drop_table(transaction, collection.name)


def has_table(reader: Reader, name: str) -> bool:
    """Whether there is a table or view of this name, in any letter case."""
    return reader.value(_texts(reader).has_table, (name,)) is not None


def table_names(reader: Reader) -> set[str]:
    """Return the names of all tables."""
    return {str(row[0]) for row in reader.rows(_texts(reader).tables)}


def index_owner(reader: Reader, index: str, *besides: str) -> str:
    """Return the name of the table that has an index of this name, looking at no table of `besides`; "" for none."""
    return str(reader.value(_texts(reader).index_owner(besides), (index, *besides)) or "")


def view_query(reader: Reader, query: str) -> str:
    """Return the query of a view with the quotes that the engine reads."""
    return _texts(reader).query(query)


def create_view(transaction: Transaction, name: str, query: str) -> list[tuple[str, str]]:
    """Create a view, replacing one of the same name, and return its columns as (name, SQL type).

    The query must have been found to stay inside of parentheses (see
    `schema.sqltext.stays_inside`). Raises StorageError, also for what SQLite sees only when
    the view is read: missing tables and columns.
    """
    return _texts(transaction).create_view(transaction, name, query)


def drop_view(transaction: Transaction, name: str) -> None:
    """Drop a view; none is no error."""
    texts = _texts(transaction)
    transaction.run(f"DROP VIEW IF EXISTS {texts.name(name)}{texts.cascade}")


def _texts(reader: Reader) -> SQLiteDefinitions | PostgresDefinitions:
    return _ENGINES[reader.dialect.engine]


def _text(fields: Sequence[Field]) -> bytes:
    return encoding.encode(fields_json(fields))


def _sync_columns(transaction: Transaction, old: Collection, new: Collection) -> None:
    """Drop, add and rename columns. Names pass through temporary ones, so that two fields can swap theirs."""
    texts = _texts(transaction)
    table = texts.name(new.name)
    before = {field.id: field for field in old.fields}
    kept = {field.id for field in new.fields}
    for field in old.fields:
        if field.id not in kept:
            _alter(
                transaction, f"ALTER TABLE {table} DROP COLUMN {texts.name(field.name)}", f"drop column {field.name}"
            )
    renamed: list[tuple[str, str]] = []
    for field in new.fields:
        origin = before.get(field.id)
        temporary = field.name + random_text(5)
        if origin is None:
            column = f"{texts.name(temporary)} {texts.column_type(field.column_type)}"
            _alter(transaction, f"ALTER TABLE {table} ADD {column}", f"add column {field.name}")
        elif origin.name != field.name:
            _rename_column(transaction, new.name, origin.name, temporary)
        else:
            continue
        renamed.append((temporary, field.name))
    for temporary, name in renamed:
        transaction.run(f"ALTER TABLE {table} RENAME COLUMN {texts.name(temporary)} TO {texts.name(name)}")


def _alter(transaction: Transaction, sql: str, what: str) -> None:
    try:
        transaction.run(sql)
    except StorageError as error:
        raise StorageError(f"failed to {what} - {error.engine_text}") from error


def _rename_column(transaction: Transaction, table: str, old: str, new: str) -> None:
    texts = _texts(transaction)
    sql = f"ALTER TABLE {texts.name(table)} RENAME COLUMN {texts.name(old)} TO {texts.name(new)}"
    _alter(transaction, sql, f"rename column {old}")


def _convert_values(transaction: Transaction, old: Collection, new: Collection) -> None:
    """Turn texts into lists and lists into texts where a field changed from single to multiple or back."""
    before = {field.id: field for field in old.fields}
    for field in new.fields:
        origin = before.get(field.id)
        if field.is_multiple != (origin is not None and origin.is_multiple):
            _convert_column(transaction, new.name, field)


def _convert_column(transaction: Transaction, table: str, field: Field) -> None:
    # A column that a view reads can't be replaced: the views step aside.
    texts = _texts(transaction)
    views = texts.views(transaction, table)
    for name, _ in views:
        drop_view(transaction, name)
    temporary = f"_{field.name}{random_text(5)}"
    _rename_column(transaction, table, field.name, temporary)
    column = f"{texts.name(field.name)} {texts.column_type(field.column_type)}"
    _alter(transaction, f"ALTER TABLE {texts.name(table)} ADD {column}", f"add column {field.name}")
    values = (texts.as_list if field.is_multiple else texts.as_last)(texts.name(temporary))
    transaction.run(f"UPDATE {texts.name(table)} SET {texts.name(field.name)} = {values}")
    dropped = f"ALTER TABLE {texts.name(table)} DROP COLUMN {texts.name(temporary)}"
    _alter(transaction, dropped, f"drop column {temporary}")
    for _, sql in views:
        transaction.run(sql)


def _drop_indexes(transaction: Transaction, collection: Collection) -> None:
    for text in collection.indexes:
        index = parse_index(text)
        if not index.name:
            raise StorageError(f"failed to dop index - missing index name: {text}")
        transaction.run(f"DROP INDEX IF EXISTS {_texts(transaction).name(index.name)}")


def _create_indexes(transaction: Transaction, collection: Collection) -> None:
    errors = ErrorData()
    for at, text in enumerate(collection.indexes):
        index = parse_index(text).on(collection.name)
        sql = _texts(transaction).index(index, collection)
        # A WHERE holds any text: it must not begin another statement.
        if not sql or not stays_inside(sql):
            errors[str(at)] = _INVALID_INDEX
            continue
        try:
            # A failed statement must not end the transaction: all indexes are tried.
            with transaction.savepoint():
                transaction.run(sql)
        except StorageError as error:
            reason = f"Failed to create index {index.name} - {error.engine_text}."
            errors[str(at)] = FieldError("validation_invalid_index_expression", reason)
    if errors:
        raise InvalidFieldsError(data=ErrorData(indexes=errors))
