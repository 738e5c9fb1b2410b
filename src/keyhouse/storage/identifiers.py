"""Identifiers and tokens. Tokens are kept as their SHA-256: they carry some 285 random bits, so nothing can be guessed back."""

import hashlib
import secrets
import string
from dataclasses import dataclass, field

_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 24
_LOOKUP_LENGTH = 16
_SECRET_LENGTH = 48
_TOKEN_PREFIX = "sk-lw-"  # noqa: S105 - the field's prefix, no secret


def new_id(kind: str) -> str:
    """An opaque id with its kind in front, such as `project_3kTMd...`."""
    return f"{kind}_{_random(_ID_LENGTH)}"


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


def token_hash(text: str) -> bytes:
    """The SHA-256 of a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def lookup_of(text: str) -> str | None:
    """The part that finds a scoped API key; None for anything that is not shaped like one."""
    lookup, separator, secret = text.removeprefix(_TOKEN_PREFIX).partition("_")
    shaped = text.startswith(_TOKEN_PREFIX) and separator and len(lookup) == _LOOKUP_LENGTH and len(secret) == _SECRET_LENGTH
    return lookup if shaped and f"{lookup}{secret}".isascii() and f"{lookup}{secret}".isalnum() else None


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
