"""`/api/collections`: what superusers do with collections."""

from __future__ import annotations

from rowcast import encoding
from rowcast.admin.collections import Collections
from rowcast.api import wire
from rowcast.api.request import Request
from rowcast.api.responses import NO_CONTENT, Answer, picked
from rowcast.api.wire import MalformedBodyError
from rowcast.api.work import Work
from rowcast.errors import BadRequestError

_UNREADABLE = "Failed to load the submitted data due to invalid formatting."
_UNREADABLE_TYPE = "Failed to load the collection type data due to invalid formatting."
_UNREADABLE_FORM = "An error occurred while loading the submitted data."


class CollectionsApi:
    """Answers requests about collections (apis/collection.go). Changes run in threads: they may rewrite tables."""

    def __init__(self, work: Work, collections: Collections) -> None:
        self._work = work
        self._collections = collections

    async def list(self, request: Request) -> Answer:
        """Return a page of collections."""
        page = await self._work.quick(lambda: self._collections.list(request.query))
        return picked(request, encoding.encode(page), is_page=True)

    async def view(self, request: Request) -> Answer:
        """Return a collection."""
        return picked(request, encoding.encode(self._collections.view(request.values[0])))

    async def create(self, request: Request) -> Answer:
        """Create a collection."""
        body = await _body(request, _UNREADABLE_TYPE)
        return picked(request, encoding.encode(await self._work.slow(lambda: self._collections.create(body))))

    async def update(self, request: Request) -> Answer:
        """Change a collection."""
        name = request.values[0]
        self._collections.view(name)
        body = await _body(request, _UNREADABLE)
        return picked(request, encoding.encode(await self._work.slow(lambda: self._collections.update(name, body))))

    async def delete(self, request: Request) -> Answer:
        """Delete a collection with its records and files."""
        await self._work.slow(lambda: self._collections.delete(request.values[0]))
        return NO_CONTENT

    async def truncate(self, request: Request) -> Answer:
        """Delete all records of a collection."""
        await self._work.slow(lambda: self._collections.truncate(request.values[0]))
        return NO_CONTENT

    async def import_(self, request: Request) -> Answer:
        """Create and change many collections at once."""
        body = await _body(request, _UNREADABLE_FORM, hides_type=False)
        await self._work.slow(lambda: self._collections.import_(body))
        return NO_CONTENT

    async def scaffolds(self, request: Request) -> Answer:
        """Return a blank collection of each type."""
        return picked(request, encoding.encode(self._collections.scaffolds()))

    async def oauth2_providers(self, request: Request) -> Answer:
        """Return the OAuth2 providers that a collection can name."""
        return picked(request, encoding.encode(self._collections.oauth2_providers()))

    async def dry_run_view(self, request: Request) -> Answer:
        """Try the query of a view."""
        body = await _body(request, _UNREADABLE_FORM, hides_type=False)
        result = await self._work.slow(lambda: self._collections.dry_run_view(body))
        return picked(request, encoding.encode(result))


async def _body(request: Request, unreadable: str, *, hides_type: bool = True) -> object:
    """Return the body: decoded JSON, the values of a form, or None. Raises BadRequestError with the text given."""
    try:
        body = await wire.read(request)
        return body.json if body.form is None else body.values()
    except BadRequestError as error:
        if hides_type or isinstance(error, MalformedBodyError):
            raise BadRequestError(unreadable) from error
        raise
