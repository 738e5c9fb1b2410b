"""Brings the markers of what shall be cached into what Claude and Converse take: four at most, and no lifetime longer than one before it.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching, https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html.
OpenAI takes many more, in any order, and writes the latest four: `PromptCacheOptions` of the openai package, 3.54.0 (2026-11-30).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import CacheMarker, Message, Part, Request, Tool, ToolResultPart
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.markers import marker_name

MOST = 4

_Marked = TypeVar("_Marked", Part, Tool)


def with_allowed_markers(request: Request, losses: Losses, *, has_lifetimes: bool = True) -> Request:
    """The request with its latest markers, as many as are allowed, each to live as long as those behind it at least, where the model
    `has_lifetimes` to choose from."""
    in_front = [message for message in request.messages if _is_in_front(message)]
    others = [message for message in request.messages if not _is_in_front(message)]
    ordered = [*request.tools, *(part for message in (*in_front, *others) for part in message.parts)]
    markers = [marker for each in ordered for marker in _markers(each)]
    whole = () if request.cache is None else (request.cache,)
    allowed = _allowed((*markers, *whole), losses, has_lifetimes=has_lifetimes)
    if allowed == [*markers, *whole]:
        return request
    left = iter(allowed)
    tools = _each(request.tools, left)
    front = iter([_message(message, left) for message in in_front])
    rest = iter([_message(message, left) for message in others])
    messages = tuple(next(front if _is_in_front(message) else rest) for message in request.messages)
    return replace(request, tools=tools, messages=messages, cache=next(left, None))


def _is_in_front(message: Message) -> bool:
    return message.role == "system" and not message.stays


def _markers(marked: Part | Tool) -> Iterator[CacheMarker]:
    """The markers of a part or a tool, in order."""
    inner = marked.content if isinstance(marked, ToolResultPart) else ()
    yield from (marker for each in (*inner, marked) if (marker := getattr(each, "cache", None)) is not None)


def _allowed(markers: Sequence[CacheMarker], losses: Losses, *, has_lifetimes: bool) -> list[CacheMarker | None]:
    """What becomes of each marker."""
    excess = max(0, len(markers) - MOST)
    allowed: list[CacheMarker | None] = [None] * excess
    for marker in markers[:excess]:
        losses.change(marker_name(marker), f"the latest {MOST}")
    for number, marker in enumerate(markers[excess:], excess):
        lasts = has_lifetimes and any(later.lifetime == "1h" for later in markers[number:])
        if lasts and marker.lifetime != "1h":
            losses.change("cache_control.ttl", "1h")
        allowed.append(replace(marker, lifetime="1h") if lasts else marker)
    return allowed


def _message(message: Message, left: Iterator[CacheMarker | None]) -> Message:
    return replace(message, parts=_each(message.parts, left))


def _each(marked: Iterable[_Marked], left: Iterator[CacheMarker | None]) -> tuple[_Marked, ...]:
    """The parts or tools with the next markers in place of theirs."""
    return tuple(_with_next(each, left) for each in marked)


def _with_next(marked: _Marked, left: Iterator[CacheMarker | None]) -> _Marked:
    if isinstance(marked, ToolResultPart):
        marked = replace(marked, content=tuple(_with_next(inner, left) for inner in marked.content))
    return marked if getattr(marked, "cache", None) is None else replace(marked, cache=next(left))
