"""A whole message, parsed and rendered."""

from collections.abc import Iterable, Iterator

from keyhouse.gateway.wire.answer import Answer, AnswerDefaults, AnswerPart, StopReason, Usage
from keyhouse.gateway.wire.anthropic_messages.searches import SearchReader, parse_citations, render_search
from keyhouse.gateway.wire.conversation import RedactedThinkingPart, SearchPart, TextPart, ThinkingPart, ToolCallPart
from keyhouse.gateway.wire.fields import Fields, JsonObject
from keyhouse.gateway.wire.markers import parse_thinking_block, render_thinking_block
from keyhouse.gateway.wire.usage import parse_anthropic_usage, render_anthropic_usage

STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "end",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}
_RENDERED_STOP_REASONS: dict[StopReason, str] = {ours: theirs for theirs, ours in STOP_REASONS.items()}


def parse_response(fields: Fields) -> Answer:
    """A message. Raises Error (`upstream_invalid_answer`) when it is none."""
    usage = fields.object_or_none("usage")
    return Answer(
        parts=tuple(_parts(fields)),
        stop=STOP_REASONS.get(fields.text("stop_reason"), "end"),
        id=fields.text_or_none("id"),
        model=fields.text_or_none("model"),
        stop_sequence=fields.text_or_none("stop_sequence"),
        refusal=parse_refusal(fields),
        usage=None if usage is None else parse_anthropic_usage(usage),
    )


def parse_refusal(fields: Fields) -> str | None:
    """The explanation in `stop_details`, where one was given."""
    details = fields.object_or_none("stop_details")
    return details.text_or_none("explanation") if details is not None else None


def _parts(fields: Fields) -> Iterator[AnswerPart]:
    """The blocks that a caller's own request can lead to; others are left out."""
    searches = SearchReader()
    for block in fields.objects("content"):
        match block.text("type"):
            case "text":
                yield TextPart(block.text("text"), citations=parse_citations(block))
            case "server_tool_use":
                searches.asked(block, block.object("input"))
            case "web_search_tool_result":
                yield searches.found(block)
            case "thinking" | "redacted_thinking":
                yield parse_thinking_block(block)
            case "tool_use":
                yield ToolCallPart(block.text("id"), block.text("name"), block.object("input").raw)


def render_response(answer: Answer, defaults: AnswerDefaults) -> JsonObject:
    """A message."""
    return {
        **render_envelope(answer.id or defaults.id, answer.model or defaults.model),
        "content": [block for part in answer.parts for block in _blocks(part)],
        **render_stop(answer.stop, answer.stop_sequence, answer.refusal),
        "usage": render_anthropic_usage(answer.usage or Usage()),
    }


def render_envelope(message_id: str, model: str) -> JsonObject:
    """What a message says of itself."""
    return {"id": message_id, "type": "message", "role": "assistant", "model": model}


def render_stop(stop: StopReason, stop_sequence: str | None, refusal: str | None) -> JsonObject:
    """Why the model stopped, as a message and a `message_delta` state it."""
    details = {"type": "refusal", "category": None, "explanation": refusal} if stop == "refusal" else None
    return {"stop_reason": _RENDERED_STOP_REASONS[stop], "stop_sequence": stop_sequence, "stop_details": details}


def _blocks(part: AnswerPart) -> Iterable[JsonObject]:
    match part:
        case TextPart():
            return ({"type": "text", "text": part.text},)
        case ThinkingPart() | RedactedThinkingPart():
            return (render_thinking_block(part),)
        case ToolCallPart():
            return ({"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments},)
        case SearchPart():
            return render_search(part)
