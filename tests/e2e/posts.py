"""The collections that the tests of the Python client use, and the types of their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec

from rowcast.client import Client

OPEN = dict.fromkeys(("listRule", "viewRule", "createRule", "updateRule", "deleteRule"), "")

TITLE: dict[str, Any] = {"name": "title", "type": "text", "required": True}


class Post(msgspec.Struct, rename="camel"):
    id: str
    title: str
    total: float = 0
    collection_id: str = ""


@dataclass
class PlainPost:
    id: str
    title: str


class TypedPost(TypedDict):
    id: str
    title: str


async def make_posts(
    root: Client, name: str = "posts", fields: Sequence[dict[str, Any]] = (), **options: object
) -> None:
    """Create a collection that everybody may do everything with."""
    plain = [TITLE, {"name": "total", "type": "number"}]
    await root.collections.create({"name": name, "type": "base", "fields": [*plain, *fields], **OPEN, **options})


async def make_people(root: Client, name: str = "people", **options: object) -> None:
    """Create a collection of accounts that everybody may see and create."""
    await root.collections.create({"name": name, "type": "auth", **OPEN, **options})


async def add_person(root: Client, email: str, name: str = "people", password: str = "Password1234") -> str:
    """Create an account and return its id."""
    person = await root.collection(name).create(
        {"email": email, "password": password, "passwordConfirm": password, "emailVisibility": True}
    )
    return str(person.id)
