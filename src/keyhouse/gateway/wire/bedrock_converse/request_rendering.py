"""Renders a request for Converse and ConverseStream. The model goes into the URL, not into the body. Sends nothing."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from keyhouse.gateway.wire.anthropic_messages.bound_thoughts import BETA, is_bound, unbound, without_unusable
from keyhouse.gateway.wire.anthropic_messages.last_words import ended_by_user
from keyhouse.gateway.wire.anthropic_messages.request_rendering import render_thinking
from keyhouse.gateway.wire.any_json import with_json_told
from keyhouse.gateway.wire.bare_schema import bare
from keyhouse.gateway.wire.bedrock_converse.block_rendering import CachePoints, DocumentNames, render_blocks
from keyhouse.gateway.wire.bedrock_converse.failed_results import with_stated_failures
from keyhouse.gateway.wire.bedrock_converse.moved_images import with_moved_images
from keyhouse.gateway.wire.bedrock_converse.parted_turns import parted
from keyhouse.gateway.wire.bedrock_converse.told_calls import told_calls
from keyhouse.gateway.wire.bedrock_converse.wanted_words import with_wanted_words
from keyhouse.gateway.wire.conversation import (
    CacheMarker,
    Message,
    OutputSchema,
    Reasoning,
    RenderedRequest,
    Request,
    Tool,
    ToolChoice,
    UpstreamModel,
)
from keyhouse.gateway.wire.fields import JsonObject, without_nones
from keyhouse.gateway.wire.forced_tools import with_tools_told
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.marker_limits import with_allowed_markers
from keyhouse.gateway.wire.model_traits import ModelTraits, traits
from keyhouse.gateway.wire.reasoning_items import is_unreadable
from keyhouse.gateway.wire.sampling import Sampling, reasoning, sampling, taken_effort
from keyhouse.gateway.wire.stated_schema import closed, unbounded
from keyhouse.gateway.wire.turns import turns, without_parts

_BEHIND_A_PROFILE = ModelTraits(thinking="none", off="disabled", efforts=(), sampling="both", top_k="", strict=True, caches="all")
"""An inference profile of the caller's own does not tell of which model it is."""
_UNKNOWN_MODEL = replace(_BEHIND_A_PROFILE, caches="none", tool_status=False, forced_tools="any", images_in_results=False)
_TIERS = {"standard": "default", "priority": "priority", "flex": "flex"}


def render_request(request: Request, model: UpstreamModel, losses: Losses) -> RenderedRequest:
    """The body of `POST /model/{id}/converse`. Raises Error (`unsupported_parameter`) for what the API can not hold."""
    known = traits(model.id, _BEHIND_A_PROFILE if model.id.startswith("arn:") else _UNKNOWN_MODEL)
    request = with_tools_told(with_json_told(request, losses), known, losses)
    if known.caches != "none":
        request = with_allowed_markers(request, losses, has_lifetimes=known.caches == "all")
    request = replace(request, messages=without_parts(is_unreadable, request.messages))
    limit = request.max_tokens if request.max_tokens is not None else model.max_output_tokens or known.output_tokens
    wanted = reasoning(request, known, losses, max_tokens=limit)
    claude_thinks = wanted is not None and wanted.mode in ("on", "between_tools") and _is_claude(known)
    sampled = sampling(request, known, losses, thinks=claude_thinks)
    # Without a limit Claude is cut off at 4096 tokens, whatever the reference says: https://github.com/BerriAI/litellm/issues/41529,
    # https://github.com/earendil-works/pi/pull/4871 (2026-11-30).
    sent_limit = limit if _is_claude(known) else request.max_tokens
    inference = _inference(request, sampled, _raised(sent_limit, known, losses))
    additional = _additional(wanted, sampled, _held_back(known, inference), limit, losses)
    arranged = turns(without_unusable(request.messages, known, additional, losses))
    names, points = DocumentNames(), CachePoints(known, losses)
    kept = arranged.messages if _has_tools(request) else told_calls(arranged.messages)
    if not request.begins_answer:
        kept = ended_by_user(kept, known, additional)
    kept = with_moved_images(with_stated_failures(kept, known, losses), known)
    told = with_wanted_words(parted(kept, known))
    messages = _messages(told, names, points, request.cache)
    system = render_blocks(arranged.system, names, points)
    tools = _tools(request, known, losses, points)
    if is_bound(kept, known, additional):
        # https://github.com/BerriAI/litellm/pull/41203 (tried on Bedrock); betas stand here: https://github.com/BerriAI/litellm/pull/22451.
        additional = {**unbound(additional), "anthropic_beta": [BETA]}
    body = without_nones(
        {
            "messages": messages,
            "system": system or None,
            "inferenceConfig": inference or None,
            "toolConfig": tools,
            "additionalModelRequestFields": {**additional, **_one_call(request, tools, known, losses)} or None,
            "outputConfig": _output(request.output_schema, losses),
            "serviceTier": None if request.service_tier is None else {"type": _TIERS[request.service_tier]},
        }
    )
    is_whole = tools is not None and not known.streamed_tools
    if is_whole and request.stream:
        losses.change("stream", "whole")
    one_call = tools is not None and request.parallel_tool_calls is False and not _is_claude(known)
    return RenderedRequest(body, losses.dropped, losses.enforced, is_whole=is_whole, one_call=one_call)


def _messages(kept: Sequence[Message], names: DocumentNames, points: CachePoints, cache: CacheMarker | None) -> list[JsonObject]:
    rendered: list[JsonObject] = [{"role": message.role, "content": render_blocks(message.parts, names, points)} for message in kept]
    if rendered:
        blocks = rendered[-1]["content"]
        blocks += points.at_end(cache, blocks)
    return rendered


def _is_claude(model: ModelTraits) -> bool:
    """Whether it is one of Claude's models that think."""
    return model.thinking in ("budget", "adaptive")


def _held_back(model: ModelTraits, inference: JsonObject) -> ModelTraits:
    """Nova 2 takes its highest effort beside no token limit, temperature or topP: https://github.com/UKGovernmentBEIS/inspect_ai/issues/3767
    (2026-04-24). What the caller set stays, and the effort gives way."""
    if model.thinking == "nova" and inference.keys() & {"maxTokens", "temperature", "topP"}:
        return replace(model, efforts=model.efforts[:-1])
    return model


def _raised(limit: int | None, model: ModelTraits, losses: Losses) -> int | None:
    """The limit, raised to what the model takes. Claude Code asks with a limit of 1 whether a model is there."""
    if limit is None or limit >= model.least_output_tokens:
        return limit
    losses.change("max_tokens", model.least_output_tokens)
    return model.least_output_tokens


def _inference(request: Request, sampled: Sampling, max_tokens: int | None) -> JsonObject:
    return without_nones(
        {
            "maxTokens": max_tokens,
            "temperature": sampled.temperature,
            "topP": sampled.top_p,
            "stopSequences": list(request.stop) or None,
        }
    )


def _has_tools(request: Request) -> bool:
    """Whether the model may call any."""
    return bool(request.tools) and not (request.tool_choice is not None and request.tool_choice.mode == "none")


def _tools(request: Request, model: ModelTraits, losses: Losses, points: CachePoints) -> JsonObject | None:
    """The tools and the choice among them. Converse has no `none`: the tools are left out."""
    if not _has_tools(request):
        return None
    tools = [rendered for tool in request.tools for rendered in _tool(tool, model, losses, points)]
    choice = _tool_choice(request.tool_choice)
    # What `_one_call` states of its own accord must not stand here too.
    return without_nones(
        {"tools": tools, "toolChoice": None if choice == {"auto": {}} and request.parallel_tool_calls is False else choice}
    )


def _one_call(request: Request, tools: JsonObject | None, model: ModelTraits, losses: Losses) -> JsonObject:
    """What keeps a model from calling tools at once: Claude's own field; of others the first call alone is told. It states its type where
    `toolChoice` does not, and must not where it does: https://github.com/BerriAI/litellm/pull/34347 (2026-07-23),
    https://github.com/BerriAI/litellm/issues/36536 (2026-08-11)."""
    if tools is None or request.parallel_tool_calls is not False:
        return {}
    if _is_claude(model):
        stated = {} if "toolChoice" in tools else {"type": "auto"}
        return {"tool_choice": {**stated, "disable_parallel_tool_use": True}}
    losses.change("parallel_tool_calls", "first")
    return {}


def _tool(tool: Tool, model: ModelTraits, losses: Losses, points: CachePoints) -> list[JsonObject]:
    schema, is_strict = tool.schema or {"properties": {}}, bool(tool.strict) and model.strict_on_converse
    if tool.strict and not is_strict:
        losses.drop("tools[].strict", "The model has no strict tools.")
    if is_strict:
        schema = unbounded(schema, losses)
    schema = {"type": "object", **schema}
    specification = {
        "name": tool.name,
        "description": tool.description or None,
        "inputSchema": {"json": bare(schema, losses) if model.bare_schemas else schema},
        "strict": True if is_strict else None,
    }
    return [{"toolSpec": without_nones(specification)}, *points.after_tool(tool.cache)]


def _tool_choice(choice: ToolChoice | None) -> JsonObject | None:
    if choice is None:
        return None
    if choice.mode == "named":
        return {"tool": {"name": choice.name}}
    return {"any": {}} if choice.mode == "required" else {"auto": {}}


def _additional(wanted: Reasoning | None, sampled: Sampling, model: ModelTraits, limit: int, losses: Losses) -> JsonObject:
    """What the model takes beside what Converse names, in the model's own form."""
    fields = _reasoning(wanted, model, limit, losses)
    if sampled.top_k is not None and not model.top_k:
        losses.drop("top_k", "The model has nothing like it.")
    elif sampled.top_k is not None:
        _put(fields, model.top_k, sampled.top_k)
    return fields


def _reasoning(wanted: Reasoning | None, model: ModelTraits, limit: int, losses: Losses) -> JsonObject:
    if wanted is None or model.thinking == "none":
        return {}
    if model.thinking in ("budget", "adaptive"):
        return render_thinking(_shown(wanted, losses), model, limit, losses)
    if wanted.mode == "off":
        return {"reasoning": {"effort": "none"}} if model.thinking == "nested_effort" else {"reasoningConfig": {"type": "disabled"}}
    level = taken_effort(wanted, model.efforts, losses)
    if model.thinking == "nova":
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}
    return {"reasoning": {"effort": level}} if model.thinking == "nested_effort" else {"reasoning_effort": level}


def _shown(wanted: Reasoning, losses: Losses) -> Reasoning:
    """Notes on the way (`updates`) want a beta, which Converse has no header for; `omitted` is the same without them:
    https://platform.claude.com/docs/en/build-with-claude/thinking#controlling-thinking-display (2026-11-30)."""
    if wanted.display != "updates":
        return wanted
    losses.change("thinking.display", "omitted")
    return replace(wanted, display="omitted")


def _put(fields: JsonObject, place: str, value: Any) -> None:
    *outer, last = place.split(".")
    for name in outer:
        fields = fields.setdefault(name, {})
    fields[last] = value


def _output(wanted: OutputSchema | None, losses: Losses) -> JsonObject | None:
    """The schema, which Converse wants as JSON in a string."""
    if wanted is None:
        return None
    text = msgspec.json.encode(unbounded(closed(wanted.schema), losses)).decode()
    definition = without_nones({"schema": text, "name": wanted.name, "description": wanted.description})
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}
