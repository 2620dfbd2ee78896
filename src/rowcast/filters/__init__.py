"""The filter language of rules, list filters and sort expressions.

`compile` turns texts into one `Program`, once per schema version; `Program.bind`
fills in what the request brings and gives SQL text with parameters. `closure`
turns a text that needs no other row into a Python function with the same meaning.
Everything here is pure: nothing runs SQL, reads a clock at compile time or knows
who calls.
"""

from __future__ import annotations

from rowcast.filters.analysis import AuthEquality, AuthReach, auth_equalities, auth_reaches
from rowcast.filters.closures import Predicate, closure
from rowcast.filters.program import Bound, Program, compile, row_image  # noqa: A004 -- what it does
from rowcast.filters.scope import MAX_LENGTH, Part, Scope
from rowcast.filters.statement import reached

__all__ = [
    "MAX_LENGTH",
    "AuthEquality",
    "AuthReach",
    "Bound",
    "Part",
    "Predicate",
    "Program",
    "Scope",
    "auth_equalities",
    "auth_reaches",
    "closure",
    "compile",
    "reached",
    "row_image",
]
