"""Searches of the web that a Messages request asks for, and how a message tells of them.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool, and the types of the anthropic package (2.14.0), 30 November
2026. Claude Code has a tool of its own that asks for one search at a time.
"""

import re
from collections.abc import Iterable, Iterator

from keyhouse.gateway.wire.conversation import Search, SearchPart
from keyhouse.gateway.wire.fields import Fields, JsonObject, unsupported
from keyhouse.gateway.wire.losses import Losses

MARK = "srvtoolu_ws_"
"""How the id of a search begins that another provider made. Anthropic's own go on otherwise."""

_NAME = "web_search"
_MEMBERS = ("type", "name", "max_uses", "allowed_domains", "blocked_domains", "user_location", "allowed_callers", "cache_control")
_UNFIT_IN_IDS = re.compile("[^a-zA-Z0-9_]")


def is_search(tool: Fields) -> bool:
    """Whether a tool is Anthropic's search of the web, of whichever version."""
    return tool.has("type") and tool.text("type").startswith(f"{_NAME}_")


def parse_search(request: Fields, losses: Losses) -> Search | None:
    """The search among a request's tools."""
    tool = next(filter(is_search, request.objects_or_none("tools")), None)
    if tool is None:
        return None
    tool.check_names(*_MEMBERS, "defer_loading", "strict")
    if tool.has("allowed_callers") and "direct" not in tool.texts("allowed_callers"):
        raise unsupported(tool.at("allowed_callers"), "Tools of other formats are called by the model itself, and by nothing else.")
    for name in ("cache_control", "defer_loading", "strict"):
        if tool.has(name):
            losses.drop(f"tools[].{name}", "A search of other formats has nothing like it.")
    location = tool.object_or_none("user_location")
    return Search(
        parameter=tool.at("type"),
        name=tool.text("name"),
        most=tool.integer_or_none("max_uses"),
        allowed_domains=tool.texts("allowed_domains"),
        blocked_domains=tool.texts("blocked_domains"),
        location=None if location is None else location.raw,
    )


def without_searches(blocks: Iterable[Fields], losses: Losses) -> Iterator[Fields]:
    """The blocks of a message without the searches of earlier answers. What they found is encrypted for the provider that made them; what
    was answered to it stays."""
    for block in blocks:
        if _tells_of_search(block):
            losses.drop("messages[].content[].web_search_tool_result", "What was found can be read by the provider alone that searched.")
        else:
            yield block


def _tells_of_search(block: Fields) -> bool:
    kind = block.text("type")
    return kind == "web_search_tool_result" or (kind == "server_tool_use" and block.text("name") == _NAME)


def render_search(part: SearchPart) -> tuple[JsonObject, JsonObject]:
    """The blocks of a search: what was searched for, and what was found."""
    call_id = MARK + _UNFIT_IN_IDS.sub("_", part.id.removeprefix("ws_"))
    found: JsonObject | list[JsonObject] = [_found(url) for url in part.found]
    if part.has_failed:
        found = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    return (
        {"type": "server_tool_use", "id": call_id, "name": _NAME, "input": {"query": part.query}},
        {"type": "web_search_tool_result", "tool_use_id": call_id, "content": found},
    )


def _found(url: str) -> JsonObject:
    """Other formats tell the address alone of what was found."""
    return {"type": "web_search_result", "title": url, "url": url, "encrypted_content": "", "page_age": None}
