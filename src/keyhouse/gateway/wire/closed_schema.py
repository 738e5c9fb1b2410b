"""Closes the objects of a JSON schema: Messages and Converse refuse one that leaves open which further members there may be.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs (2026-11-29).
"""

from collections.abc import Iterable

import msgspec

from keyhouse.gateway.wire.fields import JsonObject

_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "prefixItems")


def closed(schema: JsonObject) -> JsonObject:
    """The schema with `additionalProperties` false where an object names its members and says nothing of others: what fits it fits the
    schema too. Parts of an `allOf`, which belong together, stay as they are, and so does an object that names no members."""
    copy: JsonObject = msgspec.json.decode(msgspec.json.encode(schema))
    parts: list[object] = [copy]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if "properties" in part and not part.keys() & {"additionalProperties", "allOf"}:
                part["additionalProperties"] = False
            parts += _inner(part)
    return copy


def _inner(schema: JsonObject) -> Iterable[object]:
    """The schemas that stand directly in this one."""
    yield schema.get("items")
    for name in _MAPS:
        if isinstance(schema.get(name), dict):
            yield from schema[name].values()
    for name in _LISTS:
        if isinstance(schema.get(name), list):
            yield from schema[name]
