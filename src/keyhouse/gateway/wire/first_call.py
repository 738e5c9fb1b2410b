"""Leaves of calls of tools at once the first one, for callers that asked for one at a time where the model can not be told."""

from collections.abc import Iterable, Iterator

from keyhouse.gateway.wire.answer import AnswerPart, ArgumentsDelta, PartEnded, StreamEvent, ToolCallStarted
from keyhouse.gateway.wire.conversation import ToolCallPart


class FirstCall:
    """One answer, whole or as events. What the model says beside its calls stays."""

    def __init__(self) -> None:
        self._calls = 0
        self._is_left_out = False

    def parts(self, parts: Iterable[AnswerPart]) -> Iterator[AnswerPart]:
        """The parts of a whole answer without further calls."""
        for part in parts:
            self._calls += isinstance(part, ToolCallPart)
            if self._calls < 2 or not isinstance(part, ToolCallPart):
                yield part

    def events(self, events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
        """The next events of a stream without those of further calls."""
        for event in events:
            if isinstance(event, ToolCallStarted):
                self._calls += 1
                self._is_left_out = self._calls > 1
            if not (self._is_left_out and isinstance(event, ToolCallStarted | ArgumentsDelta | PartEnded)):
                yield event
            if isinstance(event, PartEnded):
                self._is_left_out = False
