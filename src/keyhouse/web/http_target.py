"""What a request's target says: the path, decoded and as it came, and the query."""

import urllib.parse
from functools import lru_cache

import httptools

_LONGEST_REMEMBERED = 256
"""Bytes: whoever sends long targets does not fill our memory with them."""


def target_of(url: bytes) -> tuple[str, bytes, bytes]:
    """A request's path, decoded and as it came, and its query. Raises what is wrong with it."""
    return _remembered(url) if len(url) <= _LONGEST_REMEMBERED else _parsed(url)


def _parsed(url: bytes) -> tuple[str, bytes, bytes]:
    parsed = httptools.parse_url(url)
    raw_path: bytes | None = parsed.path
    if raw_path is None:
        raise ValueError("A target without a path.")
    path = raw_path.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, raw_path, parsed.query or b""


_remembered = lru_cache(256)(_parsed)
