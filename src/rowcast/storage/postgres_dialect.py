"""What PostgreSQL understands otherwise than SQLite: one `Dialect` value, and the types of columns.

Each expression of a filter has one of three types: text, numeric, or `rowcast.value` where
only the row knows. The functions of `postgres_functions` are found by these, so what
is compared need not be known here. Text columns have the collation "C", the order
of SQLite's BINARY.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rowcast.sql import Dialect, Fragment, compose

_PATH_STEP = re.compile(r"\.(\w+)|\[(\d+)\]", re.ASCII)
_TYPES = {"TEXT": 'text COLLATE "C"', "JSON": 'text COLLATE "C"', "NUMERIC": "numeric", "BOOLEAN": "numeric"}
_STORED = {"JSON": "rowcast.json_text(?)", "NUMERIC": "trim_scale(?)"}
_NEW_ID = "'r' || substr(md5(random()::text || clock_timestamp()::text), 1, 14)"


def column_type(declared: str) -> str:
    """Return the type of a column with its default, from what SQLite has it declared as (`Field.column_type`)."""
    kind, _, rest = declared.partition(" ")
    if "randomblob" in rest:
        rest = f"PRIMARY KEY DEFAULT ({_NEW_ID}) NOT NULL"
    return f"{_TYPES[kind.upper()]} {rest.replace('DEFAULT FALSE', 'DEFAULT 0')}".strip()


def _text(value: Fragment) -> Fragment:
    return compose("rowcast.as_text({})", value)


def _items(column: Fragment) -> Fragment:
    return compose("rowcast.items({})", _text(column))


def _length(column: Fragment) -> Fragment:
    return compose("rowcast.length({})", _text(column))


def _inside(column: Fragment, path: str) -> Fragment:
    steps = ", ".join(f"'.{name}'" if name else f"'#{index}'" for name, index in _PATH_STEP.findall(path))
    return compose(f"rowcast.inside({{}}, VARIADIC ARRAY[{steps}]::text[])", _text(column))


def _fresh(declared: str, value: Fragment) -> Fragment:
    kind = declared.partition(" ")[0].upper()
    if kind == "TEXT":
        return _text(value)
    return compose("rowcast.json_text({})" if kind == "JSON" else "rowcast.number_of({})", value)


def _typed(declared: str, value: Fragment) -> Fragment:
    typed = _fresh(declared, value)
    return compose("trim_scale({})", typed) if _is_number(declared) else typed


def _is_number(declared: str) -> bool:
    return declared.partition(" ")[0].upper() in {"NUMERIC", "BOOLEAN"}


def _time_text(parts: Sequence[Fragment]) -> Fragment:
    texts = [_text(part) for part in parts]
    return compose(f"rowcast.strftime({', '.join(['{}'] * len(texts))})", *texts)


def _asked(columns: Sequence[str]) -> str:
    values = "".join(f", rowcast.json_value(value -> {index}) AS {name}" for index, name in enumerate(columns))
    return (
        f"SELECT (number - 1) AS number{values}"
        ' FROM json_array_elements(CAST(? AS json)) WITH ORDINALITY AS "@each"(value, number)'
    )


POSTGRES = Dialect(
    name="postgresql",
    engine="postgresql",
    operators={
        "=": "rowcast.eq({}, {})",
        "same": "rowcast.same({}, {})",
        "differs": "rowcast.differs({}, {})",
        "<": "rowcast.lt({}, {})",
        "<=": "rowcast.le({}, {})",
        ">": "rowcast.gt({}, {})",
        ">=": "rowcast.ge({}, {})",
        "like": "rowcast.likes(rowcast.as_text({}), rowcast.as_text({}))",
        "not_like": "NOT rowcast.likes(rowcast.as_text({}), rowcast.as_text({}))",
        "contains": "rowcast.contains(rowcast.as_text({}), rowcast.as_text({}))",
        "not_contains": "NOT rowcast.contains(rowcast.as_text({}), rowcast.as_text({}))",
    },
    casts={"text": "rowcast.as_text({})", "numeric": "rowcast.as_number({})"},
    is_empty=lambda value: compose("rowcast.is_empty({})", value),
    is_filled=lambda value: compose("rowcast.is_filled({})", value),
    or_empty="rowcast.or_empty({})",
    lower='lower(rowcast.as_text({}) COLLATE "C")',
    in_any_case='lower({} COLLATE "C") = lower({} COLLATE "C")',
    empty="''::text",
    null="NULL::text",
    true="TRUE",
    is_true="rowcast.eq({}, 1)",
    flag="(({})::int)",
    no_condition=" ON TRUE",
    cross=" CROSS JOIN ",
    cross_behind=" CROSS JOIN ",
    bound_items="rowcast.items(rowcast.as_text({}))",
    one_row="(SELECT 1)",
    random="RANDOM()",
    row_number="{}._rowid_",
    natural_order="{}._rowid_",
    nulls=(" NULLS FIRST", " NULLS LAST"),
    lock="",
    key_lock="",
    not_indexed="",
    json_or_empty="CASE WHEN {} IS JSON THEN {} ELSE '{{}}' END",
    whole_number="numeric",
    version="SELECT current_setting('server_version')",
    schema_version="SELECT to_regclass('{}')::text",
    all_texts="md5(string_agg({}, '' ORDER BY id))",
    is_json_built=False,
    groups=True,
    first_of="(array_agg({}))[1]",
    distance=f"rowcast.distance({', '.join(['rowcast.real({})'] * 6)})",
    items=_items,
    length=_length,
    inside=_inside,
    typed=_typed,
    fresh=_fresh,
    stored=lambda declared: _STORED.get(declared.partition(" ")[0].upper(), "?"),
    time_text=_time_text,
    asked=_asked,
)

POSTGRES_WRITING = replace(POSTGRES, name="postgresql, writing", lock=" FOR UPDATE", key_lock=" FOR KEY SHARE")
"""The same inside of a write transaction: what is found there stays as it is until the commit."""
