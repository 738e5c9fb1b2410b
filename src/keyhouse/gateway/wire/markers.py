"""Small members in the form of the Messages API, which Chat Completions carries as extensions: cache_control, thinking, its blocks."""

from collections.abc import Iterable

from keyhouse.gateway.wire.conversation import (
    CacheMarker,
    Effort,
    Message,
    Part,
    Reasoning,
    RedactedThinkingPart,
    ThinkingPart,
    Tool,
    ToolResultPart,
)
from keyhouse.gateway.wire.fields import Fields, JsonObject, without_nones


def parse_cache_control(fields: Fields) -> CacheMarker | None:
    """The member `cache_control`, `{"type": "ephemeral", "ttl"?: "5m" | "1h"}`, of a part, a tool or a request."""
    control = fields.object_or_none("cache_control")
    if control is None:
        return None
    control.choice("type", ("ephemeral",))
    return CacheMarker(control.choice_or_none("ttl", ("5m", "1h")))


def parse_breakpoint(part: Fields, parameter: str = "cache_control") -> CacheMarker | None:
    """The member `prompt_cache_breakpoint` of a part in OpenAI's formats: half an hour at least, or as long as its `ttl` says."""
    breakpoint_ = part.object_or_none("prompt_cache_breakpoint")
    return None if breakpoint_ is None else CacheMarker("1h" if breakpoint_.has("ttl") else None, parameter)


def marker_of(part: Part) -> CacheMarker | None:
    """The marker of a part, or the last one inside a tool's result, where some formats have none."""
    inner = part.content if isinstance(part, ToolResultPart) else ()
    markers = [*(each.cache for each in inner), getattr(part, "cache", None)]
    return next((marker for marker in reversed(markers) if marker is not None), None)


def marker_name(marker: CacheMarker) -> str:
    """What is dropped where a part's marker is."""
    return "messages[].content[].cache_control" if marker.parameter == "cache_control" else marker.parameter


def parse_cache_wish(fields: Fields, messages: Iterable[Message], tools: Iterable[Tool]) -> CacheMarker | None:
    """What a request of OpenAI's formats says of caching all of it. `prompt_cache_key` asks for it too, where nothing is marked: OpenAI
    caches by itself, and the key says that more requests with this prompt follow."""
    stated = parse_cache_control(fields)
    if stated is not None or fields.text_or_none("prompt_cache_key") is None:
        return stated
    parts = (part for message in messages for part in message.parts)
    is_marked = any(getattr(marked, "cache", None) is not None for marked in (*parts, *tools))
    return None if is_marked else CacheMarker(parameter="prompt_cache_key")


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
