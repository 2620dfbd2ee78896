"""Who had which rights at which place of the log: what the oracle must know where they change meanwhile.

Pure. Accounts change by rows of the log, and hold from there on: a stream has all of those before
a change, and may have any of those behind it that came until the change was judged. A rule of a collection
is no row; it changed at some moment while the request that did so was under way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.soak.checker import Change

REVOKED = "revoked"
"""What the name of an account begins with when its password changes; a number follows."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A change of a rule to one of its variants, at a moment between two times."""

    variant: int
    sent: float
    answered: float


@dataclass(frozen=True, slots=True)
class View:
    """One state of rights: whose they are ("guest" for who has lost them), the team, the variant of the rule."""

    account: str
    team: str
    variant: int


@dataclass(frozen=True, slots=True)
class _Change:
    number: int
    at: float
    team: str
    is_revoked: bool


@dataclass(slots=True)
class Rights:
    """The changes of rights of one run."""

    turns: list[Turn] = field(default_factory=lambda: [Turn(0, 0.0, 0.0)])
    accounts: dict[str, list[_Change]] = field(default_factory=dict)

    def read(self, log: Sequence[Change], people: dict[str, str]) -> None:
        """Take the changes of accounts over from the log; `people` has their names by id."""
        for change in log:
            if change.collection == "people" and change.record in people and change.previous is not None:
                name = str(change.row["name"])
                is_revoked = name.startswith(REVOKED) and name != change.previous["name"]
                found = _Change(change.number, change.at, str(change.row["team"]), is_revoked)
                self.accounts.setdefault(people[change.record], []).append(found)

    def views(self, account: str, team: str, signed_at: float, change: Change, until: float) -> Iterator[View]:
        """Yield the states in which a change may have been judged up to a time.

        `team` is the one that the account began with; `signed_at` is when it got the token of its stream.
        """
        changes = self.accounts.get(account, ())
        place = bisect_left(changes, change.number, key=lambda each: each.number)
        before, after = changes[:place], [each for each in changes[place:] if each.at <= until]
        teams = {before[-1].team if before else team, *(each.team for each in after)}
        lost_before = any(each.is_revoked and each.at > signed_at for each in before)
        lost_after = any(each.is_revoked and each.at > signed_at for each in after)
        variants = set(self._variants(change.at, until))
        for variant in variants:
            if not lost_before:
                yield from (View(account, each, variant) for each in teams)
            if lost_before or lost_after:
                yield View("guest", "", variant)

    def _variants(self, since: float, until: float) -> Iterator[int]:
        for turn, after in zip(self.turns, (*self.turns[1:], None), strict=True):
            if turn.sent <= until and (after is None or after.answered >= since):
                yield turn.variant
