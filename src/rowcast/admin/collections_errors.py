"""Errors as texts inside of other errors, where the reference shows them so.

Import and the trial run of a view put validation errors into a message, as
github.com/pocketbase/ozzo-validation prints them: its own messages have no
capital and no full stop there. Owns nothing but these texts.
"""

from __future__ import annotations

import re

import msgspec

from rowcast import encoding
from rowcast.errors import ErrorData, FieldError

_LIBRARY_TEXTS = re.compile(
    r"(?:Cannot be blank|Must be blank|Is required|Must not be in list|Must be (?:a valid|in a valid) .*"
    r"|Must be no (?:less|greater) than .*|The length must be .*|Values don't match)\.",
    re.DOTALL,
)


def bare_text(error: FieldError) -> str:
    """Return the message of an error before it was made a sentence."""
    text = error.message
    if text != "Values don't match." and _LIBRARY_TEXTS.fullmatch(text):
        return text[0].lower() + text[1:-1]
    return text


def one_line(errors: ErrorData) -> str:
    """Return errors as one line: `name: cannot be blank; options: (max: must be blank.).`"""
    parts = [
        f"{name}: ({one_line(error)})" if isinstance(error, ErrorData) else f"{name}: {bare_text(error)}"
        for name, error in sorted(errors.items())
    ]
    return "; ".join(parts) + "."


def indented(errors: ErrorData) -> str:
    """Return errors as indented JSON of names and messages."""
    return msgspec.json.format(encoding.encode(_nested(errors)), indent=2).decode()


def _nested(errors: ErrorData) -> dict[str, object]:
    return {
        name: _nested(error) if isinstance(error, ErrorData) else bare_text(error)
        for name, error in sorted(errors.items())
    }
