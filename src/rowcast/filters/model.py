"""A filter whose names are resolved: what each side of a comparison reads.

`resolve` makes this tree, `statement` writes it as SQL and `closure` as a Python
function, so both back-ends mean the same by the same text. All nodes are values
and can be dictionary keys.

A `Row` is where a column is read: it starts at a `Root` and follows relations.
Every path that passes the same rows shares one join, so two conditions on
`team.members` speak about one member at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal as Choice

from rowcast.schema.collection import Collection
from rowcast.schema.fields import Field, RelationField
from rowcast.schema.request import RequestInfo
from rowcast.sql import SQLValue


class Start(Enum):
    """Where a row comes from."""

    BASE = "the row that the filter is about"
    ACCOUNT = "the record of the account that asks; its columns are inputs"
    SUBMITTED = "the records that a relation of the request body names"
    COLLECTION = "every row of a collection"
    ITEMS = "the items of a list in the request body"


@dataclass(frozen=True, slots=True)
class Root:
    """The beginning of a row.

    `guard` is set inside the list rule of a joined row and is that row: the rule's BASE.
    `name` is the field of the body or the alias of a collection.
    """

    start: Start
    collection: Collection
    guard: Row | None = None
    name: str = ""
    is_multiple: bool = False


@dataclass(frozen=True, slots=True)
class Hop:
    """A step over a relation field to `collection`, against its direction if `is_back`."""

    field: RelationField
    collection: Collection
    is_back: bool = False
    is_unique: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row reached from `root` over `hops`."""

    root: Root
    hops: tuple[Hop, ...] = ()

    @property
    def collection(self) -> Collection:
        """The collection that the row belongs to."""
        return self.hops[-1].collection if self.hops else self.root.collection

    @property
    def is_account(self) -> bool:
        """Whether this is the account itself, whose columns are inputs."""
        return self.root.start is Start.ACCOUNT and not self.hops

    @property
    def is_base(self) -> bool:
        """Whether this is the row that the filter is about."""
        return self.root.start is Start.BASE and self.root.guard is None and not self.hops

    @property
    def parent(self) -> Row:
        """The row before the last hop."""
        return Row(self.root, self.hops[:-1])


Modifier = Choice["", "lower", "length", "each"]


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a row. `path` leads into its JSON ("$" is the whole) and is "" for a plain column.

    `is_many` asks that a condition holds for all rows that the path leads to.
    `is_guarded` asks that the row shows its e-mail to everybody.
    """

    row: Row
    field: Field
    modifier: Modifier = ""
    path: str = ""
    is_many: bool = False
    is_guarded: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a list in the request body (`@request.body.tags:each`)."""

    row: Row
    is_many: bool


@dataclass(frozen=True, slots=True)
class Constant:
    """NULL, TRUE (1) or FALSE (0)."""

    value: Choice[0, 1] | None


NULL = Constant(None)


@dataclass(frozen=True, slots=True)
class Literal:
    """A text or number that stands in the filter."""

    value: str | float


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A value that the request brings.

    `raw` returns text, float, int, bool or None. `is_known` says that it is never
    empty, `is_bare` that the reference writes it into the SQL text (which decides how
    `~` treats it), `lower` that its letters are lowered.
    """

    key: str
    raw: Callable[[RequestInfo], object]
    is_known: bool = False
    is_bare: bool = False
    lower: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def read(self, request: RequestInfo) -> SQLValue:
        """Return the value as SQL knows it."""
        value = self.raw(request)
        if value is True:
            return 1
        return 0 if value is False else value  # type: ignore[return-value]  # `raw` returns plain values only


@dataclass(frozen=True, slots=True)
class Changed:
    """`@request.body.x:changed`: the body has the field, and not with the value that the row has."""

    isset: Given
    submitted: Given
    stored: Column


@dataclass(frozen=True, slots=True)
class Distance:
    """`geoDistance(lonA, latA, lonB, latB)` in kilometres."""

    arguments: tuple[Operand, ...]

    is_many = False


@dataclass(frozen=True, slots=True)
class TimeText:
    """`strftime(format, time, modifiers...)`; `time` is None where it isn't given."""

    format: str
    time: Operand | None
    modifiers: tuple[str, ...] = ()

    @property
    def is_many(self) -> bool:
        """Whether a condition must hold for all rows that the path of `time` leads to."""
        return isinstance(self.time, Column | Item) and self.time.is_many


Operand = Column | Item | Constant | Literal | Given | Changed | Distance | TimeText


@dataclass(frozen=True, slots=True)
class Test:
    """`left sign right`. `sign` is one of = != ~ !~ < <= > >=; `is_any` marks the forms with `?`."""

    left: Operand
    sign: str
    right: Operand
    is_any: bool = False

    __test__ = False


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every item holds."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one item holds."""

    items: tuple[Condition, ...]


Condition = Test | AllOf | AnyOf


def is_many(operand: Operand) -> bool:
    """Whether a condition on `operand` must hold for all rows that its path leads to."""
    return isinstance(operand, Column | Item | TimeText) and operand.is_many
