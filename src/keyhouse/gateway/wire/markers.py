"""Small members in the form of the Messages API, which Chat Completions carries as extensions: cache_control, thinking, its blocks."""

from typing import cast

from keyhouse.gateway.wire.conversation import CacheLifetime, CacheMarker, Effort, Reasoning, RedactedThinkingPart, ThinkingPart
from keyhouse.gateway.wire.fields import Fields, JsonObject, without_nones


def parse_cache_control(fields: Fields) -> CacheMarker | None:
    """The member `cache_control`, `{"type": "ephemeral", "ttl"?: "5m" | "1h"}`, of a part, a tool or a request."""
    control = fields.object_or_none("cache_control")
    if control is None:
        return None
    control.choice("type", ("ephemeral",))
    lifetime = control.choice("ttl", ("5m", "1h")) if control.has("ttl") else None
    return CacheMarker(cast("CacheLifetime | None", lifetime))


def render_cache_control(marker: CacheMarker | None) -> JsonObject | None:
    """The member `cache_control`, or None."""
    return None if marker is None else without_nones({"type": "ephemeral", "ttl": marker.lifetime})


def parse_thinking(fields: Fields, effort: Effort | None) -> Reasoning | None:
    """The member `thinking` of a request, with the effort that was stated elsewhere."""
    thinking = fields.object_or_none("thinking")
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort, parameter="output_config.effort")
    kind = thinking.choice("type", ("enabled", "adaptive", "disabled", "between_tools"))
    if kind == "disabled":
        return Reasoning(mode="off", effort=effort, parameter="thinking")
    return Reasoning(
        mode="between_tools" if kind == "between_tools" else "on",
        effort=effort,
        budget_tokens=thinking.integer("budget_tokens") if kind == "enabled" else None,
        display=thinking.text_or_none("display"),
        parameter="thinking",
    )


def parse_thinking_block(block: Fields) -> ThinkingPart | RedactedThinkingPart:
    """A block of type `thinking` or `redacted_thinking`."""
    if block.choice("type", ("thinking", "redacted_thinking")) == "redacted_thinking":
        return RedactedThinkingPart(block.text("data"))
    return ThinkingPart(block.text("thinking"), block.text_or_none("signature") or None)


def render_thinking_block(part: ThinkingPart | RedactedThinkingPart) -> JsonObject:
    """The block of type `thinking` or `redacted_thinking`; a missing signature is empty."""
    if isinstance(part, RedactedThinkingPart):
        return {"type": "redacted_thinking", "data": part.data}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
