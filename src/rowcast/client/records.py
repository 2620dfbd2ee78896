"""What answers become: records, pages, accounts. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec

from rowcast.client.errors import DecodeError

T = TypeVar("T")


class Record(dict[str, Any]):
    """A record: a dictionary whose keys are attributes too.

    A key that is also a method of dictionaries, like `items`, is reached as
    `record["items"]`. Expanded relations are records as well: `post.expand.author.name`.
    """

    __slots__ = ()

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__(values or {})
        expand = self.get("expand")
        if isinstance(expand, dict) and not isinstance(expand, Record):
            self["expand"] = Record({name: _expanded(value) for name, value in expand.items()})

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - JSON
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this record has no {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def __repr__(self) -> str:
        return f"Record({super().__repr__()})"


def _expanded(value: object) -> object:
    if isinstance(value, dict):
        return Record(value)
    return [_expanded(item) for item in value] if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. `total_items` and `total_pages` are -1 if they were not asked for.

    `cursor` is the position that it stands at, from which `subscribe` can go on; None where
    the server does not know of positions.
    """

    items: list[T]
    page: int
    per_page: int
    total_items: int
    total_pages: int
    cursor: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclasses.dataclass(frozen=True, slots=True)
class AuthResult(Generic[T]):
    """A successful sign-in; `meta` is what an OAuth2 provider told."""

    token: str
    record: T
    meta: dict[str, Any]


class Model(Generic[T]):
    """Makes values of one type from the JSON of records."""

    __slots__ = ("_type",)

    def __init__(self, type_: type[T]) -> None:
        self._type = type_

    def decode(self, values: object) -> T:
        """Return a record as a value of the type. Raises DecodeError if it does not fit."""
        if self._type is Record:
            if not isinstance(values, dict):
                raise DecodeError("the server did not answer with a record")
            return cast("T", Record(values))
        try:
            return msgspec.convert(values, self._type)
        except msgspec.ValidationError as error:
            name = getattr(self._type, "__name__", str(self._type))
            raise DecodeError(f"a record is no {name}: {error}") from error


RECORD = Model(Record)


def page_of(model: Model[T], answer: object, cursor: str | None = None) -> Page[T]:
    """Return the page that an answer holds. Raises DecodeError if it holds none."""
    if not isinstance(answer, dict) or not isinstance(answer.get("items"), list):
        raise DecodeError("the server did not answer with a list")
    items = [model.decode(item) for item in answer["items"]]
    page, per_page, total_items, total_pages = (
        number if isinstance(number := answer.get(name), int) else -1
        for name in ("page", "perPage", "totalItems", "totalPages")
    )
    return Page(items, page, per_page, total_items, total_pages, cursor)
