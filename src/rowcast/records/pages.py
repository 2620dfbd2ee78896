"""The paging parameters of a list, read as the reference reads them (tools/search/provider.go)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from rowcast.errors import BadRequestError, ForbiddenError
from rowcast.schema.request import RequestInfo

DEFAULT_PER_PAGE = 30
MAX_PER_PAGE = 1000

_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_INT64 = 2**63
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_FOR_SUPERUSERS = ("@collection.", "@request.")


class Page(NamedTuple):
    """Which part of the matching records is asked for; `number` counts from 1."""

    number: int = 1
    size: int = DEFAULT_PER_PAGE
    skip_total: bool = False

    @property
    def offset(self) -> int:
        """How many records come before this page."""
        return min(self.size * (self.number - 1), _INT64 - 1)


_FIRST = Page()


def read_page(query: Mapping[str, str]) -> Page:
    """Return the page that a query asks for; sizes and numbers out of range are put right.

    Raises BadRequestError for what isn't a number or a bool.
    """
    if not query:
        return _FIRST
    number, size = _integer(query.get("page")), _integer(query.get("perPage"))
    return Page(
        number=max(number, 1),
        size=min(size, MAX_PER_PAGE) if size > 0 else DEFAULT_PER_PAGE,
        skip_total=_flag(query.get("skipTotal")),
    )


def _integer(text: str | None) -> int:
    if not text:
        return 0
    if not _INTEGER.fullmatch(text) or not -_INT64 <= (number := int(text)) < _INT64:
        raise BadRequestError
    return number


def _flag(text: str | None) -> bool:
    if not text or text in _FALSE:
        return False
    if text not in _TRUE:
        raise BadRequestError
    return True


def check_rule_fields(request: RequestInfo) -> None:
    """Refuse what only superusers may name in filter and sort.

    Loose on purpose: a text is enough. Copies apis/record_helpers.go,
    checkForSuperuserOnlyRuleFields. Raises ForbiddenError.
    """
    if request.is_superuser:
        return
    for name in ("filter", "sort"):
        text = request.query.get(name)
        if text and "@" in text:
            for field in _FOR_SUPERUSERS:
                if field in text:
                    raise ForbiddenError(f"Only superusers can filter by {field}")
