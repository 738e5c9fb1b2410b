"""SQLite: statements run on the event loop (microseconds each), only what waits for the disk or for another process runs in a thread.

Waiting writes share one commit: one fsync for all of them, and everybody is answered after it.
"""

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from keyhouse.storage import changes
from keyhouse.storage.clock import now_us
from keyhouse.storage.database import (
    ChangeNotice,
    ConstraintBroken,
    KeyGeneration,
    OnChanges,
    OnRetiredKey,
    Work,
    no_keys,
    no_newer_key,
    with_newer_keys,
)
from keyhouse.storage.sharing import gathered
from keyhouse.storage.side_threads import SideThreads
from keyhouse.storage.sqlite_failures import OF_ONE_STATEMENT, code_of, error_of
from keyhouse.storage.sqlite_files import OpenFiles
from keyhouse.storage.statements import Row, Statement

T = TypeVar("T")
_BATCH = 64
_PATIENCE_MS = 10_000
_POLL_S = 0.25


class SqliteTransaction:
    """One connection's open transaction. SQLite's integers stand for booleans."""

    __slots__ = ("_execute", "left_traces", "noted", "number_of_note")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self.left_traces = False
        self.noted: list[ChangeNotice] = []
        self.number_of_note = 0

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        """See Transaction."""
        try:
            return self._execute(statement.sqlite, statement.placed(values)).fetchall()
        except sqlite3.IntegrityError as refused:
            raise ConstraintBroken from refused

    def row(self, statement: Statement, **values: object) -> Row | None:
        """See Transaction."""
        found = self.rows(statement, **values)
        return found[0] if found else None

    def run(self, statement: Statement, **values: object) -> None:
        """See Transaction."""
        try:
            self._execute(statement.sqlite, statement.placed(values))
        except sqlite3.IntegrityError as refused:
            raise ConstraintBroken from refused

    def note(self, statement: Statement, notice: ChangeNotice, **values: object) -> None:
        """See Transaction."""
        self.number_of_note = self._execute(statement.sqlite, statement.placed(values)).lastrowid or 0
        self.noted.append(notice)

    def leave_no_trace(self) -> None:
        """See Transaction. The write-ahead log still holds what the database file no longer does."""
        self.left_traces = True


LOG_BYTES = 32 * 1024 * 1024
"""What the write-ahead log is cut to once a reader that made it grow, such as a copy of all, has ended."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection as the house uses them: WAL, every commit on the disk, foreign keys on, deleted bytes overwritten. Makes no file."""
    address = f"file:{quote(bytes(path.absolute()))}?mode=rw"
    connection = sqlite3.connect(
        address, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=_PATIENCE_MS / 1000
    )
    try:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "trusted_schema=OFF",
            "wal_autocheckpoint=4000",
            f"journal_size_limit={LOG_BYTES}",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


class SqliteDatabase:
    """See Database. Several processes may open the same file."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        """Open the file, which must have its schema. Raises Error `storage_unavailable`."""
        self.on_changes: OnChanges = lambda notices: None
        self.on_retired_key: OnRetiredKey = no_newer_key
        self.key_generation: KeyGeneration = no_keys
        try:
            with contextlib.ExitStack() as opened:
                self._reader, self._writer = (opened.enter_context(contextlib.closing(connect(path))) for _ in range(2))
                self._writer.execute("PRAGMA busy_timeout=0")
                self._reading, self._writing = SqliteTransaction(self._reader), SqliteTransaction(self._writer)
                self._mark: int = changes.newest_mark(self._reading)
                self._version, self._foreign_version = _data_version(self._reader), _data_version(self._writer)
                self._files = OpenFiles(path)
                opened.pop_all()
        except sqlite3.Error as failure:
            raise error_of(failure) from failure
        self._looked_at = now_us()
        self._has_looked = False
        self._committer = SideThreads("keyhouse-commit")
        self._waiting: list[_Job] = []
        # Whether the last batch was of several: who writes alone is not kept waiting for others.
        self._has_company = False
        self._worker: asyncio.Task[None] | None = None

    async def read(self, work: Work[T]) -> T:
        """See Database."""
        return await with_newer_keys(self, work, self._read)

    async def _read(self, work: Work[T]) -> T:
        try:
            self._files.require_unmoved()
            self._reader.execute("BEGIN")
            try:
                return work(self._reading)
            finally:
                self._reader.execute("COMMIT")
        except sqlite3.Error as failure:
            raise error_of(failure) from failure

    async def write(self, work: Work[T]) -> T:
        """See Database."""
        return await with_newer_keys(self, work, self._write)

    async def _write(self, work: Work[T]) -> T:
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(work, outcome))
        if self._worker is None:
            self._worker = asyncio.create_task(self._write_waiting())
        try:
            return await outcome
        finally:
            # It holds what is raised, whose traceback holds us, and all that was to be written, until the collector of cycles runs.
            del outcome

    async def catch_up(self) -> None:
        """See Database. Callers in one turn of the event loop share a look: what any of them has heard of, it heard before that turn."""
        if self._has_looked:
            return
        try:
            self._files.require_unmoved()
            self._look()
        except sqlite3.Error as failure:
            raise error_of(failure) from failure
        self._has_looked = True
        asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._has_looked = False

    def _look(self) -> None:
        if not self._has_news():
            self._looked_at = now_us()
            return
        version = _data_version(self._reader)
        foreign_version = _data_version(self._writer) if self._worker is None else self._foreign_version
        notices = changes.noticed(self._reading.rows(changes.AFTER, mark=self._mark))
        newest = changes.newest_mark(self._reading)
        # A number goes back only where a backup was restored into the open file.
        missed = newest < self._mark or now_us() - self._looked_at > changes.RETENTION_US // 2
        self.on_changes(None if missed else list(notices.values()))
        self._mark = max(notices, default=min(newest, self._mark))
        self._version, self._foreign_version, self._looked_at = version, foreign_version, now_us()

    def _has_news(self) -> bool:
        """A connection's `data_version` changes when any other one commits: the writer's for other processes, the reader's whoever writes.

        What this process writes it has heard of already, so the writer is asked, unless it waits for the disk just now.
        """
        if self._worker is None:
            return _data_version(self._writer) != self._foreign_version
        return _data_version(self._reader) != self._version

    async def changed(self) -> None:
        """See Database. It always waits for another turn of the event loop, in which `catch_up` looks again."""
        deadline = time.monotonic() + 1.0
        await asyncio.sleep(0)
        if self._writing.left_traces and self._worker is None:
            self._worker = asyncio.create_task(self._write_waiting())
        try:
            self._files.look()
            while time.monotonic() < deadline and not self._has_news():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(_POLL_S)
        except sqlite3.Error as failure:
            raise error_of(failure) from failure

    async def close(self) -> None:
        """See Database."""
        if self._worker is not None:
            await self._worker
        self._committer.close()
        self._reader.close()
        self._writer.close()

    async def _write_waiting(self) -> None:
        try:
            if self._writing.left_traces:
                await self._committer.run(self._empty_log)
            while self._waiting:
                if self._has_company:
                    await gathered(self._waiting, _BATCH)
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                self._has_company = len(batch) > 1
                await self._write_together(batch)
        finally:
            self._worker = None

    async def _write_together(self, batch: "list[_Job]") -> None:
        try:
            self._files.look()
            await self._begin()
            is_alone = _data_version(self._writer) == self._foreign_version
            if not self._attempt(batch):
                self._writer.execute("ROLLBACK")
                await self._begin()
                is_alone = False
                self._attempt_apart(batch)
            await self._committer.run(self._commit)
            self._tell_of_own(is_alone=is_alone)
            if self._writing.left_traces:
                await self._committer.run(self._empty_log)
        except sqlite3.Error as failure:
            self._roll_back()
            named = error_of(failure)
            if code_of(failure) == sqlite3.SQLITE_BUSY:
                # Those behind them would wait as long once more, and so on.
                batch, self._waiting = batch + self._waiting, []
            for job in batch:
                job.failure = named
        for job in batch:
            job.answer()

    def _attempt(self, batch: "list[_Job]") -> bool:
        """Do all jobs; whether each of them did all or nothing. A savepoint for each would cost a copy of every page that it touches."""
        self._writing.noted = []
        for job in batch:
            written = self._writer.total_changes
            job.attempt(self._writing)
            if job.failure is not None and self._writer.total_changes != written:
                return False
        return True

    def _attempt_apart(self, batch: "list[_Job]") -> None:
        """Do all jobs, each in a savepoint, so that the failure of one undoes nothing of the others."""
        # What a failed job noted makes somebody read again what did not change, no more.
        self._writing.noted = []
        for job in batch:
            self._writer.execute("SAVEPOINT work")
            job.attempt(self._writing)
            if job.failure is not None:
                self._writer.execute("ROLLBACK TO work")
            self._writer.execute("RELEASE work")

    def _commit(self) -> None:
        self._writer.execute("COMMIT")

    def _tell_of_own(self, *, is_alone: bool) -> None:
        """Tell of what was committed. Where nobody else wrote since the last look, this look need not be repeated for it."""
        if noted := self._writing.noted:
            if is_alone:
                self._mark = self._writing.number_of_note
            self.on_changes(noted)

    async def _begin(self) -> None:
        """Begin at once where nobody else writes; else wait for them, but not on the event loop."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as failure:
            if code_of(failure) != sqlite3.SQLITE_BUSY:
                raise
            await self._committer.run(self._begin_patiently)

    def _begin_patiently(self) -> None:
        self._writer.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        finally:
            self._writer.execute("PRAGMA busy_timeout=0")

    def _empty_log(self) -> None:
        """Bring the write-ahead log into the database and empty it; while somebody reads it, or the disk refuses, later."""
        with contextlib.suppress(sqlite3.Error):
            busy, _, _ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._writing.left_traces = bool(busy)

    def _roll_back(self) -> None:
        """SQLite rolls back by itself after some failures, and then refuses to."""
        with contextlib.suppress(sqlite3.Error):
            self._writer.execute("ROLLBACK")


class _Job:
    """A write that waits for its turn, then for its commit."""

    __slots__ = ("_outcome", "_result", "_work", "failure")

    def __init__(self, work: Work[Any], outcome: "asyncio.Future[Any]") -> None:
        self._work = work
        self._outcome = outcome
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

    def answer(self) -> None:
        """Tell the caller, unless it has gone, and forget what was told: see `SqliteDatabase._write`."""
        outcome, failure, self.failure = self._outcome, self.failure, None
        del self._outcome
        if outcome.done():
            return
        if failure is not None:
            outcome.set_exception(failure)
        else:
            outcome.set_result(self._result)


def _data_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
