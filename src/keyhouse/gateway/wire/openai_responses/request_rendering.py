"""Renders a request for Responses. Sends nothing."""

from keyhouse.gateway.wire.conversation import (
    OutputSchema,
    Reasoning,
    RenderedRequest,
    Request,
    Tool,
    ToolChoice,
    UpstreamModel,
)
from keyhouse.gateway.wire.fields import JsonObject, without_nones
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import ResponsesTraits, responses_traits
from keyhouse.gateway.wire.openai_chat.request_rendering import render_user
from keyhouse.gateway.wire.openai_responses.bare_rendering import render_bare_members, render_bare_search
from keyhouse.gateway.wire.openai_responses.item_rendering import render_items
from keyhouse.gateway.wire.openai_responses.searches import SOURCES, forced_search, render_search
from keyhouse.gateway.wire.sampling import taken_effort
from keyhouse.gateway.wire.stated_schema import described

LEAST_OUTPUT_TOKENS = 16
"""A lower limit is refused: https://github.com/openai/openai-python/issues/2546 (2025-08-11)."""


def render_request(request: Request, model: UpstreamModel, losses: Losses) -> RenderedRequest:
    """The body of `POST /responses`. Nothing of it is stored, so what the model thinks comes encrypted, to be sent back."""
    is_bare = "bare_responses" in model.quirks
    tools = _tools(request, losses, is_bare=is_bare)
    own = render_bare_members(request, model, losses) if is_bare else _full_members(request, model, len(tools), losses)
    body = without_nones(
        {
            "model": model.id,
            **own,
            "max_output_tokens": _limit(own["max_output_tokens"], losses),
            "tools": tools or None,
            "max_tool_calls": None if request.search is None else request.search.most,
            "parallel_tool_calls": request.parallel_tool_calls if tools else None,
            "stream": True if request.stream else None,
        }
    )
    return RenderedRequest(body, losses.dropped, losses.enforced)


def _full_members(request: Request, model: UpstreamModel, tools: int, losses: Losses) -> JsonObject:
    """The members that a server may know otherwise, or not at all, as OpenAI knows them."""
    known = responses_traits(model.id)
    reasons = _reasons(request.reasoning, known)
    return {
        "input": render_items(request.messages, losses, phases=known.phases),
        "max_output_tokens": request.max_tokens,
        **_sampling(request, losses, reasons=reasons),
        "tool_choice": _tool_choice(request.tool_choice, tools) if tools else None,
        "text": _text(request.output_schema),
        "reasoning": _reasoning(request.reasoning, known, losses),
        "user": render_user(request, model, losses),
        "store": False,
        "include": _included(reasons=reasons, searches=request.search is not None) or None,
    }


def _tools(request: Request, losses: Losses, *, is_bare: bool) -> list[JsonObject]:
    functions = [_tool(tool, losses) for tool in request.tools]
    if request.search is None:
        return functions
    return [*functions, render_bare_search(request.search, losses) if is_bare else render_search(request.search)]


def _included(*, reasons: bool, searches: bool) -> list[str]:
    # A model that does not reason refuses what it thought.
    return [*(["reasoning.encrypted_content"] if reasons else []), *([SOURCES] if searches else [])]


def _limit(wanted: int | None, losses: Losses) -> int | None:
    if wanted is None or wanted >= LEAST_OUTPUT_TOKENS:
        return wanted
    losses.change("max_tokens", LEAST_OUTPUT_TOKENS)
    return LEAST_OUTPUT_TOKENS


def _reasons(wanted: Reasoning | None, known: ResponsesTraits) -> bool:
    """Whether the model will reason."""
    return known.reasons_by_default if wanted is None else not (wanted.mode == "off" and known.can_be_off)


def _sampling(request: Request, losses: Losses, *, reasons: bool) -> JsonObject:
    """Temperature and top_p, which no model takes while it reasons; 1 is what every model does anyway."""
    given = {"temperature": request.temperature, "top_p": request.top_p}
    if not reasons:
        return given
    for name, value in given.items():
        if value not in (None, 1):
            losses.drop(name, "The model takes none while it reasons.")
    return {}


def _reasoning(wanted: Reasoning | None, known: ResponsesTraits, losses: Losses) -> JsonObject | None:
    if wanted is None:
        return None
    if wanted.mode == "off":
        if known.can_be_off:
            return {"effort": "none"}
        losses.drop(wanted.parameter, "The model can not be switched off.")
        return None
    # Summaries are for verified organizations only, so they are asked for where the caller asks.
    summary = "auto" if wanted.display == "summarized" else None
    return without_nones({"effort": taken_effort(wanted, known.efforts, losses), "summary": summary})


def _tool(tool: Tool, losses: Losses) -> JsonObject:
    if tool.cache is not None:
        losses.drop("tools[].cache_control", "Responses has no such marker.")
    # Here tools are strict unless they say that they are not.
    rendered = {"type": "function", "name": tool.name, "description": tool.description, "strict": bool(tool.strict)}
    return without_nones({**rendered, "parameters": described(tool.schema)})


def _tool_choice(choice: ToolChoice | None, tools: int) -> str | JsonObject | None:
    if choice is None:
        return None
    if choice.mode == "search":
        return forced_search(is_only_tool=tools == 1)
    return {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode


def _text(wanted: OutputSchema | None) -> JsonObject | None:
    if wanted is None:
        return None
    form = {"type": "json_schema", "name": wanted.name or "answer", "description": wanted.description, "schema": wanted.schema}
    return {"format": without_nones({**form, "strict": wanted.strict})}
