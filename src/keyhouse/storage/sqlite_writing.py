"""SQLite's writes: those that wait share one transaction and one commit, one fsync for all of them, and are answered after it.

No task as long as only the disk has to be waited for: a write begins where it is asked for, and goes on where its commit is heard of.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from enum import Enum
from typing import Any

from keyhouse.storage.clock import now_us
from keyhouse.storage.database import ChangeNotice, Told, Work
from keyhouse.storage.side_threads import SideThreads
from keyhouse.storage.sqlite_connection import PATIENCE_MS, SqliteTransaction, data_version
from keyhouse.storage.sqlite_failures import OF_ONE_STATEMENT, code_of, error_of
from keyhouse.storage.sqlite_files import OpenFiles

_BATCH = 64
_log = logging.getLogger("keyhouse.storage")


class _Begun(Enum):
    """How far a batch has come without waiting for anybody."""

    NOT = "not"
    """Another process writes, or the log is to be emptied first."""
    DONE = "done"
    UNDONE = "undone"
    """A job failed in the middle, so that each of them is to be done apart from the others."""


Committed = Callable[[list[ChangeNotice], int | None], None]
"""Told what was committed: the notices, and the number of the last where nobody else wrote since the last look. It raises nothing."""


class Job:
    """A write that waits for its turn, then for its commit."""

    __slots__ = ("_meanwhile", "_result", "_told", "_work", "failure")

    def __init__(self, work: Work[Any], told: Told, meanwhile: Callable[[Any], object] | None = None) -> None:
        self._work = work
        self._told = told
        self._meanwhile = meanwhile
        self._result: object = None
        self.failure: BaseException | None = None

    def attempt(self, tx: SqliteTransaction) -> None:
        """Run the work. What it raises is kept for its caller, unless it is the end of everybody's transaction."""
        self.failure = None
        try:
            self._result = self._work(tx)
        except sqlite3.Error as failure:
            if code_of(failure) not in OF_ONE_STATEMENT:
                raise
            self.failure = failure
        except Exception as failure:  # noqa: BLE001 - it is not handled here, only carried to whoever asked for the write
            self.failure = failure

    def prepare(self) -> None:
        """Make of the result what the caller is told."""
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None and self.failure is None:
            try:
                self._result = meanwhile(self._result)
            except Exception as failure:  # noqa: BLE001 - as above
                self.failure = failure

    def answer(self) -> None:
        """Tell the caller, and forget what was told: what is raised holds in its traceback whoever holds us."""
        self.prepare()
        told, failure, self.failure = self._told, self.failure, None
        del self._told
        told(None if failure is not None else self._result, failure)


class SqliteWriter:
    """The connection that writes. Belongs to one event loop."""

    def __init__(self, connection: sqlite3.Connection, files: OpenFiles, committed: Committed) -> None:
        connection.execute("PRAGMA busy_timeout=0")
        self._connection = connection
        self._files = files
        self._committed = committed
        self.transaction = SqliteTransaction(connection)
        """The one that is open, if any."""
        self._committer = SideThreads("keyhouse-commit")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[Job] = []
        self._batch: list[Job] = []
        # Whether the last batch was of several: who writes alone is not kept waiting for others.
        self._has_company = False
        self._is_alone = False
        # Whether a batch is under way or waits for its beginning.
        self._is_busy = False
        self._patient: asyncio.Task[None] | None = None
        self._idle: list[asyncio.Future[None]] = []
        self.foreign_version = data_version(connection)
        """As this connection told it at the last look: it counts no commit of its own."""
        self.is_in_use = False
        """Whether the connection is: by a transaction that is open, or by the thread that waits for the disk."""

    def foreign_version_now(self) -> int:
        """The same, now; as it was while the connection is in use."""
        return self.foreign_version if self.is_in_use else data_version(self._connection)

    def add(self, job: Job) -> None:
        """Write with the next batch, which whatever is asked for in this turn of the event loop shares."""
        self._waiting.append(job)
        if not self._is_busy:
            self._is_busy = True
            self.running().call_soon(self._gather, 0)

    def begin(self, job: Job) -> None:
        """The same; at once where nobody else writes."""
        self._waiting.append(job)
        if not self._is_busy:
            self._is_busy = True
            self._gather(0)

    def empty_log(self) -> None:
        """Empty the write-ahead log, where it holds what is to leave no trace and nothing is being written."""
        if self.transaction.left_traces and not self._is_busy:
            self._is_busy = True
            self._go_on_patiently([], _Begun.NOT)

    async def close(self) -> None:
        """Write what waits, then end."""
        while self._is_busy:
            self._idle.append(asyncio.get_running_loop().create_future())
            await self._idle[-1]
        self._committer.close()

    def _gather(self, before: int) -> None:
        """Begin the next batch; with company, as soon as a turn of the event loop brings no further job."""
        if self._has_company and before < len(self._waiting) < _BATCH:
            self.running().call_soon(self._gather, len(self._waiting))
            return
        batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        self._has_company = len(batch) > 1
        try:
            begun = self._attempt_at_once(batch)
            if begun is _Begun.DONE:
                self._committer.order(self._commit, self.running(), self._heard)
        except Exception as failure:  # noqa: BLE001 - whoever asked for the writes is told, as nobody else would answer them
            self._end(batch, failure)
            return
        if begun is _Begun.DONE:
            self._batch = batch
            # Lets the thread have the interpreter's lock until it waits for the disk. Then there is time to prepare the answers.
            os.sched_yield()
            for job in batch:
                job.prepare()
        else:
            self._go_on_patiently(batch, begun)

    def running(self) -> asyncio.AbstractEventLoop:
        """The event loop, which is asked for once: each time is a call of the system."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _attempt_at_once(self, batch: list[Job]) -> _Begun:
        """Do all jobs in one transaction, where nobody has to be waited for and none of them fails."""
        if self.transaction.left_traces:
            return _Begun.NOT
        self._files.look()
        try:
            self._begin()
        except sqlite3.OperationalError as failure:
            if code_of(failure) != sqlite3.SQLITE_BUSY:
                raise
            return _Begun.NOT
        return _Begun.DONE if self._attempt(batch) else _Begun.UNDONE

    def _heard(self, _: None, failure: BaseException | None) -> None:
        """Of the commit."""
        batch, self._batch = self._batch, []
        if failure is None:
            self._tell_of_own()
            if self.transaction.left_traces:
                self._go_on_patiently(batch, _Begun.DONE)
                return
        self._end(batch, failure)

    def _go_on_patiently(self, batch: list[Job], begun: _Begun) -> None:
        self._patient = self.running().create_task(self._go_on(batch, begun))

    async def _go_on(self, batch: list[Job], begun: _Begun) -> None:
        failure: Exception | None = None
        self.is_in_use = True
        try:
            if begun is not _Begun.UNDONE and self.transaction.left_traces:
                await self._committer.run(self._checkpoint)
            if begun is not _Begun.DONE and batch:
                await self._write(batch, begun)
        except Exception as raised:  # noqa: BLE001 - as above
            failure = raised
        self._end(batch, failure)

    async def _write(self, batch: list[Job], begun: _Begun) -> None:
        """Do all jobs, each apart from the others where one of them fails, and commit."""
        if begun is _Begun.NOT:
            await self._begin_patiently()
            begun = _Begun.DONE if self._attempt(batch) else _Begun.UNDONE
        if begun is _Begun.UNDONE:
            self._connection.execute("ROLLBACK")
            await self._begin_patiently()
            self._is_alone = False
            self._attempt_apart(batch)
        await self._committer.run(self._commit)
        self._tell_of_own()
        if self.transaction.left_traces:
            await self._committer.run(self._checkpoint)

    def _attempt(self, batch: list[Job]) -> bool:
        """Do all jobs; whether each of them did all or nothing. A savepoint for each would cost a copy of every page that it touches."""
        connection, transaction = self._connection, self.transaction
        transaction.noted = []
        transaction.now = now_us()
        for job in batch:
            written = connection.total_changes
            job.attempt(transaction)
            if job.failure is not None and connection.total_changes != written:
                return False
        return True

    def _attempt_apart(self, batch: list[Job]) -> None:
        """Do all jobs, each in a savepoint, so that the failure of one undoes nothing of the others."""
        # What a failed job noted makes somebody read again what did not change, no more.
        self.transaction.noted = []
        self.transaction.now = now_us()
        for job in batch:
            self._connection.execute("SAVEPOINT work")
            job.attempt(self.transaction)
            if job.failure is not None:
                self._connection.execute("ROLLBACK TO work")
            self._connection.execute("RELEASE work")

    def _begin(self) -> None:
        """Raises sqlite3.OperationalError where another process writes."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._is_alone = data_version(self._connection) == self.foreign_version
        self.is_in_use = True

    async def _begin_patiently(self) -> None:
        """Begin at once where nobody else writes; else wait for them, but not on the event loop. The files may go meanwhile."""
        try:
            self._begin()
        except sqlite3.OperationalError as failure:
            if code_of(failure) != sqlite3.SQLITE_BUSY:
                raise
            await self._committer.run(self._wait_and_begin)
            self._is_alone = False
        self._files.look()

    def _wait_and_begin(self) -> None:
        self._connection.execute(f"PRAGMA busy_timeout={PATIENCE_MS}")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.execute("PRAGMA busy_timeout=0")

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _checkpoint(self) -> None:
        """Bring the write-ahead log into the database and empty it; while somebody reads it, or the disk refuses, later."""
        with contextlib.suppress(sqlite3.Error):
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self.transaction.left_traces = bool(busy)

    def _roll_back(self) -> None:
        """SQLite rolls back by itself after some failures, and then refuses to."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def _tell_of_own(self) -> None:
        """Tell of what was committed. Where nobody else wrote since the last look, that look need not be repeated for it."""
        if noted := self.transaction.noted:
            self._committed(noted, self.transaction.number_of_note if self._is_alone else None)

    def _end(self, batch: list[Job], failure: BaseException | None) -> None:
        """Answer everybody, and go on."""
        if failure is not None:
            self._roll_back()
            if isinstance(failure, sqlite3.Error) and code_of(failure) == sqlite3.SQLITE_BUSY:
                # Those behind them would wait as long once more, and so on.
                batch, self._waiting = batch + self._waiting, []
            for job in batch:
                job.failure = error_of(failure)
        self.is_in_use = False
        for job in batch:
            try:
                job.answer()
            except Exception as error:  # noqa: BLE001 - nobody else is kept waiting for that
                _log.error("A write was not answered.", exc_info=error)
        if self._waiting:
            self._gather(0)
            return
        self._is_busy = False
        idle, self._idle = self._idle, []
        for waiter in idle:
            if not waiter.done():
                waiter.set_result(None)
