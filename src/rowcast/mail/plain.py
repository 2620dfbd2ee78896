"""The plain text of a mail, from its HTML.

Copies tools/mailer/html2text.go: tags are line ends or nothing, links are
`[text](address)`, items of lists begin with a dash.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLANKS = re.compile(r"\s+")
_SKIPPED = frozenset(
    (
        "style",
        "script",
        "iframe",
        "applet",
        "object",
        "svg",
        "button",
        "form",
        "textarea",
        "select",
        "option",
        "template",
    )
)
_INLINE = frozenset(("a", "span", "small", "strike", "strong", "sub", "sup", "em", "b", "u", "i"))


def plain_text(html: str) -> str:
    """Return the text of an HTML document. Never raises."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.end_link()
    return "".join(reader.parts).strip()


class _Reader(HTMLParser):
    """Collects the text. `_link` is the address of the open link, and where its text begins in `parts`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._skipped = 0
        self._link: tuple[str, int] | None = None
        self._is_at_start = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skipped += 1
        if self._skipped:
            return
        if tag == "br" or (tag not in _INLINE and tag not in {"img", "input"} and not self._is_at_start):
            self.parts.append("\r\n")
            self._is_at_start = True
        if tag == "li":
            self.parts.append("- ")
        if tag == "a":
            self.end_link()
            self._link = (dict(attrs).get("href") or "", len(self.parts))

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipped = max(self._skipped - 1, 0)
        elif tag == "a" and not self._skipped:
            self.end_link()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # HTML knows no empty tags but these; `<p/>` opens a paragraph.
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        text = _BLANKS.sub(" ", data)
        if self._is_at_start:
            text = text.lstrip(" ")
        if text:
            self.parts.append(text)
            self._is_at_start = False

    def end_link(self) -> None:
        """Write the open link, if there is one."""
        if self._link is None:
            return
        address, start = self._link
        label = "".join(self.parts[start:]).strip() or "LINK"
        self.parts[start:] = [f"[{label}]({address})" if address else f"[{label}]"]
        self._link = None
        self._is_at_start = False
