"""Pages of other origins that may call the gateway from a browser: https://fetch.spec.whatwg.org/#http-cors-protocol (2026-11-29).

A caller's key comes in a header that the page sets itself, and never by itself as a cookie would: a page can do no more than its key.
"""

from keyhouse.gateway.headers import RawHeaders, value_of
from keyhouse.gateway.request import Headers

_ANY = b"*"
_EXPOSED = (b"access-control-expose-headers", _ANY)
_VARY = (b"vary", b"origin")
_MAX_AGE_S = b"600"


def origin_headers(allowed: frozenset[bytes], headers: Headers) -> RawHeaders:
    """What an answer says of the origin that a request names, where some are allowed."""
    if _ANY in allowed:
        return [(b"access-control-allow-origin", _ANY), _EXPOSED]
    origin = value_of(headers, b"origin")
    if origin is None or origin.lower() not in allowed:
        return [_VARY]
    return [(b"access-control-allow-origin", origin), _VARY, _EXPOSED]


def preflight_headers(allowed: frozenset[bytes], headers: Headers) -> RawHeaders:
    """The answer to a browser that asks before it sends: the methods of the gateway, and whatever headers the client wants to send."""
    wanted = value_of(headers, b"access-control-request-headers") or b"authorization, content-type"
    return [
        *origin_headers(allowed, headers),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", wanted),
        (b"access-control-max-age", _MAX_AGE_S),
    ]


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a browser asks before it sends."""
    return method == "OPTIONS" and value_of(headers, b"access-control-request-method") is not None
