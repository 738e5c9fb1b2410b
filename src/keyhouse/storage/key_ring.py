"""The key-encryption keys: where they come from, and which one writes. The first key of the ring writes, all open. Never prints a key."""

import base64
import binascii
import os
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

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
        return self.ids[0]

    def key(self, key_id: str) -> bytes | None:
        """The key itself, 32 bytes, or None."""
        return self._keys.get(key_id)

    def with_first(self, key_id: str, key: bytes) -> "KeyRing":
        """This ring with a new key that writes from now on."""
        return KeyRing({key_id: key, **self._keys}, self.where)

    def without(self, key_id: str) -> "KeyRing":
        """This ring without one key."""
        return KeyRing({known: key for known, key in self._keys.items() if known != key_id}, self.where)


def new_key() -> tuple[str, bytes]:
    """A fresh key and an id for it, dated for people: `key-20261123-1a2b3c4d`."""
    return f"key-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}", secrets.token_bytes(KEY_BYTES)


def parse_key_ring(text: str, where: str) -> KeyRing:
    """A ring from lines or comma-separated entries of `id = base64`, 32 bytes each; `#` begins a comment.

    Raises Error `configuration`, naming the place and the line, never its content.
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


def read_key_file(path: Path) -> KeyRing:
    """The ring of a file. Raises Error `configuration` where it is missing, not readable or not a ring."""
    try:
        return parse_key_ring(path.read_text(encoding="ascii"), f"the key file {path}")
    except FileNotFoundError:
        raise Error(Code.CONFIGURATION, f"The key file {path} does not exist. Put it back from your backup.") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise Error(Code.CONFIGURATION, f"The key file {path} cannot be read ({type(problem).__name__}).") from None


def write_key_file(path: Path, ring: KeyRing) -> None:
    """Replace a key file, mode 0600, at once or not at all, and on the disk when this returns."""
    lines = [f"{key_id} = {base64.b64encode(ring.key(key_id) or b'').decode()}\n" for key_id in ring.ids]
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(_HEADER + "".join(lines))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as problem:
        temporary.unlink(missing_ok=True)
        raise Error(Code.CONFIGURATION, f"The key file {path} cannot be written ({problem.strerror}).") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text.rstrip("=")) % 4), validate=False)
    except binascii.Error:
        return None
