"""Parses a whole response."""

from collections.abc import Iterator

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.answer import Answer, AnswerPart, StopReason
from keyhouse.gateway.wire.call_signatures import parse_item_signature
from keyhouse.gateway.wire.conversation import SearchPart, TextPart, ThinkingPart, ToolCallPart
from keyhouse.gateway.wire.decoding import decoded_arguments
from keyhouse.gateway.wire.fields import Fields
from keyhouse.gateway.wire.openai_responses.searches import parse_search
from keyhouse.gateway.wire.openai_responses.sources import Sources
from keyhouse.gateway.wire.reasoning_items import parse_reasoning_item
from keyhouse.gateway.wire.usage import parse_responses_usage

_INCOMPLETE: dict[str, StopReason] = {"max_output_tokens": "max_tokens", "content_filter": "refusal"}
BETWEEN_SUMMARIES = "\n\n"


def parse_response(fields: Fields) -> Answer:
    """A response. Raises Error (`upstream_invalid_answer`) when it is none, or failed."""
    error = fields.object_or_none("error")
    status = fields.text_or_none("status")
    if error is not None or status in ("failed", "cancelled"):
        raise Error(Code.UPSTREAM_INVALID_ANSWER, (error and error.text_or_none("message")) or "The upstream failed to answer.")
    cut = status == "incomplete"
    items = list(fields.objects("output"))
    sources = Sources()
    parts = tuple(part for item in items for part in _parts(item, sources, is_cut=cut))
    refusal = "".join(content.text("refusal") for item in items for content in said_of(item) if content.text("type") == "refusal") or None
    usage = fields.object_or_none("usage")
    return Answer(
        parts=parts,
        stop=parse_stop(fields, has_calls=any(isinstance(part, ToolCallPart) for part in parts), has_refusal=refusal is not None),
        id=fields.text_or_none("id"),
        model=fields.text_or_none("model"),
        created=fields.integer_or_none("created_at"),
        refusal=refusal,
        usage=None if usage is None else parse_responses_usage(usage, sum(isinstance(part, SearchPart) for part in parts)),
    )


def parse_stop(response: Fields, *, has_calls: bool, has_refusal: bool) -> StopReason:
    """Why the model stopped, which a response tells by its status and its items."""
    details = response.object_or_none("incomplete_details")
    if response.text_or_none("status") == "incomplete" or details is not None:
        return _INCOMPLETE.get(details.text_or_none("reason") or "" if details is not None else "", "max_tokens")
    if has_calls:
        return "tool_calls"
    return "refusal" if has_refusal else "end"


def said_of(item: Fields) -> Iterator[Fields]:
    """The contents of an item of type `message`; none of another."""
    return item.objects_or_none("content") if item.text("type") == "message" else iter(())


def _parts(item: Fields, sources: Sources, *, is_cut: bool) -> Iterator[AnswerPart]:
    """The parts that an item amounts to; an item that no request of a caller can lead to is left out."""
    sources.note(item)
    match item.text("type"):
        case "message":
            for content in said_of(item):
                text = content.text_or_none("text") or content.text_or_none("refusal")
                if text:
                    yield TextPart(text, citations=sources.cited(content))
        case "reasoning":
            thought = BETWEEN_SUMMARIES.join(summary.text("text") for summary in item.objects_or_none("summary"))
            thought = thought or "".join(content.text("text") for content in item.objects_or_none("content"))
            if thought:
                yield ThinkingPart(thought)
            kept = parse_reasoning_item(item)
            if kept is not None:
                yield kept
        case "web_search_call" | "search_results":
            search = parse_search(item)
            if search is not None:
                yield search
        case "function_call":
            arguments = decoded_arguments(item.text("arguments"), is_cut=is_cut)
            if arguments is not None:
                signature = parse_item_signature(item)
                if signature is not None:
                    yield signature
                yield ToolCallPart(item.text("call_id"), item.text("name"), arguments)
