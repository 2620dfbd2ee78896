"""Records as the JSON of an answer or an event, shown as far as the one who asks may see.

One way for everybody: mark what is visible, expand, write with sorted keys, pick
`fields`. The fast path of lists and views (`reads`) must give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from rowcast import encoding
from rowcast.errors import FilterError
from rowcast.records import pick
from rowcast.records.expand import Expander
from rowcast.records.visibility import Visibility
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.public import public_values
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.storage import Reader


class Output:
    """Shows records."""

    def __init__(self, catalog: CatalogRef, rules: Rules) -> None:
        self._visibility = Visibility(rules)
        self._expander = Expander(catalog, rules, self._visibility)

    def enrich(self, reader: Reader, records: Sequence[Record], request: RequestInfo, *, expand: str = "") -> None:
        """Mark what of stored records of one collection is visible, and expand them.

        Copies apis/record_helpers.go, EnrichRecords: a broken manage rule leaves e-mails
        hidden and relations unexpanded.
        """
        try:
            self._visibility.mark(reader, records, request)
        except FilterError:
            return
        if expand:
            self._expander.expand(reader, records, expand, request)

    def public(
        self,
        reader: Reader,
        record: Record,
        request: RequestInfo,
        *,
        expand: str = "",
        ignore_email_visibility: bool | None = None,
    ) -> dict[str, object]:
        """Return a record as a JSON-ready dictionary with sorted keys.

        `ignore_email_visibility` says whether the e-mail is shown even if the record hides
        it; None has the account that asks decide (superuser, owner, manage rule). The
        record itself stays as it is.
        """
        shown = Record(record.collection, record.values, is_new=False)
        if ignore_email_visibility is None:
            self.enrich(reader, [shown], request, expand=expand)
        else:
            shown.shows_hidden = request.is_superuser
            shown.shows_email = ignore_email_visibility or request.is_superuser
            if expand:
                self._expander.expand(reader, [shown], expand, request)
        return public_values(shown)

    def encode(
        self,
        reader: Reader,
        record: Record,
        request: RequestInfo,
        *,
        expand: str = "",
        fields: str = "",
        ignore_email_visibility: bool | None = None,
    ) -> bytes:
        """Return a record as JSON text. Raises BadRequestError for `fields` that can't be read."""
        # A parameter that can't be read is told before anything else is.
        pick.parse(fields)
        values = self.public(reader, record, request, expand=expand, ignore_email_visibility=ignore_email_visibility)
        return encode_picked(values, fields)


def encode_picked(values: dict[str, object], fields: str = "") -> bytes:
    """Return what is shown of a record as JSON text, or only `fields` of it. Raises BadRequestError."""
    picked = pick.parse(fields)
    text = encoding.encode(values)
    return text if picked is None else picked.apply_json(text)
