"""The link between the nodes that one Redis server connects.

Every node listens on two channels: one for the hints of all, and one of its own for
questions and answers. A registry (a sorted set: name, time to forget it) holds the nodes;
each refreshes its entry every second, by the clock of the server, so that those who
died are forgotten within seconds. Nothing else is kept in Redis.

The log of changes is the truth. While Redis is away nodes follow the log without hints,
and a node that is asked answers like one that is gone. One task keeps the connection:
what goes wrong with it ends there, and a new one is made. The library's own retries are
off, since they would hide that messages were missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from rowcast.bus import Answer, LinkCounts
from rowcast.bus.hints import Hints
from rowcast.bus.questions import MAX_BYTES, NODE, Questions
from rowcast.bus.redis_address import RedisAddress

_log = logging.getLogger("rowcast.bus")

_BEAT_S = 1.0
_FORGET_S = 5.0
"""How often a node says that it lives, and how long it is believed."""

_SILENT_S = 4.0
"""How long the server may say nothing, although it is pinged with each beat."""

_SOCKET_S = 3.0
_OPEN_S = 5.0
"""How long one command may take, and how long a start waits for the first connection."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_AT_ONCE = 8
_MAX_SENDING = 8
_MAX_NODES = 1000

_HEAD = re.compile(rb"(ask|answer|refuse) ([0-9a-f]{1,16}) ([A-Za-z0-9]{1,64})\n")

_REGISTER = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, {_MAX_NODES - 1})
"""

_FAILURES = (RedisError, RedisClusterException, OSError)  # TimeoutError of Python is an OSError

Client = Any
"""A `Redis` or `RedisCluster`; the library's types of what they return fit neither."""


class RedisLink:
    """Connects the nodes that know one Redis server and use one prefix. Owned by the event loop, save for `hint`.

    There are always others: whoever names a server has several nodes, and one that Redis can't be
    reached from, or can't reach, must not be forgotten, since it still commits.
    """

    has_others = True

    def __init__(self, name: str, address: RedisAddress) -> None:
        self.name = name
        self.counts = LinkCounts("redis")
        self._address = address
        # Channels do not know databases; the number keeps two databases of one server apart.
        self._space = f"{address.prefix}:{address.db}"
        self.hints_channel = f"{self._space}:hint".encode()
        self._registry = f"{self._space}:nodes"
        self._is_open = False
        self._client: Client | None = None
        self._is_down = False
        self._heard_at = 0.0
        self._has_tried = asyncio.Event()
        self._outgoing = Hints()
        self._tasks: list[asyncio.Task[None]] = []
        self._questions = Questions(self.counts, self._tell)
        self._turns_sending = asyncio.Semaphore(_MAX_SENDING)

    async def open(self, on_hint: Callable[[], None], answer: Answer) -> None:
        """Begin to listen; return when the server answers, or when it does not."""
        self._is_open = True
        self._outgoing.open()
        self._tasks = [
            asyncio.create_task(self._stay_connected(on_hint, answer)),
            asyncio.create_task(self._pass_hints_on()),
        ]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._has_tried.wait(), _OPEN_S)

    def hint(self) -> None:
        """Tell the others that the log has grown. Many calls become one message."""
        self._outgoing.give()

    async def ask(self, node: str, question: bytes) -> bytes | None:
        """Return what another node answers, None where it is gone, too slow, or Redis is away."""
        answer = await self._ask(node, question)
        self.counts.asked += 1
        self.counts.unanswered += answer is None
        return answer

    async def _ask(self, node: str, question: bytes) -> bytes | None:
        if self._client is None:
            return None
        if self._address.is_cluster and node not in await self.nodes():
            # There nobody says how many heard a message.
            return None
        return await self._questions.ask(node, question)

    async def nodes(self) -> list[str]:
        """Return the names of the other nodes; none while Redis is away."""
        client = self._client
        if client is None:
            return []
        try:
            return await self._register(client)
        except _FAILURES:
            return []

    async def close(self) -> None:
        """Stop to listen, and have this node forgotten."""
        # The library may turn a cancellation into a failed connection, so each task looks at this as well.
        self._is_open = False
        self._outgoing.close()
        self._outgoing.wake()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._questions.close()

    async def _stay_connected(self, on_hint: Callable[[], None], answer: Answer) -> None:
        pause = _FIRST_PAUSE_S
        while self._is_open:
            try:
                async with _client_of(self._address) as client:
                    await self._live(client, on_hint, answer)
            except Exception as error:  # noqa: BLE001 - whatever the library raises, the next connection may be good
                if not self._is_open:
                    return
                if self._client is not None:
                    pause = _FIRST_PAUSE_S
                self._end(error)
                # Many nodes that lost one server do not come back all at once.
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads, hides nothing
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _live(self, client: Client, on_hint: Callable[[], None], answer: Answer) -> None:
        """Listen until something goes wrong or this node leaves."""
        try:
            async with client.pubsub() as heard:
                await heard.subscribe(self.hints_channel, self._inbox(self.name))
                await self._listen(client, heard, on_hint, answer)
        finally:
            if not self._is_open:
                self._client = None
                with contextlib.suppress(*_FAILURES):
                    async with asyncio.timeout(_BEAT_S):
                        await client.zrem(self._registry, self.name)

    async def _listen(self, client: Client, heard: PubSub, on_hint: Callable[[], None], answer: Answer) -> None:
        """Hear messages, and see every now and then that something is heard."""
        now = asyncio.get_running_loop().time
        self._heard_at = now()
        # Before anything is heard: whoever is connected is known to the others.
        await self._register(client)
        hearing = asyncio.create_task(self._hear(client, heard, on_hint, answer))
        try:
            while self._is_open and not (await asyncio.wait([hearing], timeout=_BEAT_S))[0]:
                if now() - self._heard_at > _SILENT_S:
                    raise TimeoutError(f"nothing heard for {_SILENT_S:g} s")
                await heard.ping()
                await self._register(client)
            if hearing.done():
                hearing.result()
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _hear(self, client: Client, heard: PubSub, on_hint: Callable[[], None], answer: Answer) -> None:
        now = asyncio.get_running_loop().time
        missing = {self.hints_channel, self._inbox(self.name)}
        for count in itertools.count():
            # Without a time limit: each would cost a timer.
            message = await heard.get_message(timeout=None)
            if not self._is_open:
                return
            if count % _AT_ONCE == 0:
                # A buffer full of messages is read without a pause.
                await asyncio.sleep(0)
            if message is None:
                continue
            self._heard_at = now()
            channel, data = message["channel"], message["data"]
            if message["type"] == "subscribe":
                missing.discard(channel)
                if not missing and self._client is None:
                    self._begin(client)
                    on_hint()
            elif message["type"] != "message":
                continue
            elif channel != self.hints_channel:
                self._take(data, answer)
            elif data != self.name.encode():
                self.counts.hints_heard += 1
                on_hint()

    def _begin(self, client: Client) -> None:
        """Use a connection that hears everything from now on."""
        if self._is_down:
            _log.info("Redis at %s is back", self._address)
        self._client, self._is_down = client, False
        self.counts.is_connected = True
        self.counts.connects += 1
        self._has_tried.set()
        # What was committed while nobody could be told.
        self._outgoing.wake()

    def _end(self, error: Exception) -> None:
        """Do without Redis; those who wait for an answer wait no longer."""
        if not self._is_down:
            text = str(error) or type(error).__name__
            _log.warning("Redis at %s is away, nodes are followed without hints: %s", self._address, text)
        self._client, self._is_down = None, True
        self.counts.is_connected = False
        self._has_tried.set()
        self._questions.give_up()

    async def _register(self, client: Client) -> list[str]:
        """Say that this node lives; return the others."""
        found = await client.eval(_REGISTER, 1, self._registry, self.name, int(_FORGET_S * 1000))
        names = [name.decode("ascii", "replace") for name in found]
        return [name for name in names if name != self.name and NODE.fullmatch(name)]

    async def _pass_hints_on(self) -> None:
        while self._is_open:
            await self._outgoing.wait()
            self.counts.hints_sent += await self._publish(self.hints_channel, self.name.encode())

    def _take(self, data: bytes, answer: Answer) -> None:
        """Take a question or an answer; whatever else came is passed over."""
        head = _HEAD.match(data)
        if head is None or len(data) > MAX_BYTES + head.end():
            self.counts.dropped += 1
            return
        kind, number, node = (part.decode() for part in head.groups())
        self._questions.take(node, kind, number, data[head.end() :], answer)

    async def _tell(self, node: str, kind: str, number: str, body: bytes) -> bool:
        """Send to one node; False where nobody listens there."""
        return await self._publish(self._inbox(node), f"{kind} {number} {self.name}\n".encode() + body)

    async def _publish(self, channel: bytes, data: bytes) -> bool:
        """Send to whoever listens; False where nobody does, or Redis is away."""
        async with self._turns_sending:
            client = self._client
            if client is None:
                return False
            try:
                # A node of a cluster counts only those who listen at itself.
                return bool(await client.publish(channel, data)) or self._address.is_cluster
            except _FAILURES:
                return False

    def _inbox(self, node: str) -> bytes:
        return f"{self._space}:node:{node}".encode()


@contextlib.asynccontextmanager
async def _client_of(address: RedisAddress) -> AsyncIterator[Client]:
    """Give a client, which connects when it is used and is closed after the block."""
    async with contextlib.AsyncExitStack() as stack:
        options = _options(address)
        if address.is_cluster:
            startup = [ClusterNode(host, port) for host, port in address.hosts]
            client: Client = RedisCluster(startup_nodes=startup, **options)
        elif address.sentinel:
            own = {"username": None, "password": address.sentinel_password or None}
            sentinels: Any = Sentinel(address.hosts, sentinel_kwargs=options | own)  # type: ignore[no-untyped-call]
            for sentinel in sentinels.sentinels:
                stack.push_async_callback(sentinel.aclose)
            client = sentinels.master_for(address.sentinel, db=address.db, **options)
        else:
            host, port = address.hosts[0]
            client = Redis(host=host, port=port, db=address.db, **options)
        yield await stack.enter_async_context(client)


def _options(address: RedisAddress) -> dict[str, Any]:
    options: dict[str, Any] = {
        "username": address.username or None,
        "password": address.password or None,
        "socket_timeout": _SOCKET_S,
        "socket_connect_timeout": _SOCKET_S,
        "socket_keepalive": True,
        # `_listen` pings; and a connection that was lost must be noticed, not mended behind our back.
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        # Every server speaks it, and nothing is pushed in between.
        "protocol": 2,
        "client_name": "rowcast",
    }
    if address.is_encrypted:
        options |= {"ssl": True, "ssl_ca_certs": address.ca or None, "ssl_check_hostname": True}
    return options
