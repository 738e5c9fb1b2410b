"""Renders the messages of a chat completions request."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from keyhouse.gateway.wire.call_signatures import render_call_signature, render_missing_signature
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
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    UpstreamModel,
    UrlSource,
)
from keyhouse.gateway.wire.digests import digest_of
from keyhouse.gateway.wire.fields import JsonObject, unsupported, without_nones
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import marker_name, marker_of
from keyhouse.gateway.wire.media import data_url
from keyhouse.gateway.wire.model_traits import chat_traits
from keyhouse.gateway.wire.turns import system_first

LONGEST_CALL_ID = 40
"""Of OpenAI's: https://github.com/vercel/ai/issues/5171 (2025-06-26)."""
_SHORT_CALL_ID = 9
BRIDGE = "I have the results."
"""What the assistant is taken to have said where the upstream wants a message of it between the results of tools and the user's words."""


def render_messages(messages: Iterable[Message], model: UpstreamModel, losses: Losses) -> Sequence[object]:
    """The member `messages`. One message of another format may become several: results of tools have a message each."""
    placed = _by_turns(messages) if _has_strict_turns(model) else messages
    rendered = [each for message in placed for each in _rendered(message, model, losses)]
    return list(bridged(rendered)) if "assistant_after_tools" in model.quirks else rendered


def _has_strict_turns(model: UpstreamModel) -> bool:
    known = chat_traits(model.id).strict_turns
    return "strict_turns" in model.quirks if known is None else known


def _by_turns(messages: Iterable[Message]) -> Iterator[Message]:
    """One system message at most, before all others; of one role no two in a row, which the Messages API takes for one turn as well."""
    arranged = system_first(messages)
    if arranged.system:
        yield Message("system", arranged.system)
    told = (message for message in arranged.messages if message.role == "user" or _says(message))
    for role, neighbours in itertools.groupby(told, lambda message: message.role):
        yield Message(role, tuple(part for message in neighbours for part in message.parts))


def _says(message: Message) -> bool:
    """Whether there is more in a message of the assistant than thoughts, which no message here is made of."""
    return any(isinstance(part, ToolCallPart) or (isinstance(part, TextPart) and part.text) for part in message.parts)


def bridged(messages: Iterable[object]) -> Iterator[object]:
    """The messages, with a word of the assistant between results of tools and what the user says next."""
    before: object = None
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        if (before, role) == ("tool", "user"):
            yield {"role": "assistant", "content": BRIDGE}
        before = role
        yield message


def _rendered(message: Message, model: UpstreamModel, losses: Losses) -> Iterator[JsonObject]:
    for marker in filter(None, map(marker_of, message.parts)):
        losses.drop(marker_name(marker), "Chat Completions has no such marker.")
    if message.role == "system":
        yield {"role": "system", "content": "\n".join(_texts(message.parts))}
    elif message.role == "assistant":
        yield from _assistant(message, model)
    else:
        yield from _user(message, model, losses)


def _texts(parts: Iterable[Part]) -> list[str]:
    return [part.text for part in parts if isinstance(part, TextPart)]


def _assistant(message: Message, model: UpstreamModel) -> Iterator[JsonObject]:
    """Text and calls. Thoughts are left out where the model wants none: the reference has no such field, and some servers refuse it."""
    before = (None, *message.parts)
    calls = [_tool_call(part, sign, model) for sign, part in zip(before, message.parts, strict=False) if isinstance(part, ToolCallPart)]
    traits = chat_traits(model.id)
    if calls and "signed_calls" in model.quirks and traits.wants_signatures:
        # Of calls at once the first one alone is signed.
        calls[0].setdefault("extra_content", render_missing_signature())
    text = "".join(_texts(message.parts))
    thought = "".join(part.text for part in message.parts if isinstance(part, ThinkingPart)) if traits.wants_thoughts else ""
    if calls or text:
        said = {"role": "assistant", "content": text or None, "reasoning_content": thought or None, "tool_calls": calls or None}
        yield without_nones(said)


def _tool_call(part: ToolCallPart, signature: Part | None, model: UpstreamModel) -> JsonObject:
    function = {"name": part.name, "arguments": msgspec.json.encode(part.arguments).decode()}
    extra = render_call_signature(signature) if "signed_calls" in model.quirks else None
    return without_nones({"id": _call_id(part.id, model), "type": "function", "function": function, "extra_content": extra})


def call_id(given: str, *, is_short: bool = False) -> str:
    """An id that the upstream takes: the given one where it is, else one derived from it, the same in a call and in its result.
    `is_short`: of nine letters and digits."""
    if is_short:
        fits = len(given) == _SHORT_CALL_ID and given.isascii() and given.isalnum()
    else:
        fits = len(given) <= LONGEST_CALL_ID
    digest = digest_of(given)
    return given if fits else digest[: _SHORT_CALL_ID if is_short else LONGEST_CALL_ID]


def _call_id(given: str, model: UpstreamModel) -> str:
    return call_id(given, is_short="short_call_ids" in model.quirks)


def _user(message: Message, model: UpstreamModel, losses: Losses) -> Iterator[JsonObject]:
    """A message for each tool result, then one with all the rest. Images and files of results move into the rest."""
    rest: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            if part.is_error:
                losses.drop("messages[].content[].is_error", "Results of tools have no such mark in Chat Completions.")
            yield {"role": "tool", "tool_call_id": _call_id(part.tool_call_id, model), "content": "\n".join(_result_texts(part))}
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
            yield document_text(part, part.source)


def _content(parts: list[Part]) -> str | list[JsonObject]:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_content_part(part) for part in described(parts)]


def described(parts: Iterable[Part]) -> Iterator[Part]:
    """The parts, each file behind a text that tells what is said of it, as far as OpenAI's formats have no member for it."""
    for part in parts:
        if isinstance(part, DocumentPart) and not isinstance(part.source, TextSource):
            title = None if isinstance(part.source, Base64Source) else part.title
            told = "\n".join(text for text in (title, part.context) if text)
            if told:
                yield TextPart(told)
        yield part


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
        case Base64Source() as source:
            return data_url(source)
        case UrlSource(url=url):
            return url
        case _:
            raise unsupported("messages", "Chat Completions takes images by URL and as data only.")


def _document(part: DocumentPart) -> JsonObject:
    match part.source:
        case Base64Source() as source:
            return {"type": "file", "file": {"filename": part.title or "file", "file_data": data_url(source)}}
        case FileSource(file_id=file_id):
            return {"type": "file", "file": {"file_id": file_id}}
        case TextSource():
            return {"type": "text", "text": document_text(part, part.source)}
        case UrlSource():
            raise unsupported("messages", "Chat Completions takes no file by URL, and the gateway fetches nothing.")


def document_text(part: DocumentPart, source: TextSource) -> str:
    """A document of plain text as text."""
    return "\n".join(text for text in (part.title, part.context, source.text) if text)
