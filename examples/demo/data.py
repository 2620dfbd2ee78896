"""The sample data set: collections with rules of several kinds, three accounts, some records.

| collection    | who sees a record                                                  |
| ------------- | ------------------------------------------------------------------ |
| announcements | everybody (an empty rule)                                          |
| rooms         | everybody if the room is open, else its members                    |
| posts         | the owner; if it is public, also who sees its room (one hop)       |
| comments      | the members of the room of the post (two hops)                     |
| notes         | the owner                                                          |
| journal       | superusers (no rule)                                               |
"""

from __future__ import annotations

from dataclasses import dataclass

from examples.demo.client import Client

SUPERUSER = ("root@example.com", "demo-password")
PASSWORD = "demo-password"
ACCOUNTS = ("ann@example.com", "ben@example.com", "cleo@example.com")
TAGS = ("news", "question", "idea", "help")

_SIGNED_IN = "@request.auth.id != ''"
_OWNER = "owner = @request.auth.id"
_USERS = "_pb_users_auth_"

Values = dict[str, object]


@dataclass(frozen=True, slots=True)
class Sample:
    """The ids of what was made."""

    users: list[str]
    rooms: list[str]
    posts: list[str]


def seed(client: Client) -> Sample:
    """Fill a new data directory; `client` is a superuser's."""
    client.send("PUT", "/api/collections/import", {"collections": _collections(), "deleteMissing": False})
    users = [
        client.create("users", email=email, name=email.partition("@")[0].title(), verified=True, **_passwords())
        for email in ACCOUNTS
    ]
    ann, ben, cleo = users
    rooms = [
        client.create("rooms", name="Lobby", open=True, members=users),
        client.create("rooms", name="Workshop", open=False, members=[ann, ben]),
        client.create("rooms", name="Attic", open=False, members=[cleo]),
    ]
    posts = [
        client.create("posts", title=title, owner=owner, room=rooms[room], tags=tags, likes=likes, state=state)
        for title, owner, room, tags, likes, state in (
            ("Hello everybody", ann, 0, ["news"], 3, "public"),
            ("Where is the coffee?", ben, 0, ["question", "help"], 7, "public"),
            ("Not ready yet", ann, 0, ["idea"], 0, "draft"),
            ("New bench, who helps?", ben, 1, ["news", "help"], 2, "public"),
            ("Boxes to sort", cleo, 2, ["idea"], 1, "public"),
        )
    ]
    client.create("comments", post=posts[1], author=ann, text="Second shelf, behind the tea.")
    client.create("comments", post=posts[3], author=ann, text="I do, on Friday.")
    for user, email in zip(users, ACCOUNTS, strict=True):
        client.create("notes", owner=user, text=f"Only {email} sees this.")
    client.create("announcements", text="Welcome to the demo.")
    client.create("journal", text="The sample data is complete.")
    return Sample(users, rooms, posts)


def _passwords() -> Values:
    return {"password": PASSWORD, "passwordConfirm": PASSWORD}


def _collections() -> list[Values]:
    sees_room = "room.open = true || room.members.id ?= @request.auth.id"
    in_room = "post.room.members.id ?= @request.auth.id"
    return [
        _collection("announcements", [_text("text")], sees="", writes=None),
        _collection(
            "rooms",
            [_text("name"), {"name": "open", "type": "bool"}, _relation("members", _USERS, most=20)],
            sees="open = true || members.id ?= @request.auth.id",
            writes="members.id ?= @request.auth.id",
        ),
        _collection(
            "posts",
            [
                _text("title"),
                _relation("owner", _USERS),
                _relation("room", "demo_rooms"),
                {"name": "tags", "type": "select", "values": TAGS, "maxSelect": len(TAGS)},
                {"name": "likes", "type": "number"},
                {"name": "state", "type": "select", "values": ["draft", "public"], "maxSelect": 1},
            ],
            sees=f"{_OWNER} || (state = 'public' && ({sees_room}))",
            writes=f"{_SIGNED_IN} && {_OWNER}",
        ),
        _collection(
            "comments",
            [_relation("post", "demo_posts"), _relation("author", _USERS), _text("text")],
            sees=in_room,
            writes=f"author = @request.auth.id && {in_room}",
        ),
        _collection("notes", [_relation("owner", _USERS), _text("text")], sees=_OWNER, writes=_OWNER),
        _collection("journal", [_text("text")], sees=None, writes=None),
    ]


def _collection(name: str, fields: list[Values], *, sees: str | None, writes: str | None) -> Values:
    dates: list[Values] = [
        {"name": "created", "type": "autodate", "onCreate": True},
        {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
    ]
    return {
        "id": f"demo_{name}",
        "name": name,
        "type": "base",
        "fields": [*fields, *dates],
        "listRule": sees,
        "viewRule": sees,
        "createRule": writes,
        "updateRule": writes,
        "deleteRule": writes,
    }


def _text(name: str) -> Values:
    return {"name": name, "type": "text", "required": True, "max": 500}


def _relation(name: str, target: str, *, most: int = 1) -> Values:
    return {"name": name, "type": "relation", "collectionId": target, "maxSelect": most, "cascadeDelete": most == 1}
