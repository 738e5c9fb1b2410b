"""Identifiers and tokens. Tokens are kept as their SHA-256: they carry some 285 random bits, so nothing can be guessed back."""

import hashlib
import os
import string
import time
from dataclasses import dataclass, field
from functools import lru_cache

_ALPHABET = string.ascii_letters + string.digits
_SORTED = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FAIR = 256 - 256 % len(_ALPHABET)
_LETTER_OF_BYTE = bytes(ord(_ALPHABET[byte % len(_ALPHABET)]) for byte in range(256))
_UNUSED_BYTES = bytes(range(_FAIR, 256))
_ID_LENGTH = 16
_PAIRS_OF_TIME = 4
_PAIRS = [first + second for first in _SORTED for second in _SORTED]
_LONGEST_ID = 100
_LOOKUP_LENGTH = 16
_SECRET_LENGTH = 48
_TOKEN_PREFIX = "sk-lw-"  # noqa: S105 - the field's prefix, no secret


def new_id(kind: str) -> str:
    """An opaque id with its kind in front, such as `project_0uJ4x9Qk...`. It begins with the time, so that new rows lie side by side."""
    return f"{kind}_{_sortable_now()}{_random(_ID_LENGTH)}"


def is_id(text: str) -> bool:
    """Whether this could be an id at all. What is none is not looked for: PostgreSQL refuses some texts even in a question."""
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable()


def _sortable_now() -> str:
    first, last = divmod(time.time_ns() // 1_000_000, len(_PAIRS))
    return _first_digits(first) + _PAIRS[last]


@lru_cache(maxsize=1)  # of some four seconds
def _first_digits(number: int) -> str:
    digits = ""
    for _ in range(_PAIRS_OF_TIME - 1):
        number, pair = divmod(number, len(_PAIRS))
        digits = _PAIRS[pair] + digits
    return digits


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was just made: shown once, kept as its hash. `lookup` finds a scoped API key; a project key has none."""

    text: str = field(repr=False)
    lookup: str = ""

    @property
    def hash(self) -> bytes:
        """What is stored, 32 bytes."""
        return token_hash(self.text)


def new_project_token() -> Token:
    """A project's key: `sk-lw-` and 48 letters and digits."""
    return Token(_TOKEN_PREFIX + _random(_SECRET_LENGTH))


def new_api_key_token() -> Token:
    """A scoped API key: `sk-lw-`, 16 letters and digits that find it, `_`, 48 that prove it."""
    lookup = _random(_LOOKUP_LENGTH)
    return Token(f"{_TOKEN_PREFIX}{lookup}_{_random(_SECRET_LENGTH)}", lookup)


def new_session_token() -> Token:
    """What a browser holds while somebody is signed in, or what signs in once: 48 letters and digits. It opens nothing of the API."""
    return Token(_random(_SECRET_LENGTH))


def token_hash(text: str) -> bytes:
    """The SHA-256 of a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def lookup_of(text: str) -> str | None:
    """The part that finds a scoped API key; None for anything that is not shaped like one."""
    lookup, separator, secret = text.removeprefix(_TOKEN_PREFIX).partition("_")
    shaped = text.startswith(_TOKEN_PREFIX) and separator and len(lookup) == _LOOKUP_LENGTH and len(secret) == _SECRET_LENGTH
    return lookup if shaped and f"{lookup}{secret}".isascii() and f"{lookup}{secret}".isalnum() else None


def _random(length: int) -> str:
    """Letters and digits, each equally likely: a byte that would favour some is passed over."""
    drawn = ""
    while len(drawn) < length:
        drawn += os.urandom(2 * length).translate(_LETTER_OF_BYTE, _UNUSED_BYTES).decode()
    return drawn[:length]
