"""SQL text with its parameters, and what differs between engines.

A statement is compiled once per schema version and run many times: what is known
at compile time stands among its parameters as a plain value, what each request
brings stands there as an `Input`, which is read when the statement is bound. The
inputs that a rule reads are therefore known without running it; the realtime
engine groups its streams by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Union

if TYPE_CHECKING:
    from rowcast.schema.request import RequestInfo

SQLValue = Union[None, int, float, str, bytes]  # noqa: UP007 -- a name that is read at run time
Row = tuple[SQLValue, ...]


class Reader(Protocol):
    """Reads one consistent state of a database. `dialect` is the SQL that it understands."""

    @property
    def dialect(self) -> Dialect:
        """What is particular to its SQL."""
        ...

    def rows(self, sql: str, params: Sequence[SQLValue] = ()) -> list[Row]:
        """Return all rows."""
        ...

    def row(self, sql: str, params: Sequence[SQLValue] = ()) -> Row | None:
        """Return the first row, or None."""
        ...

    def value(self, sql: str, params: Sequence[SQLValue] = ()) -> SQLValue:
        """Return the first column of the first row, or None."""
        ...


class Snapshot(Reader, Protocol):
    """A reader that keeps its state until it is closed."""

    def close(self) -> None:
        """Let go of the state. May be called again without effect."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """A parameter that is read from the request when a statement is bound.

    `key` names what is read ("auth.id", "body.title:lower", "now:month", ...) and is
    equal for equal reads; what stands before the colon is where it comes from.
    `read` gives its value for one request.
    """

    key: str
    read: Callable[[RequestInfo], SQLValue]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Input) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


Param = Union[SQLValue, Input]  # noqa: UP007 -- a name that is read at run time


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL with `?` for each of its parameters, in their order."""

    text: str
    params: tuple[Param, ...] = ()


def compose(template: str, *parts: Fragment) -> Fragment:
    """Return a fragment in which each `{}` of `template` is replaced by the next of `parts`."""
    return Fragment(template.format(*[part.text for part in parts]), sum((part.params for part in parts), ()))


def joined(separator: str, parts: Iterable[Fragment]) -> Fragment:
    """Return `parts` one behind the other with `separator` between them."""
    parts = list(parts)
    return Fragment(separator.join([part.text for part in parts]), sum((part.params for part in parts), ()))


def quote(identifier: str) -> str:
    """Return `identifier` as a quoted SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between SQL engines; the only place that knows.

    Attributes are templates for `compose` or small functions over fragments. New
    differences are added here, never as a condition on the engine elsewhere.

    `operators` compare two values: the signs of the filter language, "same" and
    "differs" with NULL as a value, "like", "contains" (a text without wildcards of its own) and
    their negations. `casts` give a value the affinity "text" or "numeric" of what it
    is compared with, where the engine does not do so by itself. `is_empty` and `is_filled` ask
    for NULL or ''; `or_empty` makes '' of NULL.

    `items` gives a table with the column `value`: the items of a JSON list, or the one
    value of a column that holds no list. `length` counts them, but nothing in an
    empty column. `inside` follows a path ("$.a[0]"; "$" for the whole) into a JSON
    column or into a column that holds plain text. `distance` takes lon, lat, lon, lat in
    degrees. `typed` gives a value the type of a column (of which it gets the declaration of
    SQLite), `fresh` the type of what is not in its column yet; `stored` is the placeholder of a
    value that is written.

    `one_row` stands in a FROM before LEFT JOINs, `no_condition` behind one without a
    condition, `cross` before a table whose rows all meet those before it and `cross_behind`
    where it comes last. `nulls` is what an ascending and a descending order say of NULL.
    `natural_order` is the order of rows that nobody sorts, where the engine has none. With `groups`
    repeated rows are brought together by GROUP BY, and `first_of` is a value of the first of them.
    `lock` ends a SELECT of rows that are about to be written, `key_lock` of rows that must
    not go away before the commit. `is_json_built` says whether `Field.json_sql` is its SQL. `asked`
    gives a SELECT of a list of lists as rows, with their number and the given columns.
    `schema_version` gives a value that is another one once a table has been made. `all_texts` makes one value of
    the texts in a column of all rows of a table that has an `id`.
    """

    name: str
    engine: str
    operators: Mapping[str, str]
    casts: Mapping[str, str]
    is_empty: Callable[[Fragment], Fragment]
    is_filled: Callable[[Fragment], Fragment]
    or_empty: str
    lower: str
    in_any_case: str
    empty: str
    null: str
    true: str
    is_true: str
    flag: str
    no_condition: str
    cross: str
    cross_behind: str
    bound_items: str
    one_row: str
    random: str
    row_number: str
    natural_order: str
    nulls: tuple[str, str]
    lock: str
    key_lock: str
    not_indexed: str
    json_or_empty: str
    whole_number: str
    schema_version: str
    all_texts: str
    version: str
    is_json_built: bool
    groups: bool
    first_of: str
    distance: str
    items: Callable[[Fragment], Fragment]
    length: Callable[[Fragment], Fragment]
    inside: Callable[[Fragment, str], Fragment]
    typed: Callable[[str, Fragment], Fragment]
    fresh: Callable[[str, Fragment], Fragment]
    stored: Callable[[str], str]
    time_text: Callable[[Sequence[Fragment]], Fragment]
    asked: Callable[[Sequence[str]], str]


def _items(column: Fragment) -> Fragment:
    template = "json_each(CASE WHEN iif(json_valid({}),json_type({})='array',FALSE) THEN {} ELSE json_array({}) END)"
    return compose(template, *[column] * 4)


def _length(column: Fragment) -> Fragment:
    template = (
        "json_array_length(CASE WHEN iif(json_valid({}),json_type({})='array',FALSE) THEN {}"
        " WHEN {}='' OR {} IS NULL THEN '[]' ELSE json_array({}) END)"
    )
    return compose(template, *[column] * 6)


def _inside(column: Fragment, path: str) -> Fragment:
    template = (
        f"(CASE WHEN json_valid({{}}) THEN json_extract({{}},'{path}')"
        f" ELSE json_extract(json_object('pb',{{}}),'$.pb{path[1:]}') END)"
    )
    return compose(template, *[column] * 3)


def _typed(column_type: str, value: Fragment) -> Fragment:
    """Return `value` with the type affinity of a column. JSON columns hold texts that a cast would spoil."""
    kind = column_type.partition(" ")[0].upper()
    if kind == "TEXT":
        return compose("CAST({} AS TEXT)", value)
    if kind in {"NUMERIC", "BOOLEAN"}:
        return compose("CAST({} AS NUMERIC)", value)
    return value


def _asked(columns: Sequence[str]) -> str:
    values = "".join(f", json_extract(value, '$[{index}]') AS {name}" for index, name in enumerate(columns))
    return f"SELECT key AS number{values} FROM json_each(?)"


SQLITE = Dialect(
    name="sqlite",
    engine="sqlite",
    operators={
        "=": "{} = {}",
        "same": "{} IS {}",
        "differs": "{} IS NOT {}",
        "<": "{} < {}",
        "<=": "{} <= {}",
        ">": "{} > {}",
        ">=": "{} >= {}",
        "like": "{} LIKE {} ESCAPE '\\'",
        "not_like": "{} NOT LIKE {} ESCAPE '\\'",
        "contains": "{} LIKE ('%' || {} || '%') ESCAPE '\\'",
        "not_contains": "{} NOT LIKE ('%' || {} || '%') ESCAPE '\\'",
    },
    casts={},
    is_empty=lambda value: compose("({} = '' OR {} IS NULL)", value, value),
    is_filled=lambda value: compose("({} <> '' AND {} IS NOT NULL)", value, value),
    or_empty="COALESCE({}, '')",
    lower="LOWER({})",
    in_any_case="{} = {} COLLATE NOCASE",
    empty="''",
    null="NULL",
    true="1",
    is_true="{} = TRUE",
    flag="({})",
    no_condition="",
    cross=", ",
    cross_behind=" JOIN ",
    bound_items="json_each({})",
    one_row="(SELECT 1)",
    random="RANDOM()",
    row_number="{}._rowid_",
    natural_order="",
    nulls=("", ""),
    lock="",
    key_lock="",
    not_indexed=" NOT INDEXED",
    json_or_empty="iif(json_valid({}), {}, '{{}}')",
    whole_number="INTEGER",
    schema_version="PRAGMA schema_version",
    all_texts="group_concat({}, '' ORDER BY id)",
    version="SELECT sqlite_version()",
    is_json_built=True,
    groups=False,
    first_of="{}",
    distance=(
        "(6371 * acos(cos(radians({})) * cos(radians({})) * cos(radians({}) - radians({}))"
        " + sin(radians({})) * sin(radians({}))))"
    ),
    items=_items,
    length=_length,
    inside=_inside,
    typed=_typed,
    fresh=lambda _declared, value: value,
    stored=lambda _declared: "?",
    time_text=lambda parts: compose("strftime({})", joined(",", parts)),
    asked=_asked,
)
