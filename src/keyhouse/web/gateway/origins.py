"""Pages of other origins that may call the gateway from a browser: https://fetch.spec.whatwg.org/#http-cors-protocol (2026-11-29).

A caller's key comes in a header that the page sets itself, and never by itself as a cookie would: a page can do no more than its key.
"""

from collections.abc import Iterable

from keyhouse.gateway.headers import RawHeaders

_ANY = b"*"
_EXPOSED = (b"access-control-expose-headers", _ANY)
_VARY = (b"vary", b"origin")
_MAX_AGE_S = b"600"


def origin_headers(allowed: frozenset[bytes], headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """What an answer says of the origin that a request names, where some are allowed."""
    if _ANY in allowed:
        return [(b"access-control-allow-origin", _ANY), _EXPOSED]
    origin = _first(headers, b"origin")
    if origin is None or origin.lower() not in allowed:
        return [_VARY]
    return [(b"access-control-allow-origin", origin), _VARY, _EXPOSED]


def preflight_headers(allowed: frozenset[bytes], headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The answer to a browser that asks before it sends: the methods of the gateway, and whatever headers the client wants to send."""
    given = list(headers)
    wanted = _first(given, b"access-control-request-headers") or b"authorization, content-type"
    return [
        *origin_headers(allowed, given),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", wanted),
        (b"access-control-max-age", _MAX_AGE_S),
    ]


def is_preflight(method: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a browser asks before it sends."""
    return method == "OPTIONS" and _first(headers, b"access-control-request-method") is not None


def _first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for found, value in headers if found == name), None)
