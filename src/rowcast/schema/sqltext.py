"""Cutting SQL texts at separators, outside of quotes and parentheses.

Owns the rules of the reference's loose tokenizer (tools/tokenizer/tokenizer.go), by
which stored index and view definitions are read: a backslash escapes, any of
three quotes opens a text. `stays_inside` reads as SQLite does, and is what decides
whether a text may be run.
"""

from __future__ import annotations

import re

from rowcast.schema import jsontext

_QUOTES = frozenset("'\"`")
_BLANKS = "\t\n\v\f\r \x85\xa0"

# What is not closed reaches to the end: so no part is looked at twice.
_SQLITE_PART = re.compile(
    r"""'(?:[^']|'')*(?:'|\Z)|"(?:[^"]|"")*(?:"|\Z)|`(?:[^`]|``)*(?:`|\Z)|\[[^\]]*(?:\]|\Z)"""
    r"""|--[^\n]*|/\*.*?(?:\*/|\Z)|.""",
    re.DOTALL,
)
_BRACKETED = re.compile(r"\{\{([\w\-. ]+)\}\}|\[\[([\w\-. ]+)\]\]", re.ASCII)


class UnbalancedError(ValueError):
    """A parenthesis or a quote is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(f"unbalanced parenthesis or quoted expression: {jsontext.go_quote(text)}")


def split(text: str, separators: str, *, keep: bool = False) -> list[str]:
    """Return the parts of `text` between separators, without blanks around them and without empty ones.

    With `keep` a part ends with its separator. Raises UnbalancedError.
    """
    blanks = "".join(blank for blank in _BLANKS if blank not in separators)
    parts: list[str] = []
    start = depth = 0
    quote = before = ""
    for at, char in enumerate(text):
        if before != "\\":
            if char == "(" and not quote:
                depth += 1
            elif char == ")" and depth and not quote:
                depth -= 1
            elif char in _QUOTES:
                quote = "" if quote == char else quote or char
        if char in separators and not depth and not quote:
            parts.append(text[start : at + keep].strip(blanks))
            start, before = at + 1, ""
        else:
            before = char
    if depth or quote:
        raise UnbalancedError(text[start:])
    parts.append(text[start:].strip(blanks))
    return [part for part in parts if part]


def stays_inside(text: str) -> bool:
    """Whether `text` can stand in parentheses of a statement without ending them or the statement.

    What is not closed in it needs no look: SQLite then refuses the statement around it.
    """
    depth = 0
    for part in _SQLITE_PART.findall(text):
        depth += (part == "(") - (part == ")")
        if part == ";" or depth < 0:
            return False
    return True


def quoted(name: str) -> str:
    """Return an identifier in the reference's quotes, which stand in stored definitions."""
    return f"`{name.replace('`', '``')}`"


def resolve_brackets(text: str) -> str:
    """Return `text` with `{{table}}` and `[[column]]` in quotes, which the reference allows in view queries.

    Copies github.com/pocketbase/dbx, processSQL.
    """

    def quote(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return ".".join(f"`{part}`" for part in name.split("."))

    return _BRACKETED.sub(quote, text) if "{{" in text or "[[" in text else text
