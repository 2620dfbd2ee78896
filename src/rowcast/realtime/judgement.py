"""Who may see one change, and what each of them gets.

A rule that reads no value of the account is asked once for all accounts of a kind.
Where it demands `field = @request.auth.<name>`, those who have the record's value
are looked up and only they are asked; and what needs SQL is asked for all of them
in one statement. The record is encoded once for each form that a receiver can get.

Rule 1: nothing here touches a stream, so judging may run in a thread while streams
come and go. Rule 2: a verdict is never kept beyond the change that it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from msgspec.structs import replace

from rowcast import encoding
from rowcast.errors import BadRequestError, FilterError
from rowcast.realtime import frames
from rowcast.realtime.accounts import Account, Accounts
from rowcast.realtime.audience import Addressee, Delivery, Group
from rowcast.realtime.topics import Subscription
from rowcast.records.output import Output, encode_picked
from rowcast.rules import Rules
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.public import visible_values
from rowcast.schema.record import Change, Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import to_row
from rowcast.sql import SQLValue
from rowcast.storage import Reader

Some = Sequence[Account] | None
"""Some accounts of a kind in a group; None for all of them."""

_NOBODY: Sequence[Account] = ()

MANY_ACCOUNTS = 32
"""From how many on it is asked first who can come into question, where a rule goes over relations."""


def reads_rows(collection: Collection, rules: Rules, catalog: Catalog) -> bool:
    """Whether what decides who sees a record of `collection` reads other rows, for any kind of account."""
    texts = [rule for rule in (collection.list_rule, collection.view_rule) if rule]
    if collection.auth is not None and collection.auth.manage_rule:
        texts.append(collection.auth.manage_rule)
    if not texts:
        return False
    kinds: list[Collection | None] = [None, *(each for each in catalog if each.is_auth)]
    try:
        return any(rules.reads(text, collection, kind).rows for text in texts for kind in kinds)
    except FilterError:
        return True


def _any_of(members: Mapping[Account, object]) -> Account | None:
    """Return one of the accounts, None where there is none; not by a copy, since there may be very many."""
    while True:
        try:
            return next(iter(members), None)
        except RuntimeError:
            continue  # The event loop has changed it just now, while this runs in a thread.


class Judgement:
    """The verdicts and bodies for one change; made for it and thrown away with it."""

    def __init__(self, change: Change, reader: Reader, rules: Rules, output: Output, accounts: Accounts) -> None:
        self._change = change
        self._record = change.record
        self._reader = reader
        self._rules = rules
        self._output = output
        self._accounts = accounts
        # By text, use, kind and options where they are read: account (None for all of the kind) -> verdict.
        self._verdicts: dict[tuple[object, ...], dict[Account | None, bool]] = {}
        self._bodies: dict[tuple[object, ...], bytes] = {}
        self._earlier: Judgement | None = None
        # By rule and kind of account: what `Rules.reached` gave.
        self._reaches: dict[tuple[object, ...], tuple[str, set[str]] | None] = {}
        # Accounts that are judged with other values than they have now.
        self._records: dict[Account, Record] = {}

    @cached_property
    def _row(self) -> dict[str, SQLValue]:
        """The record as a rule reads it; an empty rule does not."""
        return to_row(self._record)

    def deliveries(self, addressees: Iterable[Addressee]) -> Iterator[Delivery]:
        """Judge the change for each addressee and encode it for those who may see it."""
        for addressee in addressees:
            group = addressee.group
            for kind, members in tuple(group.members.items()):
                one = _any_of(members)
                if one is None:
                    continue
                some = self._seeing(addressee, kind, one)
                if some is None or some:
                    if self._is_one_form(group, one):
                        body = self._body(one, group.subscription, shows_email=one.is_superuser)
                        yield Delivery(group, kind, some, body)
                    else:
                        yield from self._encoded(group, kind, one, some)
                if self._change.previous is not None and group.subscription.wants_leave and some is not None:
                    yield from self._left(addressee, kind, one, some)

    def _seeing(self, addressee: Addressee, kind: str, one: Account) -> Some:
        """Return who of a kind may see the record, by the rule and by the filter of the client."""
        group = addressee.group
        some = self._narrow(group, kind, one, None, addressee.rule)
        text = group.subscription.query.get("filter")
        if text and some is not _NOBODY:
            some = self._matching(group, kind, one, some, text)
        return some

    def _left(self, addressee: Addressee, kind: str, one: Account, seeing: Sequence[Account]) -> Iterator[Delivery]:
        """Tell those who saw the record before the update and do not see it any more."""
        group = addressee.group
        before = self._before()._seeing(addressee, kind, one)
        everyone = tuple(group.members.get(kind, ())) if before is None else before
        left = [account for account in everyone if account not in set(seeing)]
        if left:
            data = b'{"record":' + encoding.encode(self._identity()) + b',"action":"leave"}'
            yield Delivery(group, kind, left, frames.body(group.subscription.event_name, data))

    def _before(self) -> Judgement:
        """Return the judgement on the record, and on its own account, as they were before the update."""
        if self._earlier is None:
            previous = self._change.previous or self._record
            earlier = replace(self._change, record=previous, previous=None)
            reader = self._change.before or self._reader
            self._earlier = Judgement(earlier, reader, self._rules, self._output, self._accounts)
            account = self._accounts.find(previous.collection.id, previous.id)
            if account is not None:
                self._earlier._records[account] = previous
        return self._earlier

    def _identity(self) -> dict[str, str]:
        collection = self._record.collection
        return {"collectionId": collection.id, "collectionName": collection.name, "id": self._record.id}

    def _narrow(self, group: Group, kind: str, one: Account, some: Some, rule: str | None) -> Some:
        """Return who of `some` a rule lets see the record."""
        if one.is_superuser:
            return some
        if not rule:
            return _NOBODY if rule is None else some
        return self._holding(group, kind, one, some, rule, is_filter=False)

    def _matching(self, group: Group, kind: str, one: Account, some: Some, text: str) -> Some:
        """Return who of `some` has a filter that matches. Copies apis/realtime.go, realtimeCanAccessRecord."""
        if not one.is_superuser and ("@collection." in text or "@request." in text):
            # apis/record_helpers.go, checkForSuperuserOnlyRuleFields
            return _NOBODY
        return self._holding(group, kind, one, some, text, is_filter=True)

    def _holding(self, group: Group, kind: str, one: Account, some: Some, text: str, *, is_filter: bool) -> Some:
        collection = one.collection
        try:
            reads = self._rules.reads(text, self._record.collection, collection, is_filter=is_filter)
        except FilterError:
            return _NOBODY
        subscription = group.subscription
        # The collection is part of the key: the same text means another thing to accounts of another one.
        key = (text, is_filter, collection, subscription.text if reads.options else None)
        verdicts = self._verdicts.setdefault(key, {})
        if not reads.auth:
            if None not in verdicts:
                verdicts[None] = self._ask((one,), text, subscription, is_filter=is_filter)[0]
            return some if verdicts[None] else _NOBODY
        candidates = self._candidates(group, kind, one, text, is_filter) if some is None else some
        unknown = [account for account in candidates if account not in verdicts]
        verdicts.update(zip(unknown, self._ask(unknown, text, subscription, is_filter=is_filter), strict=True))
        return [account for account in candidates if verdicts[account]] or _NOBODY

    def _candidates(self, group: Group, kind: str, one: Account, text: str, is_filter: bool) -> Sequence[Account]:
        """Return the accounts in a group that a rule may hold for."""
        members = group.members.get(kind, {})
        owners = () if is_filter else self._rules.owners(text, self._record.collection, one.collection)
        for owner in owners:
            value = self._row.get(owner.field)
            # What an empty value of the account equals is left to the rule.
            having = self._accounts.with_value(kind, owner.name, value) if isinstance(value, str) else ()
            found = {*having, *(self._accounts.with_value(kind, owner.name, "") if value != "" else ())}
            return [account for account in {*found, *self._records} if account in members]
        if is_filter or len(members) < MANY_ACCOUNTS:
            return tuple(members)
        return self._reached(kind, one, text, members)

    def _reached(self, kind: str, one: Account, text: str, members: Mapping[Account, object]) -> Sequence[Account]:
        """Return the accounts in a group that a rule which goes over relations may hold for.

        Asking for all who are connected would cost by their number; what the record leads to is mostly little.
        """
        key = (text, one.collection)
        if key not in self._reaches:
            self._reaches[key] = self._rules.reached(
                self._reader, text, self._record, one.collection, row=self._row, most=len(members)
            )
        reached = self._reaches[key]
        if reached is None:
            return tuple(members)
        name, values = reached
        found = {account for value in {*values, ""} for account in self._accounts.with_value(kind, name, value)}
        return [account for account in {*found, *self._records} if account in members]

    def _ask(
        self, accounts: Sequence[Account], text: str, subscription: Subscription, *, is_filter: bool
    ) -> list[bool]:
        requests = [self._request(account, subscription) for account in accounts]
        try:
            allowed = self._rules.allow_each(
                self._reader, text, self._record, requests, row=self._row, is_filter=is_filter
            )
        except FilterError:
            allowed = set()
        return [place in allowed for place in range(len(accounts))]

    def _is_one_form(self, group: Group, one: Account) -> bool:
        """Whether all receivers of a kind get the same form of the record."""
        return not group.subscription.query.get("expand") and (
            not self._record.collection.is_auth or one.is_superuser or self._record.flag("emailVisibility")
        )

    def _encoded(self, group: Group, kind: str, one: Account, some: Some) -> Iterator[Delivery]:
        """Yield a body for each form of the record that the receivers get, where there may be several."""
        subscription = group.subscription
        if subscription.query.get("expand"):
            # What is expanded depends on the view rules of other collections.
            for account in tuple(group.members.get(kind, ())) if some is None else some:
                shows = account in self._seeing_email(group, kind, one, (account,))
                yield Delivery(group, kind, (account,), self._body(account, subscription, shows_email=shows))
            return
        everyone = tuple(group.members.get(kind, ())) if some is None else some
        seeing = self._seeing_email(group, kind, one, everyone)
        for shows, accounts in (
            (True, [account for account in everyone if account in seeing]),
            (False, [account for account in everyone if account not in seeing]),
        ):
            if accounts:
                yield Delivery(group, kind, accounts, self._body(accounts[0], subscription, shows_email=shows))

    def _seeing_email(self, group: Group, kind: str, one: Account, some: Sequence[Account]) -> set[Account]:
        """Return who of `some` sees the address of an auth record in spite of its emailVisibility."""
        auth = self._record.collection.auth
        if auth is None:
            return set()
        seeing = {account for account in some if account.record is not None and account.record.is_same(self._record)}
        if auth.manage_rule or one.is_superuser:
            seeing.update(self._narrow(group, kind, one, some, auth.manage_rule) or ())
        return seeing

    def _body(self, account: Account, subscription: Subscription, *, shows_email: bool) -> bytes:
        """Return the frame body for an account, shared by all who get the same form of the record."""
        if not subscription.query:
            return frames.body(subscription.event_name, self._data(account, subscription, "", shows_email=shows_email))
        expand = subscription.query.get("expand", "")
        key = (subscription.text, account.is_superuser, shows_email, account if expand else None)
        body = self._bodies.get(key)
        if body is None:
            data = self._data(account, subscription, expand, shows_email=shows_email)
            body = self._bodies[key] = frames.body(subscription.event_name, data)
        return body

    def _data(self, account: Account, subscription: Subscription, expand: str, *, shows_email: bool) -> bytes:
        """Return the JSON of an event; without an expansion it is shared by all subscription strings."""
        fields = subscription.query.get("fields", "")
        key = ("data", fields, account.is_superuser, shows_email)
        data = None if expand else self._bodies.get(key)
        if data is None:
            record = self._encode(account, subscription, expand, fields, shows_email=shows_email)
            data = b'{"record":' + record + b',"action":"' + self._change.action.encode() + b'"}'
            if not expand:
                self._bodies[key] = data
        return data

    def _encode(
        self, account: Account, subscription: Subscription, expand: str, fields: str, *, shows_email: bool
    ) -> bytes:
        """Return the record as JSON; `fields` that can't be read pick everything, as in the reference."""
        if expand:
            request = self._request(account, subscription)
            values = self._output.public(
                self._reader, self._record, request, expand=expand, ignore_email_visibility=shows_email
            )
        else:
            values = visible_values(self._record, shows_hidden=account.is_superuser, shows_email=shows_email)
        try:
            return encode_picked(values, fields)
        except BadRequestError:
            return encode_picked(values)

    def _request(self, account: Account, subscription: Subscription) -> RequestInfo:
        return RequestInfo(
            auth=self._records.get(account, account.record),
            method="GET",
            context="realtime",
            query=subscription.query,
            headers=subscription.headers,
        )
