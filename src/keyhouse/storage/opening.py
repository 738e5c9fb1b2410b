"""Opening the house's storage: schema, key ring, canaries, and the key of the fingerprints. What is wrong stops here, with a sentence."""

import contextlib
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, bindparam, delete, make_url, select
from sqlalchemy.exc import ArgumentError

from keyhouse.domain.errors import Code, Error
from keyhouse.storage import encoding
from keyhouse.storage.database import ConstraintBroken, Database
from keyhouse.storage.encryption_keys import known_key_ids, register_keys, register_right_keys, require_all_known
from keyhouse.storage.key_ring import KeyRing, new_key, parse_key_ring, read_key_file, write_key_file
from keyhouse.storage.schema import migrate, start_lock
from keyhouse.storage.sealed_values import open_sealed, put_sealed
from keyhouse.storage.secret_box import SecretBox, Unreadable
from keyhouse.storage.sqlite import SqliteDatabase
from keyhouse.storage.statements import Statement, Transaction, insert_row
from keyhouse.storage.tables import installation

_FINGERPRINT_KEY = "fingerprint_key"
_INSTALLATION = "installation"
_GET = Statement(select(installation.c.value).where(installation.c.name == bindparam("name")))
_DELETE = Statement(delete(installation).where(installation.c.name == bindparam("name")))
_INSERT = insert_row(installation)


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the key ring comes from: a file, or the text of a setting, which wins."""

    file: Path
    text: str | None = None

    def load(self) -> KeyRing:
        """The ring as it is now. Raises Error `configuration`."""
        return read_key_file(self.file) if self.text is None else parse_key_ring(self.text, "KEYHOUSE_KEYS")

    @property
    def exists(self) -> bool:
        """Whether there is a ring to load."""
        return self.text is not None or self.file.exists()


class Fingerprints:
    """Short keyed digests of values: equal for equal values of one installation. 8 hexadecimal digits tell apart, and give nothing back."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Fingerprints(***)"

    def __call__(self, field: str, value: object) -> str:
        """The fingerprint of a value under its field's name."""
        return hmac.new(self._key, field.encode() + b"\0" + encoding.encoded_bytes(value), hashlib.sha256).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Storage:
    """An open storage: the database, the box that seals for it, the fingerprints, and where the keys come from."""

    database: Database
    box: SecretBox
    fingerprint: Fingerprints
    keys: KeySource


def parse_database_url(text: str) -> URL:
    """A database's URL: `sqlite:///path` or `postgresql://user:password@host/name`. Raises Error `configuration`, without the URL."""
    try:
        url = make_url(text)
    except ArgumentError:
        url = None
    if url is not None and url.drivername == "sqlite" and url.database:
        return url
    if url is not None and url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise Error(Code.CONFIGURATION, "The database URL is neither sqlite:///path nor postgresql://user:password@host/name.")


def open_database(url: URL) -> Database:
    """The database of a URL, whose schema must be there. Raises Error `configuration` or `storage_unavailable`."""
    if url.drivername == "sqlite":
        return SqliteDatabase(Path(str(url.database)))
    try:
        from keyhouse.storage.postgres import PostgresDatabase
    except ImportError:
        raise Error(Code.CONFIGURATION, "PostgreSQL needs the extra: run `uv sync --extra postgres`.") from None
    return PostgresDatabase(url)


async def prepare_storage(url: URL, keys: KeySource, *, accept_unreadable: bool = False) -> Storage:
    """Bring the schema up to date, make a key file for an empty database, check every key against its canary, and open.

    One process at a time does this. Raises Error `configuration` or `storage_unavailable`; then nothing was lost.
    """
    _require_driver(url)
    with start_lock(url):
        migrate(url)
        database = open_database(url)
        try:
            ring = await _checked_ring(database, keys, accept_unreadable=accept_unreadable)
            box = SecretBox(ring, keys.load)
            return Storage(database, box, await database.write(lambda tx: _fingerprints(tx, box)), keys)
        except BaseException:
            await database.close()
            raise


async def _checked_ring(database: Database, keys: KeySource, *, accept_unreadable: bool) -> KeyRing:
    if not keys.exists and not await database.read(known_key_ids):
        write_key_file(keys.file, KeyRing(dict([new_key()]), f"the key file {keys.file}"))
    ring = keys.load()
    if accept_unreadable:
        return await database.write(lambda tx: register_right_keys(tx, ring))
    await database.write(lambda tx: register_keys(tx, ring))
    await database.read(lambda tx: require_all_known(tx, ring))
    return ring


def _fingerprints(tx: Transaction, box: SecretBox) -> Fingerprints:
    """The installation's fingerprint key, sealed like everything else; a new one where it cannot be opened."""
    row = tx.row(_GET, name=_FINGERPRINT_KEY)
    if row is not None:
        with contextlib.suppress(Unreadable):
            return Fingerprints(open_sealed(tx, box, _INSTALLATION, row[0]))
    key = secrets.token_bytes(32)
    value_id = put_sealed(tx, box, ("", _INSTALLATION), _FINGERPRINT_KEY, key)
    tx.run(_DELETE, name=_FINGERPRINT_KEY)
    tx.run(_INSERT, name=_FINGERPRINT_KEY, value=value_id)
    return Fingerprints(key)


def _require_driver(url: URL) -> None:
    if url.drivername != "sqlite":
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise Error(Code.CONFIGURATION, "PostgreSQL needs the extra: run `uv sync --extra postgres`.") from None


__all__ = ["ConstraintBroken", "KeySource", "Storage", "open_database", "parse_database_url", "prepare_storage"]
