"""Brings temperature, top_p, top_k and thinking into what a family of models takes, and notes what is lost. Renders no format."""

from collections.abc import Iterable

import msgspec

from keyhouse.gateway.wire.conversation import Effort, Message, Reasoning, RedactedThinkingPart, Request, ThinkingPart, ToolCallPart
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import ModelTraits, budget_tokens, effort, nearest_effort

HIGHEST_TEMPERATURE = 1
"""Of the Messages API and of Converse; Chat Completions goes up to 2. 23 November 2026."""

Number = int | float


class Sampling(msgspec.Struct, frozen=True):
    """What is left of the sampling parameters."""

    temperature: Number | None
    top_p: Number | None
    top_k: int | None


def sampling(request: Request, model: ModelTraits, losses: Losses, *, thinks: bool) -> Sampling:
    """The sampling parameters that this model takes. `thinks`: a Claude model will think, which excludes them."""
    given = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    if model.sampling == "none" or thinks:
        reason = "The model takes none while it thinks." if thinks else "The model takes none."
        for name, value in given.items():
            if value is not None:
                losses.drop(name, reason)
        return Sampling(None, None, None)
    top_p = request.top_p
    if model.sampling == "one" and request.temperature is not None and top_p is not None:
        losses.drop("top_p", "The model does not take it beside temperature.")
        top_p = None
    return Sampling(_temperature(request.temperature, losses), top_p, request.top_k)


def _temperature(given: Number | None, losses: Losses) -> Number | None:
    if given is None or given <= HIGHEST_TEMPERATURE:
        return given
    losses.change("temperature", HIGHEST_TEMPERATURE)
    return HIGHEST_TEMPERATURE


def reasoning(request: Request, model: ModelTraits, losses: Losses, *, max_tokens: int) -> Reasoning | None:
    """The reasoning that this model can do as asked, or None."""
    asked = request.reasoning
    if asked is None:
        return None
    obstacle = _obstacle(asked, request, model, max_tokens)
    if obstacle:
        losses.drop(asked.parameter, obstacle)
        return None
    return asked


def taken_effort(wanted: Reasoning, levels: tuple[Effort, ...] | None, losses: Losses) -> Effort:
    """The level that comes closest to what was asked for, of those that the model takes; what was asked for where they are not known."""
    asked = effort(wanted)
    level = nearest_effort(asked, levels) if levels else asked
    if wanted.effort is not None and level != asked:
        losses.change(wanted.parameter, level)
    return level


def _obstacle(asked: Reasoning, request: Request, model: ModelTraits, max_tokens: int) -> str:
    """Why the model can not do as asked, as a whole sentence; empty where it can.

    Forced tools and tool calls without their thinking are refused by budgets only, not by adaptive thinking:
    https://platform.claude.com/docs/en/build-with-claude/thinking-tool-workflows, 23 November 2026.
    """
    if asked.mode == "off":
        return "" if model.off else "The model can not be switched off."
    if model.thinking == "none":
        return "The model does not reason on request."
    if asked.mode is None:
        return "" if model.efforts else "The model takes no effort."
    if model.thinking == "budget":
        return _obstacle_to_budget(asked, request, max_tokens)
    return ""


def _obstacle_to_budget(asked: Reasoning, request: Request, max_tokens: int) -> str:
    if request.tool_choice is not None and request.tool_choice.mode in ("required", "named", "search"):
        return "The model does not think when a tool is forced."
    if budget_tokens(asked, max_tokens) is None:
        return "The token limit leaves no room to think."
    if _has_unsigned_calls(request.messages):
        return "The tool calls of the last turn came without the thinking that led to them."
    return ""


def _has_unsigned_calls(messages: Iterable[Message]) -> bool:
    """Whether the last assistant message calls tools and does not begin with signed thinking."""
    last = next((message for message in reversed(tuple(messages)) if message.role == "assistant"), None)
    if last is None or not any(isinstance(part, ToolCallPart) for part in last.parts):
        return False
    return not any(isinstance(part, RedactedThinkingPart) or (isinstance(part, ThinkingPart) and part.signature) for part in last.parts)
