"""Server-sent events, parsed as they come. Knows nothing of what the events mean; ids and `retry` concern browsers, and are passed over.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html (9.2.5 and 9.2.6).
"""

import msgspec

from keyhouse.domain.errors import Code, Error

# An event with an image in it takes a few MiB; more than this is not a stream of events.
MAX_EVENT_BYTES = 16 * 1024 * 1024

# Nor is one of more lines than this: telling them apart keeps everybody else waiting.
MAX_EVENT_LINES = 100_000

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ServerSentEvent(msgspec.Struct):
    """One event. `data`: the data lines joined by LF, as they came (UTF-8 is not checked). `event`: `message` where it has none."""

    data: bytes
    event: str = "message"


class SseParser:
    """Parses one stream. Accepts it cut at any byte, with CR, LF or CRLF, with comments and a byte order mark."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._start: bytes | None = b""
        self._after_cr = False

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that `data` completes. Raises Error (`upstream_invalid_answer`) for one too large to be held, or of too many lines."""
        if self._start is not None:
            data = self._without_mark(data)
        if self._after_cr or b"\r" in data:
            data = self._with_lf(data)
        if not data:
            return []
        ends = b"\n\n" in data
        if self._pieces:
            ends = ends or (data[0] == 0x0A and self._pieces[-1][-1] == 0x0A)
            self._pieces.append(data)
            if ends:
                data = b"".join(self._pieces)
        else:
            self._pieces.append(data)
        if not ends:
            self._grow(len(data))
            return []
        *blocks, rest = data.split(b"\n\n")
        self._pieces = [rest] if rest else []
        self._size = 0
        self._grow(len(rest))
        # Comments and blank lines have none, and there may be any number of them.
        return [event for block in blocks if b"data" in block and (event := _event(block)) is not None]

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._max_event_bytes:
            raise Error(Code.UPSTREAM_INVALID_ANSWER, "An event of the upstream's stream is too large.")

    def _without_mark(self, data: bytes) -> bytes:
        """The stream's first bytes without a byte order mark; nothing while they may still become one."""
        start = (self._start or b"") + data
        if len(start) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(_BYTE_ORDER_MARK)

    def _with_lf(self, data: bytes) -> bytes:
        """`data` with every line end as LF. A CR at the end counts at once; an LF that follows it in the next piece is dropped."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data.endswith(b"\r"):
            self._after_cr = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(block: bytes) -> ServerSentEvent | None:
    if block.startswith(b"data: ") and b"\n" not in block:
        return ServerSentEvent(block[6:])
    if block.count(b"\n") >= MAX_EVENT_LINES:
        raise Error(Code.UPSTREAM_INVALID_ANSWER, "An event of the upstream's stream has too many lines.")
    lines: list[bytes] = []
    event = ""
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            lines.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return ServerSentEvent(b"\n".join(lines), event or "message") if lines else None
