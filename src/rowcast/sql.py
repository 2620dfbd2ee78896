"""SQL text with its parameters, and what differs between engines.

A statement is compiled once per schema version and run many times: what is known
at compile time stands among its parameters as a plain value, what each request
brings stands there as an `Input`, which is read when the statement is bound. The
inputs that a rule reads are therefore known without running it; the realtime
engine groups its streams by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from rowcast.schema.request import RequestInfo

SQLValue = Union[None, int, float, str, bytes]


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter that is read from the request when a statement is bound.

    `key` names what is read ("auth.id", "body.title:lower", "now", ...) and is
    equal for equal reads; `read` gives its value for one request.
    """

    key: str
    read: Callable[[RequestInfo], SQLValue]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Input) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


Param = Union[SQLValue, Input]


def quote(identifier: str) -> str:
    """Return `identifier` as a quoted SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between SQL engines; the only place that knows.

    Attributes are templates or small functions over SQL texts. New differences
    are added here, never as a condition on the engine elsewhere.
    """

    name: str


SQLITE = Dialect(name="sqlite")
