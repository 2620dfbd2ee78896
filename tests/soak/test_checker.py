"""The oracle finds what is planted: it would be worth nothing if it did not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.soak.checker import PROGRESS, Ack, Change, Client, Got, Log, Session, check_client, check_log

TAG = "abcdefghij"
FIRST = f"0-{TAG}"


def change(number: int, *, owner: str = "ann", action: str = "create", previous: str = "") -> Change:
    row = {"seq": number * 10, "owner": owner}
    earlier = {"seq": number * 10 - 1, "owner": previous} if previous else None
    return Change(number, TAG, action, "notes", f"r{number}", row, earlier)


LOG = Log([change(n, owner="ann" if n % 3 else "bob") for n in range(1, 13)], FIRST)


def tells(client: Client, session: Session, topic: str, change: Change, until: float) -> set[str]:
    """ann may see what is hers; the topic "leave" tells what she lost as well."""
    if change.row["owner"] == "ann":
        return {change.action}
    is_lost = topic == "leave" and change.previous is not None and change.previous["owner"] == "ann"
    return {"leave"} if is_lost else {""}


def got(number: int, topic: str = "all", *, id: str = "", log: Log = LOG) -> Got:
    of = log.by_number[number]
    return Got(id or of.position, topic, of.position, of.action, of.record, number * 10)


def session(*numbers: int, start: int = 0, asked: bool = True, ends: bool = True) -> Session:
    position = f"{start}-{TAG}"
    return Session(position if asked else None, position, asked, [got(n) for n in numbers], is_subscribed=True)


def ann() -> Client:
    """Everything right: a fresh start, a cut, a resume, one by the client id, and the end."""
    return Client(
        "ann",
        ("all",),
        "ann",
        [
            session(1, 2, 4, asked=False),
            session(5, start=4),
            Session(f"{'x' * 40}_5-{TAG}", f"5-{TAG}", True, []),
            session(7, 8, 10, 11, start=5),
        ],
    )


def kinds(client: Client, log: Log = LOG, *, is_finished: bool = True) -> list[str]:
    return [problem.kind for problem in check_client(client, log, tells, is_finished=is_finished)]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert kinds(ann()) == []


def test_a_client_that_is_not_done_is_told() -> None:
    client = ann()
    client.sessions[-1].events.pop()
    assert kinds(client) == ["unfinished"]
    assert kinds(client, is_finished=False) == []
    assert kinds(Client("ann", ("all",), "ann", [replace(session(1, 2, 4, 5, 7, 8, 10, 11), is_subscribed=False)])) == [
        "unfinished"
    ]


def drop(client: Client) -> None:
    del client.sessions[0].events[1]


def drop_at_the_start(client: Client) -> None:
    del client.sessions[3].events[0]


def twice(client: Client) -> None:
    client.sessions[0].events.insert(1, got(1))


def twice_over_a_cut(client: Client) -> None:
    client.sessions[1].events.insert(0, got(4))


def swapped(client: Client) -> None:
    events = client.sessions[3].events
    events[1], events[2] = events[2], events[1]


def back(client: Client) -> None:
    client.sessions[3].events.append(got(7))


def forbidden(client: Client) -> None:
    client.sessions[0].events.insert(2, got(3))


def other_topic(client: Client) -> None:
    client.sessions[0].events[0] = replace(got(1), topic="none")


def invented(client: Client) -> None:
    client.sessions[3].events.append(replace(got(11), cursor=f"99-{TAG}"))


def other_tag(client: Client) -> None:
    client.sessions[0].events[0] = replace(got(1), cursor="1-zzzzzzzzzz")


def other_content(client: Client) -> None:
    client.sessions[0].events[0] = replace(got(1), seq=7)


def other_action(client: Client) -> None:
    client.sessions[0].events[0] = replace(got(1), action="update")


def id_ahead(client: Client) -> None:
    client.sessions[0].events[0] = replace(got(1), id=f"2-{TAG}")


def starts_elsewhere(client: Client) -> None:
    client.sessions[1].start = f"5-{TAG}"
    client.sessions[1].events.clear()


def refused(client: Client) -> None:
    client.sessions[1].is_resumed = False


def resumed_from_nothing(client: Client) -> None:
    client.sessions[1].asked = f"4-{'z' * 10}"


def resumed_unasked(client: Client) -> None:
    client.sessions[0].is_resumed = True


def progress_too_far(client: Client) -> None:
    client.sessions[0].events.insert(2, Got(f"4-{TAG}", PROGRESS, f"4-{TAG}"))


def progress_back(client: Client) -> None:
    client.sessions[3].events.append(Got(f"8-{TAG}", PROGRESS, f"8-{TAG}"))


def progress_invented(client: Client) -> None:
    client.sessions[3].events.append(Got(f"77-{TAG}", PROGRESS, f"77-{TAG}"))


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (drop, "gap"),
        (drop_at_the_start, "gap"),
        (twice, "repeat"),
        (twice_over_a_cut, "repeat"),
        (swapped, "gap"),
        (back, "repeat"),
        (forbidden, "forbidden"),
        (other_topic, "forbidden"),
        (invented, "wrong"),
        (other_tag, "wrong"),
        (other_content, "wrong"),
        (other_action, "wrong"),
        (id_ahead, "wrong"),
        (starts_elsewhere, "resume"),
        (refused, "resume"),
        (resumed_from_nothing, "resume"),
        (resumed_unasked, "resume"),
        (progress_too_far, "gap"),
        (progress_back, "order"),
        (progress_invented, "wrong"),
    ],
)
def test_planted_faults_are_found(plant: Callable[[Client], None], kind: str) -> None:
    client = ann()
    plant(client)
    assert kinds(client) == [kind]


def test_a_start_that_was_told_may_leave_a_gap() -> None:
    client = ann()
    client.sessions[1:3] = [Session(f"4-{'z' * 10}", f"5-{TAG}", False, [], is_subscribed=True)]
    assert kinds(client) == []


def test_progress_of_a_quiet_stream_counts() -> None:
    client = ann()
    client.sessions[1].events.append(Got(f"6-{TAG}", PROGRESS, f"6-{TAG}"))
    client.sessions[2:] = [session(7, 8, 10, 11, start=6)]
    assert kinds(client) == []


def test_a_cut_between_two_events_of_one_change_brings_it_again() -> None:
    client = Client("ann", ("all", "other"), "ann", [session(asked=False), session(start=1)])
    client.sessions[0].events = [got(1, id=FIRST), got(1, "other"), got(2, "other", id=f"1-{TAG}")]
    both = [(number, topic) for number in (2, 4, 5, 7, 8, 10, 11) for topic in ("all", "other")]
    client.sessions[1].events = [got(n, t, id=f"{n - 1}-{TAG}" if t == "all" else "") for n, t in both]
    assert kinds(client) == []
    client.sessions[0].events[-1] = got(2, "other")
    assert kinds(client) == ["wrong"]


def test_leave_events_are_expected() -> None:
    log = Log([change(1), change(2, owner="bob", action="update", previous="ann")], FIRST)
    left = Got(f"2-{TAG}", "leave", f"2-{TAG}", "leave", "r2")
    fresh = Session(None, FIRST, False, [got(1, "leave", log=log), left], is_subscribed=True)
    assert kinds(Client("ann", ("leave",), "ann", [fresh]), log) == []
    fresh.events.pop()
    assert kinds(Client("ann", ("leave",), "ann", [fresh]), log) == ["unfinished"]


# -- the log --------------------------------------------------------------------------------------


def acks(*numbers: int) -> list[Ack]:
    return [Ack("create", f"r{n}", n * 10, sent=float(n), answered=n + 0.5) for n in numbers]


def test_answered_writes_stand_in_the_log() -> None:
    assert check_log(LOG, acks(1, 2, 5, 12)) == []
    assert [problem.kind for problem in check_log(LOG, [replace(acks(1)[0], record="gone")])] == ["log"]
    assert [problem.kind for problem in check_log(LOG, [replace(acks(1)[0], seq=99)])] == ["log"]


def test_holes_are_found() -> None:
    log = Log([each for each in LOG.changes if each.number != 6], FIRST)
    assert [problem.kind for problem in check_log(log, [])] == ["log"]


def test_the_log_has_the_order_of_time() -> None:
    late = Ack("create", "r1", 10, sent=50.0, answered=51.0)
    assert [problem.kind for problem in check_log(LOG, [late, *acks(2)])] == ["order"]
    overlapping = Ack("create", "r1", 10, sent=2.1, answered=51.0)
    assert check_log(LOG, [overlapping, *acks(2)]) == []
