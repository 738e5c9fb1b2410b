"""Puts the pieces of parallel tool calls in order: servers may mix them, and other formats want one call after the other."""

import re
from collections.abc import Iterator

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.answer import ArgumentsDelta, PartEnded, RedactedThinking, StreamEvent, ToolCallStarted
from keyhouse.gateway.wire.json_text import UNREADABLE, decoded_json

# A backslash and what it escapes, which at the end of a piece is still to come; and what opens and closes.
_MARK = re.compile(r"""\\.?|["{}\[\]]""", re.DOTALL)
_LONE_BACKSLASH = "\\"


class _Call(msgspec.Struct):
    """A call, what precedes its arguments, and the arguments that have come."""

    begins: tuple[RedactedThinking | ToolCallStarted, ...]
    arguments: list[str] = msgspec.field(default_factory=list)
    is_complete: bool = False
    """Whether its arguments are whole JSON. None at all may still come."""
    _depth: int = 0
    _in_string: bool = False
    _escapes: bool = False
    _has_closed: bool = False

    def add(self, piece: str) -> None:
        """More arguments. Their end is looked for in what is new: they are read as a whole once, however small the pieces are."""
        self.arguments.append(piece)
        if self._has_closed:
            # Whatever is no blank behind a whole value makes of it no value any more.
            self.is_complete = self.is_complete and not piece.strip()
            return
        marks = _MARK.findall(piece, int(self._escapes))
        self._escapes = marks[-1:] == [_LONE_BACKSLASH]
        for mark in marks:
            self._pass(mark)
        if self._has_closed:
            self.is_complete = _is_json("".join(self.arguments))

    def _pass(self, mark: str) -> None:
        if mark == '"':
            self._in_string = not self._in_string
        elif not self._in_string and mark in "{}[]":
            self._depth += 1 if mark in "{[" else -1
            self._has_closed = self._has_closed or not self._depth


def _is_json(text: str) -> bool:
    try:
        decoded_json(text)
    except UNREADABLE:
        return False
    return True


class CallOrder:
    """The calls of one answer by their index. The first that has not ended streams on; those behind it wait until it is complete."""

    def __init__(self) -> None:
        self.ids: dict[int, str] = {}
        self._open: dict[int, _Call] = {}

    @property
    def is_unfinished(self) -> bool:
        """Whether more arguments must come, or may, of a call that has begun."""
        return any(not call.is_complete for call in self._open.values())

    def begun(self, index: int, call_id: str, *begins: RedactedThinking | ToolCallStarted) -> Iterator[StreamEvent]:
        """A call begins under an index that no open call has."""
        self.ids[index] = call_id
        self._open[index] = _Call(begins)
        if len(self._open) == 1:
            yield from begins
        else:
            yield from self._moved_on()

    def more(self, index: int, arguments: str) -> Iterator[StreamEvent]:
        """More arguments of a call that has begun. Raises Error (`upstream_invalid_answer`) for one that has ended."""
        if not arguments:
            return
        call = self._open.get(index)
        if call is None:
            if arguments.strip():
                raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream went back to a tool call that it had left.")
            return
        call.add(arguments)
        if index == next(iter(self._open)):
            yield ArgumentsDelta(arguments)
            yield from self._moved_on()

    def ended(self) -> Iterator[StreamEvent]:
        """What still waits, and the end of every call."""
        while self._open:
            yield from self._next()

    def _moved_on(self) -> Iterator[StreamEvent]:
        """The calls that need wait no longer."""
        while len(self._open) > 1 and next(iter(self._open.values())).is_complete:
            yield from self._next()

    def _next(self) -> Iterator[StreamEvent]:
        """The end of the call that streams, and what has come of the one behind it."""
        del self._open[next(iter(self._open))]
        yield PartEnded()
        for call in self._open.values():
            yield from call.begins
            if call.arguments:
                yield ArgumentsDelta("".join(call.arguments))
            return
