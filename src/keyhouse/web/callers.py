"""From a request's headers to what the caller presents. The first credential found decides; nothing is looked up here."""

import base64
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from keyhouse.gateway.headers import value_of

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Presented:
    """A token, and the project that the caller names beside it."""

    token: str = field(repr=False)
    project_id: str | None = None


def header(headers: Headers, name: bytes) -> str | None:
    """The first value of a header, given by its lower-case name."""
    value = value_of(headers, name)
    return None if value is None else value.decode("latin-1")


def presented(headers: Headers) -> Presented | None:
    """Basic, then Bearer, then X-Auth-Token; what is malformed or empty is passed over. None: no credential at all."""
    first = dict(reversed([*headers]))
    scheme, _, rest = first.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "basic" and (basic := _basic(rest)):
        return basic
    named = first.get(b"x-project-id", b"").decode("latin-1").strip() or None
    if scheme.lower() == "bearer" and rest:
        return Presented(rest, named)
    token = first.get(b"x-auth-token", b"").decode("latin-1").strip()
    return Presented(token, named) if token else None


def bearer(headers: Headers) -> str | None:
    """The Bearer token alone."""
    scheme, _, rest = (header(headers, b"authorization") or "").strip().partition(" ")
    return (rest.strip() or None) if scheme.lower() == "bearer" else None


def is_same_key(token: str, key: str) -> bool:
    """Whether a token out of a header, whose bytes were read as Latin-1, is this key; in a time that tells nothing."""
    return hmac.compare_digest(token.encode("latin-1"), key.encode())


def _basic(encoded: str) -> Presented | None:
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
    project_id, _, token = decoded.partition(":")
    # An id with control characters names nothing, and one database cannot even be asked for it.
    wellformed = project_id.strip() and token.strip() and project_id.isprintable()
    return Presented(token.strip(), project_id.strip()) if wellformed else None
