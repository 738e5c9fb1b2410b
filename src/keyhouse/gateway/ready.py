"""Calls of which everything but the body is known beforehand: natively passed, to one address, with fixed credentials. Opens nothing.

Holds what the caller's headers say, and nothing of the target's credentials.
"""

from dataclasses import dataclass, field
from weakref import ref

from keyhouse.domain.address import Origin
from keyhouse.domain.calling import EndpointName
from keyhouse.domain.target import Target
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.prepared import Prepared
from keyhouse.gateway.rendered import BETA
from keyhouse.gateway.rendering import is_translated
from keyhouse.gateway.request import Headers, rendered_headers


@dataclass(slots=True, eq=False)
class Ready:
    """`lines` are the caller's headers as they go out, `query` what of its own goes on. `may_look`: some bodies have to be looked into.
    `origin` is where they go, `said` what their answers say of the target."""

    target: "ref[Target]"
    endpoint: EndpointName
    lines: bytes = field(repr=False)
    query: bytes = field(repr=False)
    may_look: bool
    origin: Origin
    said: Headers


def ready_for(prepared: Prepared, target: Target, endpoint: EndpointName, headers: RawHeaders, query: bytes) -> Ready | None:
    """What is equal in calls of a target with these headers; None where they may go elsewhere, or each is signed or translated."""
    if target.instead is not None or prepared.signing is not None or prepared.declares or is_translated(endpoint, target.wire):
        return None
    stated = [pair for pair in headers if pair[0] not in prepared.replaced]
    if prepared.foreign_betas and any(name == BETA for name, _ in stated):
        return None
    try:
        lines = rendered_headers(prepared.with_defaults(stated))
    except ValueError:
        return None
    may_look = prepared.has_range or bool(prepared.foreign) or bool(target.dialect.quirks)
    return Ready(ref(target), endpoint, lines, query, may_look, prepared.head.origin, prepared.answer_headers)
