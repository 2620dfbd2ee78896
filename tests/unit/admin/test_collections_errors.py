"""Errors inside of other errors read as the reference prints them."""

from __future__ import annotations

import pytest

from rowcast.admin.collections_errors import bare_text, indented, one_line
from rowcast.errors import ErrorData, FieldError
from rowcast.schema import checks


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (checks.REQUIRED, "cannot be blank"),
        (checks.IN_LIST, "must not be in list"),
        (checks.INVALID_FORM, "must be in a valid format"),
        (checks.INVALID_CHOICE, "must be a valid value"),
        (checks.MISMATCH, "Values don't match."),
        (checks.length("abc", 1, 2), "the length must be between 1 and 2"),
        (checks.at_least(1, 5), "must be no less than 5"),
        (FieldError("x", 'The primary key must be named "id".'), 'The primary key must be named "id".'),
    ],
)
def test_messages_of_the_library_are_no_sentences(error: FieldError, text: str) -> None:
    assert bare_text(error) == text


ERRORS = ErrorData(name=checks.REQUIRED, fields=ErrorData({"1": ErrorData(max=checks.EMPTY)}))


def test_one_line() -> None:
    assert one_line(ERRORS) == "fields: (1: (max: must be blank.).); name: cannot be blank."


def test_indented() -> None:
    assert indented(ERRORS) == (
        '{\n  "fields": {\n    "1": {\n      "max": "must be blank"\n    }\n  },\n  "name": "cannot be blank"\n}'
    )
