"""JSON as the reference writes it.

Go's encoder escapes `<`, `>`, `&` and the line separators U+2028 and U+2029, so
that an answer can stand inside an HTML page; outside of strings these
characters never occur in JSON, so replacing them in the finished text is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

_encoder = msgspec.json.Encoder()

_LESS, _GREATER, _AND = b"<>&"
"""As numbers: one byte is looked for five times as fast as bytes are."""


def html_safe(text: bytes) -> bytes:
    """Return JSON text with the characters escaped that Go's encoder escapes."""
    if _LESS in text:
        text = text.replace(b"<", b"\\u003c")
    if _GREATER in text:
        text = text.replace(b">", b"\\u003e")
    if _AND in text:
        text = text.replace(b"&", b"\\u0026")
    # Most texts are, and finding that out takes a fraction of the search.
    if not text.isascii():
        text = text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return text


def encode(value: object) -> bytes:
    """Return `value` (dicts, lists, msgspec structs and Raw) as JSON text."""
    return html_safe(_encoder.encode(value))


def encode_each(values: Sequence[object]) -> list[str]:
    """Return each of `values` as JSON text, in a fraction of the time that `encode` takes for many small ones."""
    # A line break can't stand in compact JSON, so what is cut at them is whole.
    return html_safe(_encoder.encode_lines(values)).decode().split("\n")[:-1]
