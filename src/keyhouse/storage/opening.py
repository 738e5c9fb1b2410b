"""Opening the house's storage: schema, key ring, canaries. What is wrong stops here, with a sentence."""

import asyncio
import contextlib
import functools

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.database import Database
from keyhouse.storage.database_url import DatabaseUrl, SqliteFile
from keyhouse.storage.encryption_keys import NEW_KEY_HINT, known_key_ids
from keyhouse.storage.fingerprints import Fingerprints, open_fingerprints
from keyhouse.storage.key_file import KeySource, key_file_lock, write_key_file
from keyhouse.storage.key_ring import KeyRing, new_key
from keyhouse.storage.key_watch import KeyWatch, NewerRing, usable_ring
from keyhouse.storage.schema import migrate, require_driver, start_lock
from keyhouse.storage.secret_box import SecretBox
from keyhouse.storage.sqlite import SqliteDatabase


class Storage(msgspec.Struct, frozen=True):
    """An open storage: the database, the box that seals for it, the fingerprints, where the keys come from and what keeps up with them."""

    database: Database
    box: SecretBox
    fingerprint: Fingerprints
    keys: KeySource
    key_watch: KeyWatch
    warnings: tuple[str, ...] = ()
    """Sentences for whoever runs this."""


def open_database(url: DatabaseUrl) -> Database:
    """The database of a URL, whose schema must be there. Raises Error `configuration` or `storage_unavailable`."""
    if isinstance(url, SqliteFile):
        return SqliteDatabase(url.path)
    require_driver(url)
    from keyhouse.storage.postgres import PostgresDatabase

    return PostgresDatabase(url)


async def prepare_storage(url: DatabaseUrl, keys: KeySource, *, accept_unreadable: bool = False) -> Storage:
    """Bring the schema up to date, make a key file for an empty database, check every key against its canary, and open.

    One process at a time does this. Raises Error `configuration` or `storage_unavailable`; then nothing was lost.
    """
    require_driver(url)
    with contextlib.ExitStack() as held:
        await asyncio.to_thread(held.enter_context, start_lock(url))
        await asyncio.to_thread(migrate, url)
        database = open_database(url)
        try:
            return await _opened(database, keys, accept_unreadable=accept_unreadable)
        except BaseException:
            await database.close()
            raise


async def _opened(database: Database, keys: KeySource, *, accept_unreadable: bool) -> Storage:
    known = await database.read(known_key_ids)
    if not keys.exists:
        if known:
            raise _key_file_missing(keys, known, accept_unreadable=accept_unreadable)
        with key_file_lock(keys.file):
            if not keys.exists:  # still: a house with another database may lie in the same folder
                write_key_file(keys.file, KeyRing(dict([new_key()]), keys.where))
    box = SecretBox(await usable_ring(database, keys, accept_unreadable=accept_unreadable), NewerRing(keys))
    database.key_generation = lambda: box.generation
    watch = KeyWatch(database, box, keys, accept_unreadable=accept_unreadable)
    database.on_retired_key = watch.replace_retired
    fingerprint = await open_fingerprints(database, box)
    watch.on_taken_up = functools.partial(fingerprint.open_again, database, box)
    warning = keys.warning()
    return Storage(database, box, fingerprint, keys, watch, (warning,) if warning else ())


def _key_file_missing(keys: KeySource, known: tuple[str, ...], *, accept_unreadable: bool) -> Error:
    looked_for = f"The key file {keys.file} does not exist, and this database was written with the key {', '.join(known)}."
    if accept_unreadable:
        return Error(Code.CONFIGURATION, f"{looked_for} To go on without what it sealed, make a key file, mode 600, with {NEW_KEY_HINT}")
    return Error(Code.CONFIGURATION, f"{looked_for} Put the key file back from your backup.")
