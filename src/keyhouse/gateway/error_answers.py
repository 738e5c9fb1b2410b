"""An upstream's error on its way to the caller: its status and words, but none of the secrets that the call was made with."""

import json
import re
from collections.abc import Iterator, Sequence

import msgspec

from keyhouse.domain.calling import EndpointName
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.target import Target
from keyhouse.gateway.call import Answer
from keyhouse.gateway.failures import error_body, failure_of
from keyhouse.gateway.headers import to_caller, value_of
from keyhouse.gateway.rendered import Rendered
from keyhouse.gateway.request import Headers
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.translated import JSON_TYPE
from keyhouse.gateway.unpacking import packing_of, shown, unpacked
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.wire.answer import ApiError

MAX_ERROR_BYTES = 1024 * 1024
"""What of an error's body the caller gets; the rest is cut off."""
_HIDDEN = b"***"
# Shorter values are no secrets, and would be found inside words.
_SHORTEST_SECRET = 6
_HEX = re.compile(r"\\u[0-9a-f]{4}")
_SCHEMES = frozenset({"bearer", "basic", "token", "apikey", "api-key", "key"})
_MADE = frozenset({b"authorization", b"proxy-authorization"})
_FRAMING = frozenset({b"content-length", b"content-encoding"})
REPLACED_BY_TRANSLATION = _FRAMING | {b"content-type", b"content-disposition", b"content-language"}
"""The headers of an answer that speak of a body which the caller does not get."""


async def error_answer(
    response: UpstreamResponse, outgoing: Rendered, secrets: Sequence[bytes], said: Headers, endpoint: EndpointName
) -> Answer:
    """The answer to a call that the upstream did not answer with success, without the secrets, longest first.

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
    whole = await _whole(response, len(secrets[0]) if secrets else 0)
    body = b"" if whole is None else without_secrets(whole, secrets)[:MAX_ERROR_BYTES]
    is_ours = whole is None or outgoing.translation is not None
    if whole is None:
        body = error_body(endpoint, ApiError(response.status, _illegible(packing_of(response.headers))))
    elif outgoing.translation is not None:
        kind = value_of(response.headers, b"x-amzn-errortype")
        body = outgoing.translation.error(response.status, body, kind.decode("latin-1") if kind is not None else None)
    if is_ours:
        # What was spelt with escapes of its own is spelt plainly now.
        body, said = without_secrets(body, secrets), [*said, (b"content-type", JSON_TYPE)]
    replaced = REPLACED_BY_TRANSLATION if is_ours else _FRAMING
    passed = [(name, without_secrets(value, secrets)) for name, value in to_caller(response.headers) if name not in replaced]
    return Answer(response.status, [*passed, *said, (b"content-length", b"%d" % len(body))], body)


def spelt_secrets(target: Target, made: Headers) -> list[bytes]:
    """Every stored value that went into a call, as it is and as JSON spells it, and what of the headers `made` for it alone is a secret, a
    signature or a proxy's password; longest first. Where a header of the project's own holds a scheme and a token, the token too."""
    stored = [secret.strip() for secret in target.secrets()]
    tokens = [words[1] for secret in stored if len(words := secret.split()) == 2 and words[0].lower() in _SCHEMES]
    spelt = {form for secret in (*stored, *tokens) if len(secret) >= _SHORTEST_SECRET for form in _spellings(secret)}
    # Of `Bearer` and a token it is the token.
    return sorted(spelt | {value.rpartition(b" ")[2] for name, value in made if name in _MADE}, key=len, reverse=True)


def _spellings(secret: str) -> Iterator[bytes]:
    """A secret as it is, and as the writers of JSON spell it that are in use: with and without letters beyond ASCII, with PHP's slash, with
    Go's and .NET's escapes of what means something in HTML."""
    yield secret.encode("utf-8", "surrogatepass")
    yield msgspec.json.encode(secret)[1:-1]
    ascii_only = json.dumps(secret)[1:-1]
    yield ascii_only.encode()
    yield ascii_only.replace("/", "\\/").encode()
    for escaped, form in (("<>&", "\\u%04x"), ("<>&+'`", "\\u%04X")):
        written = ascii_only if form.endswith("x") else _HEX.sub(lambda found: found[0][:2] + found[0][2:].upper(), ascii_only)
        yield written.translate({ord(letter): form % ord(letter) for letter in escaped}).encode()


def without_secrets(body: bytes, secrets: Sequence[bytes]) -> bytes:
    """The body with every secret replaced."""
    for secret in secrets:
        body = body.replace(secret, _HIDDEN)
    return body


def _illegible(packing: bytes) -> str:
    return f"The upstream's words cannot be read: it compressed them ({shown(packing)}), although nobody asked for that."


async def _whole(response: UpstreamResponse, longest: int) -> bytes | None:
    """An error's body, legible, None where it can not be: of a large one as much as the caller gets and a secret at its end needs."""
    limit = MAX_ERROR_BYTES + longest
    try:
        body = await response.whole(limit)
    except UpstreamError as error:
        raise failure_of(error) from error
    legible = unpacked(packing_of(response.headers), body, limit)
    return None if body and not legible else legible
