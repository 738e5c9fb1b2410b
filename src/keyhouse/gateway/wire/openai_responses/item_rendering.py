"""Renders the messages of a conversation as items of Responses: what was said, called, answered and thought stands in items of its own."""

from collections.abc import Iterable, Iterator

import msgspec

from keyhouse.gateway.wire.conversation import (
    AudioPart,
    Base64Source,
    DocumentPart,
    FileSource,
    ImagePart,
    Message,
    Part,
    RedactedThinkingPart,
    Source,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from keyhouse.gateway.wire.fields import JsonObject, unsupported
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import marker_name, marker_of
from keyhouse.gateway.wire.media import data_url
from keyhouse.gateway.wire.openai_chat.message_rendering import call_id, described, document_text
from keyhouse.gateway.wire.reasoning_items import is_reasoning_item, render_reasoning_item


def render_items(messages: Iterable[Message], losses: Losses, *, phases: bool = False) -> list[JsonObject]:
    """The member `input`; `phases`: what the assistant said says what it was.

    Raises Error (`unsupported_parameter`) for what an item can not hold.
    """
    items = (list(_items(message, losses)) for message in messages)
    return _followed([item for each in items for item in (_phased(each) if phases else each)])


def _followed(items: list[JsonObject]) -> list[JsonObject]:
    """The items without thoughts that lead to nothing, as where an answer was cut off: one may be refused "without its required following
    item", https://github.com/continuedev/continue/issues/8933 (2025-11-28)."""
    kept: list[JsonObject] = []
    leads = False
    for item in reversed(items):
        is_thought = item.get("type") == "reasoning"
        if leads or not is_thought:
            kept.append(item)
        leads = leads if is_thought else item.get("type") == "function_call" or item.get("role") == "assistant"
    return kept[::-1]


def _phased(items: list[JsonObject]) -> Iterator[JsonObject]:
    """The items of one message. Words in front of calls are no answer, and a model that takes them for one stops too early."""
    phase = "commentary" if any(item.get("type") == "function_call" for item in items) else "final_answer"
    return ({**item, "phase": phase} if item.get("role") == "assistant" else item for item in items)


def _items(message: Message, losses: Losses) -> Iterator[JsonObject]:
    """The items of a message, in order; its text, images and files that follow each other are one."""
    for marker in filter(None, map(marker_of, message.parts)):
        losses.drop(marker_name(marker), "Responses has no such marker.")
    said: list[Part] = []
    for part in message.parts:
        match part:
            case ToolCallPart() | ToolResultPart() | RedactedThinkingPart() | ThinkingPart():
                yield from _said(message.role, said)
                said = []
                yield from _item(part, losses)
            case _:
                said.append(part)
    yield from _said(message.role, said)


def _said(role: str, parts: list[Part]) -> Iterator[JsonObject]:
    if role == "user":
        content = [_content(part) for part in described(parts)]
        if content:
            yield {"role": role, "content": content}
    else:
        text = ("\n" if role == "system" else "").join(part.text for part in parts if isinstance(part, TextPart))
        if text:
            yield {"role": role, "content": text}


def _item(part: ToolCallPart | ToolResultPart | RedactedThinkingPart | ThinkingPart, losses: Losses) -> Iterator[JsonObject]:
    """The item of its own that a part is; none for thoughts of other models, which mean nothing here."""
    match part:
        case ToolCallPart():
            arguments = msgspec.json.encode(part.arguments).decode()
            yield {"type": "function_call", "call_id": call_id(part.id), "name": part.name, "arguments": arguments}
        case ToolResultPart():
            if part.is_error:
                losses.drop("messages[].content[].is_error", "Results of tools have no such mark in Responses.")
            yield {"type": "function_call_output", "call_id": call_id(part.tool_call_id), "output": _output(part)}
        case RedactedThinkingPart() if is_reasoning_item(part):
            yield render_reasoning_item(part)


def _output(result: ToolResultPart) -> str | list[JsonObject]:
    if all(isinstance(part, TextPart) for part in result.content):
        return "\n".join(part.text for part in result.content if isinstance(part, TextPart))
    return [_content(part) for part in described(result.content)]


def _content(part: Part) -> JsonObject:
    match part:
        case TextPart():
            return {"type": "input_text", "text": part.text}
        case ImagePart():
            return {"type": "input_image", "detail": "auto", **_image_source(part.source)}
        case DocumentPart():
            return _document(part)
        case AudioPart():
            raise unsupported("messages", "Responses takes no sound.")
        case _:
            raise unsupported("messages", "A message of the user can not hold calls or thoughts.")


def _image_source(source: Source) -> JsonObject:
    match source:
        case Base64Source():
            return {"image_url": data_url(source)}
        case UrlSource(url=url):
            return {"image_url": url}
        case FileSource(file_id=file_id):
            return {"file_id": file_id}
        case TextSource():
            raise unsupported("messages", "An image can not be plain text.")


def _document(part: DocumentPart) -> JsonObject:
    match part.source:
        case Base64Source() as source:
            return {"type": "input_file", "filename": part.title or "file", "file_data": data_url(source)}
        case UrlSource(url=url):
            return {"type": "input_file", "file_url": url}
        case FileSource(file_id=file_id):
            return {"type": "input_file", "file_id": file_id}
        case TextSource():
            return {"type": "input_text", "text": document_text(part, part.source)}
