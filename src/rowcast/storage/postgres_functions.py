"""SQL functions by which PostgreSQL compares and converts values as SQLite does.

Owns the schema `rowcast`: a type for values of which only a row knows whether they
are numbers or texts, and functions over texts, numbers and such values, found by the
types of their arguments. Most are single expressions, which PostgreSQL puts in
place of the call: `rowcast.eq(title, $1)` over two texts is `title = $1` and finds its index.
What is true of SQLite's values stands in `filters.values`; both must agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache

from rowcast.storage import postgres_time

_KINDS = ("text", "numeric", "rowcast.value")
_ORDER = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_NUMBER = r"^[ \t\n\v\f\r]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t\n\v\f\r]*$"

_TYPE = """DO $do$ BEGIN
  CREATE TYPE rowcast.value AS (kind smallint, n numeric, t text COLLATE "C");
EXCEPTION WHEN duplicate_object THEN NULL; END $do$"""

_CONVERSIONS = (
    # A value of any kind.
    ("val(text)", "rowcast.value", "CASE WHEN $1 IS NOT NULL THEN ROW(2::smallint, NULL, $1)::rowcast.value END"),
    ("val(numeric)", "rowcast.value", "CASE WHEN $1 IS NOT NULL THEN ROW(1::smallint, $1, NULL)::rowcast.value END"),
    ("val(rowcast.value)", "rowcast.value", "$1"),
    # The number that stands in a text, as a double holds it.
    (
        "parse_number(text)",
        "numeric",
        "CASE WHEN $1 ~ '^[+-]?[0-9]{1,18}$' THEN $1::numeric"
        " WHEN $1 ~ '^[+-]?[0-9]{19}$' AND abs($1::numeric) < 9223372036854775808 THEN $1::numeric"
        " WHEN pg_input_is_valid($1, 'double precision') THEN $1::double precision::text::numeric"
        " WHEN $1 ~ '[eE]-' THEN 0 WHEN $1 ~ '^-' THEN '-Infinity'::numeric ELSE 'Infinity'::numeric END",
    ),
    (
        "number_text(numeric)",
        "text",
        # A whole number with a fraction is a real one, as Python sends them; columns don't keep it (`stored`).
        "CASE WHEN $1 = trunc($1) AND abs($1) < 1e15"
        " THEN trunc($1)::text || CASE WHEN scale($1) > 0 THEN '.0' ELSE '' END"
        " WHEN $1 = trunc($1) AND scale($1) = 0 AND abs($1) < 9223372036854775808 THEN $1::text"
        " WHEN $1 = 'Infinity' THEN 'Inf' WHEN $1 = '-Infinity' THEN '-Inf'"
        r" ELSE regexp_replace($1::double precision::text, '^(-?\d+)e', '\1.0e') END",
    ),
    ("as_text(text)", "text", "$1"),
    ("as_text(numeric)", "text", "rowcast.number_text($1)"),
    ("as_text(rowcast.value)", "text", "CASE ($1).kind WHEN 1 THEN rowcast.number_text(($1).n) ELSE ($1).t END"),
    (
        "as_number(text)",
        "rowcast.value",
        f"CASE WHEN $1 ~ '{_NUMBER}' THEN rowcast.val(rowcast.parse_number(btrim($1, E' \\t\\n\\v\\f\\r')))"
        " ELSE rowcast.val($1) END",
    ),
    ("as_number(numeric)", "numeric", "$1"),
    (
        "as_number(rowcast.value)",
        "rowcast.value",
        "CASE ($1).kind WHEN 2 THEN rowcast.as_number(($1).t) ELSE $1 END",
    ),
    ("number_of(text)", "numeric", "(rowcast.as_number($1)).n"),
    ("number_of(numeric)", "numeric", "$1"),
    ("number_of(rowcast.value)", "numeric", "(rowcast.as_number($1)).n"),
    ("real(text)", "double precision", "rowcast.number_of($1)::double precision"),
    ("real(numeric)", "double precision", "$1::double precision"),
    ("real(rowcast.value)", "double precision", "rowcast.number_of($1)::double precision"),
    # What a JSON column stores: numbers as Go spells them (`jsontext.go_number`).
    ("json_text(text)", "text", "$1"),
    (
        "json_text(numeric)",
        "text",
        "CASE WHEN $1 = 0 THEN '0' WHEN abs($1) >= 1e21 OR abs($1) < 1e-6"
        r" THEN regexp_replace($1::double precision::text, 'e-0(\d)$', 'e-\1') ELSE trim_scale($1)::text END",
    ),
    (
        "json_text(rowcast.value)",
        "text",
        "CASE ($1).kind WHEN 1 THEN rowcast.json_text(($1).n) ELSE ($1).t END",
    ),
    # Empty, or not there.
    ("is_empty(text)", "boolean", "$1 = '' OR $1 IS NULL"),
    ("is_empty(numeric)", "boolean", "$1 IS NULL"),
    ("is_empty(rowcast.value)", "boolean", "COALESCE(($1).t = '', ($1).kind IS NULL)"),
    ("is_filled(text)", "boolean", "$1 <> '' AND $1 IS NOT NULL"),
    ("is_filled(numeric)", "boolean", "$1 IS NOT NULL"),
    ("is_filled(rowcast.value)", "boolean", "NOT COALESCE(($1).t = '', ($1).kind IS NULL)"),
    ("or_empty(text)", "text", "COALESCE($1, '')"),
    ("or_empty(numeric)", "rowcast.value", "COALESCE(rowcast.val($1), rowcast.val(''::text))"),
    ("or_empty(rowcast.value)", "rowcast.value", "COALESCE($1, rowcast.val(''::text))"),
    # LIKE knows no case of ASCII letters; a pattern that ends in the escape matches nothing.
    (
        "likes(text, text)",
        "boolean",
        r"CASE WHEN $2 ~ '(^|[^\\])(\\\\)*\\$' THEN false"
        r""" ELSE lower($1 COLLATE "C") LIKE lower($2 COLLATE "C") ESCAPE '\' END""",
    ),
    ("contains(text, text)", "boolean", "rowcast.likes($1, '%' || $2 || '%')"),
    # JSON. Texts with escapes that no text can hold are taken for no JSON.
    (
        "is_json(text)",
        "boolean",
        r"$1 IS JSON AND $1 !~* '\\u(0000|d[89ab])'",
    ),
    (
        "minify(text)",
        "text",
        r"""regexp_replace($1, '("(?:[^"\\]|\\.)*")|\s+', '\1', 'g')""",
    ),
    (
        "json_value(json)",
        "rowcast.value",
        "CASE json_typeof($1) WHEN 'number' THEN rowcast.val(rowcast.parse_number(btrim($1::text, E' \\t\\n\\r')))"
        r" WHEN 'string' THEN CASE WHEN $1::text ~* '\\u(0000|d[89ab])' THEN rowcast.val($1::text)"
        " ELSE rowcast.val($1 #>> '{}') END"
        " WHEN 'boolean' THEN rowcast.val((strpos($1::text, 'true') > 0)::int::numeric)"
        " WHEN 'null' THEN NULL ELSE rowcast.val(rowcast.minify($1::text)) END",
    ),
    (
        "length(text)",
        "numeric",
        "CASE WHEN $1 = '' OR $1 IS NULL THEN 0 WHEN $1 IS JSON ARRAY THEN json_array_length($1::json) ELSE 1 END",
    ),
    (
        "distance(double precision, double precision, double precision, double precision, double precision,"
        " double precision)",
        "numeric",
        "rowcast.angle(cos(radians($1)) * cos(radians($2)) * cos(radians($3) - radians($4))"
        " + sin(radians($5)) * sin(radians($6)))",
    ),
    (
        "angle(double precision)",
        "numeric",
        "CASE WHEN $1 BETWEEN -1 AND 1 THEN (6371 * acos($1))::text::numeric END",
    ),
)

_ITEMS = (
    "CREATE OR REPLACE FUNCTION rowcast.items(text) RETURNS TABLE (value text) LANGUAGE sql IMMUTABLE PARALLEL SAFE"
    " ROWS 5 AS $f$ SELECT e.value FROM json_array_elements_text("
    "CASE WHEN $1 IS JSON ARRAY THEN $1::json ELSE json_build_array($1) END) AS e(value) $f$"
)

_INSIDE = """CREATE OR REPLACE FUNCTION rowcast.inside(doc text, VARIADIC path text[]) RETURNS rowcast.value
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $f$
DECLARE found json; step text;
BEGIN
  IF doc IS NULL THEN RETURN NULL; END IF;
  IF NOT rowcast.is_json(doc) THEN
    RETURN CASE WHEN cardinality(path) = 0 THEN rowcast.val(doc) END;
  END IF;
  found := doc::json;
  FOREACH step IN ARRAY path LOOP
    found := CASE left(step, 1) WHEN '.' THEN found -> substr(step, 2) ELSE found -> substr(step, 2)::int END;
  END LOOP;
  RETURN rowcast.json_value(found);
END $f$"""


def _function(signature: str, result: str, body: str) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION rowcast.{signature} RETURNS {result}"
        f" LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $f$ SELECT {body} $f$"
    )


def _comparisons() -> Iterator[str]:
    both = "$1 IS NOT NULL AND $2 IS NOT NULL"
    for left in _KINDS:
        for right in _KINDS:
            pair = f"({left}, {right})"
            if "rowcast.value" in (left, right):
                ours, theirs = "rowcast.val($1)", "rowcast.val($2)"
            else:
                ours, theirs = "$1", "$2"
            is_mixed = {left, right} == {"text", "numeric"}
            equal = f"CASE WHEN {both} THEN false END" if is_mixed else f"{ours} = {theirs}"
            same = "$1 IS NULL AND $2 IS NULL" if is_mixed else f"{ours} IS NOT DISTINCT FROM {theirs}"
            yield _function(f"eq{pair}", "boolean", equal)
            yield _function(f"same{pair}", "boolean", same)
            yield _function(f"differs{pair}", "boolean", f"NOT ({same})")
            for name, sign in _ORDER.items():
                # Numbers come before texts.
                is_less = (left == "numeric") == (sign[0] == "<")
                ordered = f"CASE WHEN {both} THEN {str(is_less).lower()} END"
                collation = ' COLLATE "C"' if left == right == "text" else ""
                body = ordered if is_mixed else f"{ours} {sign} {theirs}{collation}"
                yield _function(f"{name}{pair}", "boolean", body)


def statements() -> Iterator[str]:
    """Yield the statements that bring the schema `rowcast` to this version, whatever it holds."""
    yield "CREATE SCHEMA IF NOT EXISTS rowcast"
    yield _TYPE
    # A body may name a function that comes later.
    yield "SET LOCAL check_function_bodies = off"
    for signature, result, body in _CONVERSIONS:
        yield _function(signature, result, body)
    yield from _comparisons()
    yield _ITEMS
    yield _INSIDE
    yield from postgres_time.STATEMENTS


@cache
def version() -> str:
    """Return what changes with the functions; it is kept as the comment of the schema."""
    return hashlib.blake2b("\0".join(statements()).encode(), digest_size=8).hexdigest()
