"""What the handlers of accounts share: reading a form, naming the device, asking for a second method."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from rowcast import encoding
from rowcast.api import wire
from rowcast.api.request import Request
from rowcast.api.responses import Answer, json, picked
from rowcast.api.wire import Body, Kind, MalformedBodyError
from rowcast.auth import Device, SecondFactorError
from rowcast.errors import BadRequestError

_UNREADABLE = "An error occurred while loading the submitted data."


async def read(request: Request, *, hides_type: bool = False) -> Body:
    """Read the body of a form. Raises BadRequestError; with `hides_type` also of the content type."""
    try:
        return await wire.read(request)
    except BadRequestError as error:
        if hides_type or isinstance(error, MalformedBodyError):
            raise BadRequestError(_UNREADABLE) from error
        raise


def texts(body: Body, names: Sequence[str]) -> list[str]:
    """Return text fields of a form in the order of their names. Raises BadRequestError for other types."""
    found = bind(body, dict.fromkeys(names, "text"))
    return [str(found[name]) for name in names]


def bind(body: Body, kinds: dict[str, Kind]) -> dict[str, object]:
    """Return the fields of a form. Raises BadRequestError for other types."""
    try:
        return body.bind(kinds)
    except MalformedBodyError as error:
        raise BadRequestError(_UNREADABLE) from error


def values(body: Body) -> dict[str, object]:
    """Return what rules see of a body that was read as a form."""
    return body.values() if body.holds_values else {}


def device_of(request: Request) -> Device:
    """Return where a request comes from."""
    return Device(request.address, request.header(b"user-agent"))


def mfa_id(request: Request, body: Body) -> str:
    """Return the id that the first of two methods gave, from the query or the body."""
    return request.query.get("mfaId") or texts(body, ("mfaId",))[0]


async def signed_in(request: Request, signing_in: Awaitable[bytes]) -> Answer:
    """Return the answer of a sign-in; where a second method must follow, 401 with the id to name there."""
    try:
        return picked(request, await signing_in)
    except SecondFactorError as error:
        return json(encoding.encode({"mfaId": error.mfa_id}), 401)
