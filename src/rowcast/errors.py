"""Every error that rowcast raises on purpose.

    RowcastError
    ├── ApiError            an answer to a client: status, message, data
    │   ├── BadRequestError         400
    │   │   └── InvalidFieldsError  400 with one entry for each bad field
    │   ├── UnauthorizedError       401
    │   ├── ForbiddenError          403
    │   ├── NotFoundError           404
    │   ├── BodyTooLargeError       413
    │   ├── TooManyRequestsError    429
    │   ├── InternalError           500
    │   └── DatabaseAwayError       503
    ├── FilterError         a filter, sort or rule that can't be understood
    └── DataDirError        a data directory that can't be opened or written

The texts are part of the contract with clients of PocketBase and follow its
tools/router/error.go. Only `api` turns errors into responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


def sentence(text: str) -> str:
    """Return `text` with a capital first letter and a closing full stop.

    Copies tools/inflector/inflector.go, Sentenize.
    """
    text = text.strip()
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!" else text + "."


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: a stable code, a text, and its parameters."""

    code: str
    message: str
    params: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the public form: code, message and, where there are any, params."""
        out: dict[str, object] = {"code": self.code, "message": sentence(self.message)}
        if self.params:
            out["params"] = dict(sorted(self.params.items()))
        return out


class ErrorData(dict[str, "FieldError | ErrorData"]):
    """Field errors by field name; nested for lists and options (`{"0": {...}}`)."""

    def to_json(self) -> dict[str, object]:
        """Return the errors as JSON-ready dictionaries, in alphabetical order as Go writes maps."""
        return {name: error.to_json() for name, error in sorted(self.items())}


class RowcastError(Exception):
    """Base of every error that rowcast raises on purpose."""


class ApiError(RowcastError):
    """An error that a client sees as `{"data": {}, "message": "...", "status": 400}`."""

    status = 400
    default_message = "Something went wrong while processing your request."

    def __init__(self, message: str = "", data: ErrorData | None = None, *, status: int | None = None) -> None:
        self.message = sentence(message or self.default_message)
        self.data = data if data is not None else ErrorData()
        if status is not None:
            self.status = status
        super().__init__(self.message)


class BadRequestError(ApiError):
    """The request can't be carried out as it stands."""


class InvalidFieldsError(BadRequestError):
    """One or more fields failed validation; `data` says which and why."""

    default_message = "An error occurred while validating the submitted data."


class UnauthorizedError(ApiError):
    """The request needs a valid token."""

    status = 401
    default_message = "Missing or invalid authentication."


class ForbiddenError(ApiError):
    """The account may not do this."""

    status = 403
    default_message = "You are not allowed to perform this request."


class NotFoundError(ApiError):
    """There is no such thing, or the rules hide it."""

    status = 404
    default_message = "The requested resource wasn't found."


class BodyTooLargeError(ApiError):
    """The request body is over the limit of the route."""

    status = 413
    default_message = "Request entity too large"


class TooManyRequestsError(ApiError):
    """A rate limit is spent."""

    status = 429
    default_message = "Too Many Requests."


class InternalError(ApiError):
    """Something failed that is not the client's fault."""

    status = 500


class DatabaseAwayError(ApiError):
    """The database is away just now; nothing is known to be wrong with the request."""

    status = 503
    default_message = "The database can't be reached. Please try again."


class FilterError(RowcastError):
    """A filter, sort expression or rule that can't be understood.

    `start` and `end` are offsets into `text`; `str(error)` shows them with a caret.
    """

    def __init__(self, message: str, text: str = "", start: int = 0, end: int = 0) -> None:
        self.message, self.text, self.start, self.end = message, text, start, end
        super().__init__(message)

    def __str__(self) -> str:
        if not self.text:
            return self.message
        return f"{self.message}\n  {self.text}\n  {' ' * self.start}{'^' * max(1, self.end - self.start)}"


class DataDirError(RowcastError):
    """A data directory that can't be opened, is newer than this version, or can't be written."""
