"""States the parameters of a tool with nothing but their properties at the top, as Amazon's Nova wants them: it refuses all else there.

https://docs.aws.amazon.com/nova/latest/userguide/tool-use-definition.html; https://github.com/pydantic/pydantic-ai/issues/1623 (2025-04-30)
and https://github.com/zed-industries/zed/issues/28521 (2025-04-10) have the words in which it does.
"""

from typing import Any

from keyhouse.gateway.wire.fields import JsonObject, unsupported
from keyhouse.gateway.wire.losses import Losses

_AT_THE_TOP = ("type", "properties", "required")
_DEFINITIONS = ("$defs", "definitions")
_OF_ITSELF = ("$schema", "$id")
_MOST_PARTS = 5000
"""What may be written out in place of references in one schema."""


def bare(schema: JsonObject, losses: Losses) -> JsonObject:
    """The schema with what it refers to in place of the references, and with what else stood at its top named as changed.

    Raises Error (`unsupported_parameter`) where so much is referred to that nobody would want it written out.
    """
    kept = {name: schema[name] for name in _AT_THE_TOP if name in schema}
    if schema.keys() - {*_AT_THE_TOP, *_DEFINITIONS, *_OF_ITSELF}:
        losses.change("schema.top", "properties")
    defined = {f"#/{holder}/{name}": part for holder in _DEFINITIONS for name, part in _members(schema.get(holder)).items()}
    if not defined:
        return kept
    written = _WrittenOut(defined, losses)
    return {name: written.whole(part) for name, part in kept.items()}


def _members(holder: object) -> JsonObject:
    return holder if isinstance(holder, dict) else {}


class _WrittenOut:
    """Puts what is defined in place of references to it. One that is met again inside itself becomes a schema of anything."""

    def __init__(self, defined: JsonObject, losses: Losses) -> None:
        self._defined = defined
        self._losses = losses
        self._parts = 0

    def whole(self, part: Any, within: tuple[str, ...] = ()) -> Any:
        """A part of the schema without references."""
        if within:
            self._count()
        if isinstance(part, list):
            return [self.whole(each, within) for each in part]
        if not isinstance(part, dict):
            return part
        reference = part.get("$ref")
        if not isinstance(reference, str) or reference not in self._defined:
            return {name: self.whole(each, within) for name, each in part.items()}
        beside = {name: self.whole(each, within) for name, each in part.items() if name != "$ref"}
        return {**self._referred(reference, within), **beside}

    def _referred(self, reference: str, within: tuple[str, ...]) -> JsonObject:
        if reference in within:
            self._losses.change("schema.$ref", "any")
            return {}
        return _members(self.whole(self._defined[reference], (*within, reference)))

    def _count(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise unsupported("tools", "This model takes no references in the parameters of tools, and these are too much to write out.")
