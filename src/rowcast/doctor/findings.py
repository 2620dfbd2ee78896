"""A finding: what was looked at, how it is, what that means and how to mend it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Level = Literal["ok", "warning", "problem"]

_STATUS: dict[Level, int] = {"ok": 0, "warning": 1, "problem": 2}

_SHOWN = 5


class Finding(msgspec.Struct, frozen=True):
    """One finding. `text` is a sentence; `mend` says what to do, "" where nothing is wrong."""

    level: Level
    check: str
    text: str
    mend: str = ""


def ok(check: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding("ok", check, text)


def warning(check: str, text: str, mend: str) -> Finding:
    """Return a finding that may hurt some day."""
    return Finding("warning", check, text, mend)


def problem(check: str, text: str, mend: str) -> Finding:
    """Return a finding that hurts now."""
    return Finding("problem", check, text, mend)


def exit_status(findings: Iterable[Finding]) -> int:
    """Return 0 where all is well, 1 with warnings, 2 with problems."""
    return max((_STATUS[finding.level] for finding in findings), default=0)


def some(names: Sequence[str]) -> str:
    """Return the first names of many, and how many more there are."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
