"""Every error that the client raises on purpose. It does not know how requests are sent.

ClientError
├── ClientResponseError     a request that failed or was refused
│   └── MfaRequiredError    the first of two factors was right
├── DecodeError             an answer that does not fit the asked for type
└── UsageError              a call that cannot be meant so
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class ClientError(Exception):
    """Base of every error that the client raises on purpose."""


class UsageError(ClientError):
    """A call that cannot be meant so; nothing was sent."""


class DecodeError(ClientError):
    """An answer that does not fit the type that was asked for."""


class ClientResponseError(ClientError):
    """A request that was refused, or got no answer.

    status: the HTTP status; 0 if there was no answer. The transport's error is `__cause__` then.
    url: what was asked.
    message: what the server says.
    response: the JSON of the answer; empty if there was none.
    is_abort: whether this side gave up: a timeout, or the client was closed.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        url: str = "",
        response: Mapping[str, Any] | None = None,
        is_abort: bool = False,
    ) -> None:
        self.status = status
        self.url = url
        self.response: dict[str, Any] = dict(response or {})
        self.is_abort = is_abort
        told = self.response.get("message")
        self.message = told if isinstance(told, str) and told else message or "Something went wrong."
        super().__init__(self.message)

    @property
    def data(self) -> dict[str, Any]:
        """What is wrong with which field: `{"title": {"code": …, "message": …}}`; empty if it is no field."""
        data = self.response.get("data")
        return data if isinstance(data, dict) else {}

    def __str__(self) -> str:
        where = f"{self.status or 'no answer'} from {self.url}: " if self.url else ""
        fields = "; ".join(f"{name}: {text}" for name, text in _told(self.data))
        return f"{where}{self.message}{f' ({fields})' if fields else ''}"


class MfaRequiredError(ClientResponseError):
    """The first factor was right and a second one is wanted: sign in by another method with this `mfa_id`."""

    @property
    def mfa_id(self) -> str:
        """The id to give to the second sign-in."""
        return str(self.response.get("mfaId", ""))


def _told(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return each field with its text; lists and batches nest."""
    for name, entry in data.items():
        if not isinstance(entry, dict):
            continue
        path = f"{prefix}{name}"
        nested = entry.get("response") if isinstance(entry.get("response"), dict) else None
        if nested is not None:
            data_of = nested.get("data")
            inner = list(_told(data_of, f"{path}.")) if isinstance(data_of, dict) else []
            yield from inner or [(path, str(nested.get("message", "")))]
        elif isinstance(entry.get("message"), str):
            yield path, entry["message"]
        else:
            yield from _told(entry, f"{path}.")
