"""Searches of the web in Messages: the tool, both ways, and the blocks that tell of them.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool, and the types of the anthropic package (2.14.0), 30 November
2026. Claude Code has a tool of its own that asks for one search at a time.
"""

import re
from collections.abc import Iterable, Iterator

from keyhouse.gateway.wire.conversation import SEARCH, Citation, Search, SearchPart
from keyhouse.gateway.wire.direct_calls import require_direct_calls
from keyhouse.gateway.wire.fields import Fields, JsonObject, unsupported, without_nones
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.reasoning_items import is_kept_by_openai
from keyhouse.gateway.wire.search_place import stated_place

MARK = "srvtoolu_ws_"
"""How the id of a search begins that another provider made. Anthropic's own go on otherwise."""

_TYPE = "web_search_20250305"
_MOST_SEARCHES = 8
"""Where the caller names none: after ten the API breaks off in the middle, for the client to go on."""
_MEMBERS = ("type", "name", "max_uses", "allowed_domains", "blocked_domains", "user_location", "allowed_callers", "cache_control")
_UNFIT_IN_IDS = re.compile("[^a-zA-Z0-9_]")


def is_search(tool: Fields) -> bool:
    """Whether a tool is Anthropic's search of the web, of whichever version."""
    return tool.has("type") and tool.text("type").startswith(f"{SEARCH}_")


def parse_search(request: Fields, losses: Losses) -> Search | None:
    """The search among a request's tools. As Anthropic does, it refuses another tool of its name."""
    tool = next(filter(is_search, request.objects_or_none("tools")), None)
    if tool is None:
        return None
    if sum(other.raw.get("name") == SEARCH for other in request.objects("tools")) > 1:
        raise request.wrong("tools", "of different names")
    tool.check_names(*_MEMBERS, "defer_loading", "strict")
    require_direct_calls(tool)
    for name in ("cache_control", "defer_loading", "strict"):
        if tool.has(name):
            losses.drop(f"tools[].{name}", "A search of other formats has nothing like it.")
    search = Search(
        parameter=tool.at("type"),
        most=tool.integer_or_none("max_uses"),
        allowed_domains=tool.texts("allowed_domains"),
        blocked_domains=tool.texts("blocked_domains"),
        location=stated_place(tool.object_or_none("user_location")),
    )
    _check_domains(search)
    return search


def _check_domains(search: Search) -> None:
    """Raises Error (`unsupported_parameter`) for both lists of domains: the API takes one alone, as the package's types say."""
    if search.allowed_domains and search.blocked_domains:
        raise unsupported(
            search.parameter, "Claude searches in the allowed domains alone, or in all but the blocked ones: send one of them."
        )


def without_searches(blocks: Iterable[Fields], losses: Losses) -> Iterator[Fields]:
    """The blocks of a message without the searches of earlier answers. What they found is encrypted for the provider that made them; what
    was answered to it stays. Thoughts of OpenAI's models that led to one go with it: they are refused without what followed them, as in
    https://github.com/continuedev/continue/issues/8933 (2025-11-28)."""
    thoughts: list[Fields] = []
    for block in blocks:
        if _tells_of_search(block):
            losses.drop("messages[].content[].web_search_tool_result", "What was found can be read by the provider alone that searched.")
            thoughts.clear()
        elif is_kept_by_openai(block):
            thoughts.append(block)
        else:
            yield from thoughts
            thoughts.clear()
            yield block
    yield from thoughts


def _tells_of_search(block: Fields) -> bool:
    kind = block.text("type")
    return kind == "web_search_tool_result" or (kind == "server_tool_use" and block.text("name") == SEARCH)


def render_search(part: SearchPart) -> tuple[JsonObject, JsonObject]:
    """The blocks of a search: what was searched for, and what was found."""
    call_id = MARK + _UNFIT_IN_IDS.sub("_", part.id.removeprefix("ws_"))
    found: JsonObject | list[JsonObject] = [_found(url) for url in part.found]
    if part.has_failed:
        found = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    return (
        {"type": "server_tool_use", "id": call_id, "name": SEARCH, "input": {"query": part.query}},
        {"type": "web_search_tool_result", "tool_use_id": call_id, "content": found},
    )


def _found(url: str) -> JsonObject:
    """Other formats tell the address alone of what was found."""
    return {"type": "web_search_result", "title": url, "url": url, "encrypted_content": "", "page_age": None}


def render_search_tool(search: Search) -> JsonObject:
    """The tool. The version is the oldest one, which all models take and which searches for the model alone, not for code of its own."""
    _check_domains(search)
    return without_nones(
        {
            "type": _TYPE,
            "name": SEARCH,
            "max_uses": search.most or _MOST_SEARCHES,
            "allowed_domains": list(search.allowed_domains) or None,
            "blocked_domains": list(search.blocked_domains) or None,
            "user_location": search.location,
        }
    )


def parse_citations(block: Fields) -> tuple[Citation, ...]:
    """The pages that a block of text names, each once."""
    return tuple(dict.fromkeys(page for cited in block.objects_or_none("citations") if (page := parse_citation(cited)) is not None))


def parse_citation(cited: Fields) -> Citation | None:
    """A page of the web; None for a place in a document of the caller's."""
    url = cited.text_or_none("url")
    if url is None or cited.text_or_none("type") != "web_search_result_location":
        return None
    return Citation(url, cited.text_or_none("title") or url)


class SearchReader:
    """Joins what an answer tells of a search, block after block."""

    def __init__(self) -> None:
        self._queries: dict[str, str] = {}

    def asked(self, block: Fields, query: Fields) -> None:
        """A block of type `server_tool_use`, and its input, whole."""
        if block.text("name") == SEARCH:
            self._queries[block.text("id")] = query.text_or_none("query") or ""

    def found(self, block: Fields) -> SearchPart:
        """A block of type `web_search_tool_result`, which ends a search."""
        call_id = block.text("tool_use_id")
        has_failed = not isinstance(block.raw.get("content"), list)
        pages = () if has_failed else tuple(page.text("url") for page in block.objects("content"))
        return SearchPart(call_id, self._queries.get(call_id, ""), pages, has_failed=has_failed)
