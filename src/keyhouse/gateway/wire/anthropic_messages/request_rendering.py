"""Renders a request for the Messages API. Sends nothing."""

import base64
import binascii

from msgspec.structs import replace

from keyhouse.gateway.wire.anthropic_messages.bound_thoughts import BETA, is_bound, unbound, without_unusable
from keyhouse.gateway.wire.anthropic_messages.last_words import ended_by_user
from keyhouse.gateway.wire.anthropic_messages.searches import render_search_tool
from keyhouse.gateway.wire.anthropic_messages.user_ids import render_metadata
from keyhouse.gateway.wire.any_json import with_json_told
from keyhouse.gateway.wire.conversation import (
    SEARCH,
    AudioPart,
    Base64Source,
    DocumentPart,
    Effort,
    FileSource,
    ImagePart,
    Message,
    Part,
    Reasoning,
    RedactedThinkingPart,
    RenderedRequest,
    Request,
    Source,
    TextPart,
    TextSource,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    UpstreamModel,
    UrlSource,
)
from keyhouse.gateway.wire.fields import JsonObject, unsupported, without_nones
from keyhouse.gateway.wire.forced_tools import with_tools_told
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.marker_limits import with_allowed_markers
from keyhouse.gateway.wire.markers import render_cache_control, render_thinking_block
from keyhouse.gateway.wire.media import IMAGE_FORMATS
from keyhouse.gateway.wire.model_traits import EFFORTS, ModelTraits, budget_tokens, traits
from keyhouse.gateway.wire.reasoning_items import is_unreadable
from keyhouse.gateway.wire.sampling import reasoning, sampling, taken_effort
from keyhouse.gateway.wire.stated_schema import closed, unbounded
from keyhouse.gateway.wire.turns import accepted_tool_id, is_blank, turns, without_parts

_VERTEX_API_VERSION = "vertex-2023-10-16"
"""What stands in the body instead of the header on Vertex AI: https://platform.claude.com/docs/en/api/claude-on-vertex-ai, 23
November 2026."""

_CACHEABLE = frozenset(("text", "image", "document", "tool_use", "tool_result"))

_ABOVE_HIGH: tuple[Effort, ...] = ("xhigh", "max")
_UNKNOWN_MODEL = ModelTraits(
    thinking="adaptive",
    off="disabled",
    efforts=EFFORTS[1:],
    sampling="both",
    top_k="top_k",
    strict=True,
    caches="all",
    is_known=False,
)


def render_request(request: Request, model: UpstreamModel, losses: Losses) -> RenderedRequest:
    """The body of `POST /v1/messages`. Raises Error (`unsupported_parameter`) for what the API can not hold."""
    known = traits(model.id, _UNKNOWN_MODEL)
    request = with_allowed_markers(with_tools_told(with_json_told(request, losses), known, losses), losses)
    limit = request.max_tokens if request.max_tokens is not None else model.max_output_tokens or known.output_tokens
    kept = without_parts(is_unreadable, request.messages)
    wanted = reasoning(replace(request, messages=kept), known, losses, max_tokens=limit)
    sampled = sampling(request, known, losses, thinks=wanted is not None and wanted.mode in ("on", "between_tools"))
    thinking = render_thinking(wanted, known, limit, losses)
    arranged = turns(without_unusable(kept, known, thinking, losses))
    messages = ended_by_user(arranged.messages, known, thinking)
    bound = model.takes_betas and is_bound(messages, known, thinking)
    body = without_nones(
        {
            "model": model.id,
            "max_tokens": limit,
            "system": _system(arranged.system),
            "messages": [_message(message) for message in messages],
            "temperature": sampled.temperature,
            "top_p": sampled.top_p,
            "top_k": sampled.top_k,
            "stop_sequences": _stop_sequences(request.stop),
            "tools": _tools(request, known, losses) or None,
            "tool_choice": _tool_choice(request),
            **(unbound(thinking) if bound else thinking),
            "metadata": render_metadata(request.user_id, losses),
            "service_tier": _service_tier(request, losses),
            "cache_control": render_cache_control(request.cache),
            "stream": True if request.stream else None,
        }
    )
    if request.output_schema is not None:
        form = {"type": "json_schema", "schema": unbounded(closed(request.output_schema.told), losses)}
        body["output_config"] = {**body.get("output_config", {}), "format": form}
    return RenderedRequest(body, losses.dropped, losses.enforced, betas=(BETA,) if bound else ())


def render_vertex_request(body: JsonObject) -> JsonObject:
    """The same body as Vertex AI wants it: the model in the URL, the version of the API in the body, and what shall be cached marked where
    it ends. A marker of the whole request is refused there: https://github.com/vercel/ai/pull/13986 (2026-03-31)."""
    kept = {name: value for name, value in body.items() if name not in ("model", "cache_control")}
    marker, messages = body.get("cache_control"), body.get("messages")
    if marker is not None and isinstance(messages, list) and messages:
        kept["messages"] = [*messages[:-1], _marked(messages[-1], marker)]
    return {"anthropic_version": _VERTEX_API_VERSION, **kept}


def _marked(message: object, marker: object) -> object:
    """A message whose last block is marked, unless it is already or can not be."""
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not (isinstance(blocks, list) and blocks and isinstance(blocks[-1], dict)):
        return message
    end = blocks[-1]
    can_be = end.get("type") in _CACHEABLE and not (end["type"] == "text" and not str(end.get("text")).strip())
    return {**message, "content": [*blocks[:-1], {"cache_control": marker, **end}]} if can_be else message


def _system(texts: tuple[TextPart, ...]) -> str | list[JsonObject] | None:
    if not texts:
        return None
    return texts[0].text if len(texts) == 1 and texts[0].cache is None else [_text(part) for part in texts]


def _message(message: Message) -> JsonObject:
    blocks = [_block(part) for part in message.parts]
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return {"role": message.role, "content": blocks[0]["text"]}
    return {"role": message.role, "content": blocks}


def _block(part: Part) -> JsonObject:
    match part:
        case TextPart():
            return _text(part)
        case ImagePart():
            return without_nones({"type": "image", "source": _image_source(part.source), "cache_control": render_cache_control(part.cache)})
        case DocumentPart():
            return _document(part)
        case AudioPart():
            raise unsupported("messages", "The Messages API takes no sound.")
        case ThinkingPart() | RedactedThinkingPart():
            return render_thinking_block(part)
        case ToolCallPart():
            block = {"type": "tool_use", "id": accepted_tool_id(part.id), "name": part.name, "input": part.arguments}
            return without_nones({**block, "cache_control": render_cache_control(part.cache)})
        case ToolResultPart():
            return _tool_result(part)


def _text(part: TextPart) -> JsonObject:
    return without_nones({"type": "text", "text": part.text, "cache_control": render_cache_control(part.cache)})


def _tool_result(part: ToolResultPart) -> JsonObject:
    blocks = [_block(inner) for inner in part.content if not is_blank(inner)]
    only_text = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
    return without_nones(
        {
            "type": "tool_result",
            "tool_use_id": accepted_tool_id(part.tool_call_id),
            "content": blocks[0]["text"] if only_text else blocks or None,
            "is_error": True if part.is_error else None,
            "cache_control": render_cache_control(part.cache),
        }
    )


def _image_source(source: Source) -> JsonObject:
    match source:
        case Base64Source():
            if source.media_type not in IMAGE_FORMATS:
                raise unsupported("messages", f"The Messages API takes images of the types {', '.join(IMAGE_FORMATS)}.")
            return {"type": "base64", "media_type": source.media_type, "data": source.data}
        case UrlSource():
            return {"type": "url", "url": source.url}
        case FileSource():
            return {"type": "file", "file_id": source.file_id}
        case TextSource():
            raise unsupported("messages", "An image can not be plain text.")


def _document(part: DocumentPart) -> JsonObject:
    return without_nones(
        {
            "type": "document",
            "source": _document_source(part.source),
            "title": part.title,
            "context": part.context,
            "cache_control": render_cache_control(part.cache),
        }
    )


def _document_source(source: Source) -> JsonObject:
    match source:
        case Base64Source(media_type="application/pdf"):
            return {"type": "base64", "media_type": source.media_type, "data": source.data}
        case Base64Source(media_type="text/plain"):
            return {"type": "text", "media_type": "text/plain", "data": _decoded_text(source.data)}
        case Base64Source():
            raise unsupported("messages", "The Messages API takes files of the types application/pdf and text/plain.")
        case UrlSource():
            return {"type": "url", "url": source.url}
        case FileSource():
            return {"type": "file", "file_id": source.file_id}
        case TextSource():
            return {"type": "text", "media_type": "text/plain", "data": source.text}


def _decoded_text(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise unsupported("messages", "A file of plain text must be UTF-8 in base64.") from error


def _stop_sequences(stop: tuple[str, ...]) -> list[str] | None:
    if any(not sequence.strip() for sequence in stop):
        raise unsupported("stop", "The Messages API takes no stop sequence of white space alone.")
    return list(stop) or None


def _tools(request: Request, model: ModelTraits, losses: Losses) -> list[JsonObject]:
    functions = [_tool(tool, model, losses) for tool in request.tools]
    return functions if request.search is None else [*functions, render_search_tool(request.search)]


def _tool(tool: Tool, model: ModelTraits, losses: Losses) -> JsonObject:
    schema, is_strict = tool.schema or {"properties": {}}, bool(tool.strict) and model.strict
    if tool.strict and not is_strict:
        losses.drop("tools[].strict", "The model has no strict tools.")
    return without_nones(
        {
            "name": tool.name,
            "description": tool.description,
            "input_schema": {"type": "object", **(unbounded(schema, losses) if is_strict else schema)},
            "strict": True if is_strict else None,
            "cache_control": render_cache_control(tool.cache),
        }
    )


def _tool_choice(request: Request) -> JsonObject | None:
    """The choice, and in it whether tools may be called at once. Without tools there is nothing to choose."""
    if not request.tools and request.search is None:
        return None
    choice = request.tool_choice
    single = {"disable_parallel_tool_use": True} if request.parallel_tool_calls is False else {}
    if choice is None or choice.mode == "auto":
        return {"type": "auto", **single} if choice is not None or single else None
    if choice.mode == "none":
        return {"type": "none"}
    if choice.mode == "required":
        return {"type": "any", **single}
    return {"type": "tool", "name": SEARCH if choice.mode == "search" else choice.name, **single}


def render_thinking(wanted: Reasoning | None, model: ModelTraits, max_tokens: int, losses: Losses) -> JsonObject:
    """The members `thinking` and `output_config`, which Claude models on Converse take as well."""
    if wanted is None:
        return {}
    if wanted.mode == "off":
        return {"thinking": {"type": _off(wanted, model, losses)}, **_effort(wanted, model, losses)}
    if wanted.mode == "between_tools":
        return {"thinking": {"type": "between_tools"}, **_effort(wanted, model, losses)}
    thinking: JsonObject = {}
    if wanted.mode == "on" and model.thinking == "budget":
        thinking = {"type": "enabled", "budget_tokens": budget_tokens(wanted, max_tokens), "display": wanted.display}
    elif wanted.mode == "on":
        thinking = {"type": "adaptive", "display": wanted.display}
    return {**({"thinking": without_nones(thinking)} if thinking else {}), **_effort(wanted, model, losses)}


def _off(wanted: Reasoning, model: ModelTraits, losses: Losses) -> str:
    """What switches thinking off, or comes closest to it."""
    if model.off == "between_tools":
        losses.change(wanted.parameter, model.off)
    return model.off


def _effort(wanted: Reasoning, model: ModelTraits, losses: Losses) -> JsonObject:
    if not model.efforts or (wanted.effort is None and (wanted.budget_tokens is None or model.thinking == "budget")):
        return {}
    levels = model.efforts
    if wanted.mode == "off" and model.thinks_unasked:
        levels = tuple(level for level in levels if level not in _ABOVE_HIGH)
    return {"output_config": {"effort": taken_effort(wanted, levels, losses)}}


def _service_tier(request: Request, losses: Losses) -> str | None:
    if request.service_tier in (None, "standard"):
        return None if request.service_tier is None else "standard_only"
    losses.drop("service_tier", "The Messages API has no such tier.")
    return None
