"""Renders content blocks of Converse."""

import base64
import re
from collections.abc import Iterable

from keyhouse.gateway.wire.conversation import (
    AudioPart,
    Base64Source,
    CacheMarker,
    DocumentPart,
    ImagePart,
    Part,
    RedactedThinkingPart,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from keyhouse.gateway.wire.fields import JsonObject, unsupported, without_nones
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import marker_name, marker_of
from keyhouse.gateway.wire.media import DOCUMENT_FORMATS, IMAGE_FORMATS
from keyhouse.gateway.wire.model_traits import ModelTraits
from keyhouse.gateway.wire.turns import accepted_tool_id, is_blank

_REFUSED_IN_NAMES = re.compile(r"[^a-zA-Z0-9\-()\[\] ]+")
_SPACES = re.compile(r" {2,}")


class DocumentNames:
    """The names of documents in one request, which must differ and hold letters, digits, single spaces, hyphens and brackets only:
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html, 23 November 2026."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def name(self, title: str | None) -> str:
        """A name that is allowed and was not given yet."""
        base = _SPACES.sub(" ", _REFUSED_IN_NAMES.sub(" ", title or "")).strip()[:180] or "document"
        name, number = base, 2
        while name in self._given:
            name, number = f"{base} ({number})", number + 1
        self._given.add(name)
        return name


class CachePoints:
    """The blocks that follow what shall be cached, where the model can do that: it refuses requests that ask for more."""

    def __init__(self, model: ModelTraits, losses: Losses) -> None:
        self._model = model
        self._losses = losses

    def after_block(self, part: Part) -> list[JsonObject]:
        """What follows a block of a message or of the system prompt; nothing without a marker. Nova's models take it behind text alone:
        https://github.com/aws-samples/bedrock-engineer/pull/71, https://github.com/earendil-works/pi/issues/2053 (of results of tools),
        https://github.com/aws-samples/generative-ai-use-cases/pull/1077 (of images), 2026-11-30."""
        marker = marker_of(part)
        can = self._model.caches == "all" or (self._model.caches == "prompt" and isinstance(part, TextPart))
        return self._after(marker, "" if marker is None else marker_name(marker), can=can)

    def at_end(self, marker: CacheMarker | None, blocks: list[JsonObject]) -> list[JsonObject]:
        """What follows the last message, of these blocks, where all of a request shall be cached; Nova's models do that by themselves."""
        if blocks and "cachePoint" in blocks[-1]:
            return []
        return self._after(marker, "" if marker is None else marker.parameter, can=self._model.caches == "all")

    def after_tool(self, marker: CacheMarker | None) -> list[JsonObject]:
        """What follows a tool; nothing without a marker."""
        return self._after(marker, "tools[].cache_control", can=self._model.caches == "all")

    def _after(self, marker: CacheMarker | None, name: str, *, can: bool) -> list[JsonObject]:
        if marker is None:
            return []
        if not can:
            self._losses.drop(name, "The model has no cache for it.")
            return []
        lifetime = marker.lifetime if self._model.caches == "all" else None
        if lifetime != marker.lifetime:
            self._losses.change("cache_control.ttl", "5m")
        return [{"cachePoint": without_nones({"type": "default", "ttl": lifetime})}]


def render_blocks(parts: Iterable[Part], names: DocumentNames, points: CachePoints) -> list[JsonObject]:
    """The blocks of one message. Raises Error (`unsupported_parameter`) for what Converse can not hold."""
    blocks: list[JsonObject] = []
    for part in parts:
        blocks.append(_block(part, names))
        blocks += points.after_block(part)
    return blocks


def _block(part: Part, names: DocumentNames) -> JsonObject:
    match part:
        case TextPart():
            return {"text": part.text}
        case ToolCallPart():
            return {"toolUse": {"toolUseId": accepted_tool_id(part.id), "name": part.name, "input": part.arguments}}
        case ToolResultPart():
            return {"toolResult": _tool_result(part, names)}
        case ThinkingPart() | RedactedThinkingPart():
            return {"reasoningContent": _thinking(part)}
        case _:
            return _media(part, names)


def _media(part: ImagePart | DocumentPart | AudioPart, names: DocumentNames) -> JsonObject:
    if isinstance(part, ImagePart):
        return {"image": _image(part)}
    if isinstance(part, DocumentPart):
        return {"document": _document(part, names)}
    return {"audio": {"format": part.format, "source": {"bytes": part.data}}}


def _thinking(part: ThinkingPart | RedactedThinkingPart) -> JsonObject:
    if isinstance(part, RedactedThinkingPart):
        return {"redactedContent": part.data}
    return {"reasoningText": {"text": part.text, "signature": part.signature}}


def _tool_result(part: ToolResultPart, names: DocumentNames) -> JsonObject:
    content = [_block(inner, names) for inner in part.content if not is_blank(inner)]
    status = "error" if part.is_error else None
    return without_nones({"toolUseId": accepted_tool_id(part.tool_call_id), "content": content, "status": status})


def _image(part: ImagePart) -> JsonObject:
    if not isinstance(part.source, Base64Source):
        raise unsupported("messages", "The Converse API takes images as data only, and the gateway fetches nothing.")
    if part.source.media_type not in IMAGE_FORMATS:
        raise unsupported("messages", f"The Converse API takes images of the types {', '.join(IMAGE_FORMATS)}.")
    return {"format": IMAGE_FORMATS[part.source.media_type], "source": {"bytes": part.source.data}}


def _document(part: DocumentPart, names: DocumentNames) -> JsonObject:
    match part.source:
        case TextSource(text=text):
            kind, data = "txt", base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
        case Base64Source(media_type=media_type, data=data) if media_type in DOCUMENT_FORMATS:
            kind = DOCUMENT_FORMATS[media_type]
        case Base64Source():
            raise unsupported("messages", f"The Converse API takes files of the types {', '.join(DOCUMENT_FORMATS)}.")
        case _:
            raise unsupported("messages", "The Converse API takes files as data only, and the gateway fetches nothing.")
    return without_nones({"format": kind, "name": names.name(part.title), "source": {"bytes": data}, "context": part.context})
