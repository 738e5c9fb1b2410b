"""An upstream's error on its way to the caller: its status and words, but none of the secrets that the call was made with."""

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.target import Target
from keyhouse.gateway.call import Answer, Call
from keyhouse.gateway.failures import failure_of
from keyhouse.gateway.headers import RawHeaders, to_caller, value_of
from keyhouse.gateway.rendered import Rendered
from keyhouse.gateway.response import ResponseBody, UpstreamResponse
from keyhouse.gateway.translated import JSON_TYPE
from keyhouse.gateway.upstream_error import UpstreamError

MAX_ERROR_BYTES = 1024 * 1024
_HIDDEN = b"***"
# Shorter values are no secrets, and would be found inside words.
_SHORTEST_SECRET = 6
_FRAMING = frozenset({b"content-length", b"content-encoding"})
REPLACED_BY_TRANSLATION = _FRAMING | {b"content-type", b"content-disposition", b"content-language"}
"""The headers of an answer that speak of a body which the caller does not get."""


async def error_answer(call: Call, response: UpstreamResponse, outgoing: Rendered, headers: RawHeaders) -> Answer:
    """The answer to a call that the upstream did not answer with success.

    Raises Error: `upstream_redirect`, `upstream_invalid_answer` for a status that none is, and the code of a break before the end.
    """
    if 300 <= response.status < 400:
        response.close()
        raise Error(
            Code.UPSTREAM_REDIRECT,
            f"The upstream answered with a redirect ({response.status}), and none is followed. Store the address that it leads to.",
        )
    if response.status > 599:
        response.close()
        raise Error(Code.UPSTREAM_INVALID_ANSWER, f"The upstream answered with the status {response.status}, which there is not.")
    body = without_secrets(await _whole(response), call.target)
    if outgoing.translation is not None:
        kind = value_of(response.headers, b"x-amzn-errortype")
        body = outgoing.translation.error(response.status, body, kind.decode("latin-1") if kind is not None else None)
        headers = [*headers, (b"content-type", JSON_TYPE)]
    passed = [
        pair for pair in to_caller(response.headers) if pair[0] not in (REPLACED_BY_TRANSLATION if outgoing.translation else _FRAMING)
    ]
    return Answer(response.status, [*passed, *headers, (b"content-length", b"%d" % len(body))], body)


def without_secrets(body: bytes, target: Target) -> bytes:
    """The body with every stored value that went into the call replaced, as it is and as JSON spells it."""
    for secret in target.secrets():
        if len(secret) >= _SHORTEST_SECRET:
            spelt = secret.encode("utf-8", "surrogatepass")
            body = body.replace(spelt, _HIDDEN).replace(msgspec.json.encode(secret)[1:-1], _HIDDEN)
    return body


async def _whole(response: UpstreamResponse) -> bytes:
    """An error's body, no more than `MAX_ERROR_BYTES` of it."""
    try:
        return await read_at_most(response.body, MAX_ERROR_BYTES)
    except UpstreamError as error:
        raise failure_of(error) from error
    finally:
        response.close()


async def read_at_most(body: ResponseBody, limit: int) -> bytes:
    """A body, cut off at about `limit` bytes. Raises UpstreamError."""
    if body.ended:
        return body.take()
    pieces, size = [], 0
    async for piece in body:
        pieces.append(piece)
        size += len(piece)
        if size >= limit:
            break
    return b"".join(pieces)
