"""Functions in namespaces, as Responses groups them: other formats have names alone, so both parts stand in one there.

https://developers.openai.com/api/docs/guides/tools-tool-search (2026-11-29); Codex puts the tools of its servers into namespaces.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from keyhouse.gateway.wire.fields import Fields, JsonObject


def joined_name(namespace: str | None, name: str) -> str:
    """The name of a function elsewhere."""
    return f"{namespace}__{name}" if namespace else name


def functions_of(tool: Fields) -> Iterator[tuple[str, Fields]]:
    """The functions that a tool is: their names elsewhere, and what is said of each. A tool of another type is given as it is."""
    if tool.text("type") != "namespace":
        yield tool.text_or_none("name") or "", tool
        return
    for inner in tool.objects("tools"):
        yield joined_name(tool.text("name"), inner.text_or_none("name") or ""), inner


def separated_name(name: str, tools: Iterable[Any]) -> JsonObject:
    """The members `name` and, where there is one, `namespace` of a call, by the tools of its request, which have been parsed."""
    for tool in tools:
        if tool.get("type") == "namespace":
            inner = next((inner["name"] for inner in tool["tools"] if joined_name(tool["name"], inner["name"]) == name), None)
            if inner is not None:
                return {"name": inner, "namespace": tool["name"]}
    return {"name": name}
