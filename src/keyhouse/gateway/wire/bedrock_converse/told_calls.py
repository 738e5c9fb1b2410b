"""Tells calls of tools and their results as text, for conversations that go on without tools: Converse then refuses their blocks.

https://github.com/langgenius/dify/issues/17545 (2025-04-07) has the words in which it does.
"""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import Message, Part, TextPart, ToolCallPart, ToolResultPart


def told_calls(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages without blocks of tools. What a call was made with and what came back stands where it stood, images included."""
    names = {part.id: part.name for message in messages for part in message.parts if isinstance(part, ToolCallPart)}
    return tuple(replace(message, parts=tuple(_told(message.parts, names))) for message in messages)


def _told(parts: tuple[Part, ...], names: dict[str, str]) -> Iterator[Part]:
    for part in parts:
        match part:
            case ToolCallPart():
                arguments = msgspec.json.encode(part.arguments).decode()
                yield TextPart(f"[Called the tool {part.name} with {arguments}]", part.cache)
            case ToolResultPart():
                yield from _told_result(part, names.get(part.tool_call_id, part.tool_call_id))
            case _:
                yield part


def _told_result(part: ToolResultPart, name: str) -> Iterator[Part]:
    what = "failed with" if part.is_error else "answered" if part.content else "answered nothing"
    *before, last = (TextPart(f"[The tool {name} {what}]"), *part.content)
    yield from before
    # To be cached is what leads up to the end of the result.
    yield last if part.cache is None else replace(last, cache=part.cache)
