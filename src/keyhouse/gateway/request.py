"""A request to an upstream, checked before a byte of it is written. Builds heads; opens nothing.

Whatever could be read as two requests is refused with ValueError, in a sentence that repeats no value.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from keyhouse.domain.address import DEFAULT_PORTS, Origin
from keyhouse.gateway.timeouts import Timeouts

Headers = Sequence[tuple[bytes, bytes]]

_TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# RFC 9110 section 5.5: no control characters but the tab; bytes above 0x7f are opaque and pass.
_FORBIDDEN_IN_VALUES = bytes(byte for byte in (*range(0x20), 0x7F) if byte != 0x09)
_METHOD = re.compile(rb"[A-Z]{1,20}")
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")
# The client sets these itself, or they belong to one connection: RFC 9110 section 7.6.1.
_OWN_HEADERS = frozenset(
    b"connection content-length expect host keep-alive proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
_BODILESS_METHODS = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS"})


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What is equal in every request to one target, checked and rendered once: see `request_head`. Holds credentials, so it prints none."""

    method: bytes
    origin: Origin
    key: str
    target: bytes = field(repr=False)
    wire: bytes = field(repr=False)


@dataclass(slots=True)
class UpstreamRequest:
    """One request. `headers` follow the head's own; `timeouts` replace the client's for this request."""

    head: RequestHead
    body: bytes = field(default=b"", repr=False)
    headers: Headers = field(default=(), repr=False)
    timeouts: Timeouts | None = None


def host_header(origin: Origin) -> bytes:
    """The `Host` this client sends for an origin; signers need it."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return (host if DEFAULT_PORTS[origin.scheme] == origin.port else f"{host}:{origin.port}").encode("ascii")


def request_head(method: bytes, origin: Origin, target: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> RequestHead:
    """The head of requests with this method, origin, target (path and query, beginning with a slash) and headers.

    Raises ValueError for anything that is not legal HTTP, and for headers that the client sets itself: Host, Content-Length, hop-by-hop.
    """
    if not _METHOD.fullmatch(method):
        raise ValueError("the method must be one to twenty capital letters")
    if method == b"CONNECT":
        raise ValueError("CONNECT is not a request to an upstream")
    if not _TARGET.fullmatch(target):
        raise ValueError("the path must begin with a slash and hold visible ASCII characters only")
    if origin.scheme not in DEFAULT_PORTS or not _HOST.fullmatch(origin.host) or not 0 < origin.port < 65536:
        raise ValueError("the origin must be a plain http or https one, as parse_origin returns it")
    wire = b"%b %b HTTP/1.1\r\nhost: %b\r\n%b" % (method, target, host_header(origin), rendered_headers(headers))
    return RequestHead(method, origin, f"{origin.scheme}://{origin.host}|{origin.port}", target, wire)


def rendered_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines, each ended. Raises ValueError as `request_head` does."""
    lines = []
    for name, value in headers:
        if not name or name.translate(None, _TOKEN_BYTES):
            raise ValueError("a header's name must be a token: letters, digits and !#$%&'*+-.^_`|~ only")
        if name.lower() in _OWN_HEADERS:
            raise ValueError("Host, Content-Length and hop-by-hop headers are set by the client itself")
        if value.translate(None, _FORBIDDEN_IN_VALUES) != value:
            raise ValueError("a header's value must not hold line breaks or control characters")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


def rendered_head(request: UpstreamRequest, proxy_lines: bytes | None = None) -> bytes:
    """The bytes of a request before its body. `proxy_lines` is not None for a request that goes to a proxy in absolute form: header lines
    for the proxy, each ended. Raises ValueError as `request_head` does."""
    head, body = request.head, request.body
    wire = head.wire if proxy_lines is None else _absolute_form(head) + proxy_lines
    if request.headers:
        wire += rendered_headers(request.headers)
    if body or head.method not in _BODILESS_METHODS:
        return b"%bcontent-length: %d\r\n\r\n" % (wire, len(body))
    return wire + b"\r\n"


def _absolute_form(head: RequestHead) -> bytes:
    origin = head.origin
    address = b"%b %b://%b%b" % (head.method, origin.scheme.encode("ascii"), host_header(origin), head.target)
    return address + head.wire[len(head.method) + 1 + len(head.target) :]
