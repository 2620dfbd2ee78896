"""View collections: the SQL view, its fields, a trial run of its query.

Owns what a query must be asked of SQLite: which columns it has, of which type, and
whether it runs. What they mean is read from the text (`schema.views`). Everything
happens in the caller's transaction; a failed step leaves it as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from rowcast.admin.collections_errors import one_line
from rowcast.errors import RowcastError
from rowcast.schema import defaults, sqltext, views
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fieldlist import add_field
from rowcast.schema.fields import Field
from rowcast.schema.generate import random_text
from rowcast.schema.record import Record
from rowcast.schema.rows import from_row, select_columns
from rowcast.storage import Reader, StorageError, Transaction, ddl

SAMPLE_SIZE = 10


class ViewError(RowcastError):
    """A query can't be the query of a view; the text is for the person who wrote it.

    `fields` are those that were found before it failed.
    """

    def __init__(self, message: str, fields: tuple[Field, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Trial:
    """A query that is ready to be run, and the collection that its rows would belong to."""

    query: str
    collection: Collection


def infer_fields(transaction: Transaction, query: str, catalog: Catalog) -> tuple[Field, ...]:
    """Return the fields of a query in the order of its columns. Raises ViewError.

    Copies core/view.go, CreateViewFields.
    """
    try:
        known = views.view_columns(query, catalog)
    except views.ViewQueryError as error:
        raise ViewError(str(error)) from error
    fields: list[Field] = []
    for name, _ in _columns(transaction, query):
        column = known.get(name)
        add_field(fields, column.field if column else views.plain_field(name))
    if all(field.name != "id" for field in fields):
        text = "missing required id column (you can use `(ROW_NUMBER() OVER()) as id` if you don't have one)"
        raise ViewError(text, tuple(fields))
    return tuple(fields)


def create_view(transaction: Transaction, name: str, query: str) -> None:
    """Create the SQL view of a collection, replacing one of the same name; its ids are texts. Raises ViewError."""
    _create(transaction, name, with_text_id(transaction, query))


def with_text_id(transaction: Transaction, query: str) -> str:
    """Return the query, wrapped where its id is no text. Raises ViewError.

    Copies core/collection_query.go, normalizeViewQueryId.
    """
    query = views.trim_query(query)
    kinds = {name.lower(): kind.upper() for name, kind in _columns(transaction, query)}
    if kinds.get("id") == "TEXT":
        return query
    try:
        columns, _ = views.parse(query)
    except views.ViewQueryError as error:
        raise ViewError(str(error)) from error
    names = (f"CAST([[{c.alias}]] as TEXT) [[{c.alias}]]" if c.alias == "id" else f"[[{c.alias}]]" for c in columns)
    return f"SELECT {','.join(names)} FROM ({query})"


def plan_trial(transaction: Transaction, query: str, catalog: Catalog) -> Trial:
    """Prepare the trial run of a query. Raises ViewError for what can be told without running it.

    Copies core/view.go, DryRunView.
    """
    query = _one_statement(query)
    fields = infer_fields(transaction, query, catalog)
    name = f"temp_view_{random_text(5)}"
    collection = Collection(id=defaults.collection_id("view", name), name=name, type="view", fields=fields)
    for at, field in enumerate(fields):
        if errors := field.validate_settings(collection, catalog):
            raise ViewError(f'invalid field "{field.name}" ({at}): {one_line(errors)}')
    try:
        query = with_text_id(transaction, query)
    except ViewError as error:
        raise ViewError(f"failed to normalize view query id: {error}") from error
    return Trial(query, collection)


def run_trial(reader: Reader, trial: Trial) -> list[Record]:
    """Return some records of a query. May take as long as the query does. Raises ViewError.

    Empty and repeated ids are found in the sample only.
    """
    collection = trial.collection
    source = f"(SELECT * FROM ({ddl.view_query(reader, trial.query)}))"
    try:
        found = reader.rows(f"SELECT {select_columns(collection)} FROM {source} LIMIT {SAMPLE_SIZE}")
    except StorageError as error:
        name = sqltext.quoted(collection.name)
        statement = f"SELECT {name}.* FROM {source} {name} LIMIT {SAMPLE_SIZE}"
        reason = f"failed to retrieve query records: {error.engine_text}; failed query: {statement}"
        raise ViewError(reason) from error
    records = [from_row(collection, row) for row in found]
    ids = [record.id for record in records]
    if not all(ids):
        raise ViewError("the query could return records with empty or invalid ids")
    if len(set(ids)) < len(ids):
        raise ViewError("the query could return records with non-unique ids")
    return records


def _columns(transaction: Transaction, query: str) -> list[tuple[str, str]]:
    """Return the columns of a query as (name, SQL type), by way of a view that is dropped again."""
    name = f"_temp_{random_text(6)}"
    columns = _create(transaction, name, query)
    ddl.drop_view(transaction, name)
    return columns


def _create(transaction: Transaction, name: str, query: str) -> list[tuple[str, str]]:
    query = _one_statement(query)
    try:
        with transaction.savepoint():
            return ddl.create_view(transaction, name, query)
    except StorageError as error:
        raise ViewError(error.engine_text) from error


def _one_statement(query: str) -> str:
    """Return a trimmed query that can't end the statement around it. Raises ViewError."""
    query = views.trim_query(query)
    if not sqltext.stays_inside(query):
        raise ViewError("multiple statements are not supported")
    return query
