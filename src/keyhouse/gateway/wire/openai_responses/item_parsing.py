"""Parses the items of a request of Responses into messages: what stands in items of its own there is one message elsewhere."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from keyhouse.gateway.wire.conversation import (
    CacheMarker,
    DocumentPart,
    FileSource,
    ImagePart,
    Message,
    Part,
    Role,
    Source,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from keyhouse.gateway.wire.fields import Fields, unsupported
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import parse_breakpoint
from keyhouse.gateway.wire.media import is_data_url, is_web_url, parse_data_url
from keyhouse.gateway.wire.openai_chat.message_parsing import parse_call_arguments
from keyhouse.gateway.wire.openai_responses.kept_thoughts import parse_kept_thought
from keyhouse.gateway.wire.openai_responses.namespaces import joined_name

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def parse_items(items: Iterable[Fields], losses: Losses) -> Iterator[Message]:
    """The messages; neighbours of one role are one. Raises Error as `parse_request` does.

    A result of a tool may stand anywhere behind its call here (https://github.com/deepseek-ai/awesome-deepseek-integration/issues/740,
    2026-09-20: Codex puts other items between them), and must follow it at once elsewhere: what stands between goes behind the results.
    """
    given = [_item(item, losses) for item in items]
    answered = {part.tool_call_id for _, parts in given for part in parts if isinstance(part, ToolResultPart)}
    waiting: set[str] = set()
    said: list[tuple[Role, list[Part]]] = []
    behind: list[tuple[Role, list[Part]]] = []
    for role, parts in given:
        waiting |= {part.id for part in parts if isinstance(part, ToolCallPart)} & answered
        results = {part.tool_call_id for part in parts if isinstance(part, ToolResultPart)}
        (behind if waiting and role != "assistant" and not results else said).append((role, parts))
        waiting -= results
        if not waiting:
            said += behind
            behind = []
    yield from _messages([*said, *behind])


def _messages(said: Iterable[tuple[Role, list[Part]]]) -> Iterator[Message]:
    for role, group in groupby(said, key=itemgetter(0)):
        parts = tuple(part for _, found in group for part in found)
        if parts:
            yield Message(role, parts)


def _item(item: Fields, losses: Losses) -> tuple[Role, list[Part]]:
    # A reference may leave its type out, as a message may.
    untyped = "item_reference" if item.has("id") and not item.has("role") else "message"
    kind = item.text_or_none("type") or untyped
    match kind:
        case "message":
            role = _ROLES[item.choice("role", _ROLES)]
            return role, list(_said(item, role, losses))
        case "function_call":
            name = joined_name(item.text_or_none("namespace"), item.text("name"))
            return "assistant", [ToolCallPart(item.text("call_id"), name, parse_call_arguments(item, losses))]
        case "custom_tool_call":
            # Nobody calls it any more, so it is told as it would have been called.
            name = joined_name(item.text_or_none("namespace"), item.text("name"))
            return "assistant", [ToolCallPart(item.text("call_id"), name, {"input": item.text("input")})]
        case "function_call_output" | "custom_tool_call_output":
            return "user", [ToolResultPart(item.text("call_id"), tuple(_output(item, losses)))]
        case "reasoning":
            return "assistant", list(_thought(item))
        case "web_search_call":
            losses.drop("input[].web_search_call", "The model knows nothing of a search that another one made.")
            return "assistant", []
        case "item_reference":
            raise unsupported(
                item.at("type"), "Nothing is kept of earlier responses. Send the items themselves, as clients do with store: false."
            )
        case _:
            raise unsupported(
                item.at("type"), "Items of this type have no equivalent for this model, and nothing is kept of earlier responses."
            )


def _thought(item: Fields) -> Iterator[Part]:
    """What a model thought: as it was kept, else as far as it was told."""
    kept = parse_kept_thought(item.text_or_none("encrypted_content"))
    if kept is not None:
        yield kept
        return
    told = [summary.text("text") for name in ("summary", "content") for summary in item.objects_or_none(name)]
    if told:
        yield ThinkingPart("\n\n".join(told))


def _said(item: Fields, role: Role, losses: Losses) -> Iterator[Part]:
    if isinstance(item.raw.get("content"), str):
        yield TextPart(item.text("content"))
        return
    for part in item.objects("content"):
        kind = part.text("type")
        if kind in ("input_text", "output_text", "text"):
            yield TextPart(part.text("text"), _cache(part))
        elif kind == "refusal":
            yield TextPart(part.text("refusal"))
        elif role == "user":
            yield _media(part, losses)
        else:
            raise unsupported(part.at("type"), "Only users send this.")


def _output(item: Fields, losses: Losses) -> Iterator[TextPart | ImagePart | DocumentPart]:
    if isinstance(item.raw.get("output"), str):
        yield TextPart(item.text("output"))
        return
    for part in item.objects("output"):
        is_text = part.text("type") in ("input_text", "output_text", "text")
        yield TextPart(part.text("text"), _cache(part)) if is_text else _media(part, losses)


def _media(part: Fields, losses: Losses) -> ImagePart | DocumentPart:
    if part.text_or_none("detail") not in (None, "auto"):
        losses.drop("input[].content[].detail", "Images and files of the upstream's format have no level of detail.")
    match part.text("type"):
        case "input_image":
            return ImagePart(_source(part, "image_url", "image_url"), _cache(part))
        case "input_file":
            return DocumentPart(_source(part, "file_data", "file_url"), title=part.text_or_none("filename"), cache=_cache(part))
        case _:
            raise unsupported(part.at("type"), "Parts of this type have no equivalent for this model.")


def _cache(part: Fields) -> CacheMarker | None:
    return parse_breakpoint(part, "input[].content[].prompt_cache_breakpoint")


def _source(part: Fields, data: str, url: str) -> Source:
    """Where a file is: under a name that holds its data, under one that says where it lies, or with the provider."""
    given = part.text_or_none(data) or part.text_or_none(url)
    if given is None:
        return FileSource(part.text("file_id"))
    if is_data_url(given):
        return parse_data_url(given, part.at(data))
    if not is_web_url(given):
        raise part.wrong(data, "a data URL" if data != url else "an http, https or data URL")
    return UrlSource(given)
