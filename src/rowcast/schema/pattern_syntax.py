"""The grammar of patterns: RE2 as Go's regexp/syntax parses it with the Perl flags.

    alternation = concatenation { "|" concatenation }
    concatenation = { atom [ "*" | "+" | "?" | "{" n [ "," [ m ] ] "}" ] [ "?" ] }
    atom = character | "." | "^" | "$" | "\\" escape | "[" class "]" | "(" [ "?" ... ] alternation ")"

`parse` returns immutable nodes; captures and greediness don't matter here and are
not kept. Errors have Go's texts, as they reach clients.
"""

from __future__ import annotations

from rowcast.schema.pattern_nodes import (
    ANY,
    ANY_IN_LINE,
    CATEGORIES,
    MAX_CHAR,
    PERL,
    POSIX,
    SCRIPTS,
    Alternate,
    Assertion,
    CharSet,
    Concat,
    Node,
    Repeat,
    complement,
    is_word,
)

_MAX_REPEAT = 1000
_MAX_DEPTH = 100
_CONTROL = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}


class PatternError(ValueError):
    """A pattern that can't be understood. The text is Go's."""

    def __init__(self, problem: str, part: str = "") -> None:
        super().__init__(f"error parsing regexp: {problem}: `{part}`")


def parse(pattern: str) -> Node:
    """Return the tree of a pattern. Raises PatternError."""
    return _Parser(pattern).parse()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.depth = 0
        self.fold = self.multiline = self.dot_all = False

    def parse(self) -> Node:
        node = self.alternation()
        if self.at < len(self.text):
            raise PatternError("unexpected )", self.text)
        return node

    def alternation(self) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise PatternError("expression nests too deeply", self.text)
        items = [self.concatenation()]
        while self.take("|"):
            items.append(self.concatenation())
        self.depth -= 1
        return items[0] if len(items) == 1 else Alternate(tuple(items))

    def concatenation(self) -> Node:
        items: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            start = self.at
            if self.repetition() is not None:
                raise PatternError("missing argument to repetition operator", self.text[start : self.at])
            node = self.atom()
            if node is not None:
                items.append(self.repeated(node))
        return items[0] if len(items) == 1 else Concat(tuple(items))

    def repeated(self, node: Node) -> Node:
        start = self.at
        if (bounds := self.repetition()) is None:
            return node
        again = self.at
        if self.repetition() is not None:
            raise PatternError("invalid nested repetition operator", self.text[start : self.at])
        least, most = bounds
        if max(least, most or 0) * _repeats(node) > _MAX_REPEAT and max(least, most or 0) > 1:
            raise PatternError("invalid repeat count", self.text[start:again])
        return Repeat(node, least, most)

    def repetition(self) -> tuple[int, int | None] | None:
        """Read one repetition operator, if there is one here."""
        char = self.text[self.at : self.at + 1]
        if char and char in "*+?":
            self.at += 1
            bounds: tuple[int, int | None] = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        elif char == "{" and (counted := self.counted()) is not None:
            bounds = counted
        else:
            return None
        self.take("?")
        return bounds

    def counted(self) -> tuple[int, int | None] | None:
        end = self.text.find("}", self.at)
        low, comma, high = self.text[self.at + 1 : end].partition(",")
        if end < 0 or not _is_count(low) or (high and not _is_count(high)):
            return None
        least = int(low) if len(low) < 6 else _MAX_REPEAT + 1
        most = least if not comma else None if not high else int(high) if len(high) < 6 else _MAX_REPEAT + 1
        if least > _MAX_REPEAT or (most is not None and (most > _MAX_REPEAT or most < least)):
            raise PatternError("invalid repeat count", self.text[self.at : end + 1])
        self.at = end + 1
        return least, most

    def atom(self) -> Node | None:
        """Read one atom; None for what only changes flags."""
        char = self.text[self.at]
        if char == "(":
            return self.group()
        if char == "[":
            return self.char_class()
        if char == "\\":
            return self.escape()
        self.at += 1
        if char == ".":
            return ANY if self.dot_all else ANY_IN_LINE
        if char == "^":
            return Assertion("begin line" if self.multiline else "begin text")
        if char == "$":
            return Assertion("end line" if self.multiline else "end text")
        return self.literal(ord(char))

    def literal(self, code: int) -> CharSet:
        return CharSet(((code, code),), folded=self.fold)

    def group(self) -> Node | None:
        flags = (self.fold, self.multiline, self.dot_all)
        self.at += 1
        if self.take("?") and self.group_kind() is None:
            return None
        node = self.alternation()
        if not self.take(")"):
            raise PatternError("missing closing )", self.text)
        self.fold, self.multiline, self.dot_all = flags
        return node if not isinstance(node, CharSet) else Concat((node,))

    def group_kind(self) -> str | None:
        """Read what stands behind "(?"; None if the group ended with it."""
        start = self.at - 2
        for opening in ("P<", "<"):
            if self.take(opening):
                return self.group_name(start)
        on = True
        changed = False
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char in "imsU":
                changed = True
                self.set_flag(char, on)
            elif char == "-" and on:
                on, changed = False, False
            elif char in ":)" and (on or changed):
                return char if char == ":" else None
            else:
                break
        raise PatternError("invalid or unsupported Perl syntax", self.text[start : self.at])

    def set_flag(self, char: str, on: bool) -> None:
        if char == "i":
            self.fold = on
        elif char == "m":
            self.multiline = on
        elif char == "s":
            self.dot_all = on

    def group_name(self, start: int) -> str:
        end = self.text.find(">", self.at)
        name = self.text[self.at : end]
        if end < 0 or not name or not all(is_word(c) for c in name):
            raise PatternError("invalid named capture", self.text[start : end + 1] if end >= 0 else self.text[start:])
        self.at = end + 1
        return name

    def escape(self) -> Node:
        start = self.at
        char = self.text[start + 1 : start + 2]
        kinds = {"A": "begin text", "z": "end text", "b": "word boundary", "B": "no word boundary"}
        if char in kinds and char:
            self.at += 2
            return Assertion(kinds[char])
        if char == "Q":
            quoted, _, rest = self.text[start + 2 :].partition("\\E")
            self.at = len(self.text) - len(rest)
            return Concat(tuple(self.literal(ord(c)) for c in quoted))
        if (chars := self.class_escape()) is not None:
            return chars
        return self.literal(self.char_escape())

    def class_escape(self) -> CharSet | None:
        """Read \\d, \\W, \\pL, \\P{Greek}, if one is here."""
        start = self.at
        char = self.text[start + 1 : start + 2]
        if char.lower() in PERL and char:
            self.at += 2
            return CharSet(PERL[char.lower()], negated=char.isupper(), folded=self.fold)
        if char not in ("p", "P"):
            return None
        end = self.text.find("}", start) if self.text[start + 2 : start + 3] == "{" else start + 2
        name = self.text[start + 2 : end + 1].strip("{}")
        self.at = end + 1
        negated = (char == "P") != name.startswith("^")
        name = name.removeprefix("^")
        if end < 0 or not (name in CATEGORIES or name in SCRIPTS or name == "Any"):
            raise PatternError("invalid character class range", self.text[start : self.at or None])
        return CharSet(classes=((name, negated),), folded=self.fold)

    def char_escape(self) -> int:
        """Read an escape that stands for one character."""
        start = self.at
        char = self.text[start + 1 : start + 2]
        self.at += 2
        if not char:
            raise PatternError("trailing backslash at end of expression", "")
        if char in _CONTROL:
            return _CONTROL[char]
        if char.isascii() and not char.isalnum():
            return ord(char)
        if char == "x" and (code := self.hexadecimal()) is not None:
            return code
        if char in "01234567" and (char == "0" or self.text[self.at : self.at + 1] in tuple("01234567")):
            return self.octal(char)
        raise PatternError("invalid escape sequence", self.text[start : self.at + (char == "x")])

    def octal(self, digits: str) -> int:
        while len(digits) < 3 and self.text[self.at : self.at + 1] in tuple("01234567"):
            digits += self.text[self.at]
            self.at += 1
        return int(digits, 8)

    def hexadecimal(self) -> int | None:
        if self.take("{"):
            digits, closing, _ = self.text[self.at :].partition("}")
            size = len(digits) + 1
        else:
            digits, closing, size = self.text[self.at : self.at + 2], "}", 2
        valid = closing and digits and all(c in "0123456789abcdefABCDEF" for c in digits) and len(digits) <= 8
        if not valid or (size == 2 and len(digits) != 2 and closing == "}" and self.text[self.at - 1] != "{"):
            return None
        self.at += size
        code = int(digits, 16)
        return code if code <= MAX_CHAR else None

    def char_class(self) -> CharSet:
        start = self.at
        self.at += 1
        negated = self.take("^")
        ranges: list[tuple[int, int]] = []
        classes: list[tuple[str, bool]] = []
        first = True
        while first or not self.text.startswith("]", self.at):
            first = False
            if self.at >= len(self.text):
                raise PatternError("missing closing ]", self.text[start:])
            if (inner := self.posix_class() or self.nested_escape()) is not None:
                ranges += complement(inner.ranges) if inner.negated else inner.ranges
                classes += inner.classes
            else:
                ranges.append(self.class_range(start))
        self.at += 1
        return CharSet(tuple(ranges), tuple(classes), negated, self.fold)

    def nested_escape(self) -> CharSet | None:
        return self.class_escape() if self.text.startswith("\\", self.at) else None

    def posix_class(self) -> CharSet | None:
        if not self.text.startswith("[:", self.at):
            return None
        end = self.text.find(":]", self.at + 2)
        if end < 0:
            return None
        name = self.text[self.at + 2 : end]
        if name.removeprefix("^") not in POSIX:
            raise PatternError("invalid character class range", self.text[self.at : end + 2])
        self.at = end + 2
        return CharSet(POSIX[name.removeprefix("^")], negated=name.startswith("^"))

    def class_range(self, start: int) -> tuple[int, int]:
        begin = self.at
        low = self.class_char(start)
        if not self.text.startswith("-", self.at) or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return low, low
        self.at += 1
        high = self.class_char(start)
        if high < low:
            raise PatternError("invalid character class range", self.text[begin : self.at])
        return low, high

    def class_char(self, start: int) -> int:
        if self.at >= len(self.text):
            raise PatternError("missing closing ]", self.text[start:])
        if self.text[self.at] == "\\":
            return self.char_escape()
        self.at += 1
        return ord(self.text[self.at - 1])

    def take(self, text: str) -> bool:
        """Go past `text` if it is what comes next."""
        if not self.text.startswith(text, self.at):
            return False
        self.at += len(text)
        return True


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0"))


def _repeats(node: Node) -> int:
    """Return how often the innermost repetitions of `node` multiply an item."""
    if isinstance(node, Repeat):
        return max(node.least, node.most or 0, 1) * _repeats(node.item)
    if isinstance(node, Concat | Alternate):
        return max((_repeats(item) for item in node.items), default=1)
    return 1
