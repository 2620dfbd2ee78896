"""The oracle knows who had which rights when, and finds what is told to somebody who has lost them."""

from __future__ import annotations

from math import inf

import pytest

from tests.soak.checker import Change, Client, Got, Log, Session, check_client
from tests.soak.rights import REVOKED, Rights, Turn
from tests.soak.world import GUEST, MOVER, REVOKER, Topic, World

TAG = "abcdefghij"
FIRST = f"0-{TAG}"
PEOPLE = {REVOKER: "r1", MOVER: "m1"}


def record(number: int, collection: str, *, owner: str = "", team: str = "", at: float | None = None) -> Change:
    row = {"seq": number, "kind": "a", "owner": owner, "team": team, "room": ""}
    return Change(number, TAG, "create", collection, f"n{number}", row, None, float(number) if at is None else at)


def account(number: int, person: str, name: str, team: str = "red", *, at: float | None = None) -> Change:
    row, previous = {"name": name, "team": team}, {"name": "before", "team": "red"}
    at = float(number) if at is None else at
    return Change(number, TAG, "update", "people", PEOPLE[person], row, previous, at)


def kinds(
    name: str, topic: Topic, changes: list[Change], told: dict[int, float], *, turns: tuple[Turn, ...] = ()
) -> list[str]:
    """Return what is found where a client has been told some changes, each at its time, and has seen the rest pass."""
    log = Log(changes, FIRST)
    world = World(PEOPLE, {}, {}, rights=Rights([Turn(0, 0.0, 0.0), *turns]))
    world.rights.read(log.changes, {record: name for name, record in PEOPLE.items()})
    events = [
        Got(change.position, topic.text, change.position, change.action, change.record, change.number, at)
        for number, at in told.items()
        for change in [log.by_number[number]]
    ]
    session = Session(None, FIRST, False, events, is_subscribed=True, signed_at=0.5, ended_at=100.0)
    client = Client(name, (topic.text,), name, [session])
    return [problem.kind for problem in check_client(client, log, world.tells)]


MINE = [record(1, "mine", owner="r1"), account(2, REVOKER, f"{REVOKED} 1"), record(3, "mine", owner="r1")]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param({1: 1.1}, [], id="before, and not after"),
        pytest.param({}, [], id="a replay after it tells nothing"),
        pytest.param({1: 1.1, 3: 3.1}, ["forbidden"], id="after"),
        pytest.param({1: 1.1, 3: 99.0}, ["forbidden"], id="however late"),
    ],
)
def test_a_stream_whose_token_ended_is_that_of_a_guest(told: dict[int, float], expected: list[str]) -> None:
    assert kinds(REVOKER, Topic("mine"), MINE, told) == expected


def test_other_changes_of_an_account_take_no_right_away() -> None:
    changes = [account(1, REVOKER, "seen 1"), record(2, "mine", owner="r1")]
    assert kinds(REVOKER, Topic("mine"), changes, {2: 2.1}) == []
    assert kinds(REVOKER, Topic("mine"), changes, {}) == ["unfinished"]


def test_a_new_sign_in_counts() -> None:
    changes = [account(1, REVOKER, f"{REVOKED} 1", at=0.1), record(2, "mine", owner="r1")]
    assert kinds(REVOKER, Topic("mine"), changes, {2: 2.1}) == []
    assert kinds(REVOKER, Topic("mine"), changes, {}) == ["unfinished"]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param({1: 1.1, 4: 4.1}, [], id="in order"),
        pytest.param({1: 1.1, 3: 3.1}, ["forbidden"], id="the former team"),
        pytest.param({1: 1.1}, ["unfinished"], id="the new team is missing"),
        pytest.param({4: 4.1}, [], id="a replay after it leaves the former team out"),
        pytest.param({4: 4.1, 1: 5.0}, ["repeat"], id="not in order"),
    ],
)
def test_a_change_of_the_team_holds_from_its_place_in_the_log(told: dict[int, float], expected: list[str]) -> None:
    changes = [
        record(1, "teams", team="red"),
        account(2, MOVER, "moved", "blue"),
        record(3, "teams", team="red"),
        record(4, "teams", team="blue"),
    ]
    assert kinds(MOVER, Topic("teams"), changes, told) == expected


@pytest.mark.parametrize(
    ("at", "told", "expected"),
    [
        pytest.param(1.0, {1: 1.5}, [], id="before"),
        pytest.param(1.0, {}, [], id="before, judged after"),
        pytest.param(2.5, {1: 2.6}, [], id="while it changed"),
        pytest.param(2.5, {}, [], id="or not"),
        pytest.param(3.5, {1: 3.6}, ["forbidden"], id="after"),
        pytest.param(3.5, {}, [], id="after, not told"),
    ],
)
def test_a_rule_that_was_replaced_lets_nobody_see(at: float, told: dict[int, float], expected: list[str]) -> None:
    changes = [record(1, "turns", owner="m1", at=at)]
    assert kinds(MOVER, Topic("turns"), changes, told, turns=(Turn(3, 2.0, 3.0),)) == expected


def test_a_rule_that_is_being_changed_may_hold_already() -> None:
    changes = [record(1, "turns", owner="somebody", at=5.0)]
    turns = (Turn(2, 4.0, inf),)
    assert kinds(MOVER, Topic("turns"), changes, {1: 5.1}, turns=turns) == []
    assert kinds(MOVER, Topic("turns"), changes, {}, turns=turns) == []
    assert kinds(GUEST, Topic("turns"), changes, {1: 5.1}, turns=turns) == ["forbidden"]
