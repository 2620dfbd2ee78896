"""SQL text with its parameters, and what differs between engines.

A `Fragment` is compiled once per schema version and run many times: what is
known at compile time stands in `params` as a plain value, what each request
brings stands there as an `Input`, resolved by `bind`. The inputs that a rule
reads are therefore known without running it; the realtime engine groups its
streams by them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from rowcast.schema.request import RequestInfo

SQLValue = Union[None, int, float, str, bytes]


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter that is read from the request when the fragment is bound.

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


@dataclass(frozen=True, slots=True)
class Fragment:
    """A boolean SQL expression, the joins that it needs, and its parameters.

    `joins` is the text to place behind the FROM of the base table (LEFT JOINs,
    possibly empty); its parameters come first, in `join_params`. `where` uses
    positional `?` only. `distinct` is True where the joins may repeat rows.
    """

    where: str
    params: tuple[Param, ...] = ()
    joins: str = ""
    join_params: tuple[Param, ...] = ()
    distinct: bool = False

    @property
    def inputs(self) -> frozenset[str]:
        """The keys of everything that is read from the request."""
        return frozenset(p.key for p in (*self.join_params, *self.params) if isinstance(p, Input))


def bind(params: Sequence[Param], request: RequestInfo) -> list[SQLValue]:
    """Return `params` with every `Input` replaced by its value for `request`."""
    return [p.read(request) if isinstance(p, Input) else p for p in params]


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
