"""The one stream of a client: opens it, submits the topics, hands out events, comes back after a cut.

Two tasks make a connection: one reads, the other submits the topics whenever they, or
the account, have changed. Applications only change what is wanted; so nothing
breaks when one of their tasks is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import random

import msgspec

from rowcast.client.errors import ClientError, ClientResponseError, UsageError
from rowcast.client.realtime.channel import Channel, Gap, Received
from rowcast.client.realtime.progress import Progress
from rowcast.client.realtime.sse import EventParser, Frame, StreamError
from rowcast.client.transport import CONNECT_TIMEOUT_S, Transport

_log = logging.getLogger(__name__)

_PATH = "/api/realtime"

_PAUSES_S = (0.2, 0.4, 0.8, 1.6, 3.0, 5.0)
"""Before the first try, the second… ; half to all of it, so that clients do not come at once."""

_SILENCE_S = 90.0
"""How long a stream with positions may be silent before it counts as dead; it has a heartbeat each 25 s."""

_SILENCE_WITHOUT_BEATS_S = 360.0
"""The same for the reference, which sends nothing and ends a silent stream after 5 minutes."""


class _Head(msgspec.Struct):
    """What every event may have; the rest is not decoded here."""

    cursor: str = ""
    resumed: bool = False
    action: str = ""
    record: msgspec.Raw = msgspec.Raw()


class Stream:
    """The subscriptions of a client and the connection that serves them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._channels: dict[str, list[Channel]] = {}
        self._progress = Progress()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._parts: tuple[asyncio.Task[None], ...] = ()
        self._client_id = ""
        self._submitted: tuple[frozenset[str], str] | None = None
        self._has_positions = False
        self._start = ""
        self._is_established = False
        self._failures = 0
        self._stop_listening = transport.auth_store.on_change(lambda _token, _record: self._changed.set())

    @property
    def client_id(self) -> str:
        """The id that the server gave the connection; empty if there is none."""
        return self._client_id

    def join(self, channel: Channel, start: str | None) -> None:
        """Take a channel in, and connect if it is the first. Raises UsageError.

        `start` is a position to start behind. The first chooses it, and until the stream is
        open others may join with the same.
        """
        if self._transport.is_closed:
            raise UsageError("the client is closed")
        if not self._channels:
            self._start = start or ""
            self._is_established = False
            self._task = asyncio.get_running_loop().create_task(self._run(self._start, self._task))
        elif start and (start != self._start or self._is_established or self._client_id):
            raise UsageError("the stream runs already, from a position of its own: subscribe first, and load then")
        self._channels.setdefault(channel.key, []).append(channel)
        self._changed.set()

    def leave(self, channel: Channel) -> None:
        """Let go of a channel, and disconnect if it was the last."""
        channel.close()
        self._remove(channel)

    async def aclose(self) -> None:
        """End all subscriptions and the connection."""
        self._stop_listening()
        for channel in self._all():
            self.leave(channel)
        if self._task is not None:
            await asyncio.wait({self._task})

    def _remove(self, channel: Channel) -> None:
        channels = self._channels.get(channel.key, [])
        if channel not in channels:
            return
        channels.remove(channel)
        if not channels:
            del self._channels[channel.key]
        self._changed.set()
        if not self._channels and self._task is not None:
            self._task.cancel()
            # At once: what they received from now on would go to the subscriptions of the next connection.
            for task in self._parts:
                task.cancel()
            self._client_id, self._submitted = "", None

    # -- the connection ---------------------------------------------------------------------------

    async def _run(self, start: str, previous: asyncio.Task[None] | None) -> None:
        """Keep a connection until the last subscription ends, which cancels this."""
        if previous is not None:
            await asyncio.wait({previous})
        self._progress.restart(start)
        self._is_established, self._failures = False, 0
        try:
            while self._channels:
                error = await self._connection()
                if not self._is_established:
                    self._fail(error)
                    return
                _log.debug("the stream ended and is opened again: %s", error)
                await self._pause()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            _log.exception("the stream failed")
            self._fail(error)

    async def _pause(self) -> None:
        """Wait before the next try."""
        pause_s = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        self._failures += 1
        await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret

    def _fail(self, error: Exception) -> None:
        for channel in self._all():
            channel.fail(error)
        self._channels.clear()

    async def _connection(self) -> Exception:
        """Open a connection and serve it to its end; return why it ended."""
        self._parts = (asyncio.create_task(self._read()), asyncio.create_task(self._submit()))
        try:
            await asyncio.wait(self._parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in self._parts:
                task.cancel()
            results = await asyncio.gather(*self._parts, return_exceptions=True)
            self._parts = ()
            self._client_id, self._submitted = "", None
        # Both run until they fail; the other one is cancelled.
        error = next(result for result in results if isinstance(result, Exception))
        if not isinstance(error, ClientError | StreamError):
            raise error
        return error

    async def _read(self) -> None:
        """Open the stream and hand out its events until it ends, which is an error."""
        loop = asyncio.get_running_loop()
        url = self._transport.build_url(_PATH)
        try:
            async with (
                asyncio.timeout(CONNECT_TIMEOUT_S) as limit,
                # Whoever asks for a cursor, even for none in particular, gets positions.
                self._transport.stream(
                    _PATH, {"query": {"cursor": self._progress.cursor}, "timeout_s": None}
                ) as answer,
            ):
                parser = EventParser()
                async for chunk in answer.aiter_raw():
                    for frame in parser.feed(chunk):
                        self._receive(frame)
                    if self._client_id:
                        silence_s = _SILENCE_S if self._has_positions else _SILENCE_WITHOUT_BEATS_S
                        limit.reschedule(loop.time() + silence_s)
        except TimeoutError:
            what = "The stream went silent." if self._client_id else "The server did not open the stream in time."
            raise ClientResponseError(what, url=url, is_abort=True) from None
        raise ClientResponseError("The server ended the stream.", url=url)

    async def _submit(self) -> None:
        """Submit the topics whenever they or the account change."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._client_id:
                await self._submit_once()

    async def _submit_once(self) -> None:
        channels = self._all()
        wanted = (frozenset(self._channels), self._transport.auth_store.token)
        if wanted != self._submitted:
            self._submitted = None
            form = {"clientId": self._client_id, "subscriptions": sorted(wanted[0])}
            try:
                await self._transport.send("POST", _PATH, {}, form)
            except ClientResponseError as error:
                refused = [channel for channel in channels if not channel.is_joined]
                if error.status != 400 or not error.data or not refused:
                    # 403: the account is another one, for which the stream has to be a new one.
                    raise
                for channel in refused:
                    channel.fail(error)
                    self._remove(channel)
                return
            self._submitted = wanted
        self._is_established, self._failures = True, 0
        for channel in channels:
            channel.join()

    # -- events -----------------------------------------------------------------------------------

    def _receive(self, frame: Frame) -> None:
        head = _head(frame)
        if frame.event == "PB_CONNECT":
            self._connect(frame, head)
            return
        is_position = frame.event == "PB_CURSOR"
        is_change = bool(bytes(head.record)) and bool(head.action)
        cursor = head.cursor if self._has_positions and (is_position or is_change) else ""
        if is_position and cursor:
            self._progress.reach(cursor)
            return
        if self._progress.is_repeated(cursor, frame.event):
            return
        received = Received(frame, frame.id if cursor else None)
        for channel in self._channels.get(frame.event, []):
            channel.put(received)
        if cursor:
            self._progress.advance(cursor, frame.event)

    def _connect(self, frame: Frame, head: _Head) -> None:
        """Note where the new connection starts, and owe those a gap who miss something."""
        had_position, self._has_positions = bool(self._progress.cursor), bool(head.cursor)
        is_resumed = had_position and bool(head.cursor) and head.resumed
        for channel in self._all():
            if is_resumed and not (channel.is_message and channel.is_joined):
                continue
            if channel.is_joined or (had_position and not self._is_established):
                reason = "not resumed" if head.cursor and not channel.is_message else "reconnected"
                channel.owe(Gap(reason, head.cursor or None))  # type: ignore[arg-type] # one of two literals
        if is_resumed:
            self._progress.resume()
        else:
            self._progress.restart(head.cursor)
        self._client_id = _client_id(frame)
        self._changed.set()

    def _all(self) -> list[Channel]:
        return [channel for channels in self._channels.values() for channel in channels]


def _head(frame: Frame) -> _Head:
    try:
        return msgspec.json.decode(frame.data, type=_Head)
    except msgspec.DecodeError:
        # A message of any form.
        return _Head()


class _Connected(msgspec.Struct):
    client_id: str = msgspec.field(name="clientId")


def _client_id(frame: Frame) -> str:
    try:
        return msgspec.json.decode(frame.data, type=_Connected).client_id
    except msgspec.DecodeError as error:
        raise StreamError(f"the first event of the stream cannot be read: {error}") from error
