"""Several writes in one transaction: all of them happen, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

import msgspec

from rowcast.client.errors import UsageError
from rowcast.client.query import RequestOptions, path, query_string
from rowcast.client.records import RECORD, Model, Record
from rowcast.client.transport import Transport
from rowcast.client.uploads import Body, Files, Form, split

T = TypeVar("T")


@dataclass(slots=True)
class BatchResult(Generic[T]):
    """What became of one write, once the batch was sent."""

    _model: Model[T] | None
    status: int = 0
    body: Any = None

    @property
    def record(self) -> T:
        """The record that was written. Raises UsageError before the batch was sent, and for a delete."""
        if not self.status or self._model is None:
            raise UsageError("there is a record once the batch was sent, unless it was a delete")
        return self._model.decode(self.body)


@dataclass(slots=True)
class _Write:
    method: str
    url: str
    values: dict[str, Any]
    files: Files
    headers: Mapping[str, str]
    result: BatchResult[Any] = field(default_factory=lambda: BatchResult(None))


class Batch:
    """Collects writes. At the end of `async with` it is sent; an exception inside of the block drops it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._writes: list[_Write] = []
        self._is_sent = False

    async def __aenter__(self) -> Batch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self._is_sent:
            await self.send()

    @overload
    def collection(self, name: str) -> BatchCollection[Record]: ...

    @overload
    def collection(self, name: str, model: type[T]) -> BatchCollection[T]: ...

    def collection(self, name: str, model: type[Any] | None = None) -> BatchCollection[Any]:
        """Return the writes of one collection."""
        return BatchCollection(self._writes, name, Model(model) if model is not None else RECORD)

    async def send(self, options: RequestOptions | None = None) -> list[BatchResult[Any]]:
        """Send the writes and return what became of each. An empty batch is not sent.

        Raises ClientResponseError if one was refused, in which case none happened: `data`
        says under "requests" which and why. Raises UsageError if it was sent before.
        """
        if self._is_sent:
            raise UsageError("this batch was sent")
        self._is_sent = True
        if not self._writes:
            return []
        requests = [
            {"method": write.method, "url": write.url, "body": write.values, "headers": dict(write.headers)}
            for write in self._writes
        ]
        payload = msgspec.json.encode({"requests": requests})
        files = [
            (f"requests.{index}.{name}", upload)
            for index, write in enumerate(self._writes)
            for name, upload in write.files
        ]
        answer = await self._transport.send_form("POST", path("batch"), options or {}, Form(payload, files))
        for write, told in zip(self._writes, answer.json(), strict=True):
            write.result.status, write.result.body = told["status"], told["body"]
        return [write.result for write in self._writes]


class BatchCollection(Generic[T]):
    """The writes of one collection; each returns where its result will be."""

    def __init__(self, writes: list[_Write], name: str, model: Model[T]) -> None:
        self._writes = writes
        self._name = name
        self._model = model

    def create(
        self,
        body: Body | None = None,
        *,
        expand: str | None = None,
        fields: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> BatchResult[T]:
        """Create a record."""
        return self._add("POST", (), body, {"expand": expand, "fields": fields}, headers)

    def upsert(
        self,
        body: Body | None = None,
        *,
        expand: str | None = None,
        fields: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> BatchResult[T]:
        """Update the record with the id that `body` holds, or create it."""
        return self._add("PUT", (), body, {"expand": expand, "fields": fields}, headers)

    def update(
        self,
        record_id: str,
        body: Body,
        *,
        expand: str | None = None,
        fields: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> BatchResult[T]:
        """Change the fields of a record that `body` holds."""
        return self._add("PATCH", (record_id,), body, {"expand": expand, "fields": fields}, headers)

    def delete(self, record_id: str, *, headers: Mapping[str, str] | None = None) -> BatchResult[None]:
        """Delete a record."""
        return self._append("DELETE", (record_id,), None, {}, headers, BatchResult(None))

    def _add(
        self,
        method: str,
        parts: tuple[str, ...],
        body: Body | None,
        query: Mapping[str, object],
        headers: Mapping[str, str] | None,
    ) -> BatchResult[T]:
        return self._append(method, parts, body, query, headers, BatchResult(self._model))

    def _append(
        self,
        method: str,
        parts: tuple[str, ...],
        body: Body | None,
        query: Mapping[str, object],
        headers: Mapping[str, str] | None,
        result: BatchResult[Any],
    ) -> BatchResult[Any]:
        values, files = split({} if body is None else body)
        text = query_string(query)
        url = path("collections", self._name, "records", *parts) + (f"?{text}" if text else "")
        self._writes.append(_Write(method, url, values, files, headers or {}, result))
        return result
