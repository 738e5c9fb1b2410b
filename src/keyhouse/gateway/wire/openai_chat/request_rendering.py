"""Renders a chat completions request. Sends nothing."""

from keyhouse.gateway.wire.conversation import (
    OutputSchema,
    Reasoning,
    RenderedRequest,
    Request,
    Tool,
    ToolChoice,
    UpstreamModel,
)
from keyhouse.gateway.wire.digests import digest_of
from keyhouse.gateway.wire.fields import JsonObject, without_nones
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import chat_traits
from keyhouse.gateway.wire.openai_chat.message_rendering import render_messages
from keyhouse.gateway.wire.sampling import taken_effort
from keyhouse.gateway.wire.stated_schema import described

LONGEST_USER = 64
"""OpenAI takes no longer `user`, and Claude Code sends some 150 characters: https://github.com/maximhq/bifrost/pull/1000 (2025-12-08),
https://github.com/looplj/axonhub/issues/1669 (2026-05-15). A SHA-256 in hexadecimal is as long, and tells users apart as well."""


def render_request(request: Request, model: UpstreamModel, losses: Losses) -> RenderedRequest:
    """The body of `POST /chat/completions`. Raises Error (`unsupported_parameter`) for what the format can not hold."""
    if request.cache is not None:
        losses.drop(request.cache.parameter, "Chat Completions has no such marker.")
    if request.top_k is not None:
        losses.drop("top_k", "Chat Completions has nothing like it.")
    streams = True if request.stream else None
    counts = streams and request.include_usage and "stream_options" not in model.refuses
    body = without_nones(
        {
            "model": model.id,
            "messages": render_messages(request.messages, model, losses),
            model.output_limit_name: request.max_tokens,
            **_sampling(request, model, losses),
            "stop": list(request.stop) or None,
            "tools": [_tool(tool, losses) for tool in request.tools] or None,
            "tool_choice": _tool_choice(request.tool_choice) if request.tools else None,
            "parallel_tool_calls": request.parallel_tool_calls if request.tools else None,
            "response_format": {"type": "json_object"} if request.any_json else response_format(request.output_schema),
            "reasoning_effort": _reasoning_effort(request.reasoning, model, losses),
            "user": render_user(request, model, losses),
            "stream": streams,
            "stream_options": {"include_usage": True} if counts else None,
        }
    )
    return RenderedRequest(body, losses.dropped, losses.enforced)


def _tool(tool: Tool, losses: Losses) -> JsonObject:
    if tool.cache is not None:
        losses.drop("tools[].cache_control", "Chat Completions has no such marker.")
    function = {"name": tool.name, "description": tool.description, "parameters": described(tool.schema), "strict": tool.strict}
    return {"type": "function", "function": without_nones(function)}


def _tool_choice(choice: ToolChoice | None) -> str | JsonObject | None:
    if choice is None:
        return None
    return {"type": "function", "function": {"name": choice.name}} if choice.mode == "named" else choice.mode


def response_format(wanted: OutputSchema | None) -> JsonObject | None:
    """The member of this name: None where no schema is wanted."""
    if wanted is None:
        return None
    schema = {"name": wanted.name or "answer", "description": wanted.description, "schema": wanted.schema, "strict": wanted.strict}
    return {"type": "json_schema", "json_schema": without_nones(schema)}


def _reasoning_effort(wanted: Reasoning | None, model: UpstreamModel, losses: Losses) -> str | None:
    """The effort. Switching off is dropped: most models know no `none`, and those that do not reason need none."""
    if wanted is None:
        return None
    if wanted.mode == "off":
        losses.drop(wanted.parameter, "Few models of this format can be told not to reason.")
        return None
    levels = chat_traits(model.id).efforts
    if "reasoning_effort" in model.refuses or levels == ():
        losses.drop(wanted.parameter, "The model takes no reasoning_effort.")
        return None
    return taken_effort(wanted, levels, losses)


def _sampling(request: Request, model: UpstreamModel, losses: Losses) -> JsonObject:
    """The sampling parameters, where the model takes them; 1 is what every model does anyway."""
    given = {"temperature": request.temperature, "top_p": request.top_p}
    if chat_traits(model.id).samples:
        return given
    for name, value in given.items():
        if value not in (None, 1):
            losses.drop(name, "The model takes none.")
    return {}


def render_user(request: Request, model: UpstreamModel, losses: Losses) -> str | None:
    """Who the caller's user is, in a text that OpenAI takes."""
    if request.user_id is not None and "user" in model.refuses:
        losses.drop("metadata", "The provider takes no user.")
        return None
    if request.user_id is None or len(request.user_id) <= LONGEST_USER:
        return request.user_id
    losses.change("metadata.user_id", "sha256")
    return digest_of(request.user_id)
