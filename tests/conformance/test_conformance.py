"""What the reference answered, rowcast answers: each recorded request is a subtest."""

from __future__ import annotations

import pytest

from tests.conformance.replay import GROUPS, MAX_EXCEPTIONS, exceptions, recordings, replay, sources

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(1_500)]


@pytest.mark.parametrize("group", GROUPS)
def test_answers_are_those_of_the_reference(group: str, subtests: pytest.Subtests) -> None:
    folder = recordings()
    if folder is None:
        pytest.skip("no recordings in ../shared/conformance, and ROWCAST_CONFORMANCE names none")
    known = exceptions()
    outcomes = replay(folder, GROUPS[group])
    assert outcomes
    for outcome in outcomes:
        with subtests.test(msg=outcome.id):
            if outcome.id in known:
                assert not outcome.is_right, "it passes now: take it from the list of exceptions"
                pytest.skip(known[outcome.id])
            assert outcome.errors == ()
            assert outcome.strict_errors == ()
            assert outcome.after_errors == ()


def test_exceptions_are_few_and_have_reasons() -> None:
    known = exceptions()
    assert len(known) <= MAX_EXCEPTIONS
    assert all(len(reason) > 20 for reason in known.values())


def test_every_recording_is_in_one_group() -> None:
    folder = recordings()
    if folder is None:
        pytest.skip("no recordings in ../shared/conformance, and ROWCAST_CONFORMANCE names none")
    named = [source for group in GROUPS.values() for source in group]
    assert sorted(named) == sorted(sources(folder))
