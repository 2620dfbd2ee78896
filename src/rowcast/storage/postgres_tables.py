"""The system tables on PostgreSQL: those of data.db and auxiliary.db, side by side in one schema.

Columns are those that `storage.migrations` gives to SQLite, in the types of collections.
"""

from __future__ import annotations

from rowcast.storage.postgres_ddl import PostgresDefinitions
from rowcast.storage.postgres_dialect import column_type

_TEXT = 'text COLLATE "C"'
_ID = column_type("TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL")
_NOW = f"{_TEXT} DEFAULT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS\"Z\"') NOT NULL"
_ORDER = PostgresDefinitions.hidden_column
_RULES = ", ".join(f'"{name}Rule" {_TEXT}' for name in ("list", "view", "create", "update", "delete"))

DATA = (
    f"CREATE TABLE _migrations (file {_TEXT} PRIMARY KEY NOT NULL, applied numeric NOT NULL{_ORDER})",
    f"CREATE TABLE _params (id {_ID}, value {_TEXT}, created {_NOW}, updated {_NOW}{_ORDER})",
    f"CREATE TABLE _collections (id {_ID}, system numeric DEFAULT 0 NOT NULL, type {_TEXT} DEFAULT 'base' NOT NULL,"
    f" name {_TEXT} UNIQUE NOT NULL, fields {_TEXT} DEFAULT '[]' NOT NULL, indexes {_TEXT} DEFAULT '[]' NOT NULL,"
    f" {_RULES}, options {_TEXT} DEFAULT '{{}}' NOT NULL, created {_NOW}, updated {_NOW}{_ORDER})",
    "CREATE INDEX idx__collections_type ON _collections (type)",
)

AUXILIARY = (
    f"CREATE TABLE IF NOT EXISTS _logs (id {_ID}, level numeric DEFAULT 0 NOT NULL,"
    f" message {_TEXT} DEFAULT '' NOT NULL, data {_TEXT} DEFAULT '{{}}' NOT NULL, created {_NOW}{_ORDER})",
    "CREATE INDEX IF NOT EXISTS idx_logs_level ON _logs (level)",
    "CREATE INDEX IF NOT EXISTS idx_logs_message ON _logs (message)",
    "CREATE INDEX IF NOT EXISTS idx_logs_created ON _logs (created)",
)
