"""The stored settings: the row `settings` of `_params`.

Owns the form of that row. The value is a BLOB with JSON, or a text that is JSON
encrypted with a key, as the reference writes them (core/settings_model.go, DBExport; settings_query.go,
loadParam). Which of both is stored depends on the key when they are saved, so a key
that is new takes effect with the next save. Knows no setting by name.
"""

from __future__ import annotations

import msgspec

from rowcast import encoding
from rowcast.ciphers import NO_KEY, SealError, SettingsKey
from rowcast.config import Settings, parse_settings
from rowcast.errors import DataDirError
from rowcast.schema.dates import now
from rowcast.storage import Reader, Transaction

_SELECT = "SELECT value FROM _params WHERE id = 'settings'"


def load_settings(reader: Reader, key: SettingsKey = NO_KEY) -> Settings | None:
    """Return the stored settings, or None where there are none.

    Raises DataDirError where they can't be read, also for want of the right key.
    """
    value = reader.value(_SELECT)
    if not isinstance(value, str | bytes) or not value:
        return None
    text = value.encode() if isinstance(value, str) else value
    if not text.lstrip().startswith(b"{"):
        text = _unsealed(text, key)
    try:
        return parse_settings(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataDirError(f"the settings of the data directory can't be read: {error}") from error


def _unsealed(text: bytes, key: SettingsKey) -> bytes:
    if not key:
        hint = f"${key.variable} is empty" if key.variable else "name the variable that holds it with --encryptionEnv"
        raise DataDirError(f"the settings of the data directory are encrypted and there is no key: {hint}")
    try:
        return key.unseal(text)
    except SealError as error:
        raise DataDirError(f"the settings of the data directory can't be decrypted: {error}") from error


def save_settings(transaction: Transaction, settings: Settings, key: SettingsKey) -> None:
    """Store the settings, encrypted where there is a key; the caller puts them in force after the commit."""
    moment = now()
    text = encoding.encode(settings.stored())
    transaction.run(
        "INSERT INTO _params (id, value, created, updated) VALUES ('settings', ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET value = excluded.value, updated = excluded.updated",
        (key.seal(text) if key else text, moment, moment),
    )
