"""Parses a whole answer of Converse."""

from collections.abc import Iterator

from keyhouse.gateway.wire.answer import Answer, AnswerPart, StopReason
from keyhouse.gateway.wire.conversation import RedactedThinkingPart, TextPart, ThinkingPart, ToolCallPart
from keyhouse.gateway.wire.fields import Fields
from keyhouse.gateway.wire.usage import parse_converse_usage

STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "end",
    "tool_use": "tool_calls",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
    "model_context_window_exceeded": "context_window",
}


def parse_response(fields: Fields) -> Answer:
    """An answer of `POST /model/{id}/converse`. Raises Error (`upstream_invalid_answer`) when it is none."""
    message = fields.object("output").object("message")
    usage = fields.object_or_none("usage")
    parts = tuple(part for block in message.objects("content") for part in _parts(block))
    return Answer(
        parts=parts,
        stop=parse_stop(fields, has_calls=any(isinstance(part, ToolCallPart) for part in parts)),
        usage=None if usage is None else parse_converse_usage(usage),
    )


def parse_stop(fields: Fields, *, has_calls: bool) -> StopReason:
    """The member `stopReason`. Output that the model malformed is an error, not an answer. Some models say `end_turn` beside calls, or
    `tool_use` without any; what they sent counts: https://github.com/strands-agents/harness-sdk/issues/644 (2025-08-10),
    https://github.com/strands-rl/strands-env/pull/252 (2026-09-01)."""
    reason = fields.text("stopReason")
    if reason.startswith("malformed_"):
        raise fields.wrong("stopReason", "a reason other than malformed output")
    stop = STOP_REASONS.get(reason, "end")
    return stop if stop not in ("end", "tool_calls") else "tool_calls" if has_calls else "end"


def _parts(block: Fields) -> Iterator[AnswerPart]:
    """The blocks that a caller's own request can lead to; others are left out."""
    if block.has("text"):
        if block.text("text"):
            yield TextPart(block.text("text"))
    elif block.has("toolUse"):
        call = block.object("toolUse")
        yield ToolCallPart(call.text("toolUseId"), call.text("name"), call.object("input").raw)
    elif block.has("reasoningContent"):
        yield _thinking(block.object("reasoningContent"))
    elif block.has("citationsContent"):
        cited = block.object("citationsContent")
        yield TextPart("".join(part.text("text") for part in cited.objects_or_none("content")))


def _thinking(content: Fields) -> ThinkingPart | RedactedThinkingPart:
    if content.has("redactedContent"):
        return RedactedThinkingPart(content.text("redactedContent"))
    thought = content.object("reasoningText")
    return ThinkingPart(thought.text("text"), thought.text_or_none("signature"))
