"""What each kind of field refuses: codes, texts and parameters are part of the contract."""

from __future__ import annotations

import math
from typing import Any

import pytest

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
from rowcast.schema.record import Record
from rowcast.schema.rows import new_record
from rowcast.schema.uploads import Upload
from tests.unit.schema.samples import Known, collection_of

REQUIRED: Any = ("validation_required", "Cannot be blank.", {})
OK: Any = None


def error_of(field: Field, raw: object, known: Known | None = None, **state: Any) -> Any:
    record = new_record(collection_of(field))
    record.set(field.name, raw)
    for name, value in state.items():
        setattr(record, name, value)
    error = field.validate_value(record, known or Known())
    if error is None:
        return None
    public = error.to_json()
    return public["code"], public["message"], public.get("params", {})


TEXT = TextField(name="x", min=3, max=5, pattern="^[a-zü]+$", required=True)
PATTERN: Any = ("validation_invalid_format", "Invalid value format.", {})
NUMBER = NumberField(name="x", min=2, max=1_000_000, only_int=True, required=True)
DATE = DateField(name="x", min="2020-01-01 00:00:00.000Z", max="2022-01-01 10:00:00.500Z", required=True)


@pytest.mark.parametrize(
    ("field", "raw", "expected"),
    [
        (TEXT, "", REQUIRED),
        (TEXT, "ab", ("validation_min_text_constraint", "Must be at least 3 character(s).", {"min": 3})),
        (TEXT, "abcdef", ("validation_max_text_constraint", "Must be no more than 5 character(s).", {"max": 5})),
        (TEXT, "aB1", PATTERN),
        (TEXT, "üüü", OK),
        (TextField(name="x"), "", OK),
        (TextField(name="x"), "a" * 5000, OK),
        (TextField(name="x"), "a" * 5001,
         ("validation_max_text_constraint", "Must be no more than 5000 character(s).", {"max": 5000})),
        (EditorField(name="x", required=True), "", REQUIRED),
        (EditorField(name="x", max_size=3), "üü",
         ("validation_content_size_limit", "The maximum allowed content size is 3 bytes.", {"maxSize": 3})),
        (EditorField(name="x", max_size=4), "üü", OK),
        (NUMBER, 0, REQUIRED),
        (NUMBER, "inf", ("validation_not_a_number", "The submitted number is not properly formatted.", {})),
        (NUMBER, math.nan, ("validation_not_a_number", "The submitted number is not properly formatted.", {})),
        (NUMBER, 2.5, ("validation_only_int_constraint", "Decimal numbers are not allowed.", {})),
        (NUMBER, 1e19, ("validation_only_int_constraint", "Decimal numbers are not allowed.", {})),
        (NUMBER, 1, ("validation_min_number_constraint", "Must be greater or equal than 2.", {"min": 2})),
        (NUMBER, 2e6, ("validation_max_number_constraint", "Must be less or equal than 1e+06.", {"max": 1_000_000})),
        (NUMBER, 2, OK),
        (NumberField(name="x", min=5), 0, OK),
        (BoolField(name="x", required=True), False, REQUIRED),
        (BoolField(name="x", required=True), True, OK),
        (EmailField(name="x", required=True), "", REQUIRED),
        (EmailField(name="x"), "abc", ("validation_is_email", "Must be a valid email address.", {})),
        (EmailField(name="x", only_domains=("b.co",)), "a@c.de",
         ("validation_email_domain_not_allowed", "Email domain is not allowed.", {})),
        (EmailField(name="x", except_domains=("b.co",)), "a@b.co",
         ("validation_email_domain_not_allowed", "Email domain is not allowed.", {})),
        (EmailField(name="x", only_domains=("b.co",)), "a@b.co", OK),
        (URLField(name="x", required=True), "", REQUIRED),
        (URLField(name="x"), "abc", ("validation_invalid_url", "Must be a valid url.", {})),
        (URLField(name="x", only_domains=("a.com",)), "http://a.com:80",
         ("validation_url_domain_not_allowed", "Url domain is not allowed.", {})),
        (URLField(name="x", only_domains=("a.com",)), "http://a.com/x", OK),
        (URLField(name="x"), "http://a.com/x", OK),
        (DATE, "bad", REQUIRED),
        (DATE, "2019-01-01", ("validation_min_greater_equal_than_required",
         "Must be no less than 2020-01-01 00:00:00 +0000 UTC.", {"threshold": "2020-01-01T00:00:00Z"})),
        (DATE, "2022-01-02", ("validation_max_less_equal_than_required",
         "Must be no greater than 2022-01-01 10:00:00.5 +0000 UTC.", {"threshold": "2022-01-01T10:00:00.5Z"})),
        (DATE, "2020-01-01", OK),
        (DateField(name="x"), "", OK),
        (AutodateField(name="x"), "bad", OK),
        (SelectField(name="x", values=("a", "b"), required=True), [], REQUIRED),
        (SelectField(name="x", values=("a", "b")), "c",
         ("validation_invalid_value", "Invalid value c.", {"value": "c"})),
        (SelectField(name="x", values=("a", "b", "c"), max_select=2), ["a", "b", "c"],
         ("validation_too_many_values", "Select no more than 2.", {"maxSelect": 2})),
        (SelectField(name="x", values=("a", "b")), ["c", "a"], OK),
        (JSONField(name="x", required=True), "{}", REQUIRED),
        (JSONField(name="x", required=True), None, REQUIRED),
        (JSONField(name="x", max_size=3), "[1,2]",
         ("validation_json_size_limit", "The maximum allowed JSON size is 3 bytes.", {"maxSize": 3})),
        (JSONField(name="x"), "\x01", ("validation_invalid_json", "Must be a valid json value.", {})),
        (JSONField(name="x"), "abc", OK),
        (GeoPointField(name="x", required=True), {}, REQUIRED),
        (GeoPointField(name="x"), {"lat": 91},
         ("validation_invalid_latitude", "Latitude must be between -90 and 90 degrees.", {})),
        (GeoPointField(name="x"), {"lon": -181},
         ("validation_invalid_longitude", "Longitude must be between -180 and 180 degrees.", {})),
        (GeoPointField(name="x"), {"lon": -180, "lat": 90}, OK),
    ],
)  # fmt: skip
def test_values(field: Field, raw: object, expected: Any) -> None:
    assert error_of(field, raw) == expected


PASSWORD = PasswordField(name="x", min=8, max=10, pattern="^[a-z]+$", required=True)


@pytest.mark.parametrize(
    ("field", "plain", "expected"),
    [
        (PASSWORD, "", REQUIRED),
        (PASSWORD, "abc", ("validation_min_text_constraint", "Must be at least 8 character(s).", {})),
        (PASSWORD, "a" * 11, ("validation_max_text_constraint", "Must be less than 10 character(s).", {})),
        (PASSWORD, "ABCDEFGH", PATTERN),
        (PASSWORD, "abcdefgh", OK),
        (
            PasswordField(name="x"),
            "a" * 72,
            ("validation_max_text_constraint", "Must be less than 71 character(s).", {}),
        ),
        (PasswordField(name="x"), "ü" * 40, ("validation_invalid_value", "Invalid value.", {})),
        (PasswordField(name="x"), "", OK),
    ],
)
def test_passwords(field: PasswordField, plain: str, expected: Any) -> None:
    assert error_of(field, plain) == expected


def test_a_stored_hash_satisfies_required() -> None:
    assert error_of(PASSWORD, "", values={"x": "$2a$10$hash"}) is None


def id_error(record_id: str, pattern: str = "^.+$", known: Known | None = None, *, saved: str | None = None) -> Any:
    field = TextField(name="id", primary_key=True, required=True, pattern=pattern, max=10)
    original = {} if saved is None else {"id": saved}
    record = Record(Collection(id="c", fields=(field,)), {"id": record_id}, original, saved is None)
    error = field.validate_value(record, known or Known())
    return error and (error.code, error.message, dict(error.params))


@pytest.mark.parametrize(
    ("record_id", "expected"),
    [
        ("", REQUIRED),
        ("a/b", ("validation_forbidden_pk_character", "'/' is not a valid primary key character.", {"ch": "/"})),
        ("a b", ("validation_forbidden_pk_character", "' ' is not a valid primary key character.", {"ch": " "})),
        ("nul",
         ("validation_reserved_pk", "The primary key 'NUL' is reserved and cannot be used.", {"reserved": "NUL"})),
        ("Lpt9",
         ("validation_reserved_pk", "The primary key 'LPT9' is reserved and cannot be used.", {"reserved": "LPT9"})),
        ("nulx", OK),
        ("TAKEN", ("validation_pk_invalid", "The record primary key is invalid or already exists.", {})),
    ],
)  # fmt: skip
def test_new_ids(record_id: str, expected: Any) -> None:
    assert id_error(record_id, known=Known({"c": {"taken"}})) == expected


def test_ids_of_the_default_pattern_are_left_to_the_index() -> None:
    assert id_error("taken", "^[a-z0-9]+$", Known({"c": {"taken"}})) is None
    assert id_error("a.b", "^[a-z0-9]+$") == PATTERN


def test_ids_do_not_change() -> None:
    assert id_error("b", saved="a") == ("validation_pk_change", "The record primary key cannot be changed.", {})
    assert id_error("way-too-long-and/odd", saved="way-too-long-and/odd") is None


USERS = Collection(id="u", name="users")
RELATION = RelationField(name="x", collection_id="u", min_select=2, max_select=3, required=True)


@pytest.mark.parametrize(
    ("field", "raw", "expected"),
    [
        (RELATION, [], REQUIRED),
        (RELATION, ["a"], ("validation_not_enough_values", "Select at least 2.", {"minSelect": 2})),
        (RELATION, ["a", "b", "c", "d"], ("validation_too_many_values", "Select no more than 3.", {"maxSelect": 3})),
        (RELATION, ["a", "z"],
         ("validation_missing_rel_records", "Failed to find all relation records with the provided ids.", {})),
        (RELATION, ["a", "b", "a"], OK),
        (RelationField(name="x", collection_id="gone"), "a",
         ("validation_missing_rel_collection", "Relation connection is missing or cannot be accessed.", {})),
        (RelationField(name="x", collection_id="u"), "", OK),
    ],
)  # fmt: skip
def test_relations(field: Field, raw: object, expected: Any) -> None:
    assert error_of(field, raw, Known({"u": {"a", "b", "c", "d"}}, Catalog([USERS]))) == expected


def upload(name: str, content: bytes = b"test", original: str = "test.txt") -> Upload:
    return Upload(name, original, len(content), content)


FILES = FileField(name="x", max_select=2, max_size=4, mime_types=("image/png", "text/plain; charset=utf-8"))
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("field", "raw", "expected"),
    [
        (FileField(name="x", required=True), [], REQUIRED),
        (FILES, ["new.txt", "old.txt"],
         ("validation_invalid_file", "Invalid new files: [new.txt].", {"invalidFiles": ["new.txt"]})),
        (FILES, ["n" * 300],
         ("validation_invalid_file", f"Invalid new files: [{'n' * 250}].", {"invalidFiles": ["n" * 250]})),
        (FILES, [upload("a.txt"), upload("b.txt"), "old.txt"],
         ("validation_too_many_files", "The maximum allowed files is 2.", {"maxSelect": 2})),
        (FILES, upload("a.txt", b"12345"), ("validation_file_size_limit",
         "Failed to upload test.txt - the maximum allowed file size is 4 bytes.", {"file": "test.txt", "maxSize": 4})),
        (FILES, upload("a.txt", b"\x00"), ("validation_invalid_mime_type",
         '"a.txt" mime type must be one of: image/png, text/plain; charset=utf-8.', {})),
        (FILES, upload("n" * 151), ("validation_length_out_of_range",
         "The length must be between 1 and 150.", {"min": 1, "max": 150})),
        (FILES, upload("../x"), ("validation_match_invalid", "Must be in a valid format.", {})),
        (FILES, ["old.txt", upload("a.txt")], OK),
        (FileField(name="x", mime_types=("image/png",)), upload("a.txt", PNG), OK),
        (FileField(name="x"), upload("a.txt", b"x" * (5 << 20)), OK),
    ],
)  # fmt: skip
def test_files(field: Field, raw: object, expected: Any) -> None:
    assert error_of(field, raw, original={"x": ["old.txt"]}) == expected
