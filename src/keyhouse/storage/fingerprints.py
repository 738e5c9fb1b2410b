"""Fingerprints of secrets, and their key, which is sealed like everything else. It is found by name in what the installation remembers."""

import contextlib
import hashlib
import hmac
import secrets

from keyhouse.storage import encoding
from keyhouse.storage.database import Database
from keyhouse.storage.sealed_values import destroy_one, open_sealed, put_sealed
from keyhouse.storage.secret_box import SecretBox, Unreadable
from keyhouse.storage.statements import Statement, Transaction, insert_into

OWNER_ID = "installation"
"""Owns the sealed fingerprint keys."""
_FIELD = "fingerprint_key"
_IS_KEY = "name LIKE 'fingerprint|_key/%' ESCAPE '|'"
_KEYS = Statement("SELECT value FROM installation WHERE", _IS_KEY, "ORDER BY name")
_INSERT = insert_into("installation", "name, value")
_DELETE = Statement("DELETE FROM installation WHERE", _IS_KEY, "AND value = :value_id")
_SEALED_WITH = Statement(
    "SELECT id FROM sealed_values WHERE owner_id = :owner_id AND key_id = :key_id",
    f"AND id IN (SELECT value FROM installation WHERE {_IS_KEY})",  # noqa: S608 - names of ours
)


class Fingerprints:
    """Short keyed digests of values: equal for equal values of one installation. 8 hexadecimal digits tell apart, and give nothing back."""

    __slots__ = ("_begun",)

    def __init__(self, key: bytes) -> None:
        self._begun = _begun_with(key)

    def __repr__(self) -> str:
        return "Fingerprints(***)"

    def __call__(self, field: str, value: object) -> str:
        """The fingerprint of a value under its field's name."""
        digest = self._begun.copy()
        digest.update(field.encode() + b"\0" + encoding.encoded_bytes(value))
        return digest.hexdigest()[:8]

    async def open_again(self, database: Database, box: SecretBox) -> None:
        """The box opens other values than before, perhaps an older key. Raises Error `storage_unavailable`."""
        key = await database.read(lambda tx: _key(tx, box))
        if key is not None:
            self._begun = _begun_with(key)


def _begun_with(key: bytes) -> hmac.HMAC:
    """What depends on the key alone is done once: a copy of it costs less than to begin for each value."""
    return hmac.new(key, digestmod=hashlib.sha256)


async def open_fingerprints(database: Database, box: SecretBox) -> Fingerprints:
    """With the oldest key that can be opened. While none can, with a further one, made now: the others' key ring may come back."""
    key = await database.read(lambda tx: _key(tx, box))
    if key is None:
        key = await database.write(lambda tx: _new_key(tx, box))
    return Fingerprints(key)


def sealed_fingerprint_keys(tx: Transaction, key_id: str) -> list[str]:
    """Ids of the fingerprint keys that a key-encryption key seals."""
    return [row[0] for row in tx.rows(_SEALED_WITH, owner_id=OWNER_ID, key_id=key_id)]


def destroy_fingerprint_keys(tx: Transaction, key_id: str) -> None:
    """Destroy the fingerprint keys that a lost key-encryption key seals. Fingerprints made with them compare with no new one any more."""
    for value_id in sealed_fingerprint_keys(tx, key_id):
        tx.run(_DELETE, value_id=value_id)
        destroy_one(tx, OWNER_ID, value_id)


def _key(tx: Transaction, box: SecretBox) -> bytes | None:
    for (value_id,) in tx.rows(_KEYS):
        with contextlib.suppress(Unreadable):
            return open_sealed(tx, box, OWNER_ID, value_id)
    return None


def _new_key(tx: Transaction, box: SecretBox) -> bytes:
    key = secrets.token_bytes(32)
    value_id = put_sealed(tx, box, ("", OWNER_ID), _FIELD, key)
    # Ids begin with the time, so names keep the order in which the keys were made.
    tx.run(_INSERT, name=f"{_FIELD}/{value_id}", value=value_id)
    return key
