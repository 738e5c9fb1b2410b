"""Parses a chat completions request. Decides nothing about what another format can hold."""

from collections.abc import Iterable

from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import (
    OutputSchema,
    Reasoning,
    Request,
    Search,
    ServiceTier,
    Tool,
    ToolChoice,
)
from keyhouse.gateway.wire.fields import Fields, JsonObject, unsupported
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import parse_cache_control, parse_cache_wish, parse_thinking
from keyhouse.gateway.wire.model_traits import NONE_OR_EFFORTS
from keyhouse.gateway.wire.openai_chat.message_parsing import parse_message
from keyhouse.gateway.wire.search_place import stated_place

_TIERS: dict[str, ServiceTier] = {"default": "standard", "flex": "flex", "priority": "priority", "fast": "priority"}


def parse_request(body: JsonObject, losses: Losses) -> Request:
    """A decoded request, `{"model", "messages", ...}`, without what the table of parameters refuses or drops.

    Raises Error: `bad_request` where a member is not of its type, `unsupported_parameter` for what no other format can hold.
    """
    fields = Fields(body)
    tools, tool_choice = _tools_and_choice(fields)
    messages = tuple(parse_message(message, losses) for message in fields.objects("messages"))
    stream_options = fields.object_or_none("stream_options")
    return Request(
        messages=messages,
        tools=tools,
        search=_search(fields, losses),
        tool_choice=tool_choice,
        parallel_tool_calls=fields.boolean_or_none("parallel_tool_calls"),
        max_tokens=_max_tokens(fields),
        temperature=fields.number_or_none("temperature"),
        top_p=fields.number_or_none("top_p"),
        top_k=fields.integer_or_none("top_k"),
        stop=_stop(fields),
        reasoning=_reasoning(fields),
        output_schema=_output_schema(fields),
        any_json="response_format" if _format_type(fields) == "json_object" else None,
        stream=bool(fields.boolean_or_none("stream")),
        include_usage=bool(stream_options and stream_options.boolean_or_none("include_usage")),
        user_id=fields.text_or_none("safety_identifier") or fields.text_or_none("user"),
        service_tier=parse_service_tier(fields, losses),
        cache=parse_cache_wish(fields, messages, tools),
    )


def _search(fields: Fields, losses: Losses) -> Search | None:
    options = fields.object_or_none("web_search_options")
    if options is None:
        return None
    options.check_names("search_context_size", "user_location")
    if options.text_or_none("search_context_size") not in (None, "medium"):
        losses.drop("web_search_options.search_context_size", "The model decides itself how much it reads.")
    location = options.object_or_none("user_location")
    return Search("web_search_options", location=stated_place(None if location is None else location.object_or_none("approximate")))


def _max_tokens(fields: Fields) -> int | None:
    limits = [limit for name in ("max_completion_tokens", "max_tokens") if (limit := fields.integer_or_none(name)) is not None]
    return min(limits, default=None)


def _stop(fields: Fields) -> tuple[str, ...]:
    stop = fields.raw.get("stop")
    return (stop,) if isinstance(stop, str) else fields.texts("stop")


def parse_service_tier(fields: Fields, losses: Losses) -> ServiceTier | None:
    """The tier that is asked for, where others have it too."""
    given = fields.text_or_none("service_tier")
    if given is not None and given not in _TIERS:
        losses.drop("service_tier", "This tier has no equivalent.")
    return _TIERS.get(given) if given is not None else None


def _reasoning(fields: Fields) -> Reasoning | None:
    effort = fields.choice_or_none("reasoning_effort", NONE_OR_EFFORTS)
    if fields.has("thinking"):
        return parse_thinking(fields, None if effort == "none" else effort)
    if effort is None:
        return None
    return Reasoning(mode="off") if effort == "none" else Reasoning(mode="on", effort=effort)


def _output_schema(fields: Fields) -> OutputSchema | None:
    if _format_type(fields) != "json_schema":
        return None
    return parse_schema(fields.object("response_format").object("json_schema"))


def parse_schema(form: Fields) -> OutputSchema:
    """What the answer shall be like: its schema, and what is said of it."""
    return OutputSchema(
        schema=form.object("schema").raw,
        name=form.text_or_none("name"),
        description=form.text_or_none("description"),
        strict=form.boolean_or_none("strict"),
    )


def _format_type(fields: Fields) -> str:
    wanted = fields.object_or_none("response_format")
    return "text" if wanted is None else wanted.choice("type", ("text", "json_object", "json_schema"))


def _tools_and_choice(fields: Fields) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    tools = tuple(_tool(tool) for tool in fields.objects_or_none("tools"))
    choice = fields.raw.get("tool_choice")
    if choice is None:
        return tools, None
    if isinstance(choice, str):
        # Mistral's word for it, which its clients send: https://docs.mistral.ai/capabilities/function_calling (2026-11-29).
        return tools, ToolChoice("required" if choice == "any" else fields.choice("tool_choice", ("auto", "none", "required")))
    wanted = fields.object("tool_choice")
    if wanted.choice("type", ("function", "custom", "allowed_tools")) == "allowed_tools":
        return _allowed(tools, wanted.object("allowed_tools"))
    return tools, ToolChoice("named", _function_name(wanted))


def _allowed(tools: Iterable[Tool], allowed: Fields) -> tuple[tuple[Tool, ...], ToolChoice]:
    """The tools that may be called, and whether one must be. The others would only be seen, so they are left out."""
    names = {_function_name(tool) for tool in allowed.objects("tools")}
    return tuple(tool for tool in tools if tool.name in names), ToolChoice(allowed.choice("mode", ("auto", "required")))


def _function_name(tool: Fields) -> str:
    if tool.choice("type", ("function", "custom")) == "custom":
        raise unsupported(tool.at("type"), "Custom tools, whose input is free text, have no equivalent.")
    return tool.object("function").text("name")


def _tool(tool: Fields) -> Tool:
    return replace(parse_function(_function_name(tool), tool.object("function")), cache=parse_cache_control(tool))


def parse_function(name: str, function: Fields) -> Tool:
    """A function that the model may call, and what is said of it."""
    schema = function.object_or_none("parameters")
    return Tool(
        name=name,
        description=function.text_or_none("description"),
        schema=None if schema is None else schema.raw,
        strict=function.boolean_or_none("strict"),
    )
