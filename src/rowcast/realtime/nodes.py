"""Streams wherever they are: a request about a stream may reach any node that serves the database.

A client id names the node that holds its stream. A request about it is carried out
there, whole: the node checks the token, the address and the topics itself, as if
the request had come to it. A node that is gone has no streams: its clients get the same
answer as for an unknown client id, and connect again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec

from rowcast import encoding
from rowcast.bus import Link
from rowcast.errors import ApiError, DatabaseAwayError, ErrorData, FieldError, InternalError, NotFoundError
from rowcast.realtime.hub import Hub
from rowcast.realtime.stream import Stream, node_of
from rowcast.schema.record import Record
from rowcast.storage import UnavailableError

_log = logging.getLogger(__name__)

Authenticate = Callable[[str], Awaitable[Record | None]]


class Question(msgspec.Struct, omit_defaults=True):
    """What one node asks another to do. `token` and `address` are those of the client's request; `data` is JSON."""

    do: str
    client_id: str = ""
    topics: list[str] = []
    token: str = ""
    address: str = ""
    data: str = ""


class Reply(msgspec.Struct, omit_defaults=True):
    """What it answers: `status` 0 for success, else the error that the client gets."""

    status: int = 0
    message: str = ""
    items: list[dict[str, object]] = []


_encode = msgspec.json.Encoder().encode
_question = msgspec.json.Decoder(Question).decode
_reply = msgspec.json.Decoder(Reply).decode


class Nodes:
    """Carries out what is asked about streams, here or at the node that holds them."""

    def __init__(self, hub: Hub, link: Link, authenticate: Authenticate, step_aside: Callable[[], None]) -> None:
        self._hub = hub
        self._link = link
        self._authenticate = authenticate
        self._step_aside = step_aside

    @property
    def has_others(self) -> bool:
        """Whether other nodes are known."""
        return self._link.has_others

    async def ask_aside(self) -> None:
        """Have all other nodes leave the data directory for a while, since this one is about to replace its content."""
        others = await self._link.nodes()
        await asyncio.gather(*[self._link.ask(node, _encode(Question("aside"))) for node in others])

    async def subscribe(self, client_id: str, topics: list[str], *, token: str, address: str) -> None:
        """Replace the topics of a stream, and with them its account (see `Hub.subscribe`)."""
        await self._carry_out(Question("subscribe", client_id, topics, token, address))

    async def kick(self, client_id: str) -> None:
        """End one stream. Raises NotFoundError."""
        await self._carry_out(Question("kick", client_id))

    async def answer_oauth2(self, client_id: str, data: bytes, address: str) -> bool:
        """Tell a stream what an OAuth2 provider said; False where none waits for it (see `Hub.answer_oauth2`)."""
        try:
            await self._carry_out(Question("oauth2", client_id, address=address, data=data.decode()))
        except ApiError as error:
            # From another node a missing stream comes as any other error of this status.
            if error.status != NotFoundError.status:
                raise
            return False
        return True

    async def clients(self) -> list[dict[str, object]]:
        """Return what an operator sees of the streams of all nodes, the oldest of each node first."""
        found = [shown(stream) for stream in self._hub]
        others = await self._link.nodes()
        for data in await asyncio.gather(*[self._link.ask(node, _encode(Question("list"))) for node in others]):
            if data is not None:
                found += _reply(data).items
        return found

    async def answer(self, question: bytes) -> bytes:
        """Carry out what another node asks."""
        try:
            asked = _question(question)
            if asked.do == "list":
                return encoding.encode({"items": [shown(stream) for stream in self._hub]})
            await self._do(asked)
        except ApiError as error:
            return _encode(Reply(error.status, error.message))
        except UnavailableError:
            return _encode(Reply(DatabaseAwayError.status, DatabaseAwayError.default_message))
        except Exception:  # noqa: BLE001 - the other node must get an answer
            if self._hub.is_stopping:
                # What it needs may be closed already; its streams are gone, as they would be a moment later.
                return _encode(Reply(NotFoundError.status, "Missing or invalid client id."))
            _log.exception("a question of another node failed")
            return _encode(Reply(500))
        return _encode(Reply())

    async def _carry_out(self, question: Question) -> None:
        node = node_of(question.client_id)
        if node == self._link.name or not self._link.has_others:
            await self._do(question)
            return
        data = await self._link.ask(node, _encode(question))
        if data is None:
            raise NotFoundError("Missing or invalid client id.")
        reply = _reply(data)
        if reply.status == InternalError.status:
            raise InternalError
        if reply.status:
            raise ApiError(reply.message, status=reply.status)

    async def _do(self, question: Question) -> None:
        if question.do == "subscribe":
            await self._subscribe(question)
        elif question.do == "kick":
            self._hub.kick(question.client_id)
        elif question.do == "aside":
            self._step_aside()
        elif question.do == "oauth2":
            async with self._hub.turn:
                if not self._hub.answer_oauth2(question.client_id, question.data.encode(), question.address):
                    raise NotFoundError("Missing or invalid client id.")
        else:
            raise ApiError(data=ErrorData(do=FieldError("validation_invalid_value", "Invalid value.")))

    async def _subscribe(self, question: Question) -> None:
        """Subscribe with the account as it is now, with no change of accounts between that look and the subscription.

        The token was checked before the body arrived; the account may have lost its rights since, and
        the hub, which did not know of this request, took them from nobody.
        """
        hub = self._hub
        # A client that has just written, through whichever node, must not hear of that as of something new.
        await hub.present.reach()
        while True:
            changes = hub.account_changes
            auth = await self._authenticate(question.token) if question.token else None
            async with hub.turn:
                if changes == hub.account_changes:
                    hub.subscribe(question.client_id, question.topics, auth=auth, address=question.address)
                    return


def shown(stream: Stream) -> dict[str, object]:
    """Return what an operator sees of a stream; `age` and `lag` are in seconds."""
    now = time.monotonic()
    record = stream.account.record
    auth = None
    if record is not None:
        auth = {"collectionId": record.collection.id, "collectionName": record.collection.name, "id": record.id}
    return {
        "id": stream.id,
        "address": stream.address,
        "auth": auth,
        "topics": list(stream.subscriptions),
        "age": round(now - stream.opened_at, 3),
        "queuedBytes": stream.queued_bytes + stream.sink.pending(),
        "sent": stream.sent_frames,
        "lag": round(now - stream.behind_since, 3) if stream.behind_since else 0,
    }
