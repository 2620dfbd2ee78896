"""The `:excerpt(max, withEllipsis)` modifier: the beginning of an HTML text as plain text.

Copies tools/picker/excerpt_modifier.go. The reference walks the tree of an HTML
parser; here the tags are followed as they come, which gives the same text:
blocks are parted by one space, and what isn't read as text is left out.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_SPACES = re.compile(r"[\t\n\f\r ]+")

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


class _Text(HTMLParser):
    """Collects the text of a document. `_left_out` counts the open elements that aren't read."""

    def __init__(self, limit: int) -> None:
        super().__init__(convert_charrefs=True)
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0
        self._open: list[tuple[str, bool]] = []
        self._left_out = 0
        # The outermost block, which trimming removes again.
        self._ends_with_space = True

    @property
    def text(self) -> str:
        return "".join(self._parts).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  # HTMLParser's
        if not self._left_out and tag not in _LEFT_OUT and tag not in _INLINE:
            self._break()
        if tag in _VOID:
            return
        # Bytes count here, as in the reference, and the check comes with each element: text goes on in the open ones.
        is_left_out = tag in _LEFT_OUT or self._size > self._limit + 2
        self._open.append((tag, is_left_out))
        self._left_out += is_left_out

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if not any(name == tag for name, _ in self._open):
            return
        while self._open:
            name, is_left_out = self._open.pop()
            self._left_out -= is_left_out
            if not self._left_out and name not in _LEFT_OUT and name not in _INLINE:
                self._break()
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._left_out:
            return
        text = _SPACES.sub(" ", data)
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
        self._size += len(text.encode("utf-8", "replace"))


def excerpt(text: str, limit: int, *, with_ellipsis: bool = False) -> str:
    """Return the first `limit` characters of the plain text of `text`, with "..." behind if there are more."""
    parser = _Text(limit)
    parser.feed(text)
    parser.close()
    plain = parser.text
    if len(plain) <= limit:
        return plain
    return plain[:limit].strip() + ("..." if with_ellipsis else "")
