"""The stored settings: the row `settings` of `_params`.

Owns the form of that row. The value is a BLOB, as the reference writes it
(core/settings_model.go, DBExport). Knows no setting by name.
"""

from __future__ import annotations

import msgspec

from rowcast import encoding
from rowcast.config import Settings, parse_settings
from rowcast.errors import DataDirError
from rowcast.schema.dates import now
from rowcast.storage import Reader, Transaction

_SELECT = "SELECT value FROM _params WHERE id = 'settings'"


def load_settings(reader: Reader) -> Settings | None:
    """Return the stored settings, or None where there are none.

    Raises DataDirError where they are encrypted or can't be read.
    """
    value = reader.value(_SELECT)
    if not isinstance(value, str | bytes) or not value:
        return None
    text = value.encode() if isinstance(value, str) else value
    if not text.lstrip().startswith(b"{"):
        raise DataDirError(
            "the settings of the data directory are encrypted, which rowcast can't read yet; "
            "start PocketBase once with its key, save the settings there without --encryptionEnv, and try again"
        )
    try:
        return parse_settings(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataDirError(f"the settings of the data directory can't be read: {error}") from error


def save_settings(transaction: Transaction, settings: Settings) -> None:
    """Store the settings. Swapping `SettingsRef` is up to the caller, after the commit."""
    moment = now()
    transaction.run(
        "INSERT INTO _params (id, value, created, updated) VALUES ('settings', ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET value = excluded.value, updated = excluded.updated",
        (encoding.encode(settings.stored()), moment, moment),
    )
