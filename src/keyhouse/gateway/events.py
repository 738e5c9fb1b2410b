"""A stream of events on its way through, byte for byte, but whole events only: so that what breaks off can end in an error event."""

from keyhouse.domain.calling import EndpointName
from keyhouse.gateway.failures import error_event, failure_of, status_of
from keyhouse.gateway.passing import Take
from keyhouse.gateway.response import ResponseBody
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.usage_reader import UsageReader
from keyhouse.gateway.wire.answer import ApiError

# An unfinished event of more than this goes out as it comes: the error that follows a break inside it may then be lost on the caller.
MAX_HELD_BYTES = 1024 * 1024

_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
# Nothing follows, and OpenAI's clients go when they have it. In JSON a line's end would be escaped: this is an event's.
_LAST = tuple(b"data:" + blank + b"[DONE]" + end for blank in (b" ", b"") for end in _ENDS)
# The end of a chunk that ends with an event of JSON, so not with the last one.
_CHUNK_END = b"}\n\n\r\n"
# An event's end may lie across pieces, by three bytes at most.
_OVERLAP = 3


class WholeEvents:
    """Passes the events of an answer's body on. What follows the last whole event is held until the rest of it comes.

    A body that breaks off ends in an error event of the endpoint's format; a well-framed end passes as it is, an unfinished event included.
    The event `[DONE]` is the end, whenever the upstream's own comes.
    """

    __slots__ = ("_before", "_body", "_endpoint", "_held", "_held_bytes", "_is_done", "_take", "_take_chunk", "_usage", "error_code")

    def __init__(self, body: ResponseBody, endpoint: EndpointName, usage: UsageReader) -> None:
        self.error_code = ""
        self._body = body
        self._endpoint: EndpointName = endpoint
        self._usage = usage
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_done = False
        self._before = b""
        self._take: Take
        self._take_chunk: Take | None = None

    def frame_to(self, take_chunk: Take) -> None:
        """Have `take_chunk` given whole events that come as one chunk of chunked coding, framing included, instead of `take`."""
        self._take_chunk = take_chunk

    async def pass_to(self, take: Take) -> bool:
        """See PassedBody. Never raises UpstreamError."""
        self._take = take
        try:
            is_all = await self._body.pass_to(self._pass, self._pass_chunk if self._take_chunk is not None else None)
        except UpstreamError as error:
            failure = failure_of(error)
            self.error_code = failure.code.value
            take(error_event(self._endpoint, ApiError(status_of(failure), failure.message, code=failure.code.value)))
            return True
        if is_all and self._held:
            take(self._released())
        return is_all or self._is_done

    def close(self) -> None:
        """Leave the answer."""
        if self._is_done:
            self._body.let_end()
        else:
            self._body.close()

    def _pass(self, data: bytes) -> bool:
        if self._held or not data.endswith(b"\n\n"):
            data = self._whole(data)
            if not data:
                return True
        self._usage.feed(data)
        self._is_done = data.endswith(_LAST)
        return self._take(data) and not self._is_done

    def _pass_chunk(self, chunk: bytes) -> bool:
        """Whether this was whole events, but not the last one, and is passed on."""
        take_chunk, passed = self._take_chunk, self._body.passed
        if self._held or take_chunk is None or passed is None or passed.done() or not chunk.endswith(_CHUNK_END):
            return False
        self._usage.feed(chunk[chunk.index(b"\n") + 1 : -2])
        try:
            if not take_chunk(chunk):
                self._body.stop(False)
        except Exception as error:  # noqa: BLE001 - it is the reader's own, who gets it
            self._body.stop(error)
        return True

    def _whole(self, data: bytes) -> bytes:
        """What may go out now that `data` has come. What is held is not looked through again, however small the pieces are."""
        near = self._before + data
        self._held.append(data)
        self._held_bytes += len(data)
        if not any(mark in near for mark in _ENDS):
            self._before = near[-_OVERLAP:]
            return self._released() if self._held_bytes > MAX_HELD_BYTES else b""
        together = self._released()
        end = max(_after_last(mark, together) for mark in _ENDS)
        whole, rest = together[:end], together[end:]
        if len(rest) > MAX_HELD_BYTES:
            whole, rest = together, b""
        if rest:
            self._held.append(rest)
            self._held_bytes, self._before = len(rest), rest[-_OVERLAP:]
        return whole

    def _released(self) -> bytes:
        together = b"".join(self._held)
        self._held.clear()
        self._held_bytes, self._before = 0, b""
        return together


def _after_last(mark: bytes, data: bytes) -> int:
    found = data.rfind(mark)
    return 0 if found < 0 else found + len(mark)
