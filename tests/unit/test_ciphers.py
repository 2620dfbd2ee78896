from __future__ import annotations

import base64

import pytest

from rowcast.ciphers import NO_KEY, SealError, SettingsKey, environment_key

KEY = SettingsKey("KEY", b"k" * 32)


def test_what_is_sealed_is_unsealed_and_differs_each_time() -> None:
    first, second = KEY.seal(b"secret"), KEY.seal(b"secret")
    assert first != second
    assert "secret" not in first
    assert len(base64.b64decode(first)) == 12 + len("secret") + 16
    assert KEY.unseal(first.encode()) == KEY.unseal(second.encode()) == b"secret"


@pytest.mark.parametrize(
    "text",
    ["", "x", "c2VjcmV0", "!", KEY.seal(b"x")[:-4], SettingsKey("", b"o" * 32).seal(b"x")],
    ids=["empty", "odd", "short", "no base64", "cut", "another key"],
)
def test_what_another_key_or_nobody_sealed_is_refused(text: str) -> None:
    with pytest.raises(SealError, match=r"^the key in \$KEY is not the one they were encrypted with$"):
        KEY.unseal(text.encode())


def test_keys_come_from_the_environment_and_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOD", "k" * 32)
    monkeypatch.setenv("SHORT", "k" * 31)
    monkeypatch.setenv("WIDE", "é" * 16)
    assert environment_key("GOOD").value == KEY.value
    assert len(environment_key("WIDE").value) == 32
    assert not environment_key("MISSING")
    assert environment_key("") == NO_KEY
    with pytest.raises(SealError, match=r"the key in \$SHORT has 31 bytes; it must have 32"):
        environment_key("SHORT")
    assert "kkk" not in repr(KEY)
