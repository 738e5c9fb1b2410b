"""Renders a response: its items, and what it repeats of the request."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import msgspec

from keyhouse.gateway.wire.answer import Answer, AnswerDefaults, AnswerPart, StopReason, Usage
from keyhouse.gateway.wire.citations import render_citations
from keyhouse.gateway.wire.conversation import RedactedThinkingPart, SearchPart, TextPart, ThinkingPart, ToolCallPart
from keyhouse.gateway.wire.fields import JsonObject, without_nones
from keyhouse.gateway.wire.openai_responses.kept_thoughts import render_kept_thought
from keyhouse.gateway.wire.openai_responses.namespaces import separated_name
from keyhouse.gateway.wire.openai_responses.searches import render_made_search

ECHOED: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what it says where the request did not."""
ToldPart = AnswerPart | tuple[TextPart, ...]
"""A part of an answer, or words that follow each other."""
_INCOMPLETE: Mapping[StopReason, str] = {
    "max_tokens": "max_output_tokens",
    "context_window": "max_output_tokens",
    "refusal": "content_filter",
}


def render_response(answer: Answer, defaults: AnswerDefaults) -> JsonObject:
    """A whole response."""
    has_refused = TextPart(answer.refusal or "") in answer.parts
    parts = answer.parts if has_refused or not answer.refusal else (*answer.parts, TextPart(answer.refusal))
    items = [
        render_item(part, defaults, number, is_refusal=isinstance(part, TextPart) and part.text == answer.refusal)
        for number, part in enumerate(_joined(parts, answer.refusal))
    ]
    if items and is_cut(answer.stop):
        items[-1] = unfinished(items[-1])
    return render_envelope(defaults, answer.model, told_stop(answer.stop, has_refused=has_refused), items, answer.usage or Usage())


def _joined(parts: Iterable[AnswerPart], refusal: str | None) -> Iterator[ToldPart]:
    """The parts, words that follow each other as one: clients take the last message alone for the answer."""
    for are_words, group in groupby(parts, lambda part: isinstance(part, TextPart) and part.text != refusal):
        if are_words:
            yield tuple(part for part in group if isinstance(part, TextPart))
        else:
            yield from group


def told_stop(stop: StopReason, *, has_refused: bool) -> StopReason:
    """The reason as it is told: `has_refused` says that the model itself refused in words, with which its answer is complete."""
    return "end" if has_refused and stop == "refusal" else stop


def is_cut(stop: StopReason) -> bool:
    """Whether the last item breaks off."""
    return _INCOMPLETE.get(stop) == "max_output_tokens"


def unfinished(item: JsonObject) -> JsonObject:
    """The item as one that breaks off; thoughts have no such mark."""
    return {**item, "status": "incomplete"} if "status" in item else item


def render_envelope(
    defaults: AnswerDefaults, model: str | None, stop: StopReason | None, items: Iterable[JsonObject], usage: Usage | None
) -> JsonObject:
    """A response with these items; without a reason to stop it is in progress."""
    incomplete = _INCOMPLETE.get(stop) if stop is not None else None
    return {
        "id": defaults.id,
        "object": "response",
        "created_at": defaults.created,
        "status": "in_progress" if stop is None else "incomplete" if incomplete else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "model": model or defaults.model,
        "output": list(items),
        "previous_response_id": None,
        "store": False,
        **{name: value if defaults.request.get(name) is None else defaults.request[name] for name, value in ECHOED.items()},
        "usage": None if usage is None else _usage(usage),
    }


def _usage(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens or 0, "cache_write_tokens": usage.cache_write_tokens or 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
    }


def render_item(
    part: ToldPart, defaults: AnswerDefaults, number: int, *, arguments: str | None = None, is_refusal: bool = False
) -> JsonObject:
    """A whole item; `arguments` where they are there as text."""
    match part:
        case TextPart() | tuple():
            texts = part if isinstance(part, tuple) else (part,)
            said = {"role": "assistant", "content": [render_words(texts, is_refusal=is_refusal)]}
            return {"id": item_id("msg", defaults, number), "type": "message", "status": "completed", **said}
        case ToolCallPart():
            text = msgspec.json.encode(part.arguments).decode() if arguments is None else arguments
            called = {"call_id": part.id, **separated_name(part.name, defaults.request.get("tools") or ()), "arguments": text}
            return {"id": item_id("fc", defaults, number), "type": "function_call", **called, "status": "completed"}
        case ThinkingPart() | RedactedThinkingPart():
            told = [{"type": "summary_text", "text": part.text}] if isinstance(part, ThinkingPart) and part.text else []
            item = {"id": item_id("rs", defaults, number), "type": "reasoning", "summary": told}
            return without_nones({**item, "encrypted_content": render_kept_thought(part)})
        case SearchPart():
            return {"id": item_id("ws", defaults, number), **render_made_search(part)}


def render_words(parts: Sequence[TextPart], *, is_refusal: bool) -> JsonObject:
    """The content of a message."""
    text = "".join(part.text for part in parts)
    if is_refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": render_citations(parts), "logprobs": []}


def item_id(kind: str, defaults: AnswerDefaults, number: int) -> str:
    """The id of an item of a response: see `OWN_ITEMS`."""
    return f"{kind}_kh_{defaults.id.removeprefix('resp_')}_{number}"
