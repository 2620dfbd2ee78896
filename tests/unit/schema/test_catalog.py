"""Catalogs and collections as values."""

from __future__ import annotations

from rowcast.schema.catalog import Catalog, CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.fields import BoolField

POSTS = Collection(id="p", name="Posts", fields=(BoolField(name="done"),))
USERS = Collection(id="u", name="users", type="auth")
SHOWN = Collection(id="v", name="shown", type="view")


def test_collections_are_found_by_id_and_by_name_in_any_case() -> None:
    catalog = Catalog([POSTS, USERS])
    assert catalog.find("p") is catalog.find("Posts") is catalog.find("pOsTs") is POSTS
    assert catalog.find("P") is None
    assert list(catalog) == [POSTS, USERS]
    assert len(catalog) == 2


def test_a_change_makes_a_new_catalog() -> None:
    first = Catalog([POSTS, USERS])
    renamed = POSTS.replaced(name="items")
    second = first.replaced(renamed)
    third = second.replaced(SHOWN).without("u")
    assert (list(first), list(second), list(third)) == ([POSTS, USERS], [renamed, USERS], [renamed, SHOWN])
    assert first.version < second.version < third.version
    assert second.find("posts") is None


def test_the_catalog_in_force_is_swapped() -> None:
    ref = CatalogRef(Catalog())
    ref.current = Catalog([POSTS])
    assert ref.current.find("p") is POSTS


def test_collections_know_their_fields_and_kinds() -> None:
    assert POSTS.field("done") is POSTS.fields[0]
    assert POSTS.field("gone") is None
    assert (POSTS.is_auth, USERS.is_auth, SHOWN.is_view, USERS.is_view) == (False, True, True, False)
    changed = POSTS.replaced(fields=())
    assert changed.field("done") is None
