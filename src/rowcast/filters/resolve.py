"""Names of a filter to what they read.

A name is a date macro, a path from the base row (see `paths`), or a path that starts
at `@request` or `@collection`. Everything that a filter may reach is decided here and
in `paths`, before there is any SQL: what isn't in the catalog, is hidden, or belongs
to a collection that the client may not list is a FilterError.

Copies tools/search/filter.go and core/record_field_resolver_runner.go.
"""

from __future__ import annotations

import re

from rowcast.errors import FilterError
from rowcast.filters import given, paths
from rowcast.filters.lexer import Kind
from rowcast.filters.model import (
    NULL,
    AllOf,
    AnyOf,
    Changed,
    Column,
    Condition,
    Constant,
    Distance,
    Given,
    Item,
    Literal,
    Operand,
    Root,
    Row,
    Start,
    Test,
    TimeText,
)
from rowcast.filters.parser import AllOf as ParsedAll
from rowcast.filters.parser import Comparison, Node, parse
from rowcast.filters.parser import Operand as Parsed
from rowcast.filters.paths import Context
from rowcast.schema.fields import Field, RelationField
from rowcast.schema.jsontext import go_quote

_NAMES = re.compile(
    r"""
      \w+[\w.:]*
    | @request\.(?:context|method)
    | @request\.(?:auth|body|query|headers)\.[\w.:]*\w+
    | @collection\.\w+(?::\w+)?\.[\w.:]*\w+
    """,
    re.ASCII | re.VERBOSE,
)
_ACCOUNT_VALUES = frozenset(("id", "collectionId", "collectionName", "email", "emailVisibility", "verified"))
_CONSTANTS: dict[str, Operand] = {"null": NULL, "true": Constant(1), "false": Constant(0)}
_TIME_ARGUMENTS = 10


def condition(text: str, context: Context) -> Condition:
    """Return the meaning of a filter. Raises FilterError."""
    return _condition(parse(text), text, context)


def sort_column(name: str, context: Context) -> Column:
    """Return the column that a sort term names. Raises FilterError (copies tools/search/sort.go)."""
    found = _name(name, context)
    if not isinstance(found, Column):
        raise FilterError(f"invalid sort field {go_quote(name)}")
    return found


def _condition(node: Node, text: str, context: Context) -> Condition:
    if isinstance(node, Comparison):
        left = _side("left", node.left, text, context)
        right = _side("right", node.right, text, context)
        return Test(left, node.sign.removeprefix("?"), right, is_any=node.sign[0] == "?")
    items = tuple(_condition(item, text, context) for item in node.items)
    return AllOf(items) if isinstance(node, ParsedAll) else AnyOf(items)


def _side(side: str, parsed: Parsed, text: str, context: Context) -> Operand:
    try:
        return _operand(parsed, context)
    except FilterError as error:
        message = f"invalid {side} operand {go_quote(parsed.value)} - {error.message}"
        raise FilterError(message, text, parsed.start, parsed.end) from None


def _operand(parsed: Parsed, context: Context) -> Operand:
    if parsed.kind is Kind.TEXT:
        return Literal(parsed.value)
    if parsed.kind is Kind.NUMBER:
        return Literal(_number(parsed.value))
    if parsed.kind is Kind.CALL:
        call = _CALLS.get(parsed.value)
        if call is None:
            raise FilterError(f"unknown function {go_quote(parsed.value)}")
        return call(parsed.arguments, context)
    macro = given.macro(parsed.value)
    if macro is not None:
        return macro
    try:
        return _name(parsed.value, context)
    except FilterError:
        constant = _CONSTANTS.get(parsed.value.lower())
        if constant is None:
            raise
        return constant


def _number(text: str) -> float:
    """Return a number; one that is out of range is 0, as cast.ToFloat64 has it."""
    number = float(text)
    return number if abs(number) != float("inf") else 0.0


def _name(name: str, context: Context) -> Operand:
    if not _NAMES.fullmatch(name):
        raise FilterError(f"failed to resolve field {go_quote(name)}")
    props = tuple(name.split("."))
    if props[0] == "@collection":
        return _collection(props, context)
    if props[0] == "@request":
        return _request(props, context)
    return paths.walk(context.base, props, context)


def _collection(props: tuple[str, ...], context: Context) -> Operand:
    """`@collection.name.field` or `@collection.name:alias.field`: every row of a collection."""
    name, _, alias = props[1].partition(":")
    collection = context.find(name)
    if collection is None:
        path = ".".join(props)
        raise FilterError(f"failed to load collection {go_quote(props[1])} from field path {go_quote(path)}")
    key = f":{alias}" if alias else collection.name
    if context.aliases.setdefault((context.guard, key), collection) is not collection:
        raise FilterError(f"the alias {go_quote(alias)} stands for another collection already")
    row = context.visit(Row(Root(Start.COLLECTION, collection, context.guard, key)))
    return paths.walk(row, props[2:], context, is_many=True)


def _request(props: tuple[str, ...], context: Context) -> Operand:
    if props[1] == "auth":
        return _account(props[2:], context)
    if props[1] == "body":
        name, modifier = paths.split_modifier(props[2])
        field = context.base.collection.field(name)
        if field is not None:
            if isinstance(field, RelationField) and len(props) > 3:
                return _submitted_relation(field, props[3:], context)
            read = _SUBMITTED.get(modifier)
            if read is not None and len(props) == 3:
                return read(field, context)
    return _static(props[1:], context)


def _static(path: tuple[str, ...], context: Context) -> Given:
    last, modifier = paths.split_modifier(path[-1])
    field = context.base.collection.field(last)
    as_number = field is not None and field.kind == "number"
    found = given.static((*path[:-1], last), modifier, as_number=as_number)
    if found is None:
        raise FilterError(f"invalid modifier sequence {last}:{modifier}")
    return found


def _account(props: tuple[str, ...], context: Context) -> Operand:
    """`@request.auth.x`: NULL for guests and for what the collection of the account doesn't have."""
    collection = context.scope.auth_collection
    if collection is None:
        return NULL
    if len(props) == 1 and props[0] in _ACCOUNT_VALUES:
        return given.account(props[0], collection)
    if not context.allow_hidden and collection.list_rule != "":
        raise paths.not_listable(collection)
    return paths.walk(Row(Root(Start.ACCOUNT, collection)), props, context, is_request=True)


def _submitted_relation(field: RelationField, props: tuple[str, ...], context: Context) -> Operand:
    """`@request.body.rel.x`: the records whose ids the body brings."""
    collection = context.find(field.collection_id)
    if collection is None:
        raise FilterError(
            f"failed to load collection {go_quote(field.collection_id)} from data field {go_quote(field.name)}"
        )
    row = context.visit(Row(Root(Start.SUBMITTED, collection, context.guard, field.name, field.is_multiple)))
    return paths.walk(row, props, context, is_request=True, is_many=field.is_multiple)


def _submitted_items(field: Field, context: Context) -> Operand:
    _check_list(field)
    row = Row(Root(Start.ITEMS, context.base.collection, context.guard, field.name))
    return Item(row, field.is_multiple)


def _submitted_length(field: Field, _context: Context) -> Operand:
    _check_list(field)
    return given.submitted_length(field.name)


def _submitted_text(field: Field, _context: Context) -> Operand:
    return given.submitted_text(field.name)


def _changed(field: Field, context: Context) -> Operand:
    stored = sort_column(field.name, context)
    submitted = _static(("body", field.name), context)
    return Changed(given.isset(("body", field.name)), submitted, stored)


_SUBMITTED = {
    "each": _submitted_items,
    "length": _submitted_length,
    "lower": _submitted_text,
    "changed": _changed,
}


def _check_list(field: Field) -> None:
    if field.kind not in paths.LIST_KINDS:
        raise FilterError(f"field {go_quote(field.name)} doesn't support multivalue operations")


def _distance(arguments: tuple[Parsed, ...], context: Context) -> Operand:
    """geoDistance(lonA, latA, lonB, latB). Copies tools/search/token_functions.go."""
    if len(arguments) != 4:
        raise FilterError(f"[geoDistance] expected 4 arguments, got {len(arguments)}")
    for index, argument in enumerate(arguments):
        if argument.kind not in {Kind.IDENTIFIER, Kind.NUMBER}:
            raise FilterError(f"[geoDistance] argument {index} must be an identifier or number")
    return Distance(tuple(_value(argument, context) for argument in arguments))


def _time_text(arguments: tuple[Parsed, ...], context: Context) -> Operand:
    """strftime(format, [time, modifier, ...]). Copies tools/search/token_functions.go."""
    if not arguments:
        raise FilterError("[strftime] expected at least 1 arguments, got 0")
    if len(arguments) > _TIME_ARGUMENTS:
        message = f"[strftime] too many arguments (max allowed {_TIME_ARGUMENTS}, got {len(arguments)})"
        raise FilterError(message)
    if arguments[0].kind is not Kind.TEXT:
        raise FilterError("[strftime] expects the first argument to be a format string")
    if len(arguments) == 1:
        return TimeText(arguments[0].value, None)
    if arguments[1].kind is Kind.CALL:
        raise FilterError("[strftime] expects the second argument to be of a valid time-value type")
    for index, argument in enumerate(arguments[2:]):
        if argument.kind is not Kind.TEXT:
            raise FilterError(f"[strftime] invalid modifier argument {index} - can be only string")
    modifiers = tuple(argument.value for argument in arguments[2:])
    return TimeText(arguments[0].value, _value(arguments[1], context), modifiers)


def _value(argument: Parsed, context: Context) -> Operand:
    found = _operand(argument, context)
    if isinstance(found, Changed):
        raise FilterError(f"{go_quote(argument.value)} can't be an argument")
    return found


_CALLS = {"geoDistance": _distance, "strftime": _time_text}
