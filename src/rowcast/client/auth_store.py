"""Who a client is: a token, the record of its account, and who wants to know when they change."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from rowcast.client import cookies, tokens
from rowcast.client.cookies import SameSite
from rowcast.client.records import Record

_SUPERUSERS_ID = "pbc_3142635823"

OnChange = Callable[[str, "Record | None"], object]
"""Called with the token and the record."""


class AuthStore:
    """Keeps the account in memory."""

    def __init__(self) -> None:
        self._token = ""
        self._record: Record | None = None
        self._listeners: list[OnChange] = []

    @property
    def token(self) -> str:
        """The token; empty for a guest."""
        return self._token

    @property
    def record(self) -> Record | None:
        """The record of the account; None for a guest."""
        return self._record

    @property
    def is_valid(self) -> bool:
        """Whether there is a token that has not ended. Only the server knows whether it accepts it."""
        return not tokens.is_expired(self.token)

    @property
    def is_superuser(self) -> bool:
        """Whether the account is a superuser's."""
        held = tokens.payload(self.token)
        name = self.record.get("collectionName", "") if self.record is not None else ""
        is_named = name == "_superusers" or (not name and held.get("collectionId") == _SUPERUSERS_ID)
        return held.get("type") == "auth" and is_named

    def save(self, token: str, record: Mapping[str, Any] | None = None) -> None:
        """Go on as this account, and tell the listeners."""
        self._token = token
        self._record = Record(record) if record is not None else None
        self._tell()

    def clear(self) -> None:
        """Go on as a guest, and tell the listeners."""
        self.save("")

    def on_change(self, listener: OnChange, *, fire_immediately: bool = False) -> Callable[[], None]:
        """Call `listener` with token and record after each change; return a function that ends this."""
        self._listeners.append(listener)
        if fire_immediately:
            listener(self.token, self.record)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def load_from_cookie(self, header: str, key: str = cookies.KEY) -> None:
        """Take the account from a `Cookie` header, as `export_to_cookie` and the JS SDK write it."""
        self.save(*cookies.parse(header, key))

    def export_to_cookie(
        self,
        key: str = cookies.KEY,
        *,
        secure: bool = True,
        http_only: bool = True,
        same_site: SameSite = "Strict",
        path: str = "/",
        domain: str = "",
    ) -> str:
        """Return the account as the value of a `Set-Cookie` header; it ends with the token.

        Raises ValueError for a name, path or domain that cannot stand there.
        """
        return cookies.serialize(
            self.token,
            self.record,
            expires_at=tokens.expires_at(self.token) or 0,
            key=key,
            secure=secure,
            http_only=http_only,
            same_site=same_site,
            path=path,
            domain=domain,
        )

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener(self.token, self.record)


class FileAuthStore(AuthStore):
    """Keeps the account in a file that only its owner may read. A file that cannot be understood is a guest's."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._path = Path(path)
        try:
            found = msgspec.json.decode(self._path.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return
        if isinstance(found, dict) and isinstance(found.get("token"), str):
            record = found.get("record")
            self._token = found["token"]
            self._record = Record(record) if isinstance(record, dict) else None

    def save(self, token: str, record: Mapping[str, Any] | None = None) -> None:
        """Go on as this account, write it, and tell the listeners. Raises OSError if it cannot be written."""
        if token:
            self._write(msgspec.json.encode({"token": token, "record": record}))
        else:
            self._path.unlink(missing_ok=True)
        super().save(token, record)

    def _write(self, content: bytes) -> None:
        """Replace the file as a whole: whoever reads it meanwhile finds the old or the new one."""
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
