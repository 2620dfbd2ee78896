"""A bounded cache that keeps what was used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from rowcast.errors import FilterError

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Values by key, made when first asked for; FilterErrors of making are kept too.

    May be used by several threads: the same value may then be made twice, and
    one of the two is kept.
    """

    __slots__ = ("_kept", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[object, Value | FilterError] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: object, make: Callable[[], Value]) -> Value:
        """Return the value for `key`. Raises FilterError."""
        found = self._kept.get(key)
        if found is None:
            try:
                found = make()
            except FilterError as error:
                found = error
            self._keep(key, found)
        else:
            try:
                self._kept.move_to_end(key)
            except KeyError:  # another thread let it go meanwhile
                self._keep(key, found)
        if isinstance(found, FilterError):
            raise FilterError(found.message, found.text, found.start, found.end)
        return found

    def _keep(self, key: object, value: Value | FilterError) -> None:
        self._kept[key] = value
        while len(self._kept) > self._size:
            try:
                self._kept.popitem(last=False)
            except KeyError:  # another thread emptied it
                return
