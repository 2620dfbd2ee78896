"""Who may see a change, and what each of them gets.

Streams with the same subscription string form a `Group`; inside it they are
parted by account. A change is judged once for each set of accounts that can't
differ for the rule, and encoded once for each form that a receiver can get.

Rule 1: nothing here touches a stream; it names groups and accounts, and the hub
delivers. So judging may run in a thread while streams come and go.
Rule 2: a verdict is never kept beyond the change that it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rowcast import encoding
from rowcast.errors import FilterError
from rowcast.realtime import frames
from rowcast.realtime.stream import Account, Stream
from rowcast.realtime.topics import Subscription
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.record import Change
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import to_row
from rowcast.storage import Reader


@dataclass(slots=True, eq=False)
class Group:
    """All streams with one subscription string, by account. Changed by the hub only."""

    subscription: Subscription
    members: dict[Account, dict[Stream, None]] = field(default_factory=dict)

    def add(self, stream: Stream) -> None:
        """Add a stream under its account."""
        self.members.setdefault(stream.account, {})[stream] = None

    def remove(self, stream: Stream) -> None:
        """Remove a stream from under its account."""
        streams = self.members.get(stream.account)
        if streams is not None:
            streams.pop(stream, None)
            if not streams:
                del self.members[stream.account]


@dataclass(frozen=True, slots=True)
class Addressee:
    """A group that a change concerns, the rule that guards it, and who was in it when the change came up."""

    group: Group
    rule: str | None
    accounts: Sequence[Account]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One frame body and the accounts of a group that get it."""

    group: Group
    accounts: Sequence[Account]
    body: bytes


class Judgement:
    """The verdicts and bodies for one change; made for it and thrown away with it."""

    def __init__(self, change: Change, reader: Reader, rules: Rules, output: Output) -> None:
        self._change = change
        self._reader = reader
        self._rules = rules
        self._output = output
        self._row = to_row(change.record)
        self._verdicts: dict[tuple[object, ...], bool] = {}
        self._bodies: dict[tuple[object, ...], bytes] = {}

    def deliveries(self, addressees: Iterable[Addressee]) -> Iterator[Delivery]:
        """Judge the change for each addressee and encode it for those who may see it."""
        for addressee in addressees:
            forms: dict[bytes, list[Account]] = {}
            subscription = addressee.group.subscription
            for account in addressee.accounts:
                if self._may_see(account, addressee.rule, subscription):
                    forms.setdefault(self._body(account, subscription), []).append(account)
            for body, accounts in forms.items():
                yield Delivery(addressee.group, accounts, body)

    def _may_see(self, account: Account, rule: str | None, subscription: Subscription) -> bool:
        """Copies apis/realtime.go, realtimeCanAccessRecord: the rule, then the client's filter."""
        if not account.is_superuser and not self._allows(account, rule, subscription):
            return False
        text = subscription.query.get("filter")
        return not text or self._matches(account, text, subscription)

    def _allows(self, account: Account, rule: str | None, subscription: Subscription) -> bool:
        if not rule:
            return rule is not None
        return self._verdict(account, rule, subscription, is_filter=False)

    def _matches(self, account: Account, text: str, subscription: Subscription) -> bool:
        if not account.is_superuser and ("@collection." in text or "@request." in text):
            # apis/record_helpers.go, checkForSuperuserOnlyRuleFields
            return False
        return self._verdict(account, text, subscription, is_filter=True)

    def _verdict(self, account: Account, text: str, subscription: Subscription, *, is_filter: bool) -> bool:
        record = self._change.record
        # Part of the key: the same text means another thing to the accounts of another collection.
        auth_collection = account.record.collection if account.record is not None else None
        try:
            reads = self._rules.reads(text, record.collection, auth_collection, is_filter=is_filter)
        except FilterError:
            return False
        key = (
            text,
            is_filter,
            auth_collection,
            account if reads.auth else None,
            subscription.text if reads.options else None,
        )
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self._ask(account, text, subscription, is_filter=is_filter)
        return verdict

    def _ask(self, account: Account, text: str, subscription: Subscription, *, is_filter: bool) -> bool:
        record, request = self._change.record, _request(account, subscription)
        ask = self._rules.matches if is_filter else self._rules.allows
        try:
            return ask(self._reader, text, record, request, row=self._row)
        except FilterError:
            return False

    def _body(self, account: Account, subscription: Subscription) -> bytes:
        """Return the frame body for an account: shared by all who get the same form of the record."""
        record = self._change.record
        expand = subscription.query.get("expand", "")
        key: tuple[object, ...] = (
            subscription.text,
            account.is_superuser,
            self._sees_email(account, subscription),
            account if expand else None,
        )
        body = self._bodies.get(key)
        if body is None:
            data = self._output.encode(
                self._reader,
                record,
                _request(account, subscription),
                expand=expand,
                fields=subscription.query.get("fields", ""),
                ignore_email_visibility=bool(key[2]),
            )
            payload = b'{"record":' + data + b',"action":"' + self._change.action.encode() + b'"}'
            body = self._bodies[key] = frames.body(subscription.event_name, encoding.html_safe(payload))
        return body

    def _sees_email(self, account: Account, subscription: Subscription) -> bool:
        """Whether the address of an auth record is shown in spite of its emailVisibility."""
        record = self._change.record
        auth = record.collection.auth
        if auth is None:
            return False
        if account.is_superuser or (account.record is not None and account.record.is_same(record)):
            return True
        return bool(auth.manage_rule) and self._allows(account, auth.manage_rule, subscription)


def _request(account: Account, subscription: Subscription) -> RequestInfo:
    return RequestInfo(
        auth=account.record,
        method="GET",
        context="realtime",
        query=subscription.query,
        headers=subscription.headers,
    )
