"""Extra headers of a provider: which are legal, and how an edit that shows masks brings the stored values back. No I/O."""

import re
from collections import Counter
from dataclasses import dataclass, field

from keyhouse.domain.credentials import MASK

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# RFC 9110 section 7.6.1, and what the gateway sets itself.
_HOP_BY_HOP = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
_SET_BY_GATEWAY = frozenset({"host", "content-length", "expect"})


@dataclass(frozen=True, slots=True)
class ExtraHeader:
    """A header that goes with every call of a provider. The value is a secret; None where it cannot be opened."""

    name: str
    value: str | None = field(repr=False)


def header_problem(name: str, value: str) -> tuple[str, str] | None:
    """What makes a header illegal: which half (`key` or `value`) and a sentence, or None. Repeats neither."""
    if not _TOKEN.fullmatch(name):
        return "key", "must be a header name: letters, digits and !#$%&'*+-.^_`|~ only"
    if (lower := name.lower()) in _HOP_BY_HOP:
        return "key", "must not be a hop-by-hop header: those belong to one connection"
    if lower in _SET_BY_GATEWAY:
        return "key", "must not be Host, Content-Length or Expect: the gateway sets them"
    if not _VALUE.fullmatch(value):
        return "value", "must hold no line breaks, control characters or characters beyond Latin-1"
    return None


@dataclass(frozen=True, slots=True)
class RestoredHeaders:
    """Headers after an edit, and at which places of the edit the value is the stored one (not sent again)."""

    headers: tuple[ExtraHeader, ...]
    restored: tuple[int, ...]


def restored_headers(given: tuple[ExtraHeader, ...], stored: tuple[ExtraHeader, ...]) -> RestoredHeaders:
    """`given` with each mask replaced by the stored value it stands for.

    By equal name without case, the k-th of a name taking the k-th stored of that name; else by the same position, if the stored name there
    is not itself in `given` (a rename); else the header is dropped.
    """
    if MASK not in [header.value for header in given]:
        return RestoredHeaders(given, ())
    given_names = {header.name.lower() for header in given}
    seen: Counter[str] = Counter()
    headers: list[ExtraHeader] = []
    restored: list[int] = []
    for position, header in enumerate(given):
        nth = seen[header.name.lower()]
        seen[header.name.lower()] += 1
        if header.value != MASK:
            headers.append(header)
            continue
        source = _nth_named(stored, header.name, nth) or _renamed(stored, position, given_names)
        if source is not None:
            restored.append(position)
            headers.append(ExtraHeader(header.name, source.value))
    return RestoredHeaders(tuple(headers), tuple(restored))


def _nth_named(stored: tuple[ExtraHeader, ...], name: str, nth: int) -> ExtraHeader | None:
    same = [header for header in stored if header.name.lower() == name.lower()]
    return same[nth] if nth < len(same) else None


def _renamed(stored: tuple[ExtraHeader, ...], position: int, given_names: set[str]) -> ExtraHeader | None:
    if position < len(stored) and stored[position].name.lower() not in given_names:
        return stored[position]
    return None
