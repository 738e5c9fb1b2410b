"""The head of a caller's request, parsed; and the same head once more, which needs no parser.

A client that keeps its connection sends nearly the same head with each request: only the length of the body differs. What the parser, and
those who answer, have read of it once is good for the next request. It lives as long as its connection.
"""

from time import perf_counter
from typing import TYPE_CHECKING

import httptools

from keyhouse.gateway.bounds import MAX_LENGTH_DIGITS
from keyhouse.gateway.headers import RawHeaders
from keyhouse.web.gateway.request_headers import RequestHeaders, request_headers
from keyhouse.web.http_bounds import HIGH_WATER_BYTES

if TYPE_CHECKING:
    from keyhouse.web.control.short_way import PriorRequests
    from keyhouse.web.gateway.short_road import PriorCalls

Target = tuple[str, bytes, bytes]
"""The path, decoded and as it came, and the query."""

_MOST_LESSONS = 4
"""How many heads a connection learns. Where more come, the next one is hardly the last one again."""
_LONGEST_BYTES = 8 * 1024
"""Of a head that is learned."""
_MOST_DIGITS = 12
_LENGTH = b"content-length"
# What makes of a request more, or less, than its head and the bytes of the length.
_UNUSUAL = frozenset({b"expect", b"transfer-encoding", b"upgrade"})


class ComingHead:
    """A head of which the parser has told a part. Names of headers are in lower case."""

    __slots__ = ("asks_first", "headers", "hosts", "is_misframed", "url")

    def __init__(self) -> None:
        self.url = b""
        self.headers: RawHeaders = []
        self.hosts = 0
        self.is_misframed = False
        self.asks_first = False

    def add(self, name: bytes, value: bytes) -> None:
        """A further header."""
        name = name.lower()
        if name == b"host":
            self.hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.asks_first = True
        elif name == b"transfer-encoding":
            self.is_misframed |= value.lower() != b"chunked"
        elif name == _LENGTH:
            self.is_misframed |= len(value) > MAX_LENGTH_DIGITS
        self.headers.append((name, value))

    def is_request(self, method: bytes, version: str) -> bool:
        """Whether a head that is complete is one that may be answered."""
        if method == b"CONNECT" or self.is_misframed or self.hosts > 1:
            return False
        return version == "1.0" or (version == "1.1" and self.hosts == 1)

    def size(self) -> int:
        """Bytes, blanks aside."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def plain(self, asking: httptools.HttpRequestParser) -> bytes:
        """The head that a parser has just read, written anew without the wish for another protocol."""
        first = b"%b %b HTTP/%b\r\n" % (asking.get_method(), self.url, asking.get_http_version().encode("ascii"))
        return first + b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade") + b"\r\n"


class CallerHead:
    """A request's method, target and headers, names in lower case. Holds the caller's key, so it prints none.

    `is_admitted`: whoever sends it was let in when that was last looked up for a request with it, the first one aside.
    """

    __slots__ = ("_read", "headers", "is_admitted", "method", "path", "prior", "prior_api", "query", "raw_path")

    def __init__(self, method: str, target: Target, headers: RawHeaders) -> None:
        self.method = method
        self.path, self.raw_path, self.query = target
        self.headers = headers
        self.is_admitted = False
        # What its earlier calls have left for the next one.
        self.prior: PriorCalls | None = None
        self.prior_api: PriorRequests | None = None
        self._read: RequestHeaders | None = None

    def __repr__(self) -> str:
        return "***"

    def read(self) -> RequestHeaders:
        """What the gateway reads of the headers, whichever the length."""
        if self._read is None:
            self._read = request_headers(self.headers)
        return self._read

    def headers_for(self, length: int) -> RawHeaders:
        """The headers of a request whose body has this length."""
        return [(name, b"%d" % length if name == _LENGTH else value) for name, value in self.headers]


class KnownHead:
    """The head that a connection's requests have in common, as far as is known; its bytes stand `before` and `after` the length.

    A small request with this head whose body has not come whole is held until it has. `holds`: one is; `held_at`: when its head came, 0.0
    where the last one was not held.
    """

    __slots__ = ("_after", "_before", "_held", "_held_head", "_lessons", "_missing", "head", "held_at", "holds")

    def __init__(self) -> None:
        self.head: CallerHead
        self.holds = False
        self.held_at = 0.0
        self._before = b""
        self._after: bytes | None = None
        self._lessons = 0
        # What has come of the body, and how much of it has not.
        self._held_head = b""
        self._held: list[bytes] = []
        self._missing = 0

    def body_in(self, data: bytes) -> bytes | None:
        """The body, where `data`, behind what is held, is one whole request with `head`, but for the length; else None, and perhaps it is
        held from now on."""
        if self.holds:
            return self._with_rest(data)
        self.held_at = 0.0
        before, after = self._before, self._after
        if not before or not data.startswith(before):
            return None
        start = len(before)
        if after is None:
            return b"" if len(data) == start else None
        end = data.find(b"\r", start, start + _MOST_DIGITS)
        digits = data[start:end]
        if not digits.isdigit() or not data.startswith(after, end):
            return None
        start = end + len(after)
        body = data[start:]
        length = int(digits)
        if len(body) < length <= HIGH_WATER_BYTES:
            self._hold(data[:start], body, length)
        return body if len(body) == length else None

    def _hold(self, head: bytes, body: bytes, length: int) -> None:
        self.holds = True
        self.held_at = perf_counter()
        self._held_head = head
        self._held = [body] if body else []
        self._missing = length - len(body)

    def _with_rest(self, data: bytes) -> bytes | None:
        self._missing -= len(data)
        if self._missing < 0:
            # More than one request: the parser divides them.
            self.holds = False
            return None
        self._held.append(data)
        if self._missing:
            return None
        self.holds, self._held_head = False, b""
        held, self._held = self._held, []
        return held[0] if len(held) == 1 else b"".join(held)

    def let_go(self, data: bytes) -> bytes:
        """What is held or was until now, with what came behind it: nothing is held any more."""
        self.holds = False
        head, self._held_head = self._held_head, b""
        held, self._held = self._held, []
        return b"".join((head, *held, data)) if head else data

    def learn(self, head: CallerHead, data: bytes) -> None:
        """Learn from a request that was parsed, whose bytes are perhaps all of `data`."""
        if self._lessons == _MOST_LESSONS:
            return
        self._lessons += 1
        self._before = b""
        end = data.find(b"\r\n\r\n", 0, _LONGEST_BYTES)
        lines = data[: max(0, end)].split(b"\r\n")
        if not _are_plainly(lines, head):
            return
        lengths = [(line, value) for line, (name, value) in zip(lines[1:], head.headers, strict=True) if name == _LENGTH]
        if not lengths:
            self._after, stop = None, end + 4
        else:
            line, value = lengths[0]
            stop = sum(len(earlier) + 2 for earlier in lines[: lines.index(line)]) + len(line)
            self._after, stop = data[stop : end + 4], stop - len(value)
        self.head, self._before = head, data[:stop]


def _are_plainly(lines: list[bytes], head: CallerHead) -> bool:
    """Whether lines say what the head does to one who knows of HTTP its plainest form alone, and that a body has the length they name."""
    target = head.raw_path + b"?" + head.query if head.query else head.raw_path
    if lines[0] != b"%b %b HTTP/1.1" % (head.method.encode("ascii"), target) or len(lines) != len(head.headers) + 1:
        return False
    for line, (name, value) in zip(lines[1:], head.headers, strict=True):
        said, colon, behind = line.partition(b":")
        if said.lower() != name or not colon or behind.strip(b" \t") != value or name in _UNUSUAL:
            return False
        if name == b"connection" and value.lower() != b"keep-alive":
            return False
        if name == _LENGTH and not (value.isdigit() and line.endswith(value)):
            return False
    return [name for name, _ in head.headers].count(_LENGTH) < 2
