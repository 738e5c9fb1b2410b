"""Tells a model in words to call a tool, where it takes no `tool_choice` that forces one. No promise: it may still answer otherwise.

Of a model that can be told to call any tool, but none by name, the others are kept.

https://platform.claude.com/docs/en/models/fable-5-1/whats-new-fable-5-1#forced-tool-use-is-not-supported (2026-11-29),
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html (2026-11-30).
"""

from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import SEARCH, Message, Request, TextPart, ToolChoice
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import ModelTraits

_ANY = "Answer by calling one of the tools, not with words alone."
_THIS = "Answer by calling the tool {name}, not with words alone."


def with_tools_told(request: Request, model: ModelTraits, losses: Losses) -> Request:
    """The request with a forced tool in words, behind its other instructions, and free choice. That they promise nothing is noted."""
    choice = request.tool_choice
    if model.forced_tools == "all" or choice is None or not (request.tools or request.search) or choice.mode in ("auto", "none"):
        return request
    if model.forced_tools == "any":
        return _with_it_alone(request, choice)
    losses.drop("tool_choice", "The model takes no tool_choice that forces a tool; auto leaves the choice to it.")
    words = _ANY if choice.mode == "required" else _THIS.format(name=SEARCH if choice.mode == "search" else choice.name)
    told = Message("system", (TextPart(words),))
    return replace(request, messages=(*request.messages, told), tool_choice=ToolChoice("auto"))


def _with_it_alone(request: Request, choice: ToolChoice) -> Request:
    """The request with the tool alone that must be called; the given one where any may be, or where there is no such tool."""
    named = tuple(tool for tool in request.tools if choice.mode == "named" and tool.name == choice.name)
    return replace(request, tools=named, tool_choice=ToolChoice("required")) if named else request
