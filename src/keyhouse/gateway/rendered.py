"""A request as it goes out, and what every way to render one needs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.call import Call
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.prepared import Prepared
from keyhouse.gateway.translated import AnswerTranslation
from keyhouse.gateway.wire.enforcement import Enforced, enforced
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.json_text import UNREADABLE, may_hold_more
from keyhouse.gateway.wire.losses import Losses

BETA = b"anthropic-beta"
# What means the same to every provider; the rest of what may go on speaks of the caller's own format.
_TRANSLATED_TO_UPSTREAM = frozenset(
    b"http-referer idempotency-key x-client-request-id x-grok-conv-id x-openrouter-categories x-openrouter-title x-session-affinity"
    b" x-title".split()
)


@dataclass(slots=True, eq=False)
class Rendered:
    """A request's body as the upstream gets it, and how its answer becomes the caller's; None: it passes as it is.

    `headers` replace the caller's that would go on; None: those go on. `query` is added to the target's.
    """

    body: bytes = field(repr=False)
    streams: bool = False
    dropped: tuple[str, ...] = ()
    enforced: tuple[str, ...] = ()
    headers: RawHeaders | None = field(default=None, repr=False)
    translation: AnswerTranslation | None = None
    query: bytes = b""


MOST_CONTAINERS = 1_000_000
"""Of a body that is taken apart; brackets in its texts count. Ten million empty arrays, 32 MiB of text, took some 900 MB."""

Render = Callable[[Call, Prepared], Rendered]
"""Raises Error: what the body says that it must not."""


def decoded_body(body: bytes) -> JsonObject:
    """A caller's body. Raises Error `malformed_request`, `payload_too_large`; that it is an object is known."""
    if may_hold_more(body, MOST_CONTAINERS):
        raise Error(Code.PAYLOAD_TOO_LARGE, f"The body holds more than {MOST_CONTAINERS:,} objects and arrays.")
    try:
        decoded: JsonObject = msgspec.json.decode(body)
    except UNREADABLE:
        raise Error(Code.MALFORMED_REQUEST, "The body is not JSON.") from None
    return decoded


def held_body(call: Call) -> Enforced:
    """A caller's decoded body, held to what is declared. Raises Error as `enforced` does."""
    return enforced(call.endpoint, decoded_body(call.body), call.target.declared, call.target.temperature_range)


def passed_on(call: Call, prepared: Prepared, also: Iterable[bytes] = ()) -> RawHeaders:
    """Those of the caller's headers that mean something to an upstream of another format, `also` among them."""
    names = _TRANSLATED_TO_UPSTREAM.union(also)
    return [pair for pair in call.headers if pair[0] in names and pair[0] not in prepared.replaced]


def with_betas(headers: RawHeaders, betas: tuple[str, ...]) -> RawHeaders:
    """The headers with these features in `anthropic-beta`, beside those that the caller asks for."""
    if not betas:
        return headers
    stated = [value for name, value in headers if name == BETA]
    return [*(pair for pair in headers if pair[0] != BETA), (BETA, b",".join((*stated, *(beta.encode() for beta in betas))))]


def without_betas(headers: RawHeaders, refused: frozenset[bytes], losses: Losses) -> RawHeaders:
    """The headers without these features in `anthropic-beta`. Raises Error as `Losses.drop` does."""
    kept: RawHeaders = []
    for name, value in headers:
        betas = [beta.strip() for beta in value.split(b",")] if name == BETA else []
        found = [beta for beta in betas if beta in refused]
        for beta in found:
            losses.drop(f"anthropic-beta: {beta.decode()}", "The provider's server refuses it.")
        left = [beta for beta in betas if beta and beta not in refused]
        if not found or left:
            kept.append((name, b",".join(left) if found else value))
    return kept
