"""What is wrong with the options of a field, by their JSON names."""

from __future__ import annotations

from typing import Any

import pytest

from rowcast.schema.casts import SAFE_INT
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fields import (
    AutodateField,
    BoolField,
    DateField,
    EditorField,
    EmailField,
    Field,
    FileField,
    GeoPointField,
    JSONField,
    NumberField,
    PasswordField,
    RelationField,
    SelectField,
    TextField,
    URLField,
)

POSTS = Collection(id="p", name="posts", fields=(RelationField(id="r", name="rel", collection_id="p"),))
VIEW = Collection(id="v", name="shown", type="view")
CATALOG = Catalog([POSTS, VIEW])


def errors_of(field: Field, collection: Collection | None = None) -> dict[str, Any]:
    owner = collection or Collection(id="new", fields=(field,))
    return field.validate_settings(owner, CATALOG).to_json()


def codes_of(field: Field, collection: Collection | None = None) -> dict[str, Any]:
    def codes(errors: dict[str, Any]) -> dict[str, Any]:
        return {name: error["code"] if "code" in error else codes(error) for name, error in errors.items()}

    return codes(errors_of(field, collection))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("x", None),
        ("Null", None),
        ("x" * 100, None),
        ("", "validation_required"),
        ("x" * 101, "validation_length_out_of_range"),
        ("a b", "validation_match_invalid"),
        ("ü", "validation_match_invalid"),
        ("x\n", "validation_match_invalid"),
        ("null", "validation_not_in_invalid"),
        ("_rowid_", "validation_not_in_invalid"),
        ("expand", "validation_not_in_invalid"),
        ("collectionId", "validation_not_in_invalid"),
        ("a_VIA_b", "validation_found_via"),
    ],
)
def test_names(name: str, code: str | None) -> None:
    assert codes_of(BoolField(id="f", name=name)) == ({"name": code} if code else {})


def test_ids_and_help() -> None:
    assert codes_of(BoolField(name="x")) == {"id": "validation_required"}
    long = GeoPointField(id="i" * 101, name="x", help="ü" * 151)
    assert codes_of(long) == {"id": "validation_length_out_of_range", "help": "validation_length_out_of_range"}


MIN, MAX = "validation_min_greater_equal_than_required", "validation_max_less_equal_than_required"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (TextField(id="f", name="x", min=-1, max=-2), {"min": MIN, "max": MIN}),
        (TextField(id="f", name="x", min=5, max=4), {"max": MIN}),
        (TextField(id="f", name="x", max=SAFE_INT + 1), {"max": MAX}),
        (TextField(id="f", name="x", pattern="("), {"pattern": "validation_invalid_regex"}),
        (TextField(id="f", name="x", autogenerate_pattern="("), {"autogeneratePattern": "validation_invalid_regex"}),
        (TextField(id="f", name="x", autogenerate_pattern="^a"),
         {"autogeneratePattern": "validation_invalid_autogenerate_pattern"}),
        (TextField(id="f", name="x", min=5, autogenerate_pattern="a"),
         {"autogeneratePattern": "validation_invalid_autogenerate_pattern_value"}),
        (TextField(id="f", name="x", max=5, autogenerate_pattern="[a-z]{5}"), {}),
        (TextField(id="f", name="x", primary_key=True, hidden=True),
         {"name": "validation_in_invalid", "pattern": "validation_required", "hidden": "validation_empty",
          "required": "validation_required"}),
        (TextField(id="f", name="id", primary_key=True, required=True, pattern="^a$"), {}),
        (EditorField(id="f", name="x", max_size=-1), {"maxSize": MIN}),
        (JSONField(id="f", name="x", max_size=SAFE_INT + 1), {"maxSize": MAX}),
        (NumberField(id="f", name="x", min=5, max=4), {"max": "validation_min_number_constraint"}),
        (NumberField(id="f", name="x", min=0.5, max=1.5, only_int=True),
         {"min": "validation_only_int_constraint", "max": "validation_only_int_constraint"}),
        (NumberField(id="f", name="x", min=1), {}),
        (DateField(id="f", name="x", min="2022-01-01 00:00:00.000Z", max="2021-01-01 00:00:00.000Z"), {}),
        (EmailField(id="f", name="x", only_domains=("a.com", "b")), {"onlyDomains": {"1": "validation_is_domain"}}),
        (EmailField(id="f", name="x", only_domains=("a.com",), except_domains=("b.com",)),
         {"onlyDomains": "validation_empty", "exceptDomains": "validation_empty"}),
        (URLField(id="f", name="x", except_domains=("-a.com", "a." * 130 + "com")),
         {"exceptDomains": {"0": "validation_is_domain", "1": "validation_is_domain"}}),
        (SelectField(id="f", name="x", max_select=2), {"values": "validation_required", "maxSelect": MAX}),
        (SelectField(id="f", name="x", values=("a", "b"), max_select=2), {}),
        (FileField(id="f", name="x", max_select=-1, max_size=-1, thumbs=("0x0", "1x1", "axb", "1x1z", "")),
         {"maxSelect": MIN, "maxSize": MIN, "thumbs": {"0": "validation_not_in_invalid",
          "2": "validation_match_invalid", "3": "validation_match_invalid"}}),
        (PasswordField(id="f", name="x", min=-1, max=72, cost=3, pattern="["),
         {"min": MIN, "max": MAX, "cost": MIN, "pattern": "validation_invalid_regex"}),
        (PasswordField(id="f", name="x", min=8, max=7, cost=32), {"max": MIN, "cost": MAX}),
        (AutodateField(id="f", name="x"), {"onCreate": "validation_required", "onUpdate": "validation_required"}),
        (AutodateField(id="f", name="x", on_update=True), {}),
        (RelationField(id="f", name="x"), {"collectionId": "validation_required"}),
        (RelationField(id="f", name="x", collection_id="posts"),
         {"collectionId": "validation_field_relation_missing_collection"}),
        (RelationField(id="f", name="x", collection_id="v"),
         {"collectionId": "validation_relation_field_non_view_base_collection"}),
        (RelationField(id="f", name="x", collection_id="p", min_select=2), {"maxSelect": "validation_required"}),
        (RelationField(id="f", name="x", collection_id="p", min_select=-1, max_select=3), {"minSelect": MIN}),
        (RelationField(id="f", name="x", collection_id="p", min_select=3, max_select=2), {"maxSelect": MIN}),
    ],
)  # fmt: skip
def test_options(field: Field, expected: dict[str, Any]) -> None:
    assert codes_of(field) == expected


def test_one_primary_key() -> None:
    keys = [TextField(id=i, name="id", primary_key=True, required=True, pattern="a") for i in "ab"]
    owner = Collection(id="new", fields=tuple(keys))
    assert codes_of(keys[0], owner) == {"primaryKey": "validation_unsupported_composite_pk"}


def test_the_target_of_a_relation_stays() -> None:
    moved = RelationField(id="r", name="rel", collection_id="v")
    assert codes_of(moved, POSTS) == {"collectionId": "validation_field_relation_change"}
    assert codes_of(RelationField(id="r", name="rel", collection_id="p"), POSTS) == {}


def test_a_view_may_refer_to_a_view() -> None:
    assert codes_of(RelationField(id="n", name="x", collection_id="v"), VIEW) == {}


def test_events_of_a_system_date_stay() -> None:
    saved = Collection(id="s", fields=(AutodateField(id="a", name="x", system=True, on_create=True),))
    changed = AutodateField(id="a", name="x", system=True, on_update=True)
    errors = changed.validate_settings(saved, Catalog([saved])).to_json()
    assert errors == {
        name: {"code": "validation_values_mismatch", "message": "Values don't match."}
        for name in ("onCreate", "onUpdate")
    }


def test_texts_and_parameters() -> None:
    assert errors_of(TextField(id="f", name="x", min=5, max=3))["max"] == {
        "code": MIN,
        "message": "Must be no less than 5.",
        "params": {"threshold": 5},
    }
    assert errors_of(BoolField(id="f", name="x" * 101))["name"] == {
        "code": "validation_length_out_of_range",
        "message": "The length must be between 1 and 100.",
        "params": {"max": 100, "min": 1},
    }
    assert errors_of(TextField(id="f", name="x", pattern="("))["pattern"]["message"] == (
        "Error parsing regexp: missing closing ): `(`."
    )
