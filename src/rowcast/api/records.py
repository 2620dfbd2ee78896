"""`/api/collections/{collection}/records`: list, view, create, update, delete."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Hashable

from rowcast.api import wire
from rowcast.api.limits import RateLimits
from rowcast.api.request import Request
from rowcast.api.responses import NO_CONTENT, Answer, json
from rowcast.api.wire import Body
from rowcast.api.work import Work
from rowcast.errors import TooManyRequestsError
from rowcast.realtime.changelog import ChangeLog
from rowcast.records import Records
from rowcast.schema.collection import Collection
from rowcast.schema.record import Position
from rowcast.schema.request import RequestInfo


class RecordsApi:
    """Answers requests for records (apis/record_crud.go)."""

    def __init__(self, work: Work, records: Records, log: ChangeLog, limits: RateLimits) -> None:
        self._work = work
        self._log = log
        self._limits = limits
        self._records = records

    async def list(self, request: Request) -> Answer:
        """Return a page of records."""
        collection, info = request.collection, await _info(request)
        position = self._log.end
        key = (collection.id, request.query.get("filter"), request.query.get("sort"))
        page = await self._read(request, lambda: self._records.list(info, collection), key)
        if page.startswith(b'{"items":[]') and collection.list_rule and request.query.get("filter"):
            await self._hold_back(request)
        return _json_at(position, page)

    async def _hold_back(self, request: Request) -> None:
        """Make who tries many filters in vain wait, so that times tell nothing about hidden records.

        Copies apis/record_crud.go, recordsList.
        """
        if request.is_superuser:
            return
        try:
            key = "@pb_list_timing_check_" + request.collection.id
            self._limits.consume(key, request.address, max_requests=3, duration=3)
        except TooManyRequestsError:
            await asyncio.sleep(secrets.randbelow(500) / 1000)

    async def view(self, request: Request) -> Answer:
        """Return one record."""
        collection, info = request.collection, await _info(request)
        record_id = request.values[1]
        position = self._log.end
        text = await self._read(request, lambda: self._records.view(info, collection, record_id), collection.id)
        return _json_at(position, text)

    async def _read(self, request: Request, call: Callable[[], bytes], key: Hashable) -> bytes:
        """Run a list or view: in a thread where texts are shortened, which takes as long as they are."""
        if ":" in request.query.get("fields", ""):
            return await self._work.shape(call, request.asker)
        return await self._work.quick(call, key, request.asker)

    async def create(self, request: Request) -> Answer:
        """Create a record."""
        collection, body = request.collection, await wire.read(request)
        info = request.info(body.values())
        run = self._runner(body, collection, info)
        return json(await run(lambda: self._records.create(info, collection, body.files)))

    async def update(self, request: Request) -> Answer:
        """Change a record."""
        collection, body = request.collection, await wire.read(request)
        info, record_id = request.info(body.values()), request.values[1]
        run = self._runner(body, collection, info)
        return json(await run(lambda: self._records.update(info, collection, record_id, body.files)))

    def _runner(
        self, body: Body, collection: Collection, info: RequestInfo
    ) -> Callable[[Callable[[], bytes]], Awaitable[bytes]]:
        """Return what runs a write: files may have a long way, passwords take long."""
        if body.files:
            return self._work.upload
        return self._work.slow if self._records.hashes(collection, info.body) else self._work.write

    async def delete(self, request: Request) -> Answer:
        """Delete a record with what depends on it."""
        collection, info = request.collection, await _info(request)
        record_id = request.values[1]
        await self._work.write(lambda: self._records.delete(info, collection, record_id))
        return NO_CONTENT


def _json_at(position: Position, text: bytes) -> Answer:
    """Return JSON with the position that it is no older than, from which a stream can go on without a gap."""
    return json(text, headers=[(b"rowcast-cursor", str(position).encode("ascii"))])


async def _info(request: Request) -> RequestInfo:
    return request.info((await wire.read(request)).values())
