from __future__ import annotations

import pytest

from rowcast.auth.apple_names import AppleNames
from tests.unit.auth.test_pauses import Clock

ADA = '{"name":{"firstName":"Ada","lastName":"Lovelace"},"email":"ada@example.com"}'


def test_a_name_is_taken_once_and_within_a_minute() -> None:
    clock = Clock()
    names = AppleNames(clock)
    names.keep("code", ADA)
    assert names.take("another") == ""
    assert names.take("code") == "Ada Lovelace"
    assert names.take("code") == ""
    names.keep("code", ADA)
    clock.now += 60
    assert names.take("code") == ""


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ('{"name":{"firstName":"Ada"}}', "Ada"),
        ('{"name":{"firstName":" ","lastName":""}}', ""),
        ("{}", ""),
        ("", ""),
        ("null", ""),
        ("[", ""),
        ("[" * 100_000, ""),
        ('{"name":{"firstName":1}}', ""),
        ('{"name":"Ada"}', ""),
        ('{"name":{"firstName":"%s"}}' % ("é" * 200), "é" * 75),
    ],
)
def test_what_is_kept(user: str, name: str) -> None:
    names = AppleNames(Clock())
    names.keep("code", user)
    assert names.take("code") == name


def test_few_names_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.auth.apple_names._MOST_KEPT", 2)
    clock = Clock()
    names = AppleNames(clock)
    for code in ("1", "2", "3", "c" * 1000):
        names.keep(code, ADA)
    assert [names.take(code) for code in ("1", "3", "c" * 1000)] == ["Ada Lovelace", "", ""]
    clock.now += 61
    names.keep("4", ADA)
    assert names.take("4") == "Ada Lovelace"
