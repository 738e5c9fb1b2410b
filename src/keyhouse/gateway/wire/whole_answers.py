"""Tells a whole answer as the events of a stream, for callers that stream from models that can not."""

from collections.abc import Iterator

import msgspec

from keyhouse.gateway.wire.answer import (
    Answer,
    AnswerPart,
    ArgumentsDelta,
    Cited,
    Finished,
    PartEnded,
    RedactedThinking,
    Searched,
    SignatureDelta,
    Started,
    Stopped,
    StreamEvent,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    UsageCounted,
)
from keyhouse.gateway.wire.bedrock_converse.response import parse_response
from keyhouse.gateway.wire.conversation import RedactedThinkingPart, SearchPart, TextPart, ThinkingPart
from keyhouse.gateway.wire.decoding import decoded


class WholeAnswerParser:
    """A stream of one event, which holds the whole answer of Converse."""

    def parse(self, name: str | None, data: bytes) -> Iterator[StreamEvent]:
        """The events that the answer amounts to. Raises Error (`upstream_invalid_answer`)."""
        return told_events(parse_response(decoded(data)))


def told_events(answer: Answer) -> Iterator[StreamEvent]:
    """The events of a stream that tells this answer."""
    yield Started(answer.id, answer.model, answer.created, answer.usage)
    for part in answer.parts:
        yield from _part(part)
    yield Stopped(answer.stop, answer.stop_sequence, answer.refusal)
    if answer.usage is not None:
        yield UsageCounted(answer.usage)
    yield Finished()


def _part(part: AnswerPart) -> Iterator[StreamEvent]:
    match part:
        case TextPart():
            yield TextStarted()
            yield TextDelta(part.text)
            yield from map(Cited, part.citations)
            yield PartEnded()
        case ThinkingPart():
            yield ThinkingStarted()
            yield ThinkingDelta(part.text)
            if part.signature:
                yield SignatureDelta(part.signature)
            yield PartEnded()
        case RedactedThinkingPart():
            yield RedactedThinking(part.data)
        case SearchPart():
            yield Searched(part)
        case _:
            yield ToolCallStarted(part.id, part.name)
            yield ArgumentsDelta(msgspec.json.encode(part.arguments).decode())
            yield PartEnded()
