"""Renders the messages of a chat completions request."""

from collections.abc import Iterable, Iterator

import msgspec

from keyhouse.gateway.wire.call_signatures import render_call_signature
from keyhouse.gateway.wire.conversation import (
    AudioPart,
    Base64Source,
    DocumentPart,
    FileSource,
    ImagePart,
    Message,
    Part,
    TextPart,
    TextSource,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from keyhouse.gateway.wire.fields import JsonObject, unsupported, without_nones
from keyhouse.gateway.wire.losses import Losses


def render_messages(messages: Iterable[Message], losses: Losses, *, signs_calls: bool = False) -> list[JsonObject]:
    """The member `messages`. One message of another format may become several: results of tools have a message each. `signs_calls`: the
    upstream wants the signatures of its calls back."""
    return [rendered for message in messages for rendered in _rendered(message, losses, signs_calls=signs_calls)]


def _rendered(message: Message, losses: Losses, *, signs_calls: bool) -> Iterator[JsonObject]:
    if any(getattr(part, "cache", None) is not None for part in message.parts):
        losses.drop("messages[].content[].cache_control", "Chat Completions has no such marker.")
    if message.role == "system":
        yield {"role": "system", "content": "\n".join(_texts(message.parts))}
    elif message.role == "assistant":
        yield from _assistant(message, signs_calls=signs_calls)
    else:
        yield from _user(message, losses)


def _texts(parts: Iterable[Part]) -> list[str]:
    return [part.text for part in parts if isinstance(part, TextPart)]


def _assistant(message: Message, *, signs_calls: bool) -> Iterator[JsonObject]:
    """Text and calls. Thoughts are left out: no such field exists, and a signature is worth nothing to another model."""
    before = (None, *message.parts) if signs_calls else (None,) * len(message.parts)
    calls = [_tool_call(part, signature) for signature, part in zip(before, message.parts, strict=False) if isinstance(part, ToolCallPart)]
    text = "".join(_texts(message.parts))
    if calls or text:
        yield without_nones({"role": "assistant", "content": text or None, "tool_calls": calls or None})


def _tool_call(part: ToolCallPart, signature: Part | None) -> JsonObject:
    arguments = msgspec.json.encode(part.arguments).decode()
    call = {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": arguments}}
    return without_nones({**call, "extra_content": render_call_signature(signature)})


def _user(message: Message, losses: Losses) -> Iterator[JsonObject]:
    """A message for each tool result, then one with all the rest. Images and files of results move into the rest."""
    rest: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            if part.is_error:
                losses.drop("messages[].content[].is_error", "Results of tools have no such mark in Chat Completions.")
            yield {"role": "tool", "tool_call_id": part.tool_call_id, "content": "\n".join(_result_texts(part))}
            rest += [inner for inner in part.content if not _is_text(inner)]
    rest += [part for part in message.parts if not isinstance(part, ToolResultPart)]
    if rest:
        yield {"role": "user", "content": _content(rest)}


def _is_text(part: Part) -> bool:
    return isinstance(part, TextPart) or (isinstance(part, DocumentPart) and isinstance(part.source, TextSource))


def _result_texts(result: ToolResultPart) -> Iterator[str]:
    for part in result.content:
        if isinstance(part, TextPart):
            yield part.text
        elif isinstance(part, DocumentPart) and isinstance(part.source, TextSource):
            yield _document_text(part, part.source)


def _content(parts: list[Part]) -> str | list[JsonObject]:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_content_part(part) for part in parts]


def _content_part(part: Part) -> JsonObject:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": _image_url(part)}}
        case DocumentPart():
            return _document(part)
        case AudioPart():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case _:
            raise unsupported("messages", "A message of the user can not hold calls or thoughts.")


def _image_url(part: ImagePart) -> str:
    match part.source:
        case Base64Source(media_type=media_type, data=data):
            return f"data:{media_type};base64,{data}"
        case UrlSource(url=url):
            return url
        case _:
            raise unsupported("messages", "Chat Completions takes images by URL and as data only.")


def _document(part: DocumentPart) -> JsonObject:
    match part.source:
        case Base64Source(media_type=media_type, data=data):
            name = part.title or "file"
            return {"type": "file", "file": {"filename": name, "file_data": f"data:{media_type};base64,{data}"}}
        case FileSource(file_id=file_id):
            return {"type": "file", "file": {"file_id": file_id}}
        case TextSource():
            return {"type": "text", "text": _document_text(part, part.source)}
        case UrlSource():
            raise unsupported("messages", "Chat Completions takes no file by URL, and the gateway fetches nothing.")


def _document_text(part: DocumentPart, source: TextSource) -> str:
    return "\n".join(text for text in (part.title, part.context, source.text) if text)
