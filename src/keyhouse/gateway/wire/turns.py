"""Brings messages into the turns that the Messages API and Converse want. Renders no format."""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import msgspec
from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import Message, Part, RedactedThinkingPart, TextPart, ThinkingPart, ToolCallPart, ToolResultPart

_REFUSED_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


class Turns(msgspec.Struct, frozen=True):
    """The system texts, in their order, and the messages of user and assistant. Those of `turns` alternate and are not empty."""

    system: tuple[TextPart, ...]
    messages: tuple[Message, ...]


def turns(messages: Iterable[Message]) -> Turns:
    """What `system_first` makes of them, neighbours of one role joined, without blank texts and last thoughts, results of tools first and
    calls last.

    Both APIs refuse blank text, and want the results of tool calls first in the message after the calls:
    https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls, 23 November 2026. Words behind calls part them from
    their results on Converse (litellm 1.110.2 moves them likewise). Both want a message: where there are instructions alone, the last of
    them is the user's (https://github.com/pydantic/pydantic-ai/issues/4495, 2026-03-02).
    """
    arranged = system_first(messages)
    followed = _joined(map(_without_last_thoughts, _joined(arranged.messages)))
    alternating = (Message("assistant" if each.role == "assistant" else "user", _ordered(each.parts)) for each in followed)
    told = Turns(arranged.system, tuple(alternating))
    return told if told.messages or not told.system else Turns(told.system[:-1], (Message("user", told.system[-1:]),))


def _joined(messages: Iterable[Message]) -> Iterator[Message]:
    """The messages without blank texts, neighbours of one role as one, and none of them empty."""
    spoken = (replace(message, parts=tuple(part for part in message.parts if not is_blank(part))) for message in messages)
    for _, neighbours in groupby((message for message in spoken if message.parts), lambda message: message.role):
        first, *others = neighbours
        yield replace(first, parts=tuple(part for message in (first, *others) for part in message.parts))


def _without_last_thoughts(message: Message) -> Message:
    """The message without thoughts that nothing follows, as where an answer was cut off: Claude refuses to get them back.

    https://github.com/tailcallhq/forgecode/pull/3073 (2026-04-18).
    """
    said = list(message.parts)
    while said and is_thought(said[-1]):
        said.pop()
    return replace(message, parts=tuple(said))


def system_first(messages: Iterable[Message]) -> Turns:
    """System texts to the front, without blank ones; the other messages as they are.

    A system text that stays becomes the user's, in tags. Converse takes none where it stands, nor do some models of other formats, and in
    front it would change what all later turns are cached behind: https://github.com/BerriAI/litellm/issues/41043,
    https://github.com/maximhq/bifrost/issues/4068 (2026-11-30). Converse's schema names the role and changes of tools (botocore 1.44.8),
    but Claude models refused both: https://github.com/stdapi-ai/stdapi.ai/issues/49, https://github.com/stdapi-ai/stdapi.ai/issues/104
    (2026-08-02).
    """
    system: list[TextPart] = []
    others: list[Message] = []
    for message in messages:
        if message.role != "system":
            others.append(message)
            continue
        texts = [part for part in message.parts if isinstance(part, TextPart) and not is_blank(part)]
        if not (message.stays and others):
            system += texts
        elif texts:
            others.append(Message("user", tuple(map(_in_tags, texts))))
    return Turns(tuple(system), tuple(others))


def _in_tags(part: TextPart) -> TextPart:
    return replace(part, text=f"<system>\n{part.text}\n</system>")


def without_parts(is_left_out: Callable[[Part], bool], messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages without some of their parts, and without those that have no other."""
    kept = (replace(message, parts=tuple(part for part in message.parts if not is_left_out(part))) for message in messages)
    return tuple(message for message in kept if message.parts)


def is_blank(part: Part) -> bool:
    """Whether it is text that both APIs would refuse for holding white space alone."""
    return isinstance(part, TextPart) and not part.text.strip()


def is_thought(part: Part) -> bool:
    """Whether a part is what a model thought."""
    return isinstance(part, ThinkingPart | RedactedThinkingPart)


def _ordered(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Results of tools before the rest, and calls behind it, unless the model thought in between: what it thought may not be moved."""
    calls = [index for index, part in enumerate(parts) if isinstance(part, ToolCallPart)]
    if calls and any(map(is_thought, parts[calls[0] :])):
        return parts
    return tuple(sorted(parts, key=lambda part: 0 if isinstance(part, ToolResultPart) else 2 if isinstance(part, ToolCallPart) else 1))


def accepted_tool_id(tool_call_id: str) -> str:
    """An id that both APIs take (`[a-zA-Z0-9_-]`, 64 at most): the given one where it is, else one derived from it, always the same."""
    if tool_call_id and len(tool_call_id) <= 64 and not _REFUSED_IN_IDS.search(tool_call_id):
        return tool_call_id
    return f"{_REFUSED_IN_IDS.sub('_', tool_call_id)[:55]}_{zlib.crc32(tool_call_id.encode('utf-8', 'surrogatepass')):08x}"
