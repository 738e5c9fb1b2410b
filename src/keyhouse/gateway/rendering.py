"""From a caller's body to the one that goes out: held to what is declared, its model renamed, translated where the formats differ."""

from dataclasses import dataclass, field

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.call import Call
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.prepared import Prepared
from keyhouse.gateway.wire.enforcement import enforced
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.parameters import DROP_TUNING_PARAMS
from keyhouse.gateway.wire.splice import with_model


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request's body as the upstream gets it. `headers` replace the caller's that would go on; None: those go on."""

    body: bytes = field(repr=False)
    streams: bool = False
    dropped: tuple[str, ...] = ()
    enforced: tuple[str, ...] = ()
    headers: RawHeaders | None = field(default=None, repr=False)


def rendered(call: Call, prepared: Prepared) -> Rendered:
    """What goes out for a call. Raises Error: what the body says that it must not."""
    body, head, target = call.body, call.head, call.target
    if prepared.declares or (prepared.has_range and b"temperature" in body):
        decoded = decoded_body(body)
        held = enforced(call.endpoint, decoded, target.declared, target.temperature_range)
        if held.body is not decoded:
            return Rendered(_encoded(held.body, target.upstream_model), head.stream, held.dropped, held.enforced)
    return Rendered(with_model(body, head, target.upstream_model), head.stream)


def decoded_body(body: bytes) -> JsonObject:
    """A caller's body. Raises Error `malformed_request`; that it is an object is known."""
    try:
        decoded: JsonObject = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Error(Code.MALFORMED_REQUEST, "The body is not JSON.") from None
    return decoded


def _encoded(body: JsonObject, model: str) -> bytes:
    return msgspec.json.encode({**{name: value for name, value in body.items() if name != DROP_TUNING_PARAMS}, "model": model})
