"""Addresses as the gateway parses them. Whatever two parsers could read differently is refused here, once."""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?)(?::(?P<port>[0-9]{1,5}))?")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]")
_LONGEST_REMEMBERED = 512
"""Characters: whoever stores or calls long addresses does not fill our memory with them."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes: scheme, host in lower case without a trailing dot, port."""

    scheme: str
    host: str
    port: int


def parse_origin(url: str) -> Origin:
    """The origin of an absolute http or https URL.

    Raises ValueError, with a sentence that does not repeat the URL, for anything else and for a URL that two parsers could read
    differently: user information, a backslash, blanks, control characters, a host that is not plain ASCII or not one name.
    """
    return _remembered(url) if len(url) <= _LONGEST_REMEMBERED else _parsed(url)


def _parsed(url: str) -> Origin:
    if _FORBIDDEN.search(url):
        raise ValueError("must be an address of plain ASCII characters, without blanks, backslashes or control characters")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        raise ValueError("must start with http:// or https://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise ValueError("must not contain a user name or password")
    matched = _AUTHORITY.fullmatch(authority)
    if matched is None:
        raise ValueError("must name one host, and if needed a port")
    port = int(matched["port"]) if matched["port"] else DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError("must have a port between 1 and 65535")
    host = matched["host"].strip("[]").removesuffix(".").lower()
    # The standard library remembers what it splits, so that it gets no more than it has to judge.
    _require_same_reading(url[: len(scheme) + len("://") + len(authority) + 1], scheme, host)
    return Origin(scheme, host, port)


def _require_same_reading(url: str, scheme: str, host: str) -> None:
    try:
        parts = urlsplit(url)
        other = (parts.scheme, (parts.hostname or "").removesuffix("."))
    except ValueError:
        raise ValueError("must be an address that can be read in one way only") from None
    if other != (scheme, host):
        raise ValueError("must be an address that can be read in one way only")


_remembered = lru_cache(maxsize=1024)(_parsed)
