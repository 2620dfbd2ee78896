"""Whatever is sent, the answer is an API error or a collection, and what failed leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast import encoding
from rowcast.errors import ApiError
from rowcast.schema.fields import FIELD_KINDS
from rowcast.storage.catalog_rows import load_catalog
from tests.unit.admin.office import Office

pytestmark = pytest.mark.property

PIECES = st.sampled_from(
    [
        "select ", "id", " as ", "1", " from ", "users", "'", '"', "`", "[[", "]]", "{{", "}}", "(", ")", ",", ";",
        "--", "/*", "*/", "*", " where ", " join ", " on ", "create ", "unique ", "index ", "i", " collate ", "\\",
        "\0", "\n", "@request.auth.id", "@collection.", " = ", " ~ ", "&&", ":each", "é", "{:x}", "a_via_b", "$",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.lists(PIECES, max_size=8).map("".join),
    st.builds("select {} as id from users".format, st.sampled_from(["id", "1", "*", "count(id)", "null", "x''"])),
    st.builds("create index {} on {} ({})".format, PIECES, PIECES, PIECES),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.sampled_from(["users", "id", ""]))
OPTIONS = [
    "id", "name", "type", "system", "required", "hidden", "max", "min", "pattern", "values", "maxSelect", "minSelect",
    "collectionId", "onlyInt", "primaryKey", "autogeneratePattern", "thumbs", "mimeTypes", "onCreate", "cascadeDelete",
]  # fmt: skip
KEYS = [
    "id", "name", "type", "fields", "indexes", "listRule", "createRule", "system", "created", "viewQuery", "authRule",
    "manageRule", "oauth2", "passwordAuth", "mfa", "otp", "authToken", "verificationTemplate", "ENABLED", "providers",
    "identityFields", "rule", "duration", "secret", "mappedFields", "extra", "subject", "collections", "deleteMissing",
    "query",
]  # fmt: skip


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)


VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), objects(inner)), max_leaves=8)
FIELDS = st.builds(
    lambda kind, options: {"type": kind, **options},
    st.sampled_from([*FIELD_KINDS, "nope"]),
    st.dictionaries(st.sampled_from(OPTIONS), st.one_of(SCALARS, st.lists(TEXTS, max_size=2)), max_size=5),
)
BODIES = st.one_of(
    VALUES,
    objects(VALUES),
    st.fixed_dictionaries(
        {"name": st.sampled_from(["a", "b", "users", "_mfas", "a b"])},
        optional={
            "type": st.sampled_from(["base", "auth", "view", "x"]),
            "fields": st.lists(FIELDS, max_size=4),
            "indexes": st.lists(TEXTS, max_size=2),
            "viewQuery": TEXTS,
            "listRule": TEXTS,
            "oauth2": objects(VALUES),
        },
    ),
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Office]:
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder) / "pb_data")
        office.collections.create({"name": "posts", "fields": [{"type": "text", "name": "title"}]})
        yield office
        office.close()


@given(
    st.sampled_from(["create", "update posts", "update users", "update _superusers", "import_", "dry_run_view"]), BODIES
)
def test_any_body_gets_an_answer(shared: Office, call: str, body: Any) -> None:
    name, *target = call.split(" ")
    if name == "import_" and isinstance(body, dict) and "name" in body:
        body = {"collections": [body]}
    before, catalog = shared.schema(), shared.catalog.current
    try:
        answer = getattr(shared.collections, name)(*target, body)
    except ApiError as error:
        assert error.status in {400, 404}
        encoding.encode({"data": error.data.to_json(), "message": error.message})
        assert shared.schema() == before
        assert shared.catalog.current is catalog
        return
    encoding.encode(answer)
    with shared.storage.read() as reader:
        stored = load_catalog(reader)
    assert [one.name for one in shared.catalog.current] == [one.name for one in stored]
    for collection in stored:
        if collection.name in {"a", "b"}:
            shared.collections.delete(collection.id)


@given(
    st.dictionaries(st.sampled_from(["page", "perPage", "sort", "filter", "skipTotal"]), st.one_of(TEXTS, st.text()))
)
def test_any_list_gets_an_answer(shared: Office, params: dict[str, str]) -> None:
    try:
        encoding.encode(shared.collections.list(params))
    except ApiError as error:
        assert error.status == 400
