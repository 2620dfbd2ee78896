"""Random texts: record ids, token keys, and whatever a pattern describes.

All of them come from the operating system's generator. `random_by_pattern`
copies tools/security/random_by_regex.go: an open end repeats up to 5 times, and
"{n,m}" gives n to m-1 repetitions.
"""

from __future__ import annotations

import os
import secrets
from functools import lru_cache

from rowcast.schema.pattern_nodes import ANY, ANY_IN_LINE, Alternate, Assertion, CharSet, Concat, Node, Repeat
from rowcast.schema.pattern_syntax import PatternError, parse

LETTERS_AND_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
ID_LENGTH = 15

__all__ = ["PatternError", "random_by_pattern", "random_id", "random_text"]

_MOST_REPEATS = 6
_LONGEST = 100_000
_MOST_TRIES = 100_000
_OPERATORS = {
    "begin line": 7, "end line": 8, "begin text": 9, "end text": 10, "word boundary": 11, "no word boundary": 12,
}  # fmt: skip


def random_text(length: int, alphabet: str = LETTERS_AND_DIGITS) -> str:
    """Return `length` random characters of `alphabet`, each as likely as the others."""
    size = len(alphabet)
    if size > 256:
        return "".join(secrets.choice(alphabet) for _ in range(length))
    limit = 256 - 256 % size
    chars: list[str] = []
    while len(chars) < length:
        chars += [alphabet[byte % size] for byte in os.urandom(length - len(chars) + 4) if byte < limit]
    return "".join(chars[:length])


def random_id() -> str:
    """Return a new record id: 15 of [a-z0-9]."""
    return random_text(ID_LENGTH, ID_ALPHABET)


def random_by_pattern(pattern: str) -> str:
    """Return a random text that matches `pattern`.

    Raises PatternError for a broken pattern, and for one with an anchor or an
    empty part, which the reference refuses too.
    """
    plan = _plan(pattern)
    if isinstance(plan, tuple):
        return random_text(*plan)
    parts: list[str] = []
    _write(plan, parts)
    return "".join(parts)


@lru_cache(maxsize=256)
def _plan(pattern: str) -> Node | tuple[int, str]:
    """Return the tree of a pattern, or length and alphabet where it is one class repeated."""
    node = parse(pattern)
    if isinstance(node, Repeat) and node.least == node.most and isinstance(node.item, CharSet):
        alphabet = node.item.alphabet()
        if 0 < len(alphabet) <= 256:
            return node.least, alphabet
    return node


def _write(node: Node, parts: list[str]) -> None:
    if len(parts) > _LONGEST:
        raise PatternError("expression too large")
    if isinstance(node, CharSet):
        parts.append(_char(node))
    elif isinstance(node, Repeat):
        for _ in range(_times(node)):
            _write(node.item, parts)
    elif isinstance(node, Alternate):
        _write(secrets.choice(node.items), parts)
    elif isinstance(node, Concat) and node.items:
        for item in node.items:
            _write(item, parts)
    else:
        raise UnsupportedPatternError(_OPERATORS[node.kind] if isinstance(node, Assertion) else 2)


class UnsupportedPatternError(PatternError):
    """A pattern that can be matched but not generated."""

    def __init__(self, operator: int) -> None:
        ValueError.__init__(self, f"unsupported pattern operator {operator}")


def _times(node: Repeat) -> int:
    most = max(_MOST_REPEATS if node.most is None else node.most, node.least)
    return node.least + (secrets.randbelow(most - node.least) if most > node.least else 0)


def _char(chars: CharSet) -> str:
    if chars in (ANY, ANY_IN_LINE):
        return secrets.choice(LETTERS_AND_DIGITS)
    if not chars.negated and not chars.classes:
        at = secrets.randbelow(sum(high - low + 1 for low, high in chars.ranges))
        for low, high in chars.ranges:
            if at <= high - low:
                return chr(low + at)
            at -= high - low + 1
    for _ in range(_MOST_TRIES):
        char = chr(secrets.randbelow(0x10000))
        if chars.contains(char) and not "\ud800" <= char <= "\udfff":
            return char
    raise PatternError("no runes to choose from")
