"""The cases and the properties of the other modules here, over PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.filters.test_cases import (
    test_a_filter_finds_what_the_reference_finds,
    test_a_rule_about_the_body_finds_what_the_reference_finds,
    test_a_rule_finds_what_the_reference_finds,
)
from tests.unit.filters.test_properties import (
    test_any_text_compiles_or_is_a_filter_error,
    test_closure_and_sql_agree,
    test_every_statement_runs,
    test_many_requests_at_once_are_answered_as_one_by_one,
    test_table_and_row_image_agree,
)
from tests.unit.filters.world import PostgresWorld, using

__all__ = [
    "test_a_filter_finds_what_the_reference_finds",
    "test_a_rule_about_the_body_finds_what_the_reference_finds",
    "test_a_rule_finds_what_the_reference_finds",
    "test_any_text_compiles_or_is_a_filter_error",
    "test_closure_and_sql_agree",
    "test_every_statement_runs",
    "test_many_requests_at_once_are_answered_as_one_by_one",
    "test_table_and_row_image_agree",
]


@pytest.fixture(autouse=True, scope="module")
def _engine() -> Iterator[None]:
    with using(PostgresWorld):
        yield
