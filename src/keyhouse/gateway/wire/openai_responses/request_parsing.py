"""Parses a request of Responses. Decides nothing about what another format can hold, but for what OpenAI alone keeps or runs."""

from collections.abc import Iterator

from keyhouse.gateway.wire.conversation import SEARCH, Message, OutputSchema, Reasoning, Request, Search, TextPart, Tool, ToolChoice
from keyhouse.gateway.wire.direct_calls import require_direct_calls
from keyhouse.gateway.wire.fields import Fields, JsonObject, unsupported
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import parse_cache_wish
from keyhouse.gateway.wire.model_traits import NONE_OR_EFFORTS
from keyhouse.gateway.wire.openai_chat.request_parsing import parse_function, parse_schema, parse_service_tier
from keyhouse.gateway.wire.openai_responses.configuration_updates import is_update, updated
from keyhouse.gateway.wire.openai_responses.item_parsing import parse_items
from keyhouse.gateway.wire.openai_responses.namespaces import functions_of, joined_name
from keyhouse.gateway.wire.openai_responses.searches import is_search, parse_search_tool

ENCRYPTED = "reasoning.encrypted_content"
_DROPPED_OF_TOOLS = ("async", "defer_loading", "output_schema")


def parse_request(body: JsonObject, losses: Losses) -> Request:
    """A decoded request, `{"model", "input", ...}`, without what the table of parameters refuses or drops.

    Raises Error: `bad_request` where a member is not of its type, `unsupported_parameter` for what no other format can hold.
    """
    fields = updated(Fields(body))
    _check_include(fields)
    tools, choice = _choice(fields, tuple(_tools(fields, losses)))
    messages = tuple(_messages(fields, losses))
    return Request(
        messages=messages,
        tools=tools,
        search=_search(fields, losses),
        tool_choice=choice,
        parallel_tool_calls=fields.boolean_or_none("parallel_tool_calls"),
        max_tokens=fields.integer_or_none("max_output_tokens"),
        temperature=fields.number_or_none("temperature"),
        top_p=fields.number_or_none("top_p"),
        reasoning=_reasoning(fields, losses),
        output_schema=_output_schema(fields, losses),
        any_json="text.format" if _format_type(fields) == "json_object" else None,
        stream=bool(fields.boolean_or_none("stream")),
        include_usage=True,
        user_id=fields.text_or_none("safety_identifier") or fields.text_or_none("user"),
        service_tier=parse_service_tier(fields, losses),
        cache=parse_cache_wish(fields, messages, tools),
    )


def _check_include(fields: Fields) -> None:
    for index, wanted in enumerate(fields.texts("include")):
        # What a search found is told anyway; where there is none, it is missing as the search is.
        if wanted != ENCRYPTED and not wanted.startswith(f"{SEARCH}_call."):
            raise unsupported(f"include.{index}", "This model has nothing like it.")


def _messages(fields: Fields, losses: Losses) -> Iterator[Message]:
    instructions = fields.text_or_none("instructions")
    if instructions:
        yield Message("system", (TextPart(instructions),))
    if isinstance(fields.raw.get("input"), str):
        yield Message("user", (TextPart(fields.text("input")),))
    else:
        yield from parse_items(_items(fields, losses), losses)


def _items(fields: Fields, losses: Losses) -> Iterator[Fields]:
    """The items without those that change the request, and without tools that another model was given inside the conversation, where this
    one has its own: so Codex goes on with a model after one of OpenAI's newest. Where there are no others nothing stands in for them, and
    the item is refused."""
    for item in fields.objects("input"):
        if is_update(item):
            continue
        if item.raw.get("type") == "additional_tools" and fields.raw.get("tools"):
            losses.drop("input[].additional_tools", "The model may call the request's own tools alone.")
        else:
            yield item


def _reasoning(fields: Fields, losses: Losses) -> Reasoning | None:
    wanted = fields.object_or_none("reasoning")
    if wanted is None:
        return None
    wanted.check_names("effort", "summary", "generate_summary", "context", "mode")
    if wanted.text_or_none("mode") not in (None, "standard"):
        raise unsupported(wanted.at("mode"), "This model reasons in one way only.")
    if wanted.text_or_none("context") not in (None, "auto"):
        losses.drop("reasoning.context", "The model decides itself which thoughts of earlier turns it reads.")
    level = wanted.choice_or_none("effort", NONE_OR_EFFORTS)
    if level == "none":
        return Reasoning(mode="off", parameter="reasoning")
    if level is None:
        # How thoughts are told is no wish for any.
        return None
    display = "summarized" if wanted.has("summary") or wanted.has("generate_summary") else None
    return Reasoning(mode="on", effort=level, display=display, parameter="reasoning")


def _output_schema(fields: Fields, losses: Losses) -> OutputSchema | None:
    text = fields.object_or_none("text")
    if text is None:
        return None
    text.check_names("format", "verbosity")
    if text.text_or_none("verbosity") not in (None, "medium"):
        losses.drop("text.verbosity", "The model has nothing like it.")
    if _format_type(fields) != "json_schema":
        return None
    return parse_schema(text.object("format"))


def _format_type(fields: Fields) -> str:
    text = fields.object_or_none("text")
    form = text.object_or_none("format") if text is not None else None
    return "text" if form is None else form.choice("type", ("text", "json_object", "json_schema"))


def _tools(fields: Fields, losses: Losses) -> Iterator[Tool]:
    for tool in fields.objects_or_none("tools"):
        if is_search(tool):
            continue
        for name, function in functions_of(tool):
            yield _tool(name, function, losses)


def _search(fields: Fields, losses: Losses) -> Search | None:
    """The search, if it may be called. One that must be called can not be missing."""
    choice = fields.object("tool_choice") if isinstance(fields.raw.get("tool_choice"), dict) else None
    if choice is not None and choice.text("type") == "allowed_tools" and not any(map(is_search, choice.objects("tools"))):
        return None
    search = parse_search_tool(fields, losses)
    if search is None and choice is not None and is_search(choice):
        raise unsupported("tool_choice.type", "There is no search of the web that this model could make.")
    return search


def _tool(name: str, tool: Fields, losses: Losses) -> Tool:
    if tool.text("type") != "function":
        raise unsupported(
            tool.at("type"), "This model calls functions only: tools that OpenAI runs, and free text as input, have no equivalent."
        )
    require_direct_calls(tool)
    for dropped in _DROPPED_OF_TOOLS:
        if tool.raw.get(dropped) not in (None, False):
            losses.drop(f"tools[].{dropped}", "Tools of other formats have nothing like it.")
    tool.text("name")
    return parse_function(name, tool)


def _choice(fields: Fields, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """The tools that may be called, and whether one must be."""
    if not fields.has("tool_choice"):
        return tools, None
    if isinstance(fields.raw["tool_choice"], str):
        return tools, ToolChoice(fields.choice("tool_choice", ("auto", "none", "required")))
    wanted = fields.object("tool_choice")
    if wanted.text("type") == "allowed_tools":
        names = {_function(tool) for tool in wanted.objects("tools") if not is_search(tool)}
        return tuple(tool for tool in tools if tool.name in names), ToolChoice(wanted.choice("mode", ("auto", "required")))
    return tools, ToolChoice("search") if is_search(wanted) else ToolChoice("named", _function(wanted))


def _function(chosen: Fields) -> str:
    if chosen.text("type") != "function":
        raise unsupported(chosen.at("type"), "This model calls functions only.")
    return joined_name(chosen.text_or_none("namespace"), chosen.text("name"))
