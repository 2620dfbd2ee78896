"""The client of one server: what an application begins with."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

import httpx

from rowcast.client.auth_store import AuthStore
from rowcast.client.batch import Batch
from rowcast.client.collection import Collection
from rowcast.client.files import Files
from rowcast.client.filters import bind
from rowcast.client.operators import SQL, Backups, Collections, Crons, Health, Logs, Settings
from rowcast.client.query import RequestOptions
from rowcast.client.realtime.topics import Realtime
from rowcast.client.records import RECORD, Model, Record
from rowcast.client.transport import Transport
from rowcast.client.uploads import Body

T = TypeVar("T")


class Client:
    """Talks to one server, as a guest until somebody signs in. Belongs to one event loop.

    Use it as `async with Client(url) as client`, or call `aclose` at the end.

    url: where the server is, such as `http://127.0.0.1:8090`.
    auth_store: where the account is kept; by default in memory.
    language: what `Accept-Language` says.
    timeout_s: how long connecting, sending and receiving may each stand still, in seconds; None: for ever.
    retries: how often a request is repeated where that cannot do anything twice.
    http: an httpx client to use instead of an own one, for proxies, certificates or
        transports; it is not closed.
    """

    def __init__(
        self,
        url: str,
        auth_store: AuthStore | None = None,
        *,
        language: str = "en-US",
        timeout_s: float | None = 30.0,
        retries: int = 2,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.auth_store = auth_store if auth_store is not None else AuthStore()
        self._transport = Transport(
            url, self.auth_store, language=language, timeout_s=timeout_s, retries=retries, http=http
        )
        self.collections = Collections(self._transport)
        self.files = Files(self._transport)
        self.realtime = Realtime(self._transport)
        self.settings = Settings(self._transport)
        self.logs = Logs(self._transport)
        self.health = Health(self._transport)
        self.backups = Backups(self._transport)
        self.crons = Crons(self._transport)
        self.sql = SQL(self._transport)

    @property
    def url(self) -> str:
        """Where the server is, without a slash at the end."""
        return self._transport.url

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all subscriptions and close all connections."""
        await self.realtime.aclose()
        await self._transport.aclose()

    @overload
    def collection(self, name: str) -> Collection[Record]: ...

    @overload
    def collection(self, name: str, model: type[T]) -> Collection[T]: ...

    def collection(self, name: str, model: type[Any] | None = None) -> Collection[Any]:
        """Return a collection by its name or id.

        Its records are values of `model`, a msgspec.Struct, a dataclass or a TypedDict, with
        the names of the API as keys; keys that it does not have are left out. Without a model
        they are of type `Record`.
        """
        kind = Model(model) if model is not None else RECORD
        return Collection(self._transport, self.realtime, name, kind, as_account=self._as_account)

    def batch(self) -> Batch:
        """Return an empty batch: `async with client.batch() as batch:`."""
        return Batch(self._transport)

    def filter(self, text: str, params: Mapping[str, object] | None = None, **values: object) -> str:
        """Return a filter with values in the place of `{:name}`: `client.filter("title ~ {:q}", q=text)`.

        Raises ValueError where places and values do not fit together.
        """
        return bind(text, params, **values)

    def build_url(self, path: str, query: Mapping[str, object] | None = None) -> str:
        """Return the whole URL of a path."""
        return self._transport.build_url(path, query)

    async def send(self, method: str, path: str, body: Body | None = None, **options: Unpack[RequestOptions]) -> Any:  # noqa: ANN401 - JSON
        """Send a request to any route, and return the JSON of its answer. Raises ClientResponseError."""
        return (await self._transport.send(method, path, options, body)).json()

    def _as_account(self, token: str, record: Mapping[str, Any] | None) -> Client:
        """Return a client of the same kind for another account."""
        transport = self._transport
        other = Client(
            transport.url,
            language=transport.language,
            timeout_s=transport.timeout_s,
            retries=transport.retries,
            http=transport.given_http,
        )
        other.auth_store.save(token, record)
        return other
