"""Regular expressions as the reference understands them (Go's RE2 syntax).

Field patterns come from people, and values from anybody, so matching must take
linear time whatever both are: patterns are parsed here, compiled to a small
non-deterministic program and run as a DFA whose states are built when first
needed. Python's `re` is not used: its syntax differs (`$`, `\\z`, `\\pL`, `\\d`
beyond ASCII, look-arounds) and it backtracks. Script classes (`\\p{Greek}`) go by
the Unicode names of the characters.
"""

from __future__ import annotations

from functools import lru_cache

from rowcast.errors import FieldError
from rowcast.schema.pattern_nodes import Alternate, Assertion, CharSet, Concat, Node, Repeat, is_word
from rowcast.schema.pattern_syntax import PatternError, parse

__all__ = ["Matcher", "PatternError", "compile_pattern", "pattern_matches", "validate_pattern"]

_MAX_PROGRAM = 100_000
_MAX_STATES = 2_000

Step = tuple[str, object, int, int]
"""One instruction: ("char", CharSet, next, 0), ("assert", kind, next, 0), ("split", None, a, b) or ("match", ...)."""


def pattern_matches(pattern: str, text: str) -> bool:
    """Whether `pattern` matches somewhere in `text`. A broken pattern matches nothing."""
    try:
        return compile_pattern(pattern).matches(text)
    except PatternError:
        return False


def validate_pattern(pattern: str) -> FieldError | None:
    """Return what is wrong with a pattern; "" is no pattern (core/validators/string.go, IsRegex)."""
    if not pattern:
        return None
    try:
        compile_pattern(pattern)
    except PatternError as error:
        return FieldError("validation_invalid_regex", str(error))
    return None


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> Matcher:
    """Return the matcher of a pattern. Raises PatternError."""
    node = parse(pattern)
    return Matcher(_Program().build(node, pattern), _only_chars(node))


def _only_chars(node: Node) -> str:
    """Return the characters of a pattern like "^[a-z0-9]+$", which most ids have; "" for all others."""
    match node:
        case Concat((Assertion("begin text"), Repeat(CharSet() as chars, 1, None), Assertion("end text"))):
            return chars.alphabet()
    return ""


class _Program:
    """Compiles nodes back to front, so that every instruction knows its successor."""

    def __init__(self) -> None:
        self.steps: list[Step] = [("match", None, 0, 0)]

    def build(self, node: Node, pattern: str) -> tuple[list[Step], int]:
        self.pattern = pattern
        start = self.add(node, 0)
        return self.steps, start

    def emit(self, step: Step) -> int:
        if len(self.steps) >= _MAX_PROGRAM:
            raise PatternError("expression too large", self.pattern)
        self.steps.append(step)
        return len(self.steps) - 1

    def add(self, node: Node, then: int) -> int:
        """Emit `node` followed by instruction `then`; return where it starts."""
        if isinstance(node, CharSet):
            return self.emit(("char", node, then, 0))
        if isinstance(node, Assertion):
            return self.emit(("assert", node.kind, then, 0))
        if isinstance(node, Concat):
            for item in reversed(node.items):
                then = self.add(item, then)
            return then
        if isinstance(node, Alternate):
            starts = [self.add(item, then) for item in node.items]
            start = starts.pop()
            while starts:
                start = self.emit(("split", None, starts.pop(), start))
            return start
        return self.add_repeat(node, then)

    def add_repeat(self, node: Repeat, then: int) -> int:
        if node.most is None:
            loop = self.emit(("split", None, 0, then))
            body = self.add(node.item, loop)
            self.steps[loop] = ("split", None, body, then)
            then = body if node.least else loop
            copies = node.least - 1
        else:
            end = then
            for _ in range(node.most - node.least):
                then = self.emit(("split", None, self.add(node.item, then), end))
            copies = node.least
        for _ in range(copies):
            then = self.add(node.item, then)
        return then


class _State:
    """A set of instructions to go on from, with the kind of the character before."""

    __slots__ = ("before", "next", "pcs")

    def __init__(self, pcs: frozenset[int], before: str) -> None:
        self.pcs, self.before = pcs, before
        self.next: dict[str, _State | None] = {}


class Matcher:
    """Searches texts for one pattern in linear time. Safe to share between threads."""

    def __init__(self, program: tuple[list[Step], int], only_chars: str = "") -> None:
        self._steps, self._start = program
        self._only_chars = only_chars
        self._states: dict[tuple[frozenset[int], str], _State] = {}

    def matches(self, text: str) -> bool:
        """Whether the pattern matches anywhere in `text`."""
        if self._only_chars:
            return bool(text) and not text.strip(self._only_chars)
        state = self._state(frozenset((self._start,)), "edge")
        for char in text:
            try:
                following = state.next[char]
            except KeyError:
                following = state.next[char] = self._step(state, char)
            if following is None:
                return True
            state = following
        return self._closure(state, "edge")[1]

    def _state(self, pcs: frozenset[int], before: str) -> _State:
        key = (pcs, before)
        state = self._states.get(key)
        if state is None:
            if len(self._states) >= _MAX_STATES:
                self._states.clear()
            state = self._states[key] = _State(pcs, before)
        return state

    def _step(self, state: _State, char: str) -> _State | None:
        """Return the state behind `char`; None once the pattern has matched."""
        pcs, matched = self._closure(state, _kind(char))
        if matched:
            return None
        reached = {self._start}
        for pc in pcs:
            _, chars, then, _ = self._steps[pc]
            if isinstance(chars, CharSet) and chars.contains(char):
                reached.add(then)
        return self._state(frozenset(reached), _kind(char))

    def _closure(self, state: _State, after: str) -> tuple[set[int], bool]:
        """Return the character instructions that can be reached without reading, and whether the end can."""
        seen: set[int] = set()
        stack = list(state.pcs)
        chars: set[int] = set()
        matched = False
        while stack:
            pc = stack.pop()
            if pc in seen:
                continue
            seen.add(pc)
            kind, detail, then, other = self._steps[pc]
            if kind == "char":
                chars.add(pc)
            elif kind == "match":
                matched = True
            elif kind == "split":
                stack += (then, other)
            elif _holds(detail, state.before, after):
                stack.append(then)
        return chars, matched


def _kind(char: str) -> str:
    if char == "\n":
        return "newline"
    return "word" if is_word(char) else "other"


def _holds(assertion: object, before: str, after: str) -> bool:
    match assertion:
        case "begin text":
            return before == "edge"
        case "end text":
            return after == "edge"
        case "begin line":
            return before in ("edge", "newline")
        case "end line":
            return after in ("edge", "newline")
        case "word boundary":
            return (before == "word") != (after == "word")
        case _:
            return (before == "word") == (after == "word")
