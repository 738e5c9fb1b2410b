"""Renders a request for a server of Responses that knows fewer members than OpenAI, and refuses each that it does not know.

https://github.com/perplexityai/api-platform-developers, skills/migrate-sonar-to-agent-api/references/request-mapping.md and
integration-styles.md, with the types of https://github.com/perplexityai/perplexity-py, 30 November 2026.
"""

from collections.abc import Iterable, Iterator

from keyhouse.gateway.wire.any_json import with_json_told
from keyhouse.gateway.wire.call_signatures import signature_of
from keyhouse.gateway.wire.conversation import (
    SEARCH,
    Message,
    Reasoning,
    Request,
    Search,
    ToolCallPart,
    ToolChoice,
    UpstreamModel,
)
from keyhouse.gateway.wire.fields import JsonObject, unsupported, without_nones
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import known_traits, responses_traits
from keyhouse.gateway.wire.openai_chat.message_rendering import call_id
from keyhouse.gateway.wire.openai_chat.request_rendering import response_format
from keyhouse.gateway.wire.openai_responses.item_rendering import render_items
from keyhouse.gateway.wire.sampling import taken_effort

TAKEN_NAMES = frozenset(("fetch_url", "finance_search", "people_search", "sandbox", "search_people", "search_web", "web_search"))
"""Of the server's own tools: a function called so is refused."""


def render_bare_members(request: Request, model: UpstreamModel, losses: Losses) -> JsonObject:
    """What stands there in the place of the members that OpenAI has.

    Raises Error (`unsupported_parameter`) for files, and for images in results of tools.
    """
    if request.user_id is not None:
        losses.drop("metadata", "The provider takes no user.")
    told = with_json_told(request, losses)
    return {
        "input": list(_items(told.messages, losses)),
        "max_output_tokens": _limit(request, model),
        **_sampling(request, model, losses),
        "tool_choice": _tool_choice(request.tool_choice) if request.tools or request.search else None,
        "response_format": response_format(request.output_schema),
        "reasoning": _reasoning(request.reasoning, model, losses),
    }


def _limit(request: Request, model: UpstreamModel) -> int | None:
    """The limit, which Claude models want there too."""
    known = known_traits(model.id)
    return request.max_tokens if request.max_tokens is not None or known is None else known.output_tokens


def _items(messages: Iterable[Message], losses: Losses) -> Iterator[JsonObject]:
    """The items. What is said to the model by the system moves to the front, since not every model behind the server takes it elsewhere."""
    moved: list[Message] = []
    others: list[Message] = []
    for message in messages:
        (moved if message.role == "system" and not message.stays else others).append(message)
    if moved and not others:
        others = [Message("user", moved.pop().parts)]
    calls = {call_id(part.id): (part.name, signature) for part, signature in _calls(others)}
    for item in render_items((*moved, *others), losses):
        kind = item.get("type")
        if kind == "function_call_output" and not isinstance(item["output"], str):
            raise unsupported("messages", "Results of tools are text alone there.")
        if kind in ("function_call", "function_call_output"):
            name, signature = calls.get(item["call_id"], (None, None))
            yield without_nones({**item, "name": name, "thought_signature": signature})
        elif kind is None:
            yield _message(item)


def _calls(messages: Iterable[Message]) -> Iterator[tuple[ToolCallPart, str | None]]:
    """The calls, each with its signature, which a model may want back with the call and with its result."""
    for message in messages:
        for before, part in zip((None, *message.parts), message.parts, strict=False):
            if isinstance(part, ToolCallPart):
                yield part, signature_of(before)


def _message(item: JsonObject) -> JsonObject:
    content = item["content"]
    said = content if isinstance(content, str) else [_content(part) for part in content]
    return {"type": "message", "role": item["role"], "content": said}


def _content(part: JsonObject) -> JsonObject:
    if part["type"] == "input_file" or "file_id" in part:
        raise unsupported("messages", "The provider takes no files.")
    return {name: value for name, value in part.items() if name != "detail"}


def _sampling(request: Request, model: UpstreamModel, losses: Losses) -> JsonObject:
    """Temperature and top_p, where the model is not known to take none, wherever it is called."""
    given = {"temperature": request.temperature, "top_p": request.top_p}
    family, openais = known_traits(model.id), responses_traits(model.id)
    if not (family is not None and family.sampling == "none") and (openais.efforts is None or not openais.reasons_by_default):
        return given
    for name, value in given.items():
        if value not in (None, 1):
            losses.drop(name, "The model takes none.")
    return dict.fromkeys(given)


def _reasoning(wanted: Reasoning | None, model: UpstreamModel, losses: Losses) -> JsonObject | None:
    if wanted is None:
        return None
    if wanted.mode == "off":
        losses.drop(wanted.parameter, "The provider can not switch it off.")
        return None
    return {"effort": taken_effort(wanted, responses_traits(model.id).efforts, losses)}


def _tool_choice(choice: ToolChoice | None) -> str | JsonObject | None:
    if choice is None:
        return None
    if choice.mode == "search":
        return {"type": SEARCH}
    return {"name": choice.name} if choice.mode == "named" else choice.mode


def render_bare_search(search: Search, losses: Losses) -> JsonObject:
    """The search of the web: domains in one list, those that are blocked behind a minus, and a place without its kind or its time."""
    place = {name: value for name, value in (search.location or {}).items() if name != "type"}
    if place.pop("timezone", None) is not None:
        losses.drop("user_location.timezone", "The provider takes none.")
    domains = [*search.allowed_domains, *(f"-{domain}" for domain in search.blocked_domains)]
    filters = {"search_domain_filter": domains} if domains else None
    return without_nones({"type": SEARCH, "filters": filters, "user_location": place or None})
