"""`/api/batch`: several writes of records in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from rowcast.api import wire
from rowcast.api.limits import RateLimits
from rowcast.api.request import Request, first_values, query_pairs
from rowcast.api.responses import Answer, json
from rowcast.api.wire import Kind
from rowcast.api.work import Work
from rowcast.config import SettingsRef
from rowcast.errors import BadRequestError, ErrorData, FieldError, ForbiddenError
from rowcast.records.batch import Batch, BatchRequest
from rowcast.schema import checks
from rowcast.schema.casts import to_text
from rowcast.schema.collection import Collection
from rowcast.schema.request import snake_case
from rowcast.schema.uploads import Upload, upload

_FORM: dict[str, Kind] = {"requests": "objects"}
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_LONGEST_URL = 2000
_MAX_BODY = 128 << 20
_TIMEOUT_S = 3


class BatchApi:
    """Answers batches (apis/batch.go)."""

    def __init__(self, work: Work, batch: Batch, settings: SettingsRef, limits: RateLimits) -> None:
        self._work = work
        self._batch = batch
        self._settings = settings
        self._limits = limits

    def body_limit(self, _: Request) -> int:
        """Return how many bytes a batch may have."""
        limit = self._settings.current.batch.max_body_size
        return limit if limit > 0 else _MAX_BODY

    async def run(self, request: Request) -> Answer:
        """Carry out all parts, or none."""
        settings = self._settings.current.batch
        if not settings.enabled or settings.max_requests <= 0:
            raise ForbiddenError("Batch requests are not allowed.")
        try:
            body = await wire.read(request)
            parts = body.bind(_FORM)["requests"]
        except BadRequestError as error:
            raise BadRequestError("Failed to read the submitted batch data.") from error
        requests = _requests(parts if isinstance(parts, list) else [], body.files)
        _check(requests, settings.max_requests)
        info = request.info()

        def count(collection: Collection, action: str) -> None:
            self._limits.check_collection(request, collection, (action,))

        # One by one, so that sign-ins get their turn between the passwords of a long batch.
        hashed = {
            index: await self._work.hash(partial(self._batch.hash, part, info))
            for index, part in enumerate(requests)
            if self._batch.hashes(part, info)
        }
        run = self._work.upload if body.files else self._work.slow
        text = await run(
            lambda: self._batch.run(
                requests,
                info,
                timeout_s=settings.timeout if settings.timeout > 0 else _TIMEOUT_S,
                count=count,
                parse_query=_parse_query,
                hashed=hashed,
            )
        )
        return json(text)


def _requests(parts: Sequence[Mapping[str, object]], files: Mapping[str, list[Upload]]) -> list[BatchRequest]:
    """Return the parts with their uploads ("requests.0.documents", "requests[0].documents")."""
    requests = []
    for index, part in enumerate(parts):
        members = {name.casefold(): value for name, value in part.items()}
        headers, values = members.get("headers"), members.get("body")
        prefixes = (f"requests.{index}.", f"requests[{index}].")
        requests.append(
            BatchRequest(
                method=to_text(members.get("method")),
                url=to_text(members.get("url")),
                headers=_headers(headers if isinstance(headers, dict) else {}),
                body=dict(values) if isinstance(values, dict) else {},
                uploads={
                    # Read as a form once more (apis/batch.go), so the name that it got becomes the original one.
                    key.removeprefix(prefix): [upload(file.name, file.content) for file in sent]
                    for key, sent in files.items()
                    for prefix in prefixes
                    if key.startswith(prefix)
                },
            )
        )
    return requests


def _headers(headers: Mapping[str, object]) -> dict[str, str]:
    """Return the headers of a part; who asks is the same for the whole batch."""
    named = {snake_case(name): to_text(value) for name, value in headers.items()}
    named.pop("authorization", None)
    return named


def _check(requests: Sequence[BatchRequest], most: int) -> None:
    """Copies core/event_request_batch.go, Validate."""
    errors: FieldError | ErrorData | None
    if not requests:
        errors = checks.REQUIRED
    elif len(requests) > most:
        text = f"The length must be no more than {most}."
        errors = FieldError("validation_length_too_long", text, {"max": most, "min": 0})
    else:
        parts = {str(index): _part_errors(request) for index, request in enumerate(requests)}
        errors = ErrorData({index: found for index, found in parts.items() if found})
    if errors:
        raise BadRequestError("Invalid batch request data.", ErrorData(requests=errors))


def _part_errors(request: BatchRequest) -> ErrorData:
    method = checks.required(request.method)
    if method is None and request.method not in _METHODS:
        method = checks.INVALID_CHOICE
    url = checks.required(request.url) or checks.length(request.url, 0, _LONGEST_URL)
    return checks.collect(method=method, url=url)


def _parse_query(text: str) -> dict[str, str]:
    return first_values(query_pairs(text.encode("utf-8", "surrogatepass")))
