"""Parses a Messages request. Decides nothing about what another format can hold, but for what only Anthropic itself can run."""

from collections.abc import Iterator, Sequence

from keyhouse.gateway.wire.anthropic_messages.block_parsing import parse_blocks, parse_system_texts
from keyhouse.gateway.wire.anthropic_messages.searches import is_search, parse_search
from keyhouse.gateway.wire.anthropic_messages.system_messages import offered_tools, parse_system_message, stated_effort, uncleared
from keyhouse.gateway.wire.conversation import SEARCH, Effort, Message, OutputSchema, Reasoning, Request, Role, Tool, ToolChoice
from keyhouse.gateway.wire.direct_calls import require_direct_calls
from keyhouse.gateway.wire.fields import Fields, JsonObject, unsupported
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import parse_cache_control, parse_thinking
from keyhouse.gateway.wire.model_traits import EFFORTS

_ROLES: tuple[Role, ...] = ("user", "assistant", "system")
_DROPPED_OF_TOOLS = ("input_examples", "defer_loading", "eager_input_streaming")


def parse_request(body: JsonObject, losses: Losses) -> Request:
    """A decoded request, `{"model", "max_tokens", "messages", ...}`, without what the table of parameters refuses or drops.

    Raises Error: `bad_request` where a member is not of its type, `unsupported_parameter` for what no other format can hold.
    """
    fields = Fields(body)
    choice, parallel = _tool_choice(fields)
    metadata = fields.object_or_none("metadata")
    given = tuple(fields.objects("messages"))
    return Request(
        messages=tuple(_messages(fields, given, losses)),
        tools=_tools(fields, given, losses),
        search=parse_search(fields, losses),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_tokens=fields.integer("max_tokens"),
        temperature=fields.number_or_none("temperature"),
        top_p=fields.number_or_none("top_p"),
        top_k=fields.integer_or_none("top_k"),
        stop=fields.texts("stop_sequences"),
        reasoning=_reasoning(fields, given, losses),
        output_schema=_output_schema(fields),
        stream=bool(fields.boolean_or_none("stream")),
        include_usage=True,
        user_id=None if metadata is None else metadata.text_or_none("user_id"),
        service_tier="standard" if fields.text_or_none("service_tier") == "standard_only" else None,
        cache=parse_cache_control(fields),
        begins_answer=True,
    )


def _messages(fields: Fields, given: Sequence[Fields], losses: Losses) -> Iterator[Message]:
    system = parse_system_texts(fields, "system")
    if system:
        yield Message("system", system)
    for message in uncleared(given):
        role = message.choice("role", _ROLES)
        parts = parse_system_message(message, losses) if role == "system" else parse_blocks(message, losses)
        if parts or role != "system":
            yield Message(role, parts, stays=role == "system")


def _reasoning(fields: Fields, given: Sequence[Fields], losses: Losses) -> Reasoning | None:
    config = fields.object_or_none("output_config")
    level: Effort | None = None
    if config is not None:
        config.check_names("effort", "format", "task_budget")
        level = config.choice_or_none("effort", EFFORTS)
        if config.has("task_budget"):
            losses.drop("output_config.task_budget", "The model is told of no budget for a whole task.")
    return parse_thinking(fields, stated_effort(given) or level)


def _output_schema(fields: Fields) -> OutputSchema | None:
    config = fields.object_or_none("output_config")
    form = config.object_or_none("format") if config is not None else None
    form = form or fields.object_or_none("output_format")
    if form is None:
        return None
    form.choice("type", ("json_schema",))
    return OutputSchema(form.object("schema").raw, strict=True)


def _tools(fields: Fields, given: Sequence[Fields], losses: Losses) -> tuple[Tool, ...]:
    tools = tuple(_tool(tool, losses) for tool in fields.objects_or_none("tools") if not is_search(tool))
    offered = offered_tools(tools, given, lambda tool: _tool(tool, losses))
    choice = fields.object_or_none("tool_choice")
    forced = None if choice is None else choice.text_or_none("name")
    if forced in {tool.name for tool in tools} - {tool.name for tool in offered}:
        raise fields.object("tool_choice").wrong("name", "the name of a tool that was not removed")
    return offered


def _tool(tool: Fields, losses: Losses) -> Tool:
    if tool.has("type") and tool.text("type") != "custom":
        raise unsupported(tool.at("type"), "Tools that Anthropic defines or runs have no equivalent for this model.")
    require_direct_calls(tool)
    for name in _DROPPED_OF_TOOLS:
        if tool.has(name):
            losses.drop(f"tools[].{name}", "Tools of other formats have nothing like it.")
    return Tool(
        name=tool.text("name"),
        description=tool.text_or_none("description"),
        schema=tool.object("input_schema").raw,
        strict=tool.boolean_or_none("strict"),
        cache=parse_cache_control(tool),
    )


def _tool_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    choice = fields.object_or_none("tool_choice")
    if choice is None:
        return None, None
    kind = choice.choice("type", ("auto", "any", "tool", "none"))
    parallel = False if choice.boolean_or_none("disable_parallel_tool_use") else None
    if kind == "tool":
        name = choice.text("name")
        searches = name == SEARCH and any(map(is_search, fields.objects_or_none("tools")))
        return ToolChoice("search") if searches else ToolChoice("named", name), parallel
    if kind == "any":
        return ToolChoice("required"), parallel
    return ToolChoice("none" if kind == "none" else "auto"), parallel
