"""Parses the messages of a chat completions request."""

from keyhouse.gateway.wire.conversation import (
    AudioPart,
    Base64Source,
    CacheMarker,
    DocumentPart,
    FileSource,
    ImagePart,
    Message,
    Part,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from keyhouse.gateway.wire.fields import Fields, JsonObject, unsupported
from keyhouse.gateway.wire.json_text import UNREADABLE, decoded_json
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import parse_breakpoint, parse_cache_control, parse_thinking_block
from keyhouse.gateway.wire.media import is_data_url, is_web_url, parse_data_url

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def parse_message(message: Fields, losses: Losses) -> Message:
    """One message. Raises Error as `parse_request` does."""
    role = message.choice("role", _ROLES)
    if role == "function":
        raise unsupported(message.at("role"), "Results of the older function calls have no equivalent; use tools.")
    if message.has("name"):
        losses.drop("messages[].name", "Messages of the upstream's format have no name.")
    if role == "tool":
        return Message("user", (_tool_result(message),))
    if role in ("system", "developer"):
        return Message("system", _text_parts(message))
    if role == "assistant":
        return Message("assistant", _assistant_parts(message, losses))
    return Message("user", _user_parts(message, losses))


def _tool_result(message: Fields) -> ToolResultPart:
    return ToolResultPart(message.text("tool_call_id"), _text_parts(message), cache=parse_cache_control(message))


def _text_parts(message: Fields) -> tuple[TextPart, ...]:
    """Content that is a string or an array of text and refusal parts; empty for null."""
    if not message.has("content"):
        return ()
    if isinstance(message.raw["content"], str):
        return (TextPart(message.text("content"), cache=parse_cache_control(message)),)
    return tuple(_text_part(part) for part in message.objects("content"))


def _text_part(part: Fields) -> TextPart:
    kind = part.choice("type", ("text", "refusal"))
    return TextPart(part.text(kind), cache=_cache(part))


def _assistant_parts(message: Fields, losses: Losses) -> tuple[Part, ...]:
    if message.has("audio"):
        raise unsupported(message.at("audio"), "An earlier answer in sound has no equivalent.")
    if message.has("function_call"):
        raise unsupported(message.at("function_call"), "The older function calls have no equivalent; use tools.")
    refusal = message.text_or_none("refusal")
    return (
        *(parse_thinking_block(block) for block in message.objects_or_none("thinking_blocks")),
        *_text_parts(message),
        *((TextPart(refusal),) if refusal else ()),
        *(_tool_call(call, losses) for call in message.objects_or_none("tool_calls")),
    )


def _tool_call(call: Fields, losses: Losses) -> ToolCallPart:
    if call.choice("type", ("function", "custom")) == "custom":
        raise unsupported(call.at("type"), "Custom tools, whose input is free text, have no equivalent.")
    function = call.object("function")
    return ToolCallPart(call.text("id"), function.text("name"), parse_call_arguments(function, losses))


def parse_call_arguments(function: Fields, losses: Losses) -> JsonObject:
    """The arguments, which are JSON in a string here and an object elsewhere. A model may have written something else, or was cut off:
    OpenAI takes that back, and so it is told as the text that it is."""
    text = function.text("arguments")
    try:
        arguments = decoded_json(text) if text.strip() else {}
    except UNREADABLE:
        arguments = text
    if isinstance(arguments, dict):
        return arguments
    losses.change("arguments", "text")
    return {"arguments": text}


def _user_parts(message: Fields, losses: Losses) -> tuple[Part, ...]:
    if not isinstance(message.raw.get("content"), list):
        return (TextPart(message.text("content"), cache=parse_cache_control(message)),)
    return tuple(_user_part(part, losses) for part in message.objects("content"))


def _user_part(part: Fields, losses: Losses) -> Part:
    kind = part.choice("type", ("text", "refusal", "image_url", "file", "input_audio"))
    if kind == "image_url":
        return _image(part, losses)
    if kind == "file":
        return _document(part)
    if kind == "input_audio":
        if _cache(part) is not None:
            losses.drop("messages[].content[].cache_control", "Sound of the upstream's format can not be marked.")
        sound = part.object("input_audio")
        return AudioPart(sound.text("data"), sound.text("format"))
    return _text_part(part)


def _image(part: Fields, losses: Losses) -> ImagePart:
    # Clients of Mistral send the address alone: https://docs.mistral.ai/capabilities/vision (2026-11-29).
    holder, name = (part, "image_url") if isinstance(part.raw.get("image_url"), str) else (part.object("image_url"), "url")
    if holder.has("detail") and holder.text("detail") != "auto":
        losses.drop("messages[].content[].image_url.detail", "Images of the upstream's format have no level of detail.")
    url = holder.text(name)
    if is_data_url(url):
        return ImagePart(parse_data_url(url, holder.at(name)), _cache(part))
    if not is_web_url(url):
        raise holder.wrong(name, "an http, https or data URL")
    return ImagePart(UrlSource(url), _cache(part))


def _document(part: Fields) -> DocumentPart:
    file = part.object("file")
    return DocumentPart(_document_source(file), title=file.text_or_none("filename"), cache=_cache(part))


def _document_source(file: Fields) -> Source:
    if not file.has("file_data"):
        return FileSource(file.text("file_id"))
    data = file.text("file_data")
    # Bare base64 is what the reference says and a data URL what its examples send. Bare base64 names no type; PDF is the one that all take.
    return parse_data_url(data, file.at("file_data")) if is_data_url(data) else Base64Source("application/pdf", data)


def _cache(part: Fields) -> CacheMarker | None:
    """A cache marker, in the common extension's form or in the form of Chat Completions."""
    return parse_breakpoint(part) or parse_cache_control(part)
