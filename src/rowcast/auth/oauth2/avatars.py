"""Pictures of users: fetched from the address that a provider tells, for a field of files.

Where that address leads is not for a user or a provider to decide: only hosts on the
public network are connected to, and those that the operator named.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from rowcast.auth.oauth2.web import Guard, Web, WebError
from rowcast.schema.uploads import Upload, upload

_log = logging.getLogger("rowcast.auth")

_SECONDS = 10
_MAX_BYTES = 32 << 20
"""The reference's DefaultMaxBodySize."""


def fetch(web: Web, url: str, trusted: frozenset[str]) -> Upload | None:
    """Return the picture at an address, None where it can't be had. Copies safeFileFromURL of the reference."""
    try:
        with web.session(_SECONDS, max_bytes=_MAX_BYTES, guards=Guard(trusted)) as session:
            reply = session.ask(url)
        if not 200 <= reply.status < 400:
            raise WebError(f"{url} answers {reply.status}")
        name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    except (WebError, ValueError) as error:
        _log.warning("the picture of a user can't be fetched: %s", error)
        return None
    return upload(name or "avatar", reply.body)
