"""The secret box: envelope encryption of one value. A fresh data key for each, wrapped by a key of the ring; AES-256-GCM both times.

A blob says which key wraps it, and opens only where it was put: its context (project, owner, field, id) is authenticated with it.
"""

import os
import threading
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyhouse.storage.key_ring import KEY_BYTES, KeyRing

_FORMAT = b"\x01"
_NONCE_BYTES = 12
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + 16


class Unreadable(Exception):  # noqa: N818 - a state of a value rather than a failure of the code
    """A sealed value that does not open: its key is not in the ring, or it was damaged or moved."""


class Context(msgspec.Struct, frozen=True):
    """Where a value belongs. Two contexts never have the same bytes: each part is preceded by its length."""

    project_id: str
    owner_id: str
    field: str
    id: str

    def to_bytes(self) -> bytes:
        """The associated data."""
        project, owner = f"{len(self.project_id)}:{self.project_id}", f"{len(self.owner_id)}:{self.owner_id}"
        return f"keyhouse 1 {project} {owner} {len(self.field)}:{self.field} {len(self.id)}:{self.id}".encode()


class Newer(Protocol):
    """Where a ring may come from that knows more."""

    def __call__(self, *, anew: bool) -> KeyRing | None:
        """The ring, or None where there is none that was not brought before. With `anew` that one is brought again."""


def _no_newer(*, anew: bool) -> KeyRing | None:
    return None


class SecretBox:
    """Seals with the ring's first key, opens with any.

    `newer` is asked for a ring that may know more whenever a blob names an unknown key. What it brings opens, but never seals:
    only a ring that was checked against the database is put in by `use`. Several threads may share a box.
    """

    def __init__(self, ring: KeyRing, newer: Newer = _no_newer) -> None:
        self._ring = ring
        self._unchecked = ring.without(ring.ids)
        self._newer = newer
        self._has_asked = False
        self._asking = threading.Lock()
        self._ciphers: dict[bytes, AESGCM] = {}
        self._writing: tuple[KeyRing, bytes, AESGCM] | None = None
        self.generation = object()
        """Another one whenever what can be opened changes: what was read before may read otherwise now."""

    @property
    def ring(self) -> KeyRing:
        """The ring that seals."""
        return self._ring

    def use(self, ring: KeyRing) -> None:
        """Take another ring, one whose keys the database knows."""
        with self._asking:
            self._ring, self._unchecked = ring, ring.without(ring.ids)
            # It may be older than one that was brought meanwhile.
            self._has_asked = False
            self._ciphers, self._writing = {}, None
            self.generation = object()

    def seal(self, plaintext: bytes, context: Context) -> bytes:
        """A blob: format, key id's length and key id, wrapped data key, nonce, ciphertext."""
        drawn = os.urandom(KEY_BYTES + 2 * _NONCE_BYTES)
        data_key, nonce, wrapping_nonce = drawn[:KEY_BYTES], drawn[KEY_BYTES:-_NONCE_BYTES], drawn[-_NONCE_BYTES:]
        bound = context.to_bytes()
        return self._wrapped(data_key, bound, wrapping_nonce) + nonce + AESGCM(data_key).encrypt(nonce, plaintext, bound)

    def open(self, blob: bytes, context: Context) -> bytes:
        """The plaintext. Raises Unreadable."""
        bound = context.to_bytes()
        data_key, rest = self._unwrapped(blob, bound)
        try:
            return AESGCM(data_key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            raise Unreadable("it is damaged, or not where it was put") from None

    def rewrapped(self, blob: bytes, context: Context) -> bytes:
        """The same sealed value under the ring's first key. Its data key stays, its plaintext is never touched. Raises Unreadable."""
        bound = context.to_bytes()
        data_key, rest = self._unwrapped(blob, bound)
        return self._wrapped(data_key, bound, os.urandom(_NONCE_BYTES)) + rest

    def _wrapped(self, data_key: bytes, bound: bytes, nonce: bytes) -> bytes:
        writing = self._writing
        if writing is None or writing[0] is not self._ring:
            writing = self._writing = _writing_with(self._ring)
        _, head, cipher = writing
        return head + nonce + cipher.encrypt(nonce, data_key, head + bound)

    def _cipher(self, key: bytes) -> AESGCM:
        """A key of the ring, its schedule made once for as long as the ring is in use."""
        cipher = self._ciphers.get(key)
        if cipher is None:
            cipher = self._ciphers[key] = AESGCM(key)
        return cipher

    def _unwrapped(self, blob: bytes, bound: bytes) -> tuple[bytes, bytes]:
        key_id = key_id_of(blob)
        head_bytes = 2 + blob[1]
        wrapped, rest = blob[head_bytes : head_bytes + _WRAPPED_BYTES], blob[head_bytes + _WRAPPED_BYTES :]
        key = self._ring.key(key_id) or self._unchecked.key(key_id) or self._newest_key(key_id)
        try:
            return self._cipher(key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], blob[:head_bytes] + bound), rest
        except (InvalidTag, ValueError):
            raise Unreadable("it is damaged, not where it was put, or its key is another one of the same id") from None

    def _newest_key(self, key_id: str) -> bytes:
        """A key that came into the file since. One that is known stays as it is, whatever the file says by now."""
        with self._asking:  # what another thread is just being brought, this one waits for
            newer = self._newer(anew=not self._has_asked)
            if newer is not None:
                self._unchecked, self._has_asked = newer, True
                self.generation = object()
        key = self._ring.key(key_id) or self._unchecked.key(key_id)
        if key is None:
            raise Unreadable(f"the key {key_id} is not in {self._ring.where}")
        return key


def _writing_with(ring: KeyRing) -> tuple[KeyRing, bytes, AESGCM]:
    """What a blob begins with that this ring seals, and the cipher of the key that is named there. As one value: threads share it."""
    key_id = ring.writing_id
    name = key_id.encode()
    return ring, _FORMAT + bytes([len(name)]) + name, AESGCM(ring.key(key_id) or b"")


def key_id_of(blob: bytes) -> str:
    """The id of the key that wraps a blob. Raises Unreadable for what is no blob."""
    if len(blob) < 2 or blob[:1] != _FORMAT or len(blob) < 2 + blob[1] + _WRAPPED_BYTES + _NONCE_BYTES:
        raise Unreadable("it is damaged")
    try:
        return blob[2 : 2 + blob[1]].decode("ascii")
    except UnicodeDecodeError:
        raise Unreadable("it is damaged") from None
