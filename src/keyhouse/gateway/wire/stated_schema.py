"""States in a JSON schema what the standard leaves unsaid and an API wants said, or takes in no other way. Sends nothing.

Messages and Converse refuse objects that leave other members open: https://platform.claude.com/docs/en/build-with-claude/structured-outputs.
OpenAI refuses parameters that are no object or name no properties, and arrays that describe no items:
https://github.com/microsoft/playwright-mcp/issues/1191, https://github.com/digitalocean-labs/mcp-digitalocean/issues/265 (2026-11-29).
"""

from collections.abc import Iterable, Mapping

import msgspec

from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.losses import Losses

_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "prefixItems")
_BOUNDS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "format"),
)
"""Messages and Converse refuse them, and Anthropic's own clients put them into descriptions: lib/_parse/_transform.py of the anthropic
package, 2.14.0 (2026-11-29)."""
_TAKEN: Mapping[str, tuple[object, ...]] = {
    "minItems": (0, 1),
    "format": ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
}
"""What can be promised of them all the same."""
_OF_ITSELF = ("$schema", "$id")
"""Mistral refuses them (litellm 1.110.2 leaves them out for it), and they say nothing of a call."""
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


def unbounded(schema: JsonObject, losses: Losses) -> JsonObject:
    """The schema with its bounds in descriptions, where the model reads them, and choices of one as choices of any; that it is no longer
    promised is noted."""
    copy: JsonObject = msgspec.json.decode(msgspec.json.encode(schema))
    parts = list(_parts(copy, (*_LISTS, "allOf")))
    told, loosened = [_bounds_told(part) for part in parts], [_loosened(part) for part in parts]
    if any(told):
        losses.change("schema.bounds", "described")
    if any(loosened):
        losses.change("schema.oneOf", "anyOf")
    return copy


def _loosened(part: JsonObject) -> bool:
    """Whether a choice of exactly one became one of any, as Anthropic's own clients state it: `oneOf` is refused."""
    if not isinstance(part.get("oneOf"), list) or "anyOf" in part:
        return False
    part["anyOf"] = part.pop("oneOf")
    part.pop("discriminator", None)
    return True


def _bounds_told(part: JsonObject) -> bool:
    bounds = {name: part.pop(name) for name in _BOUNDS if name in part and part[name] not in _TAKEN.get(name, ())}
    if not bounds:
        return False
    words = ", ".join(f"{name}: {msgspec.json.encode(value).decode()}" for name, value in bounds.items())
    stated = part.get("description")
    part["description"] = f"{stated}\n\n{{{words}}}" if isinstance(stated, str) and stated else f"{{{words}}}"
    return True


def described(schema: JsonObject | None) -> JsonObject:
    """The parameters of a tool as an object that names its properties, none if need be, and with items, whatever they are, where an array
    describes none."""
    stated = {name: value for name, value in (schema or {}).items() if name not in _OF_ITSELF}
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


def _parts(schema: JsonObject, lists: Iterable[str] = _LISTS) -> Iterable[JsonObject]:
    """The schema and all that stand in it."""
    waiting: list[object] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += _inner(part, lists)


def _inner(schema: JsonObject, lists: Iterable[str]) -> Iterable[object]:
    """The schemas that stand directly in this one."""
    yield schema.get("items")
    for name in _MAPS:
        if isinstance(schema.get(name), dict):
            yield from schema[name].values()
    for name in lists:
        if isinstance(schema.get(name), list):
            yield from schema[name]
