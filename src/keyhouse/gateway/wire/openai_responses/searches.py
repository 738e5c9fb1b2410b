"""Searches of the web in Responses: the tool, and the items that tell of them.

https://developers.openai.com/api/docs/guides/tools-web-search, and the types of the openai package (3.57.0), 30 November 2026;
`blocked_domains` by https://github.com/vercel/ai/pull/18035 (2026-07-28).
"""

from keyhouse.gateway.wire.conversation import SEARCH, Search, SearchPart
from keyhouse.gateway.wire.digests import digest_of
from keyhouse.gateway.wire.fields import Fields, JsonObject, without_nones
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.search_place import stated_place

SOURCES = "web_search_call.action.sources"
"""In `include`: the addresses that were found are told."""

OWN_SEARCHES = "ws_kh_"
"""How the id of an item begins that tells of another model's search. OpenAI knows nothing of it."""

_TOOL: JsonObject = {"type": SEARCH}
_RESULTS = "search_results"


def is_search(tool: Fields) -> bool:
    """Whether a tool, or the choice of one, is OpenAI's search of the web, of whichever version."""
    return tool.text("type").startswith(SEARCH)


def parse_search_tool(request: Fields, losses: Losses) -> Search | None:
    """The search among a request's tools. Codex offers one to every model, so it can be missing; by default one of what OpenAI keeps of the
    web, which is dropped and named: others have nothing like it."""
    tool = next(filter(is_search, request.objects_or_none("tools")), None)
    if tool is None:
        return None
    if tool.boolean_or_none("external_web_access") is False:
        losses.drop("tools[].web_search", "Other models search the web itself only.")
        return None
    if tool.text_or_none("search_context_size") not in (None, "medium"):
        losses.drop("tools[].search_context_size", "The model decides itself how much it reads.")
    if set(tool.texts("search_content_types")) - {"text"}:
        losses.drop("tools[].search_content_types", "The model finds texts alone.")
    filters = tool.object_or_none("filters")
    return Search(
        parameter=tool.at("type"),
        can_be_missing=True,
        allowed_domains=filters.texts("allowed_domains") if filters else (),
        blocked_domains=filters.texts("blocked_domains") if filters else (),
        location=stated_place(tool.object_or_none("user_location")),
    )


def render_search(search: Search) -> JsonObject:
    """The tool. Without a place it searches as from the United States, unless it is told that there is none."""
    filters = {"allowed_domains": list(search.allowed_domains) or None, "blocked_domains": list(search.blocked_domains) or None}
    location = search.location or {"type": "approximate"}
    return without_nones({**_TOOL, "filters": without_nones(filters) or None, "user_location": location})


def forced_search(*, is_only_tool: bool) -> str | JsonObject:
    """The choice of tools that makes the model search."""
    return "required" if is_only_tool else {"type": "allowed_tools", "mode": "required", "tools": [_TOOL]}


def parse_search(item: Fields) -> SearchPart | None:
    """The search that an item tells of; None for another item, or one that tells of a page which was opened.

    `search_results`, which has no id: https://github.com/perplexityai/perplexity-py, 30 November 2026.
    """
    if item.text("type") == _RESULTS:
        pages = tuple(url for result in item.objects_or_none("results") if (url := result.text_or_none("url")))
        query = "; ".join(item.texts("queries"))
        return SearchPart(f"ws_{digest_of(query + ' '.join(pages))[:24]}", query, pages)
    action = item.object_or_none("action") if item.text("type") == "web_search_call" else None
    if action is None or action.text_or_none("type") != "search":
        return None
    query = action.text_or_none("query") or "; ".join(action.texts("queries"))
    found = tuple(url for source in action.objects_or_none("sources") if (url := source.text_or_none("url")))
    return SearchPart(item.text("id"), query, found, has_failed=item.text_or_none("status") == "failed")


def render_made_search(part: SearchPart) -> JsonObject:
    """An item that tells of a search, without its id."""
    sources = [{"type": "url", "url": url} for url in part.found]
    status = "failed" if part.has_failed else "completed"
    return {"type": "web_search_call", "status": status, "action": {"type": "search", "query": part.query, "sources": sources}}
