"""One collection: its records, what happens to them, and its accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from rowcast.client.accounts import Accounts, signed_in
from rowcast.client.errors import ClientResponseError
from rowcast.client.filters import Condition
from rowcast.client.query import RequestOptions, merged
from rowcast.client.realtime.channel import Gap
from rowcast.client.realtime.subscription import Event, Leave, Subscription, record_event
from rowcast.client.realtime.topics import MAX_BYTES, MAX_EVENTS, Realtime, topic_key
from rowcast.client.records import Model, Page, page_of
from rowcast.client.transport import Transport
from rowcast.client.uploads import Body

if TYPE_CHECKING:
    from rowcast.client.client import Client

T = TypeVar("T")

CURSOR_HEADER = "Rowcast-Cursor"

Filter = str | Condition
"""A filter: text, with values put in by `client.filter`, or a condition built with `field`."""


class Collection(Accounts[T]):
    """The records of a collection as values of one type. Every method raises ClientResponseError and DecodeError."""

    def __init__(
        self,
        transport: Transport,
        realtime: Realtime,
        name: str,
        model: Model[T],
        *,
        as_account: Callable[[str, Mapping[str, Any] | None], Client],
    ) -> None:
        super().__init__(transport, name, model)
        self._realtime = realtime
        self._as_account = as_account

    async def list(
        self,
        page: int = 1,
        per_page: int = 30,
        *,
        filter: Filter | None = None,
        sort: str | None = None,
        expand: str | None = None,
        fields: str | None = None,
        skip_total: bool = False,
        **options: Unpack[RequestOptions],
    ) -> Page[T]:
        """Return one page; `skip_total` saves the server counting all."""
        asked = merged(
            options,
            page=page,
            perPage=per_page,
            filter=filter,
            sort=sort,
            expand=expand,
            fields=fields,
            skipTotal=skip_total or None,
        )
        answer = await self._transport.send("GET", self._path("records"), asked)
        return page_of(self._model, answer.json(), answer.headers.get(CURSOR_HEADER))

    async def all(
        self,
        *,
        filter: Filter | None = None,
        sort: str | None = None,
        expand: str | None = None,
        fields: str | None = None,
        batch: int = 500,
        **options: Unpack[RequestOptions],
    ) -> AsyncIterator[T]:
        """Return all records, loaded in pages of `batch` as they are wanted.

        Pages are counted: if records are deleted meanwhile, some are skipped. Up to
        1,000, the most that a server gives at once, come from one moment.
        """
        number = 1
        while True:
            page = await self.list(
                number, batch, filter=filter, sort=sort, expand=expand, fields=fields, skip_total=True, **options
            )
            for item in page:
                yield item
            # The server may give fewer than it was asked for.
            if len(page) < page.per_page or not len(page):
                return
            number += 1

    async def first(
        self,
        filter: Filter | None = None,
        *,
        sort: str | None = None,
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> T:
        """Return the first record that matches. Raises ClientResponseError with status 404 if none does."""
        page = await self.list(1, 1, filter=filter, sort=sort, expand=expand, fields=fields, skip_total=True, **options)
        if not page.items:
            raise self._missing("The requested resource wasn't found.")
        return page.items[0]

    async def get(
        self,
        record_id: str,
        *,
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> T:
        """Return one record."""
        return self._model.decode(await self._send("GET", record_id, None, expand, fields, options))

    async def create(
        self,
        body: Body | None = None,
        *,
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> T:
        """Create a record of a mapping, a dataclass or a Struct; files are paths, open files or `Upload`."""
        asked = merged(options, expand=expand, fields=fields)
        answer = await self._transport.send("POST", self._path("records"), asked, {} if body is None else body)
        return self._model.decode(answer.json())

    async def update(
        self,
        record_id: str,
        body: Body,
        *,
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> T:
        """Change the fields of a record that `body` holds; the store of the client follows if it is its account."""
        values = await self._send("PATCH", record_id, body, expand, fields, options)
        store = self._transport.auth_store
        if store.record is not None and self._is_account(record_id):
            store.save(store.token, _updated(store.record, values))
        return self._model.decode(values)

    async def delete(self, record_id: str, **options: Unpack[RequestOptions]) -> None:
        """Delete a record; the store of the client is cleared if it is its account."""
        await self._send("DELETE", record_id, None, None, None, options)
        if self._is_account(record_id):
            self._transport.auth_store.clear()

    async def impersonate(self, record_id: str, duration_s: int = 0, **options: Unpack[RequestOptions]) -> Client:
        """Return a client that is signed in as another account, for superusers; close it as any other.

        `duration_s`: how long its token is good; 0: as the collection says. It cannot be refreshed.
        """
        body = {"duration": duration_s}
        answer = (await self._transport.send("POST", self._path("impersonate", record_id), options, body)).json()
        return self._as_account(*signed_in(answer))

    @overload
    def subscribe(
        self,
        topic: str = "*",
        *,
        leave: Literal[False] = False,
        filter: Filter | None = None,
        expand: str | None = None,
        fields: str | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        cursor: str | None = None,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
    ) -> Subscription[Event[T] | Gap]: ...

    @overload
    def subscribe(
        self,
        topic: str = "*",
        *,
        leave: Literal[True],
        filter: Filter | None = None,
        expand: str | None = None,
        fields: str | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        cursor: str | None = None,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
    ) -> Subscription[Event[T] | Leave | Gap]: ...

    def subscribe(  # noqa: PLR0913 - what a subscription is asked for
        self,
        topic: str = "*",
        *,
        leave: bool = False,
        filter: Filter | None = None,
        expand: str | None = None,
        fields: str | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        cursor: str | None = None,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
    ) -> Subscription[Any]:
        """Listen to all records (`*`) or to the one with this id.

        filter, expand, fields, query and headers: as in requests for records; rules see them too.
        leave: also tell when a record stops to match (rowcast servers only).
        cursor: a position to start behind, of a `Page` or an event; only the first of all
            subscriptions can choose one.
        max_events, max_bytes: how much may wait; past it everything is dropped and a gap is told.

        Raises UsageError for an empty topic.
        """
        asked = {"filter": filter, "expand": expand, "fields": fields, "leave": leave or None, **(query or {})}
        return self._realtime.open(
            topic_key(f"{self.name}/{topic}" if topic else "", asked, headers),
            record_event(self._model),
            lambda gap: gap,
            is_message=False,
            start=cursor,
            max_events=max_events,
            max_bytes=max_bytes,
        )

    async def _send(
        self,
        method: str,
        record_id: str,
        body: Body | None,
        expand: str | None,
        fields: str | None,
        options: RequestOptions,
    ) -> Any:  # noqa: ANN401 - JSON
        if not record_id:
            # The path would be that of the list.
            raise self._missing("Missing required record id.")
        asked = merged(options, expand=expand, fields=fields)
        return (await self._transport.send(method, self._path("records", record_id), asked, body)).json()

    def _missing(self, message: str) -> ClientResponseError:
        url = self._transport.build_url(self._path("records"))
        return ClientResponseError(message, status=404, url=url)

    def _is_account(self, record_id: str) -> bool:
        record = self._transport.auth_store.record
        return (
            record is not None
            and record.get("id") == record_id
            and self.name in (record.get("collectionId"), record.get("collectionName"))
        )


def _updated(record: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with some values changed; expanded relations that were not loaded again stay."""
    updated = {**record, **values}
    if "expand" in record:
        updated["expand"] = {**record["expand"], **values.get("expand", {})}
    return updated
