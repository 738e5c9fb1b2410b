"""States in a JSON schema what the standard leaves unsaid and an API wants said.

Messages and Converse refuse objects that leave other members open: https://platform.claude.com/docs/en/build-with-claude/structured-outputs.
OpenAI refuses parameters that are no object or name no properties, and arrays that describe no items:
https://github.com/microsoft/playwright-mcp/issues/1191, https://github.com/digitalocean-labs/mcp-digitalocean/issues/265 (2026-11-29).
"""

from collections.abc import Iterable

import msgspec

from keyhouse.gateway.wire.fields import JsonObject

_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "prefixItems")
_SHAPES = frozenset(("type", "anyOf", "oneOf", "allOf", "$ref"))
"""Any of these says what a schema is of."""


def closed(schema: JsonObject) -> JsonObject:
    """The schema with `additionalProperties` false where an object names its members and says nothing of others: what fits it fits the
    schema too. Parts of an `allOf`, which belong together, stay as they are, and so does an object that names no members."""
    copy: JsonObject = msgspec.json.decode(msgspec.json.encode(schema))
    for part in _parts(copy):
        if "properties" in part and not part.keys() & {"additionalProperties", "allOf"}:
            part["additionalProperties"] = False
    return copy


def described(schema: JsonObject | None) -> JsonObject:
    """The parameters of a tool as an object that names its properties, none if need be, and with items, whatever they are, where an array
    describes none."""
    stated = schema or {}
    if not stated.keys() & _SHAPES:
        stated = {"type": "object", **stated}
    if _lacks_items(stated):
        stated = msgspec.json.decode(msgspec.json.encode(stated))
        for part in _parts(stated):
            if _is_bare_array(part):
                part["items"] = {}
    return stated if "properties" in stated or stated.get("type") != "object" else {**stated, "properties": {}}


def _lacks_items(schema: JsonObject) -> bool:
    return any(_is_bare_array(part) for part in _parts(schema))


def _is_bare_array(part: JsonObject) -> bool:
    kind = part.get("type")
    return (kind == "array" or (isinstance(kind, list) and "array" in kind)) and not part.keys() & {"items", "prefixItems"}


def _parts(schema: JsonObject) -> Iterable[JsonObject]:
    """The schema and all that stand in it."""
    waiting: list[object] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += _inner(part)


def _inner(schema: JsonObject) -> Iterable[object]:
    """The schemas that stand directly in this one."""
    yield schema.get("items")
    for name in _MAPS:
        if isinstance(schema.get(name), dict):
            yield from schema[name].values()
    for name in _LISTS:
        if isinstance(schema.get(name), list):
            yield from schema[name]
