"""The `:excerpt(max, withEllipsis)` modifier: the beginning of an HTML text as plain text.

Copies tools/picker/excerpt_modifier.go. The reference walks the tree of an HTML
parser; here the tags are followed as they come, which gives the same text:
blocks are parted by one space, and what isn't read as text is left out. Takes time
linear in the length of the text, whatever stands in it: Python's HTMLParser does not.
Of a text that is nearly all tags the end is not read.
"""

from __future__ import annotations

import re
from collections import Counter
from html import unescape

_SPACES = re.compile(r"[\t\n\f\r ]+")
_TAG = re.compile(r"</?([A-Za-z][^\s/>]*)", re.ASCII)
_ATTRIBUTE = re.compile(r"""[\s/]*(?:=?[^\s/>=]*(?:\s*=\s*(?:"[^"]*"|'[^']*'|(?!["'])[^\s>]*))?)""", re.ASCII)
_BEGIN = re.compile(r"<(?=[A-Za-z/!?])")

_LEFT_OUT = frozenset((
    "head", "style", "script", "iframe", "embed", "applet", "object", "svg", "img", "picture", "dialog", "template",
    "button", "form", "textarea", "input", "select", "option",
))  # fmt: skip
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdo", "big", "br", "button", "cite", "code", "em", "i", "label", "q", "small", "span",
    "strong", "strike", "sub", "sup", "time",
))  # fmt: skip
_VOID = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
))  # fmt: skip
_RAW = {
    name: re.compile(rf"</(?={name}[\s/>])", re.ASCII | re.IGNORECASE)
    for name in ("script", "style", "iframe", "textarea")
}
"""Elements in which nothing but their own end counts."""

_MOST_TAGS = 50_000


class _Text:
    """Collects the text of a document. `_left_out` counts the open elements that aren't read."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._size = self._length = self._solid = 0
        self._open: list[tuple[str, bool]] = []
        self._names: Counter[str] = Counter()
        self._left_out = 0
        # The outermost block, which trimming removes again.
        self._ends_with_space = True

    @property
    def text(self) -> str:
        return "".join(self._parts).strip()

    def feed(self, text: str) -> None:
        """Read a document, or as much of it as is needed."""
        at = tags = 0
        while at < len(text) and self._solid <= self._limit and tags < _MOST_TAGS:
            tags += 1
            begin = _BEGIN.search(text, at)
            end = begin.start() if begin else len(text)
            if end > at:
                self._read(text[at:end])
            at = self._markup(text, end) if begin else end

    def _markup(self, text: str, at: int) -> int:
        """Read a tag or a comment and return where it ends; one without an end takes all that is left."""
        tag = _TAG.match(text, at)
        if tag is None:
            close = "-->" if text.startswith("<!--", at) else ">"
            found = text.find(close, at)
            return found + len(close) if found >= 0 else len(text)
        end = tag.end()
        while text[end : end + 1] not in {"", ">"}:
            attribute = _ATTRIBUTE.match(text, end)
            if attribute is None or attribute.end() == end:
                # A quote that is never closed.
                return len(text)
            end = attribute.end()
        if end >= len(text):
            return end
        name = tag[1].lower()
        if text[at + 1] == "/":
            self._close(name)
            return end + 1
        self._start(name)
        raw = _RAW.get(name)
        if raw is None:
            return end + 1
        last = raw.search(text, end + 1)
        return last.start() if last else len(text)

    def _start(self, tag: str) -> None:
        if not self._left_out and tag not in _LEFT_OUT and tag not in _INLINE:
            self._break()
        if tag in _VOID:
            return
        # Bytes count here, as in the reference, and the check comes with each element: text goes on in the open ones.
        is_left_out = tag in _LEFT_OUT or self._size > self._limit + 2
        self._open.append((tag, is_left_out))
        self._names[tag] += 1
        self._left_out += is_left_out

    def _close(self, tag: str) -> None:
        if not self._names[tag]:
            return
        while self._open:
            name, is_left_out = self._open.pop()
            self._names[name] -= 1
            self._left_out -= is_left_out
            if not self._left_out and name not in _LEFT_OUT and name not in _INLINE:
                self._break()
            if name == tag:
                return

    def _read(self, data: str) -> None:
        if self._left_out:
            return
        text = _SPACES.sub(" ", unescape(data))
        if self._ends_with_space:
            text = text.lstrip(" ")
        if text:
            self._ends_with_space = text.endswith(" ")
            self._add(text)

    def _break(self) -> None:
        if not self._ends_with_space:
            self._add(" ")
            self._ends_with_space = True

    def _add(self, text: str) -> None:
        self._parts.append(text)
        # What is left once the spaces at both ends are trimmed.
        kept = text if self._solid else text.lstrip()
        if solid := kept.rstrip():
            self._solid = self._length + len(solid)
        self._length += len(kept)
        self._size += len(text.encode("utf-8", "replace"))


def excerpt(text: str, limit: int, *, with_ellipsis: bool = False) -> str:
    """Return the first `limit` characters of the plain text of `text`, with "..." behind if there are more."""
    parser = _Text(limit)
    parser.feed(text)
    plain = parser.text
    if len(plain) <= limit:
        return plain
    return plain[:limit].strip() + ("..." if with_ellipsis else "")
