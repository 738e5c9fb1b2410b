"""PostgreSQL: each piece of work on a pooled connection in a thread; a write is pipelined, so that it costs few round trips.

psycopg comes with the extra `postgres`; the modules whose names begin with `postgres` are imported where there is such a server.
"""

import asyncio
import contextlib
import functools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

import psycopg

from keyhouse.domain.errors import Code, Error
from keyhouse.storage import changes, postgres_server
from keyhouse.storage.clock import now_us
from keyhouse.storage.database import (
    ChangeNotice,
    ConstraintBroken,
    Done,
    KeyGeneration,
    OnChanges,
    OnRetiredKey,
    Work,
    WritingKeyRetired,
    heard_of_own,
    no_keys,
    no_newer_key,
    on_one_ring,
    storage_full,
    storage_unavailable,
    with_newer_keys,
)
from keyhouse.storage.database_url import PostgresServer
from keyhouse.storage.postgres_connections import Connections, away
from keyhouse.storage.postgres_drafts import Came, Drafts
from keyhouse.storage.postgres_listener import Listener
from keyhouse.storage.postgres_look import Look
from keyhouse.storage.postgres_pipeline import Pipeline
from keyhouse.storage.postgres_server import CONNECTION_LOST, POOLED, NoAnswer
from keyhouse.storage.projects import lock_project
from keyhouse.storage.sharing import Shared
from keyhouse.storage.side_threads import SideThreads
from keyhouse.storage.statements import Row, Statement, Transaction

# Beside an error that it raises, psycopg warns of what it ignored after it, and names the server and the database.
logging.getLogger("psycopg").setLevel(logging.ERROR)

T = TypeVar("T")
_POOL = 11
_ASKERS = 64
_ATTEMPTS = 3
_LONGEST_PAUSE_S = 0.1
_SEALING_KEY = "fk_sealed_values_key_id"
_ANNOUNCE_EVERY_S = 0.02
_NOTIFY = Statement("SELECT pg_notify('keyhouse_changes', '')")
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ"
_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"


class PostgresTransaction:
    """One connection's open transaction. What `run` sends is checked no later than at the next read or at the commit."""

    __slots__ = ("_pipeline", "noted")

    is_draft = False

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.noted: list[ChangeNotice] = []

    @property
    def now(self) -> int:
        """See Transaction."""
        return now_us()

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        """See Transaction."""
        return self._pipeline.rows(statement, values)

    def row(self, statement: Statement, **values: object) -> Row | None:
        """See Transaction."""
        found = self._pipeline.rows(statement, values)
        return found[0] if found else None

    def run(self, statement: Statement, **values: object) -> None:
        """See Transaction."""
        self._pipeline.run(statement, values)

    def note(self, statement: Statement, notice: ChangeNotice, **values: object) -> None:
        """See Transaction."""
        self.run(statement, **values)
        self.noted.append(notice)

    def leave_no_trace(self) -> None:
        """See Transaction. PostgreSQL takes rows out of its files by itself: at the next vacuum, and as its log moves on."""


class PostgresDatabase:
    """See Database. Several processes and machines may use the same database."""

    dialect = "postgresql"

    def __init__(self, server: PostgresServer) -> None:
        """Connect; the database must have its schema. Raises Error `storage_unavailable`."""
        self.on_changes: OnChanges = lambda notices: None
        self.on_retired_key: OnRetiredKey = no_newer_key
        self.key_generation: KeyGeneration = no_keys
        self._connections = Connections(server)
        self._threads = SideThreads("keyhouse-postgresql", _POOL)
        self._watch = Look(functools.partial(self._connections.connect, autocommit=True))
        self._mark: str = self._read(changes.newest_mark)
        self._looked_at = now_us()
        self._look = Shared(self._look_at_changes, _ASKERS)
        self._drafts = Drafts(functools.partial(self._connections.connect, autocommit=True), self._tell)
        self._announcing: asyncio.Task[None] | None = None
        self._listener = Listener(server)

    @property
    def at_once(self) -> None:
        """See Database: whatever it does waits for the server."""

    async def read(self, work: Work[T]) -> T:
        """See Database."""
        return await with_newer_keys(self, work, functools.partial(self._in_line, self._read))

    async def write(self, work: Work[T], of_project: str | None = None) -> T:
        """See Database."""
        if of_project is not None:
            drafted = await self._drafts.write(of_project, on_one_ring(work, self.key_generation))
            if drafted.came is Came.WRITTEN:
                return cast(T, drafted.result)
            if drafted.came is Came.UNKNOWN:
                return await self._write_unless_made(of_project, drafted.revision, work)
        return (await self._write_itself(work))[0]

    async def _write_itself(self, work: Work[T]) -> tuple[T, list[ChangeNotice]]:
        attempt: Callable[[Work[T]], Awaitable[tuple[T, list[ChangeNotice]]]] = functools.partial(self._in_line, self._write)
        result, noted = await with_newer_keys(self, work, attempt)
        if noted:
            self._tell(noted)
        return result, noted

    async def _write_unless_made(self, project_id: str, revision: int, work: Work[T]) -> T:
        """After a draft whose connection was lost. The project is at the revision that it was drafted for: it was not written.

        Nor will it be, however late the server comes to it, once this write gives the project its next revision.
        """

        def unless_made(tx: Transaction) -> T:
            if lock_project(tx, project_id).revision != revision:
                raise _commit_unanswered()
            return work(tx)

        try:
            result, noted = await self._write_itself(unless_made)
        except Exception as failure:
            raise _commit_unanswered() from failure
        if not noted:
            raise _commit_unanswered()
        return result

    def _tell(self, noted: Sequence[ChangeNotice]) -> None:
        heard_of_own(self.on_changes, noted)
        if self._announcing is None:
            self._announcing = asyncio.create_task(self._announce())

    async def catch_up(self) -> None:
        """See Database. Whoever asks while a look is under way waits for the next one, and all of them share it."""
        await self._look.done()

    async def changed(self) -> None:
        """See Database."""
        if self._watch.is_open:
            await self._listener.heard()
        self._connections.shed()
        self._drafts.shed()

    async def close(self) -> None:
        """See Database."""
        self._listener.close()
        if self._announcing is not None:
            self._announcing.cancel()
        await self._drafts.close()
        self._threads.close()
        self._watch.close()
        await self._look.idle()
        self._connections.close()

    async def _in_line(self, action: Callable[[Work[T]], Done], work: Work[T]) -> Done:
        """Do the work in a thread. Where that begins too late, because all threads wait for an answer, it is not begun at all."""
        latest = time.monotonic() + postgres_server.PATIENCE_S

        def begun() -> Done:
            if time.monotonic() > latest:
                raise storage_unavailable("too many requests wait for PostgreSQL.")
            return action(work)

        return await self._threads.run(begun)

    async def _look_at_changes(self) -> None:
        opened_before = self._watch.opened
        notices, mark = await self._look_once()
        reopened = 0 < opened_before < self._watch.opened
        missed = reopened or now_us() - self._looked_at > changes.RETENTION_US // 2
        if missed:
            self._looked_at = 0  # so that the next look tells of it, should nobody hear of it now
        if notices or missed:
            self.on_changes(None if missed else list(notices.values()))
        self._mark, self._looked_at = mark, now_us()

    async def _look_once(self) -> tuple[dict[int, ChangeNotice], str]:
        """Again where the connection was lost: a restarted server closed it."""
        for _ in range(_ATTEMPTS):
            try:
                return await self._watch.after(self._mark)
            except psycopg.Error as failure:
                if not _worth_repeating(failure):
                    raise _named(failure) from failure
        raise away()

    async def _announce(self) -> None:
        """Wake the other processes. Not a part of the write: PostgreSQL commits transactions that notify one after the other."""
        await asyncio.sleep(_ANNOUNCE_EVERY_S)
        self._announcing = None
        with contextlib.suppress(Error):
            await self._in_line(self._write, lambda tx: tx.run(_NOTIFY))

    def _read(self, work: Work[T]) -> T:
        def once() -> T:
            with self._connections.one(_BEGIN_READING) as pipeline:
                result = work(PostgresTransaction(pipeline))
                pipeline.commit()
                return result

        return self._repeated(once)

    def _write(self, work: Work[T]) -> tuple[T, list[ChangeNotice]]:
        def once() -> tuple[T, list[ChangeNotice]]:
            with self._connections.one(_BEGIN_WRITING) as pipeline:
                tx = PostgresTransaction(pipeline)
                result = work(tx)
                _commit(pipeline)
                return result, tx.noted

        return self._repeated(once)

    def _repeated(self, once: Callable[[], T]) -> T:
        """Again, where nothing was committed and the next attempt may succeed: a deadlock, a connection that a restarted server closed.

        After a restart every idle connection of the pool may be such a one.
        """
        lost_races = 0
        for _ in range(_POOL + _ATTEMPTS):
            try:
                return once()
            except psycopg.Error as failure:
                lost_races += failure.sqlstate in _LOST_A_RACE
                if lost_races == _ATTEMPTS or not _worth_repeating(failure):
                    raise _named(failure) from failure
                if failure.sqlstate in _LOST_A_RACE:
                    # Whoever won has yet to wake and take the lock: who comes first would have both lose by turns.
                    time.sleep(random.uniform(0.5, 1) * _LONGEST_PAUSE_S)  # noqa: S311 - spreads load
        raise away()


_LOST_A_RACE = ("40P01", "40001")
"""Deadlock, serialization failure: https://www.postgresql.org/docs/15/errcodes-appendix.html"""
_ENDED_IDLE = "57P05"
"""The server had ended a session that asked nothing for too long: what was sent to it since, it never read."""


def _worth_repeating(failure: Exception) -> bool:
    if isinstance(failure, NoAnswer):
        return False
    return isinstance(failure, psycopg.OperationalError) and failure.sqlstate in (*_LOST_A_RACE, *CONNECTION_LOST, _ENDED_IDLE)


def _commit(pipeline: Pipeline) -> None:
    try:
        pipeline.commit()
    except psycopg.OperationalError as failure:
        # The server may say that it ends the connection before the connection is seen to end.
        if failure.sqlstate != _ENDED_IDLE and (pipeline.lost or failure.sqlstate in CONNECTION_LOST):
            raise _commit_unanswered() from failure
        raise


def _commit_unanswered() -> Error:
    return Error(
        Code.STORAGE_UNAVAILABLE,
        "PostgreSQL went away before it confirmed the change, so the change may have been made. Read before you try again.",
    )


def _named(failure: Exception) -> BaseException:
    """The error that a person can do something about; what is a mistake of ours stays as it is."""
    if isinstance(failure, psycopg.errors.ForeignKeyViolation) and failure.diag.constraint_name == _SEALING_KEY:
        return WritingKeyRetired()
    if isinstance(failure, psycopg.errors.IntegrityError):
        return ConstraintBroken()
    if isinstance(failure, psycopg.errors.DiskFull):
        return storage_full()
    for kind, sentence in _SENTENCES.items():
        if isinstance(failure, kind):
            return storage_unavailable(sentence)
    if isinstance(failure, psycopg.OperationalError):
        return away()
    return failure


_SENTENCES: dict[type[psycopg.Error], str] = {
    psycopg.errors.DuplicatePreparedStatement: POOLED,
    psycopg.errors.InvalidSqlStatementName: POOLED,
    psycopg.errors.QueryCanceled: "it broke off a statement, perhaps by its statement_timeout.",
    psycopg.errors.LockNotAvailable: "another transaction has held a lock for too long.",
    psycopg.errors.ReadOnlySqlTransaction: "it is read-only, perhaps a standby.",
}
