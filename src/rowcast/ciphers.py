"""The key under which settings may be stored, in the reference's form.

AES-256-GCM; what is stored is base64 of nonce, ciphertext and tag (tools/security/encrypt.go).
Knows nothing of what it encrypts, and never shows a key.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass, field

from rowcast.errors import RowcastError

_NONCE_BYTES = 12
_KEY_BYTES = (16, 24, 32)
"""What Go's AES takes; the reference asks for 32."""


class SealError(RowcastError):
    """A key that is missing, has a wrong length or is not the right one; the text is for who runs the server."""


@dataclass(frozen=True, slots=True)
class SettingsKey:
    """The key of the environment variable `variable`; an empty `value` stores settings as plain text."""

    variable: str = ""
    value: bytes = field(default=b"", repr=False)

    def __bool__(self) -> bool:
        return bool(self.value)

    def seal(self, data: bytes) -> str:
        """Return `data` encrypted."""
        # Imported late: few have a key, and all would wait for it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.b64encode(nonce + AESGCM(self.value).encrypt(nonce, data, None)).decode()

    def unseal(self, text: bytes) -> bytes:
        """Return what `seal` was given. Raises SealError."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        try:
            sealed = base64.b64decode(text, validate=True)
            return AESGCM(self.value).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise SealError(f"the key in ${self.variable} is not the one they were encrypted with") from error


NO_KEY = SettingsKey()


def environment_key(variable: str) -> SettingsKey:
    """Return the key in an environment variable; none where that is not set. Raises SealError for a wrong length."""
    value = os.environ.get(variable, "").encode("utf-8", "surrogateescape") if variable else b""
    if value and len(value) not in _KEY_BYTES:
        raise SealError(f"the key in ${variable} has {len(value)} bytes; it must have 32")
    return SettingsKey(variable, value)
