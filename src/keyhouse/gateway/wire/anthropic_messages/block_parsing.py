"""Parses the content blocks of a Messages request."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from keyhouse.gateway.wire.anthropic_messages.searches import without_searches
from keyhouse.gateway.wire.conversation import (
    DocumentPart,
    FileSource,
    ImagePart,
    Part,
    Source,
    TextPart,
    TextSource,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from keyhouse.gateway.wire.fields import Fields, unsupported
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import parse_cache_control, parse_thinking_block
from keyhouse.gateway.wire.media import base64_source

_OF_USERS = ("image", "document", "tool_result")


def parse_system_texts(fields: Fields, name: str) -> tuple[TextPart, ...]:
    """A system prompt: a string or text blocks; empty where it is absent."""
    if not fields.has(name):
        return ()
    if isinstance(fields.raw[name], str):
        return (TextPart(fields.text(name)),)
    return tuple(parse_text(block) for block in fields.objects(name))


def parse_blocks(message: Fields, losses: Losses) -> tuple[Part, ...]:
    """The content of a message: a string or blocks. Raises Error as `parse_request` does."""
    if not isinstance(message.raw.get("content"), list):
        return (TextPart(message.text("content")),)
    blocks = without_searches(message.objects("content"), losses)
    return tuple(_parts(map(_as_said, blocks) if message.raw.get("role") == "assistant" else blocks))


def _as_said(block: Fields) -> Fields:
    """A block of the assistant's."""
    if block.text("type") in _OF_USERS:
        raise unsupported(block.at("type"), "Only users send this.")
    return block


def _parts(blocks: Iterable[Fields]) -> Iterator[Part]:
    for block in blocks:
        kind = block.text("type")
        match kind:
            case "tool_use":
                yield ToolCallPart(block.text("id"), block.text("name"), block.object("input").raw, parse_cache_control(block))
            case "tool_result":
                yield _tool_result(block)
            case "thinking" | "redacted_thinking":
                yield parse_thinking_block(block)
            case _:
                yield from _readable(block, kind)


def _readable(block: Fields, kind: str) -> Iterator[TextPart | ImagePart | DocumentPart]:
    """What may stand in a message and in a tool's result alike."""
    match kind:
        case "text":
            yield parse_text(block)
        case "image":
            yield _image(block)
        case "document":
            yield from _document(block)
        case "search_result":
            yield from _search_result(block)
        case _:
            raise unsupported(block.at("type"), "Blocks of this type have no equivalent for this model.")


def _image(block: Fields) -> ImagePart:
    transformations = block.object_or_none("transformations")
    if transformations is not None and transformations.text_or_none("oversized_image") not in (None, "downsize"):
        raise unsupported(block.at("transformations"), "Nobody can tell what this model does with a large image.")
    return ImagePart(_source(block.object("source")), parse_cache_control(block))


def parse_text(block: Fields) -> TextPart:
    """A block of type `text`."""
    block.choice("type", ("text",))
    return TextPart(block.text("text"), parse_cache_control(block))


def _tool_result(block: Fields) -> ToolResultPart:
    content: tuple[TextPart | ImagePart | DocumentPart, ...] = ()
    if isinstance(block.raw.get("content"), str):
        content = (TextPart(block.text("content")),)
    elif block.has("content"):
        content = tuple(part for inner in block.objects("content") for part in _found(inner, inner.text("type")))
    return ToolResultPart(block.text("tool_use_id"), content, bool(block.boolean_or_none("is_error")), parse_cache_control(block))


def _found(block: Fields, kind: str) -> Iterator[TextPart | ImagePart | DocumentPart]:
    """What may stand in a tool's result: a search of the caller's own among its tools answers with their names."""
    if kind == "tool_reference":
        yield TextPart(f"The tool {block.text('tool_name')} can be called.", parse_cache_control(block))
    else:
        yield from _readable(block, kind)


def _document(block: Fields) -> Iterator[TextPart | ImagePart | DocumentPart]:
    _refuse_citations(block)
    source = block.object("source")
    if source.text("type") != "content":
        yield DocumentPart(_source(source), block.text_or_none("title"), block.text_or_none("context"), parse_cache_control(block))
    elif isinstance(source.raw.get("content"), str):
        whole = TextSource(source.text("content"))
        yield DocumentPart(whole, block.text_or_none("title"), block.text_or_none("context"), parse_cache_control(block))
    else:
        told = [text for name in ("title", "context") if (text := block.text_or_none(name))]
        parts = [part for inner in source.objects("content") for part in _readable(inner, inner.choice("type", ("text", "image")))]
        yield from _marked([TextPart("\n".join(told)), *parts] if told else parts, block)


def _search_result(block: Fields) -> Iterator[TextPart]:
    _refuse_citations(block)
    found = [parse_text(inner) for inner in block.objects("content")]
    yield from _marked([TextPart(f"{block.text('title')}\n{block.text('source')}"), *found], block)


_Marked = TypeVar("_Marked", TextPart, TextPart | ImagePart | DocumentPart)


def _marked(parts: list[_Marked], block: Fields) -> Iterator[_Marked]:
    """The parts that a block is elsewhere, the last of which bears its marker."""
    marker = parse_cache_control(block)
    yield from parts[:-1]
    yield from (part if marker is None else replace(part, cache=marker) for part in parts[-1:])


def _refuse_citations(block: Fields) -> None:
    citations = block.object_or_none("citations")
    if citations is not None and citations.boolean_or_none("enabled"):
        raise unsupported(block.at("citations"), "This model does not cite.")


def _source(source: Fields) -> Source:
    kind = source.choice("type", ("base64", "url", "file", "text"))
    if kind == "base64":
        return base64_source(source.text("media_type"), source.text("data"))
    if kind == "url":
        return UrlSource(source.text("url"))
    return FileSource(source.text("file_id")) if kind == "file" else TextSource(source.text("data"))
