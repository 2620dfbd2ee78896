"""How names are spelled: headers in rules, files in storage."""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[\W_]+", re.ASCII)
_WORD_START = re.compile(r"(?<=[^A-Z])(?=[A-Z])")


def snake_case(text: str) -> str:
    """Return the ASCII words of a text in snake case: "X-Token" is "x_token", "myTestDB" is "my_test_db".

    Copies tools/inflector/inflector.go, Snakecase.
    """
    words = (_WORD_START.sub("_", word) for word in _SEPARATORS.split(text) if word)
    return "_".join(words).lower()
