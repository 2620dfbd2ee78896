"""What patterns are made of: sets of characters, and how they follow each other.

Nodes are immutable values; `pattern_syntax` makes them, `patterns` matches with
them and `generate` writes texts by them. The named sets are those of RE2.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

MAX_CHAR = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]

_DIGIT: Ranges = ((48, 57),)
_SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": _WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
PERL: dict[str, Ranges] = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_MORE_FOLDS = {"k": "\u212a", "s": "\u017f", "å": "\u212b", "µ": "\u03bc", "μ": "\u00b5", "ω": "\u2126"}
"""Characters whose lower case is another letter that doesn't lead back to them."""
# fmt: off
CATEGORIES = frozenset(
    (
        "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No",
        "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
    )
)
# fmt: on
# fmt: off
SCRIPTS = frozenset(
    (
        "Arabic", "Armenian", "Bengali", "Bopomofo", "Braille", "Cherokee", "Coptic", "Cyrillic", "Devanagari",
        "Ethiopic", "Georgian", "Greek", "Gujarati", "Gurmukhi", "Han", "Hangul", "Hebrew", "Hiragana", "Kannada",
        "Katakana", "Khmer", "Lao", "Latin", "Malayalam", "Mongolian", "Myanmar", "Oriya", "Runic", "Sinhala",
        "Syriac", "Tamil", "Telugu", "Thaana", "Thai", "Tibetan",
    )
)
# fmt: on


@dataclass(frozen=True, slots=True)
class CharSet:
    """One character out of ranges and Unicode classes; `folded` ignores letter case."""

    ranges: Ranges = ()
    classes: tuple[tuple[str, bool], ...] = ()
    negated: bool = False
    folded: bool = False

    def contains(self, char: str) -> bool:
        """Whether `char` is one of the set."""
        found = self._has(char)
        if not found and self.folded:
            found = any(self._has(other) for other in _folds(char))
        return found != self.negated

    def alphabet(self) -> str:
        """Return all characters of the set, "" where it is negated, folded, of Unicode classes, or large."""
        if self.negated or self.folded or self.classes or sum(high - low + 1 for low, high in self.ranges) > 256:
            return ""
        return "".join(dict.fromkeys(chr(code) for low, high in self.ranges for code in range(low, high + 1)))

    def _has(self, char: str) -> bool:
        code = ord(char)
        if any(low <= code <= high for low, high in self.ranges):
            return True
        return any(in_class(name, char) != negated for name, negated in self.classes)


ANY = CharSet(((0, MAX_CHAR),))
ANY_IN_LINE = CharSet(((0, 9), (11, MAX_CHAR)))


@dataclass(frozen=True, slots=True)
class Assertion:
    """A condition on the place: "begin text", "end line", "word boundary", ..."""

    kind: str


@dataclass(frozen=True, slots=True)
class Concat:
    """All items one after the other; none is the empty text."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternate:
    """One of the items."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """An item `least` to `most` times; None is without end."""

    item: Node
    least: int
    most: int | None


Node = CharSet | Assertion | Concat | Alternate | Repeat


@lru_cache(maxsize=4096)
def in_class(name: str, char: str) -> bool:
    """Whether `char` is of a Unicode category ("Lu", "L"), a script ("Greek"), or "word", "digit", "space"."""
    if name in CATEGORIES:
        return unicodedata.category(char).startswith(name)
    if name == "Any":
        return True
    words = unicodedata.name(char, "").split("-")[0].split(" ")
    return words[0] == ("CJK" if name == "Han" else name.upper())


def _folds(char: str) -> list[str]:
    """Return the other letter cases of a character."""
    others = [char.lower(), char.upper(), char.title(), *_MORE_FOLDS.get(char.lower(), "")]
    return [other for other in others if len(other) == 1]


def is_word(char: str) -> bool:
    """Whether `char` is an ASCII letter, a digit or "_"."""
    return char == "_" or (char.isascii() and char.isalnum())


def complement(ranges: Ranges) -> Ranges:
    """Return the characters that are in none of `ranges`."""
    gaps = []
    after = 0
    for low, high in sorted(ranges):
        if low > after:
            gaps.append((after, low - 1))
        after = max(after, high + 1)
    return (*gaps, (after, MAX_CHAR)) if after <= MAX_CHAR else tuple(gaps)
