"""API skeleton; the bodies follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.request import RequestInfo
from rowcast.sql import SQLITE, Dialect, SQLValue

MAX_LENGTH = 3500
"""The greatest length in bytes of a filter that a client sends (tools/search/provider.go)."""


@dataclass(frozen=True)
class Scope:
    """Where the names of a filter are looked up.

    `collection` is the base collection, `auth_collection` the collection of the
    account that asks (None for a guest), `table` the SQL name or alias under which the
    base row stands in the FROM of the statement (default: the collection's name).
    Filters refer to the base row by this name only and never read it again, so
    it may be a real table or a row image (`FROM (SELECT ? AS "id", ...) AS "posts"`, see `row_image`).
    `is_new` says that the base row is a record that does not exist yet (create
    rules): no other record can refer to it, and its columns have no type affinity.
    """

    catalog: Catalog
    collection: Collection
    auth_collection: Collection | None = None
    table: str = ""
    is_new: bool = False
    dialect: Dialect = SQLITE


@dataclass(frozen=True, slots=True)
class Part:
    """One rule or filter of a statement; parts are ANDed and share joins.

    `allow_hidden` is True for rules and for filters of superusers. `is_client`
    is True for what a client sent (the length limit applies).
    """

    text: str
    allow_hidden: bool = False
    is_client: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """A program with the values of one request.

    Put together as `SELECT [DISTINCT] ... FROM <base> {joins} WHERE {where} ORDER BY {order_by}`
    with the parameters in the order join_params, params, order_params. `joins`
    and `order_by` may be empty, `where` never is ("1" where nothing limits).
    `distinct` says that the joins may repeat base rows.
    """

    where: str
    params: list[SQLValue]
    joins: str
    join_params: list[SQLValue]
    order_by: str
    order_params: list[SQLValue]
    distinct: bool


class Program:
    """Compiled filters and sort terms; bound to a request in a few microseconds.

    `inputs` are the keys of what is read of the request: "auth.id", "auth.team",
    "body.title", "query.x", "headers.x_token", "method", "context", "now". `is_local` says that nothing
    but the base row and the inputs is read (no other row of the database).
    """

    inputs: frozenset[str]
    is_local: bool

    @property
    def reads_auth(self) -> bool:
        """Whether the outcome may differ between accounts of the same collection."""
        return any(key.startswith("auth.") for key in self.inputs)

    def bind(self, request: RequestInfo) -> Bound:
        """Return the SQL for one request."""
        raise NotImplementedError


def compile(parts: tuple[Part, ...], scope: Scope, sort: str = "") -> Program:  # noqa: A001
    """Return the program for filters and a sort expression. Cached. Raises FilterError."""
    raise NotImplementedError


Predicate = Callable[[Mapping[str, SQLValue], RequestInfo], bool]


def closure(text: str, scope: Scope, *, allow_hidden: bool = True) -> Predicate | None:
    """Return a filter as a function of the row (DB column form) and the request. Cached.

    None where the filter needs SQL. Raises FilterError.
    """
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class AuthEquality:
    """A condition `field = @request.auth.<name>` that must hold for a rule to hold."""

    field: str
    name: str


def auth_equalities(text: str, scope: Scope) -> tuple[AuthEquality, ...]:
    """Return the top-level `&&` conditions of a rule that compare a field with a value of the account."""
    raise NotImplementedError


def row_image(scope: Scope, row: Mapping[str, SQLValue]) -> tuple[str, list[SQLValue]]:
    """Return `(SELECT ... AS "id", ...) AS "posts"` for the FROM of a statement, with its parameters."""
    raise NotImplementedError
