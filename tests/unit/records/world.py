"""A data directory with collections that show every kind of field and relation."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from rowcast.blobs import LocalBlobs
from rowcast.credentials import hash_password
from rowcast.records import Records
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.catalog import Catalog, CatalogRef
from rowcast.schema.collection import AuthOptions, Collection
from rowcast.schema.defaults import AUTH_FIELDS, ID_FIELD
from rowcast.schema.fields import (
    AutodateField,
    BoolField,
    DateField,
    EditorField,
    EmailField,
    Field,
    FileField,
    GeoPointField,
    JSONField,
    NumberField,
    RelationField,
    SelectField,
    TextField,
    URLField,
)
from rowcast.schema.record import Change, Record
from rowcast.schema.request import RequestContext, RequestInfo
from rowcast.schema.rows import new_record
from rowcast.storage import Transaction
from rowcast.storage.ddl import create_table, create_view, drop_table
from rowcast.storage.directory import open_directory
from tests import postgres

PASSWORD = "correct horse"
HASH = hash_password(PASSWORD, 4)

DATES = (
    AutodateField(name="created", on_create=True),
    AutodateField(name="updated", on_create=True, on_update=True),
)

POST_FIELDS: tuple[Field, ...] = (
    TextField(name="title", required=True, max=40),
    TextField(name="slug", autogenerate_pattern="[a-z]{8}"),
    TextField(name="secret", hidden=True),
    EditorField(name="text"),
    NumberField(name="n"),
    BoolField(name="is_open"),
    EmailField(name="contact"),
    URLField(name="link"),
    DateField(name="day"),
    SelectField(name="kind", values=("a", "b", "c"), max_select=1),
    SelectField(name="tags", values=("x", "y", "z"), max_select=3),
    JSONField(name="data"),
    GeoPointField(name="place"),
    FileField(name="cover", max_select=1),
    FileField(name="papers", max_select=5, max_size=1000),
    RelationField(name="author", collection_id="users", max_select=1),
    RelationField(name="readers", collection_id="users", max_select=9),
    *DATES,
)


def base(
    name: str, *fields: Field, indexes: tuple[str, ...] = (), rule: str | None = "", **rules: str | None
) -> Collection:
    """Return a base collection whose rules are all `rule` but for those given by name."""
    return Collection(
        id=name,
        name=name,
        fields=(ID_FIELD, *fields),
        indexes=indexes,
        **({f"{action}_rule": rule for action in ("list", "view", "create", "update", "delete")} | rules),  # type: ignore[arg-type]
    )


def accounts(name: str, *fields: Field, manage: str | None = None, indexes: tuple[str, ...] = ()) -> Collection:
    """Return an auth collection whose rules are all empty."""
    made = base(name, *AUTH_FIELDS, *fields, *DATES, indexes=indexes)
    return made.replaced(type="auth", auth=AuthOptions(manage_rule=manage))


def collections() -> list[Collection]:
    """Return the collections of the world."""
    return [
        accounts("users", TextField(name="team"), RelationField(name="friend", collection_id="users", max_select=1)),
        accounts("staff", manage='@request.auth.collectionName = "staff"'),
        base("posts", *POST_FIELDS, indexes=("CREATE UNIQUE INDEX `idx_title` ON `posts` (`title`)",)),
        base(
            "comments",
            TextField(name="text"),
            RelationField(name="post", collection_id="posts", max_select=1, cascade_delete=True),
            RelationField(name="likes", collection_id="users", max_select=50),
            *DATES,
        ),
        base("pins", RelationField(name="post", collection_id="posts", max_select=1, required=True)),
        base(
            "lists",
            RelationField(name="posts", collection_id="posts", max_select=9, required=True),
            RelationField(name="parts", collection_id="posts", max_select=9, cascade_delete=True),
            RelationField(name="main", collection_id="posts", max_select=1),
        ),
        base("nodes", RelationField(name="parent", collection_id="nodes", max_select=1, cascade_delete=True)),
        base("closed", TextField(name="title"), rule=None),
        Collection(
            id="titles",
            name="titles",
            type="view",
            fields=(ID_FIELD, TextField(name="title")),
            list_rule="",
            view_rule="",
        ),
    ]


@cache
def _template() -> Path:
    """Return a data directory with the tables of the world, made once for all tests."""
    path = Path(tempfile.mkdtemp(prefix="rowcast-world-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    _fill(path, "")
    return path


@cache
def _database() -> str:
    """Return the URL of a database with the tables of the world, made once for all tests."""
    url = postgres.new_database()
    atexit.register(postgres.drop_database, url)
    path = Path(tempfile.mkdtemp(prefix="rowcast-world-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    _fill(path, url)
    return url


def _fill(path: Path, database: str) -> None:
    directory = open_directory(path, database=database)
    with directory.data.write() as tx:
        drop_table(tx, "users")
        for collection in collections():
            if not collection.is_view:
                create_table(tx, collection)
        create_view(tx, "titles", "SELECT id, title FROM posts")
    directory.close()


class World:
    """A server without its edge, over SQLite or PostgreSQL."""

    def __init__(self, path: Path, *, is_postgres: bool = False) -> None:
        self._database = ""
        if is_postgres:
            self._database = postgres.new_database(_database())
        else:
            shutil.copytree(_template(), path)
        self.directory = open_directory(path, budget_s=10, database=self._database)
        self.storage = self.directory.data
        catalog = Catalog([c for c in self.directory.catalog if c.name != "users"] + collections())
        self.catalog = CatalogRef(catalog, self.storage.dialect)
        self.blobs = LocalBlobs(path / "storage")
        self.rules = Rules(self.catalog)
        self.output = Output(self.catalog, self.rules)
        self.listened: set[str] = set()
        self.records = Records(
            storage=self.storage,
            catalog=self.catalog,
            blobs=self.blobs,
            rules=self.rules,
            output=self.output,
            wants_before=lambda collection: collection.name in self.listened,
        )
        self.changes: list[Change] = []
        self._known: dict[str, Record] = {}
        self.storage.publish = lambda logged: self.changes.extend(c for c in logged if isinstance(c, Change))

    def close(self) -> None:
        self.storage.publish = None
        self.directory.close()
        if self._database:
            postgres.drop_database(self._database)

    def of(self, name: str) -> Collection:
        found = self.catalog.current.find(name)
        assert found is not None
        return found

    def alter(self, collection: str, **changes: object) -> Collection:
        """Replace a collection by one with other rules or options; its table stays."""
        changed = self.of(collection).replaced(**changes)
        self.catalog.current = self.catalog.current.replaced(changed)
        return changed

    def add(self, collection: str, **values: object) -> Record:
        """Save a record without asking any rule, and forget the change."""
        record = new_record(self.of(collection))
        for key, value in values.items():
            if key == "password":
                record.values[key] = value
            else:
                record.set(key, value)
        with self.storage.write() as tx:
            self.records.save(tx, record)
        self.changes.clear()
        return record

    def account(self, collection: str = "users", **values: object) -> Record:
        """Save an account with the usual password."""
        number = self.count(collection)
        return self.add(collection, **({"password": HASH, "email": f"{number}@{collection}.example.com"} | values))

    def superuser(self) -> Record:
        return self.account("_superusers", email="root@example.com")

    def known(self) -> dict[str, Record]:
        """Return a superuser that stays the same for a world that several examples share."""
        if not self._known:
            self._known = {"root": self.superuser()}
        return self._known

    def add_unchecked(self, tx: Transaction, collection: str, values: Mapping[str, object]) -> Record:
        """Save a record without rules and validation."""
        record = new_record(self.of(collection))
        for key, value in values.items():
            record.set(key, value)
        self.records.save(tx, record, validate=False)
        return record

    def stored(self, collection: str, record_id: str) -> dict[str, Any] | None:
        """Return the stored values of a record, None where it is gone."""
        with self.storage.read() as reader:
            record = self.records.find(reader, self.of(collection), record_id)
        return dict(record.values) if record is not None else None

    def count(self, collection: str) -> int:
        with self.storage.read() as reader:
            total = reader.value(f'SELECT COUNT(*) FROM "{collection}"')
        assert isinstance(total, int)
        return total

    def create(self, collection: str, body: dict[str, object], **how: Any) -> dict[str, Any]:
        uploads = how.pop("uploads", None)
        return decoded(self.records.create(asking(body=body, **how), self.of(collection), uploads))

    def update(self, collection: str, record_id: str, body: dict[str, object], **how: Any) -> dict[str, Any]:
        uploads = how.pop("uploads", None)
        return decoded(self.records.update(asking(body=body, **how), self.of(collection), record_id, uploads))

    def delete(self, collection: str, record_id: str, **how: Any) -> None:
        self.records.delete(asking(**how), self.of(collection), record_id)

    def list(self, collection: str, **how: Any) -> dict[str, Any]:
        return decoded(self.records.list(asking(**how), self.of(collection)))

    def view(self, collection: str, record_id: str, **how: Any) -> dict[str, Any]:
        return decoded(self.records.view(asking(**how), self.of(collection), record_id))


def asking(
    auth: Record | None = None,
    *,
    query: Mapping[str, str] | None = None,
    body: dict[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    context: RequestContext = "default",
) -> RequestInfo:
    return RequestInfo(auth, method, context, query or {}, headers or {}, {} if body is None else body)


def decoded(text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(text)
    return found


def failing(call: Callable[[], object]) -> Any:
    """Return what `call` raises."""
    try:
        result = call()
    except Exception as error:  # noqa: BLE001  # the test looks at it
        return error
    raise AssertionError(f"nothing was raised, but {result!r} returned")
