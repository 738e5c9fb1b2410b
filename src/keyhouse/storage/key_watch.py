"""Keeps a running process's key ring as its file has it. A ring that is no good, or half written, never replaces a good one."""

from collections.abc import Awaitable, Callable

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.database import Database, storage_unavailable
from keyhouse.storage.encryption_keys import add_new_keys, check_ring, require_usable
from keyhouse.storage.key_file import Identity, KeySource
from keyhouse.storage.key_ring import KeyRing
from keyhouse.storage.secret_box import SecretBox
from keyhouse.storage.statements import Transaction


class NewerRing:
    """What a box asks for a ring when a blob names a key that it does not know: the file's, if it changed since it was last read."""

    __slots__ = ("_seen", "_source")

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._seen: Identity | None = None

    def __call__(self, *, anew: bool) -> KeyRing | None:
        """The ring, or None where there is none that is new and whole. With `anew` one that was read before counts as new."""
        identity = self._source.identity()
        if identity is None or (identity == self._seen and not anew):
            return None
        try:
            ring = self._source.load()
        except Error:
            return None
        self._seen = identity
        return ring


class KeyWatch:
    """Brings the ring into the box that the whole process seals and opens with."""

    def __init__(self, database: Database, box: SecretBox, source: KeySource, *, accept_unreadable: bool) -> None:
        self._database = database
        self._box = box
        self._source = source
        self._accept_unreadable = accept_unreadable
        self._seen: Identity | None = None
        self._complaint: str | None = None
        self.on_taken_up: Callable[[], Awaitable[None]] = _nothing
        """Done after each look at the ring, for what was opened with it and is kept. Raises Error `storage_unavailable`."""

    async def look(self) -> str | None:
        """Take up the ring if its file changed. Where it is no good, the ring stays, and a sentence says so, once.

        Raises Error `storage_unavailable`.
        """
        identity = self._source.identity()
        if self._source.text is not None or identity == self._seen:
            return None
        try:
            await self.take_up()
        except Error as error:
            if error.code is not Code.CONFIGURATION:
                raise
            said, self._complaint = self._complaint, error.message
            return None if said == error.message else error.message
        self._seen, self._complaint = identity, None
        return None

    async def take_up(self) -> None:
        """Take up the ring as it is now, checked as at the start; whoever keeps what was opened is told to drop it.

        Raises Error `configuration` or `storage_unavailable`; then the ring stays.
        """
        held = self._box.ring
        ring = await usable_ring(self._database, self._source, accept_unreadable=self._accept_unreadable, held=held)
        if not ring.equals(self._box.ring):
            self._box.use(ring)
            self._database.on_changes(None)
        await self.on_taken_up()

    async def replace_retired(self) -> None:
        """The key that this process seals with was retired by another one: take up the ring as it is now.

        Raises Error `storage_unavailable`.
        """
        try:
            await self.take_up()
        except Error as error:
            if error.code is not Code.CONFIGURATION:
                raise
            raise storage_unavailable("the key that it seals with was retired, and its key ring holds no newer one.") from error


async def _nothing() -> None:
    """Nothing is kept."""


async def usable_ring(database: Database, source: KeySource, *, accept_unreadable: bool, held: KeyRing | None = None) -> KeyRing:
    """The ring of a source, checked, and known to the database. `held` is the one in use so far.

    Raises Error `configuration` or `storage_unavailable`.
    """

    def usable(tx: Transaction, ring: KeyRing) -> KeyRing:
        return require_usable(tx, ring, accept_unreadable=accept_unreadable, held=held)

    while True:
        identity = source.identity()
        try:
            ring = await _known_ring(database, source.load(), usable)
        except Error:
            # A key may have been put in front, and the old one retired, since the file was read.
            if source.identity() == identity:
                raise
        else:
            # Nobody else gets a turn before the ring is in use: who read an older one never puts it over a newer one.
            if source.identity() == identity:
                return ring


async def _known_ring(database: Database, ring: KeyRing, usable: Callable[[Transaction, KeyRing], KeyRing]) -> KeyRing:
    def add(tx: Transaction) -> KeyRing:
        add_new_keys(tx, ring)
        # Once more: meanwhile another process may have retired one of them, or made another one known by the same id.
        return usable(tx, ring)

    found, has_new = await database.read(lambda tx: (usable(tx, ring), bool(check_ring(tx, ring).new)))
    return await database.write(add) if has_new else found
