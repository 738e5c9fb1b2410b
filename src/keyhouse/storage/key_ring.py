"""The key-encryption keys: their ids, their order, and how a ring is written down. The first key writes, all open.

Never prints a key. No I/O here.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from keyhouse.domain.errors import Code, Error

KEY_BYTES = 32
_LINE = re.compile(r"(?P<id>[A-Za-z0-9._-]{1,64})\s*[:=]\s*(?P<key>[A-Za-z0-9+/_=-]+)")
_HEADER = """\
# Keyhouse key ring. The first key writes, all keys open. Without it nothing that is stored can be read:
# keep a copy in a safe place, apart from the database's backups. `keyhouse keys rotate` puts a new key first.
"""


class KeyRing:
    """Keys by id, in order. `where` tells people where they came from. Prints without keys."""

    __slots__ = ("_keys", "where")

    def __init__(self, keys: Mapping[str, bytes], where: str) -> None:
        self._keys = dict(keys)
        self.where = where

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, the writing key's first."""
        return tuple(self._keys)

    @property
    def writing_id(self) -> str:
        """The id of the key that writes."""
        return next(iter(self._keys))

    def key(self, key_id: str) -> bytes | None:
        """The key itself, 32 bytes, or None."""
        return self._keys.get(key_id)

    def with_first(self, key_id: str, key: bytes) -> "KeyRing":
        """This ring with a new key that writes from now on."""
        return KeyRing({key_id: key, **self._keys}, self.where)

    def without(self, key_ids: Collection[str]) -> "KeyRing":
        """This ring without some of its keys."""
        return KeyRing({known: key for known, key in self._keys.items() if known not in key_ids}, self.where)

    def only(self, key_id: str) -> "KeyRing":
        """A ring of just one key of this one, which must be there."""
        return KeyRing({key_id: self._keys[key_id]}, self.where)

    def equals(self, other: "KeyRing") -> bool:
        """Whether both hold the same keys in the same order."""
        return list(self._keys.items()) == list(other._keys.items())


def new_key() -> tuple[str, bytes]:
    """A fresh key and an id for it, dated for people: `key-20261123-1a2b3c4d`."""
    return f"key-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}", secrets.token_bytes(KEY_BYTES)


def parse_key_ring(text: str, where: str) -> KeyRing:
    """A ring from lines or comma-separated entries of `id = base64`, 32 bytes each; `#` begins a comment.

    Raises Error `configuration`, naming the place and the entry's number, never its content.
    """
    keys: dict[str, bytes] = {}
    entries = [entry.strip() for line in text.splitlines() for entry in line.partition("#")[0].split(",")]
    for number, entry in enumerate(filter(None, entries), start=1):
        matched = _LINE.fullmatch(entry)
        key = _decoded(matched["key"]) if matched else None
        if matched is None or key is None or len(key) != KEY_BYTES:
            raise Error(Code.CONFIGURATION, f"Entry {number} of {where} is not a key: write `id = base64 of {KEY_BYTES} bytes`.")
        if matched["id"] in keys:
            raise Error(Code.CONFIGURATION, f"{where} names the key {matched['id']} twice: keep one of the two entries.")
        keys[matched["id"]] = key
    if not keys:
        raise Error(Code.CONFIGURATION, f"{where} holds no key. Put back the key ring from your backup.")
    return KeyRing(keys, where)


def key_ring_text(ring: KeyRing) -> str:
    """A ring as its file holds it."""
    lines = [f"{key_id} = {base64.b64encode(ring.key(key_id) or b'').decode()}\n" for key_id in ring.ids]
    return _HEADER + "".join(lines)


def _decoded(text: str) -> bytes | None:
    """Strict, but for the padding, which may be left out: a half-typed key must not pass for another one."""
    unpadded = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except binascii.Error:
        return None
