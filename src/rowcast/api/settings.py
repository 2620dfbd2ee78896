"""`/api/settings`: what superusers do with the settings."""

from __future__ import annotations

import asyncio

from rowcast import encoding
from rowcast.admin.settings import UNREADABLE, SettingsDesk
from rowcast.api import auth_forms as forms
from rowcast.api.request import Request
from rowcast.api.responses import NO_CONTENT, Answer, picked
from rowcast.api.wire import MalformedBodyError
from rowcast.api.work import Work
from rowcast.auth.sample_mails import SampleMails
from rowcast.errors import BadRequestError


class SettingsApi:
    """Answers requests about the settings (apis/settings.go). Changes run in threads."""

    def __init__(self, work: Work, settings: SettingsDesk, mails: SampleMails) -> None:
        self._work = work
        self._settings = settings
        self._mails = mails

    async def view(self, request: Request) -> Answer:
        """Return the settings."""
        return picked(request, encoding.encode(self._settings.view()))

    async def update(self, request: Request) -> Answer:
        """Change the settings."""
        body = await forms.read(request, hides_type=True)
        try:
            given = body.values()
        except MalformedBodyError as error:
            raise BadRequestError(UNREADABLE) from error
        return picked(request, encoding.encode(await self._work.slow(lambda: self._settings.update(given))))

    async def test_s3(self, request: Request) -> Answer:
        """Try the bucket of the settings."""
        (filesystem,) = forms.texts(await forms.read(request, hides_type=True), ("filesystem",))
        # Not in the threads of writers: a bucket may take a minute.
        await asyncio.to_thread(self._settings.test_s3, filesystem)
        return NO_CONTENT

    async def test_email(self, request: Request) -> Answer:
        """Send a mail on trial, and wait until it has left."""
        names = ("email", "template", "collection")
        email, template, collection = forms.texts(await forms.read(request, hides_type=True), names)
        # Not in the threads of writers: a mail server may take half a minute.
        await asyncio.to_thread(self._mails.send, email, template, collection)
        return NO_CONTENT
