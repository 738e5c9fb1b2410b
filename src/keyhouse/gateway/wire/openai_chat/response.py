"""A whole chat completion, parsed and rendered."""

import secrets
from collections.abc import Iterator

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.answer import Answer, AnswerDefaults, AnswerPart, StopReason
from keyhouse.gateway.wire.call_signatures import parse_call_signature
from keyhouse.gateway.wire.citations import in_chat, render_citations
from keyhouse.gateway.wire.conversation import RedactedThinkingPart, TextPart, ThinkingPart, ToolCallPart
from keyhouse.gateway.wire.decoding import decoded_arguments
from keyhouse.gateway.wire.fields import Fields, JsonObject, without_nones
from keyhouse.gateway.wire.markers import render_thinking_block
from keyhouse.gateway.wire.openai_chat.errors import parse_error_member
from keyhouse.gateway.wire.usage import parse_openai_usage, render_openai_usage

FINISH_REASONS: dict[StopReason, str] = {
    "end": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "context_window": "length",
    "tool_calls": "tool_calls",
    "refusal": "content_filter",
}
_STOP_REASONS: dict[str, StopReason] = {
    "stop": "end",
    "length": "max_tokens",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refusal",
    # Mistral's, where the context is full: https://docs.mistral.ai/api (2026-11-29).
    "model_length": "context_window",
    # Gemini's own, which its OpenAI endpoint lets through: https://ai.google.dev/api/generate-content#FinishReason,
    # https://github.com/HKUDS/Vibe-Trading/pull/308 (2026-11-29).
    "MAX_TOKENS": "max_tokens",
    **dict.fromkeys(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"), "refusal"),
    **dict.fromkeys(("IMAGE_SAFETY", "IMAGE_RECITATION", "IMAGE_PROHIBITED_CONTENT"), "refusal"),
}
_BROKEN_OFF = frozenset(
    (
        "error",
        "insufficient_system_resource",
        "function_call_filter",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    )
)
"""Mistral's and DeepSeek's words for a failure of their own (https://api-docs.deepseek.com/api/create-chat-completion), and Gemini's for a
call that it threw away (https://github.com/coder/coder/pull/28470, 2026-11-29)."""
_CUT_OFF: tuple[StopReason, ...] = ("max_tokens", "context_window")
REASONING_NAMES = ("reasoning_content", "reasoning")
"""Where OpenAI-shaped upstreams put what the model thought: https://api-docs.deepseek.com/guides/reasoning_model and
https://openrouter.ai/docs/use-cases/reasoning-tokens, 23 November 2026. The reference itself has no such member."""


def parse_stop(finish_reason: str | None, *, has_calls: bool, has_refusal: bool) -> StopReason:
    """Why the model stopped. Some upstreams say `stop` beside tool calls; what they sent counts.

    Raises Error (`upstream_invalid_answer`) where the upstream broke off.
    """
    # Gemini's may be followed by its own word for it: `content_filter: RECITATION`.
    reason = (finish_reason or "stop").partition(":")[0]
    if reason in _BROKEN_OFF:
        raise Error(Code.UPSTREAM_INVALID_ANSWER, f"The upstream broke its answer off because of an error of its own ({finish_reason}).")
    stop = _STOP_REASONS.get(reason, "end")
    if stop in ("end", "tool_calls"):
        stop = "tool_calls" if has_calls else "end"
    return "refusal" if stop == "end" and has_refusal else stop


def parse_thought(said: Fields) -> str:
    """What the model thought, in a message or a delta; empty where it stands in neither place as text."""
    return next((thought for name in REASONING_NAMES if isinstance(thought := said.raw.get(name), str) and thought), "")


def parse_said(said: Fields) -> Iterator[ThinkingPart | TextPart]:
    """What was thought and said in a message or a delta, in order.

    Mistral states both in one array, as blocks of type `thinking` and `text`: https://docs.mistral.ai/inference/conversations/reasoning,
    29 November 2026.
    """
    thought = parse_thought(said)
    if thought:
        yield ThinkingPart(thought)
    if not isinstance(said.raw.get("content"), list):
        yield TextPart(said.text_or_none("content") or "")
        return
    for block in said.objects("content"):
        match block.text("type"):
            case "text":
                yield TextPart(block.text("text"))
            case "thinking":
                yield ThinkingPart("".join(inner.text_or_none("text") or "" for inner in block.objects_or_none("thinking")))


def parse_response(fields: Fields) -> Answer:
    """A chat completion; its first choice. Raises Error (`upstream_invalid_answer`) when it is none."""
    if fields.has("error") and not fields.has("choices"):
        # Some servers state their errors under the status of success.
        raise Error(Code.UPSTREAM_INVALID_ANSWER, f"The upstream answered with an error: {parse_error_member(fields.raw).message}")
    choice = next(fields.objects("choices"), None)
    if choice is None:
        raise fields.wrong("choices", "an array with one choice at least")
    message = choice.object("message")
    given = tuple(message.objects_or_none("tool_calls"))
    refusal = message.text_or_none("refusal") or None
    stop = parse_stop(choice.text_or_none("finish_reason"), has_calls=bool(given), has_refusal=refusal is not None)
    calls = tuple(part for call in given for part in _tool_call(call, is_cut=stop in _CUT_OFF))
    usage = fields.object_or_none("usage")
    return Answer(
        parts=(*_said(message, refusal), *calls),
        stop=stop,
        id=fields.text_or_none("id"),
        model=fields.text_or_none("model"),
        created=fields.integer_or_none("created"),
        refusal=refusal,
        usage=None if usage is None else parse_openai_usage(usage),
    )


def _said(message: Fields, refusal: str | None) -> Iterator[AnswerPart]:
    yield from (part for part in parse_said(message) if part.text)
    if refusal:
        yield TextPart(refusal)


def parse_arguments(function: Fields) -> str:
    """The arguments of a call, or a piece of them, as JSON. Mistral may state an object: https://docs.mistral.ai/api (2026-11-29)."""
    if isinstance(function.raw.get("arguments"), dict):
        return msgspec.json.encode(function.raw["arguments"]).decode()
    return function.text_or_none("arguments") or ""


def made_call_id() -> str:
    """An id for a call of an upstream that gives none: Claude's hosts and the Agents SDK want no two alike in a conversation."""
    return f"call_{secrets.token_hex(12)}"


def _tool_call(call: Fields, *, is_cut: bool) -> Iterator[RedactedThinkingPart | ToolCallPart]:
    """A call, and its signature before it. `is_cut`: see `decoded_arguments`."""
    function = call.object("function")
    arguments = decoded_arguments(parse_arguments(function), is_cut=is_cut)
    if arguments is None:
        return
    name, call_id = function.text("name"), call.text_or_none("id") or made_call_id()
    signature = parse_call_signature(call)
    if signature is not None:
        yield signature
    yield ToolCallPart(call_id, name, arguments)


def render_response(answer: Answer, defaults: AnswerDefaults) -> JsonObject:
    """A chat completion with one choice. Thoughts stand in `reasoning_content`; what the model takes back, in `thinking_blocks`."""
    choice = {"index": 0, "message": _message(answer), "logprobs": None, "finish_reason": FINISH_REASONS[answer.stop]}
    return without_nones(
        {
            "id": answer.id or defaults.id,
            "object": "chat.completion",
            "created": defaults.created if answer.created is None else answer.created,
            "model": answer.model or defaults.model,
            "choices": [choice],
            "usage": None if answer.usage is None else render_openai_usage(answer.usage),
        }
    )


def _message(answer: Answer) -> JsonObject:
    texts = [part for part in answer.parts if isinstance(part, TextPart)]
    thoughts = [part for part in answer.parts if isinstance(part, ThinkingPart | RedactedThinkingPart)]
    calls = [_rendered_call(part) for part in answer.parts if isinstance(part, ToolCallPart)]
    message: JsonObject = {
        "role": "assistant",
        "content": "".join(part.text for part in texts) if texts else None,
        "refusal": answer.refusal,
    }
    annotations = [in_chat(annotation) for annotation in render_citations(texts)]
    if annotations:
        message["annotations"] = annotations
    if thoughts:
        message["reasoning_content"] = "".join(part.text for part in thoughts if isinstance(part, ThinkingPart))
    blocks = [render_thinking_block(part) for part in thoughts if isinstance(part, RedactedThinkingPart) or part.signature]
    if blocks:
        message["thinking_blocks"] = blocks
    if calls:
        message["tool_calls"] = calls
    return message


def _rendered_call(part: ToolCallPart) -> JsonObject:
    arguments = msgspec.json.encode(part.arguments).decode()
    return {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": arguments}}
