"""The system tables and default collections of a data directory.

Writes what PocketBase 0.39.11 writes into an empty directory, and lists it in
`_migrations` the same way, so that the reference opens the directory in turn and
finds nothing to do. Existing tables are checked, never changed. Works on any
`Storage`; files are the business of `storage.directory`.

Copies migrations/*.go and core/migrations_runner.go.
"""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable, Iterable

import msgspec

from rowcast.ciphers import SettingsKey
from rowcast.config import Settings
from rowcast.errors import DataDirError
from rowcast.schema import defaults
from rowcast.schema.collection import Collection
from rowcast.schema.dates import now
from rowcast.schema.fields import AutodateField, Field, FileField, PasswordField, TextField
from rowcast.storage import Reader, Storage, Transaction, postgres_tables
from rowcast.storage.catalog_rows import insert_collection
from rowcast.storage.ddl import create_table, table_names
from rowcast.storage.settings_rows import save_settings

SYSTEM_MIGRATIONS = (
    "1640988000_aux_init.go",
    "1640988000_init.go",
    "1717233556_v0.23_migrate.go",
    "1717233557_v0.23_migrate2.go",
    "1717233558_v0.23_migrate3.go",
    "1717233559_v0.23_migrate4.go",
    "1763020353_update_default_auth_alert_templates.go",
    "1778828400_normalize_indexes.go",
)
"""What the reference applies to a new directory. The last two change only texts and names of indexes."""

SYSTEM_TABLES = frozenset(
    {"_migrations", "_params", "_collections", "_mfas", "_otps", "_externalAuths", "_authOrigins", "_superusers"}
)

_ID = "TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL"
_NOW = "TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%fZ')) NOT NULL"

_DATA_TABLES = (
    "CREATE TABLE `_migrations` (file VARCHAR(255) PRIMARY KEY NOT NULL, applied INTEGER NOT NULL)",
    f"""CREATE TABLE `_params` (
			`id`      {_ID},
			`value`   JSON DEFAULT NULL,
			`created` {_NOW},
			`updated` {_NOW}
		)""",
    f"""CREATE TABLE `_collections` (
				`id`         {_ID},
				`system`     BOOLEAN DEFAULT FALSE NOT NULL,
				`type`       TEXT DEFAULT "base" NOT NULL,
				`name`       TEXT UNIQUE NOT NULL,
				`fields`     JSON DEFAULT "[]" NOT NULL,
				`indexes`    JSON DEFAULT "[]" NOT NULL,
				`listRule`   TEXT DEFAULT NULL,
				`viewRule`   TEXT DEFAULT NULL,
				`createRule` TEXT DEFAULT NULL,
				`updateRule` TEXT DEFAULT NULL,
				`deleteRule` TEXT DEFAULT NULL,
				`options`    JSON DEFAULT "{{}}" NOT NULL,
				`created`    {_NOW},
				`updated`    {_NOW}
			)""",
    "CREATE INDEX idx__collections_type on `_collections` (`type`)",
)

_AUXILIARY_TABLES = (
    f"""CREATE TABLE IF NOT EXISTS `_logs` (
					`id`      {_ID},
					`level`   INTEGER DEFAULT 0 NOT NULL,
					`message` TEXT DEFAULT "" NOT NULL,
					`data`    JSON DEFAULT "{{}}" NOT NULL,
					`created` {_NOW}
				)""",
    "CREATE INDEX IF NOT EXISTS idx_logs_level on `_logs` (`level`)",
    "CREATE INDEX IF NOT EXISTS idx_logs_message on `_logs` (`message`)",
    "CREATE INDEX IF NOT EXISTS idx_logs_created_hour on `_logs` (strftime('%Y-%m-%d %H:00:00', `created`))",
)

_TABLES = {
    "sqlite": (_DATA_TABLES, _AUXILIARY_TABLES),
    "postgresql": (postgres_tables.DATA, postgres_tables.AUXILIARY),
}

_OWNER_RULE = "@request.auth.id != '' && recordRef = @request.auth.id && collectionRef = @request.auth.collectionId"
_ALPHABET = string.ascii_letters + string.digits


def random_secret() -> str:
    """Return the 50 random letters and digits of a new token secret."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(50))


def create_data(storage: Storage, key: SettingsKey) -> None:
    """Fill an empty database as data.db, in one transaction; does nothing where another process was faster."""
    with storage.write() as transaction:
        transaction.serialize()
        if table_names(transaction) & SYSTEM_TABLES:
            return
        create_system_tables(transaction)
        applied = time.time_ns() // 1000
        for offset, file in enumerate(SYSTEM_MIGRATIONS):
            transaction.run("INSERT INTO _migrations (file, applied) VALUES (?, ?)", (file, applied + offset))
        for collection in default_collections(random_secret):
            create_table(transaction, collection)
            insert_collection(transaction, collection)
        save_settings(transaction, Settings(), key)


def create_system_tables(transaction: Transaction) -> None:
    """Create the tables of data.db that belong to no collection."""
    for statement in _TABLES[transaction.dialect.engine][0]:
        transaction.run(statement)


def create_auxiliary(storage: Storage) -> None:
    """Create the tables of auxiliary.db that are missing."""
    with storage.read() as reader:
        if "_logs" in table_names(reader):
            return
    with storage.write() as transaction:
        transaction.serialize()
        for statement in _TABLES[transaction.dialect.engine][1]:
            transaction.run(statement)


def check_tables(tables: Iterable[str]) -> None:
    """Raise DataDirError where a database that is not empty has not the system tables of PocketBase 0.23 and later."""
    missing = SYSTEM_TABLES.difference(tables)
    if not missing:
        return
    if not missing & {"_collections", "_params"}:
        raise DataDirError(
            "the data directory was written by a PocketBase before 0.23 (there is no table "
            f"{min(missing)}); start PocketBase 0.39 on a copy of it once, "
            "which brings it up to date, and try again"
        )
    raise DataDirError("data.db is not a database of PocketBase or rowcast")


def check_migrations(reader: Reader) -> None:
    """Raise DataDirError where `_migrations` lists a step that is newer than this version knows.

    Only files of the reference itself and of programs built on it end in ".go"; a
    project's own schema changes (".js") are plain data.
    """
    known, newest = set(SYSTEM_MIGRATIONS), SYSTEM_MIGRATIONS[-1]
    files = [str(row[0]) for row in reader.rows("SELECT file FROM _migrations ORDER BY file")]
    newer = [file for file in files if file.endswith(".go") and file not in known and file > newest]
    if newer:
        raise DataDirError(
            f"the data directory lists migrations that this version does not know ({', '.join(newer)}): a newer "
            "PocketBase, or a program built on it, has changed it; use a newer rowcast, or --allowUnknownMigrations "
            "where you know that they change nothing but your own collections"
        )


def default_collections(secret: Callable[[], str]) -> tuple[Collection, ...]:
    """Return the collections of a new data directory, in their order."""
    return (
        _system("_mfas", _texts("collectionRef", "recordRef", "method"), ("collectionRef,recordRef",)),
        _system(
            "_otps",
            (
                *_texts("collectionRef", "recordRef"),
                PasswordField(name="password", system=True, hidden=True, required=True, cost=8),
                TextField(name="sentTo", system=True, hidden=True),
            ),
            ("collectionRef, recordRef",),
        ),
        _system(
            "_externalAuths",
            _texts("collectionRef", "recordRef", "provider", "providerId"),
            ("record_provider", "collectionRef, recordRef, provider"),
            ("collection_provider", "collectionRef, provider, providerId"),
            delete_rule=_OWNER_RULE,
        ),
        _system(
            "_authOrigins",
            _texts("collectionRef", "recordRef", "fingerprint"),
            ("unique_pairs", "collectionRef, recordRef, fingerprint"),
            delete_rule=_OWNER_RULE,
        ),
        _superusers(secret),
        _users(secret),
    )


def _system(
    name: str, fields: tuple[Field, ...], *indexes: tuple[str, ...], delete_rule: str | None = None
) -> Collection:
    """Return a system collection; an index is (columns,) or, unique, (end of its name, columns)."""
    texts = []
    for index in indexes:
        *ends, columns = index
        end = ends[0] if ends else "collectionRef_recordRef"
        texts.append(f"CREATE {'UNIQUE ' if ends else ''}INDEX `idx{name}_{end}` ON `{name}` ({columns})")
    moment = now()
    return Collection(
        id=defaults.collection_id("base", name),
        name=name,
        system=True,
        fields=_with_ids((defaults.ID_FIELD, *fields, *_moments(system=True))),
        indexes=tuple(texts),
        list_rule=_OWNER_RULE,
        view_rule=_OWNER_RULE,
        delete_rule=delete_rule,
        created=moment,
        updated=moment,
    )


def _superusers(secret: Callable[[], str]) -> Collection:
    name = "_superusers"
    id = defaults.collection_id("auth", name)
    options = defaults.auth_options(secret)
    moment = now()
    return Collection(
        id=id,
        name=name,
        type="auth",
        system=True,
        fields=_with_ids((defaults.ID_FIELD, *defaults.AUTH_FIELDS, *_moments(system=True))),
        indexes=(defaults.token_key_index(id, name), defaults.email_index(id, name)),
        created=moment,
        updated=moment,
        auth=msgspec.structs.replace(options, auth_token=msgspec.structs.replace(options.auth_token, duration=86400)),
    )


def _users(secret: Callable[[], str]) -> Collection:
    name, id, owner = "users", "_pb_users_auth_", "id = @request.auth.id"
    options = defaults.auth_options(secret)
    mapped = msgspec.structs.replace(options.oauth2.mapped_fields, name="name", avatar_url="avatar")
    images = ("image/jpeg", "image/png", "image/svg+xml", "image/gif", "image/webp")
    moment = now()
    return Collection(
        id=id,
        name=name,
        type="auth",
        fields=_with_ids(
            (
                defaults.ID_FIELD,
                *defaults.AUTH_FIELDS,
                TextField(name="name", max=255),
                FileField(name="avatar", max_select=1, mime_types=images),
                *_moments(system=False),
            )
        ),
        indexes=(defaults.token_key_index(id, name), defaults.email_index(id, name)),
        list_rule=owner,
        view_rule=owner,
        create_rule="",
        update_rule=owner,
        delete_rule=owner,
        created=moment,
        updated=moment,
        auth=msgspec.structs.replace(options, oauth2=msgspec.structs.replace(options.oauth2, mapped_fields=mapped)),
    )


def _texts(*names: str) -> tuple[Field, ...]:
    return tuple(TextField(name=name, system=True, required=True) for name in names)


def _moments(*, system: bool) -> tuple[Field, ...]:
    return (
        AutodateField(name="created", system=system, on_create=True),
        AutodateField(name="updated", system=system, on_create=True, on_update=True),
    )


def _with_ids(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    return tuple(defaults.with_id(field) for field in fields)
