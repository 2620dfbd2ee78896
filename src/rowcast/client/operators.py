"""What superusers do besides records: collections, settings, logs, backups, crons, SQL; and the health of a server.

Every method raises ClientResponseError.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar, Unpack

import msgspec

from rowcast.client.errors import DecodeError
from rowcast.client.filters import Condition
from rowcast.client.query import RequestOptions, merged, path
from rowcast.client.records import RECORD, Page, Record, page_of
from rowcast.client.transport import Transport
from rowcast.client.uploads import Body, Content, Upload

T = TypeVar("T")


class HealthStatus(msgspec.Struct):
    """What a server says of itself; `data` has more for superusers."""

    code: int
    message: str
    data: dict[str, Any] = {}


class LogStats(msgspec.Struct):
    """How many log entries there are of one hour."""

    total: int
    date: str


class BackupFile(msgspec.Struct):
    """A backup: its name, its bytes, when it was made."""

    key: str
    size: int
    modified: str


class CronJob(msgspec.Struct):
    """A job and when it runs."""

    id: str
    expression: str


class SQLColumn(msgspec.Struct):
    """A column of a result."""

    name: str
    type: str = ""
    nullable: bool = False


class SQLResult(msgspec.Struct, rename="camel"):
    """What a statement returned; `exec_time` is in milliseconds."""

    exec_time: float = 0
    affected_rows: int = 0
    columns: list[SQLColumn] = []
    rows: list[list[str | None]] = []


class _Operator:
    """Asks one server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _ask(self, method: str, where: str, options: RequestOptions, body: Body | None = None) -> Any:  # noqa: ANN401 - JSON
        return (await self._transport.send(method, where, options, body)).json()

    async def _typed(self, kind: type[T], where: str, options: RequestOptions) -> T:
        return _as(kind, await self._ask("GET", where, options))


class Collections(_Operator):
    """The collections themselves. A collection is a `Record` with the keys of the API: `name`, `type`, `fields`…"""

    async def list(
        self,
        page: int = 1,
        per_page: int = 30,
        *,
        filter: str | Condition | None = None,
        sort: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[Record]:
        """Return one page."""
        asked = merged(options, page=page, perPage=per_page, filter=filter, sort=sort)
        return page_of(RECORD, await self._ask("GET", path("collections"), asked))

    async def all(
        self, *, filter: str | Condition | None = None, sort: str | None = None, **options: Unpack[RequestOptions]
    ) -> AsyncIterator[Record]:
        """Return all collections, page by page."""
        number = 1
        while True:
            page = await self.list(number, 200, filter=filter, sort=sort, **options)
            for item in page:
                yield item
            if number >= page.total_pages:
                return
            number += 1

    async def get(self, name: str, **options: Unpack[RequestOptions]) -> Record:
        """Return a collection by its name or id."""
        return Record(await self._ask("GET", path("collections", name), options))

    async def create(self, body: Body, **options: Unpack[RequestOptions]) -> Record:
        """Create a collection."""
        return Record(await self._ask("POST", path("collections"), options, body))

    async def update(self, name: str, body: Body, **options: Unpack[RequestOptions]) -> Record:
        """Change a collection."""
        return Record(await self._ask("PATCH", path("collections", name), options, body))

    async def delete(self, name: str, **options: Unpack[RequestOptions]) -> None:
        """Delete a collection with its records."""
        await self._ask("DELETE", path("collections", name), options)

    async def truncate(self, name: str, **options: Unpack[RequestOptions]) -> None:
        """Delete all records of a collection."""
        await self._ask("DELETE", path("collections", name, "truncate"), options)

    async def import_(
        self,
        collections: Sequence[Mapping[str, Any]],
        *,
        delete_missing: bool = False,
        **options: Unpack[RequestOptions],
    ) -> None:
        """Create and change several collections at once; `delete_missing` deletes what is not among them."""
        body = {"collections": builtins.list(collections), "deleteMissing": delete_missing}
        await self._ask("PUT", path("collections", "import"), options, body)

    async def scaffolds(self, **options: Unpack[RequestOptions]) -> dict[str, Record]:
        """Return an empty collection of each type."""
        answer = await self._ask("GET", path("collections", "meta", "scaffolds"), options)
        return {kind: Record(values) for kind, values in answer.items()}

    async def oauth2_providers(self, **options: Unpack[RequestOptions]) -> builtins.list[Record]:
        """Return the OAuth2 providers that a server knows."""
        answer = await self._ask("GET", path("collections", "meta", "oauth2-providers"), options)
        return [Record(item) for item in answer]

    async def dry_run_view(self, statement: str, **options: Unpack[RequestOptions]) -> builtins.list[Record]:
        """Return some rows of the query of a view without creating it."""
        answer = await self._ask("POST", path("collections", "meta", "dry-run-view"), options, {"query": statement})
        return [Record(item) for item in answer]


class Settings(_Operator):
    """The settings of a server."""

    async def get(self, **options: Unpack[RequestOptions]) -> Record:
        """Return all settings; secrets are left out."""
        return Record(await self._ask("GET", path("settings"), options))

    async def update(self, body: Body, **options: Unpack[RequestOptions]) -> Record:
        """Change the settings that `body` holds, and return all."""
        return Record(await self._ask("PATCH", path("settings"), options, body))

    async def test_s3(self, filesystem: str = "storage", **options: Unpack[RequestOptions]) -> None:
        """Try the S3 settings of "storage" or "backups"."""
        await self._ask("POST", path("settings", "test", "s3"), options, {"filesystem": filesystem})

    async def test_email(self, collection: str, email: str, template: str, **options: Unpack[RequestOptions]) -> None:
        """Send a mail on trial; `template` is one like `verification` or `password-reset`."""
        body = {"collection": collection, "email": email, "template": template}
        await self._ask("POST", path("settings", "test", "email"), options, body)

    async def generate_apple_client_secret(
        self, client_id: str, team_id: str, key_id: str, private_key: str, duration_s: int,
        **options: Unpack[RequestOptions],
    ) -> str:  # fmt: skip
        """Return a client secret for the sign-in with Apple."""
        body = {
            "clientId": client_id,
            "teamId": team_id,
            "keyId": key_id,
            "privateKey": private_key,
            "duration": duration_s,
        }
        answer = await self._ask("POST", path("settings", "apple", "generate-client-secret"), options, body)
        return str(answer["secret"])


class Logs(_Operator):
    """The log of a server."""

    async def list(
        self,
        page: int = 1,
        per_page: int = 30,
        *,
        filter: str | Condition | None = None,
        sort: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[Record]:
        """Return one page."""
        asked = merged(options, page=page, perPage=per_page, filter=filter, sort=sort)
        return page_of(RECORD, await self._ask("GET", path("logs"), asked))

    async def get(self, log_id: str, **options: Unpack[RequestOptions]) -> Record:
        """Return one entry."""
        return Record(await self._ask("GET", path("logs", log_id), options))

    async def stats(
        self, *, filter: str | Condition | None = None, **options: Unpack[RequestOptions]
    ) -> builtins.list[LogStats]:
        """Return how many entries there are of each hour."""
        return await self._typed(builtins.list[LogStats], path("logs", "stats"), merged(options, filter=filter))

    async def truncate(self, **options: Unpack[RequestOptions]) -> None:
        """Delete all entries."""
        await self._ask("DELETE", path("logs"), options)


class Health(_Operator):
    """Whether a server is well."""

    async def check(self, **options: Unpack[RequestOptions]) -> HealthStatus:
        """Return what a server says of itself."""
        return await self._typed(HealthStatus, path("health"), options)


class Backups(_Operator):
    """Backups of a server."""

    async def list(self, **options: Unpack[RequestOptions]) -> builtins.list[BackupFile]:
        """Return all backups."""
        return await self._typed(builtins.list[BackupFile], path("backups"), options)

    async def create(self, name: str = "", **options: Unpack[RequestOptions]) -> None:
        """Make a backup; the server names it if `name` is empty. Give a `timeout_s` that fits the data."""
        await self._ask("POST", path("backups"), options, {"name": name})

    async def upload(self, file: Upload | Content, **options: Unpack[RequestOptions]) -> None:
        """Upload a backup."""
        upload = file if isinstance(file, Upload) else Upload(file)
        await self._ask("POST", path("backups", "upload"), options, {"file": upload})

    async def delete(self, key: str, **options: Unpack[RequestOptions]) -> None:
        """Delete a backup."""
        await self._ask("DELETE", path("backups", key), options)

    async def restore(self, key: str, **options: Unpack[RequestOptions]) -> None:
        """Replace all data by those of a backup; the server starts anew."""
        await self._ask("POST", path("backups", key, "restore"), options)

    def url(self, token: str, key: str) -> str:
        """Return the URL of a backup; `token` comes from `client.files.token()`."""
        return self._transport.build_url(path("backups", key), {"token": token})


class Crons(_Operator):
    """Jobs that a server runs by the clock."""

    async def list(self, **options: Unpack[RequestOptions]) -> builtins.list[CronJob]:
        """Return all jobs."""
        return await self._typed(builtins.list[CronJob], path("crons"), options)

    async def run(self, job_id: str, **options: Unpack[RequestOptions]) -> None:
        """Run a job now."""
        await self._ask("POST", path("crons", job_id), options)


class SQL(_Operator):
    """Statements on the database of a server."""

    async def run(self, statement: str, **options: Unpack[RequestOptions]) -> SQLResult:
        """Run a statement and return what came of it."""
        return _as(SQLResult, await self._ask("POST", path("sql"), options, {"query": statement}))


def _as(kind: type[T], answer: object) -> T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise DecodeError(f"an answer cannot be read: {error}") from error
