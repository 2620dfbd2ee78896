"""Several writes in one transaction: all of them or none.

A part of a batch is carried out as the request that it names would be, with the
account of the batch; its changes are published with the commit of the whole, in
order. Copies apis/batch.go. Knows nothing of HTTP beyond method and URL.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from rowcast.blobs import BlobError
from rowcast.errors import ApiError, BadRequestError, ErrorData, FieldError, NotFoundError
from rowcast.records.desk import Records
from rowcast.records.writes import Hashed
from rowcast.schema.casts import to_text
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.request import RequestInfo
from rowcast.schema.uploads import Upload
from rowcast.storage import Storage, UnwritableError

logger = logging.getLogger("rowcast.records")

_FAILED = "Batch transaction failed."
_MANY = re.compile(r"/api/collections/(?P<collection>[^/?]+)/records(?:\?(?P<query>.*))?", re.DOTALL)
_ONE = re.compile(r"/api/collections/(?P<collection>[^/?]+)/records/(?P<id>[^/?]+)(?:\?(?P<query>.*))?", re.DOTALL)

CountRequest = Callable[[Collection, str], None]
"""Counts a part for the rate limits by collection and action ("create"); raises where a limit is spent."""

ParseQuery = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One part of a batch. `headers` are spelled as rules spell them; `uploads` by form key."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)
    uploads: Mapping[str, Sequence[Upload]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailedRequestError(FieldError):
    """The part that ended a batch, with the answer that it would have got alone."""

    response: ApiError = field(default_factory=BadRequestError)

    def to_json(self) -> dict[str, object]:
        """Return code, message and the answer's envelope (apis/batch.go, BatchResponseError)."""
        error = self.response
        envelope = {"data": error.data.to_json(), "message": error.message, "status": error.status}
        return {"code": self.code, "message": self.message, "response": envelope}


@dataclass(frozen=True, slots=True)
class _Part:
    """What a part asks for: a method that is not PUT any more once it is carried out, and the record it names."""

    method: str
    collection: Collection
    record_id: str
    query: str


class Batch:
    """Carries out batches."""

    def __init__(self, storage: Storage, catalog: CatalogRef, records: Records) -> None:
        self._storage = storage
        self._catalog = catalog
        self._records = records

    def hash(self, request: BatchRequest, info: RequestInfo) -> Hashed:
        """Do what takes long with the passwords of one part, before the transaction and outside of its lock.

        `hashes` says whether there is something to do.
        """
        part = self._parse(request)
        return self._records.hash(replace(info, body=request.body), part.collection, part.record_id)

    def hashes(self, request: BatchRequest, info: RequestInfo) -> bool:
        """Whether a part has passwords to hash or compare, and is not refused before anybody looks at them."""
        try:
            part = self._parse(request)
        except ApiError:
            return False
        collection = part.collection
        rules = {
            "POST": (collection.create_rule,),
            "PATCH": (collection.update_rule,),
            "PUT": (collection.create_rule, collection.update_rule),
        }.get(part.method, ())
        may_pass = any(rule is not None or info.is_superuser for rule in rules)
        return may_pass and not collection.is_view and self._records.hashes(collection, request.body)

    def run(
        self,
        requests: Sequence[BatchRequest],
        info: RequestInfo,
        *,
        timeout_s: float,
        count: CountRequest,
        parse_query: ParseQuery,
        hashed: Mapping[int, Hashed] | None = None,
    ) -> bytes:
        """Carry out all parts and return `[{"body": ..., "status": 200}, ...]` as JSON.

        `info` is the request of the batch itself, `hashed` what `hash` gave, by the index
        of the part. Raises BadRequestError, whose `data` names the part that failed, or
        none where the time was up; then nothing was written.
        """
        counted: set[int] = set()

        def run() -> bytes:
            ends_at = time.monotonic() + timeout_s
            results: list[bytes] = []
            with self._storage.write() as tx:
                # A part that fails undoes them all.
                tx.hold_together()
                for index, request in enumerate(requests):
                    if time.monotonic() > ends_at:
                        raise BadRequestError(_FAILED)
                    # A rehearsal has counted it.
                    counting = _count_nothing if index in counted else count
                    counted.add(index)
                    try:
                        results.append(self._run_one(request, info, counting, parse_query, (hashed or {}).get(index)))
                    except ApiError as error:
                        failed = FailedRequestError("batch_request_failed", "Batch request failed.", response=error)
                        data = ErrorData(requests=ErrorData({str(index): failed}))
                        raise BadRequestError(_FAILED, data) from error
                if time.monotonic() > ends_at:
                    raise BadRequestError(_FAILED)
            return b"[" + b",".join(results) + b"]"

        uploads = [upload for request in requests for files in request.uploads.values() for upload in files]
        try:
            return self._records.arrivals.write(uploads, run)
        except BlobError as error:
            logger.warning("the files of a batch could not be stored: %s", error)
            raise BadRequestError(_FAILED) from error
        except UnwritableError as error:
            logger.warning("a batch could not be saved: %s", error)
            raise BadRequestError(_FAILED) from error

    def _parse(self, request: BatchRequest) -> _Part:
        """Read method and URL of a part. Raises BadRequestError and NotFoundError."""
        method = request.method.upper()
        match = (_MANY if method in {"PUT", "POST"} else _ONE).fullmatch(request.url)
        if match is None or method not in {"PUT", "POST", "PATCH", "DELETE"}:
            raise BadRequestError
        collection = self._catalog.current.find(match["collection"])
        if collection is None:
            raise NotFoundError("Missing collection context.")
        if method in {"PATCH", "DELETE"}:
            record_id = unquote(match["id"])
        else:
            record_id = to_text(request.body.get("id")) if method == "PUT" else ""
        return _Part(method, collection, record_id, match["query"] or "")

    def _run_one(
        self,
        request: BatchRequest,
        info: RequestInfo,
        count: CountRequest,
        parse_query: ParseQuery,
        hashed: Hashed | None,
    ) -> bytes:
        part = self._parse(request)
        collection, record_id, method = part.collection, part.record_id, part.method
        if method == "PUT":
            method = "PATCH" if self._is_there(collection, record_id) else "POST"
        asked = replace(
            info,
            method=method,
            context="batch",
            query=parse_query(part.query),
            headers={**info.headers, **request.headers},
            body=request.body,
        )
        if method == "POST":
            count(collection, "create")
            return _result(self._records.create(asked, collection, request.uploads, hashed))
        if method == "PATCH":
            count(collection, "update")
            return _result(self._records.update(asked, collection, record_id, request.uploads, hashed))
        count(collection, "delete")
        self._records.delete(asked, collection, record_id)
        return b'{"body":null,"status":204}'

    def _is_there(self, collection: Collection, record_id: str) -> bool:
        """Whether there is such a record: then an upsert is an update."""
        if not record_id:
            return False
        with self._storage.write() as tx:
            return self._records.find(tx, collection, record_id) is not None


def _count_nothing(_: Collection, __: str) -> None:
    pass


def _result(body: bytes) -> bytes:
    return b'{"body":' + body + b',"status":200}'
