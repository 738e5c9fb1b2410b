"""SQLite: statements run on the event loop (microseconds each), only what waits for the disk or for another process runs in a thread."""

import asyncio
import contextlib
import functools
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from keyhouse.storage import changes
from keyhouse.storage.clock import now_us
from keyhouse.storage.database import (
    AtOnce,
    ChangeNotice,
    KeyGeneration,
    OnChanges,
    OnRetiredKey,
    Told,
    Work,
    heard_of_own,
    no_keys,
    no_newer_key,
    on_one_ring,
    with_newer_keys,
)
from keyhouse.storage.side_threads import settle
from keyhouse.storage.sqlite_connection import SqliteTransaction, connect, data_version
from keyhouse.storage.sqlite_failures import error_of
from keyhouse.storage.sqlite_files import OpenFiles
from keyhouse.storage.sqlite_writing import Job, SqliteWriter

T = TypeVar("T")
_POLL_S = 0.25
_NO_VERSION = -1
"""As if another process had written, so that the next look is not left out."""


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
                self._reading = SqliteTransaction(self._reader)
                self._mark: int = changes.newest_mark(self._reading)
                self._version = data_version(self._reader)
                self._files = OpenFiles(path)
                self._writes = SqliteWriter(self._writer, self._files, self._committed)
                opened.pop_all()
        except sqlite3.Error as failure:
            raise error_of(failure) from failure
        self._looked_at = now_us()

    @property
    def at_once(self) -> AtOnce:
        """See Database."""
        return self

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

    async def write(self, work: Work[T], of_project: str | None = None) -> T:
        """See Database."""
        return await with_newer_keys(self, work, self._write)

    async def _write(self, work: Work[T]) -> T:
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.add(Job(work, functools.partial(settle, outcome)))
        try:
            return await outcome
        finally:
            # It holds what is raised, whose traceback holds us, and all that was to be written, until the collector of cycles runs.
            del outcome

    def begin_write(self, work: Work[T], meanwhile: Callable[[T], object], told: Told) -> None:
        """See AtOnce."""
        self._writes.begin(Job(on_one_ring(work, self.key_generation), told, meanwhile))

    def _committed(self, noted: list[ChangeNotice], mark: int | None) -> None:
        if not heard_of_own(self.on_changes, noted):
            self._writes.foreign_version = _NO_VERSION
        elif mark is not None:
            self._mark = mark

    async def catch_up(self) -> None:
        """See Database. Each caller looks: between two of one turn uvloop may have waited for the network, and senders heard of writes."""
        self.catch_up_at_once()

    def catch_up_at_once(self) -> None:
        """See AtOnce."""
        try:
            self._files.require_unmoved()
            self._look()
        except sqlite3.Error as failure:
            raise error_of(failure) from failure

    def _look(self) -> None:
        if not self._has_news():
            self._looked_at = time.time_ns() // 1000
            return
        version, foreign_version = data_version(self._reader), self._writes.foreign_version_now()
        notices = changes.noticed(self._reading.rows(changes.AFTER, mark=self._mark))
        newest = changes.newest_mark(self._reading)
        # A number goes back only where a backup was restored into the open file.
        missed = newest < self._mark or now_us() - self._looked_at > changes.RETENTION_US // 2
        self.on_changes(None if missed else list(notices.values()))
        self._mark = max(notices, default=min(newest, self._mark))
        self._version, self._writes.foreign_version, self._looked_at = version, foreign_version, now_us()

    def _has_news(self) -> bool:
        """A connection's `data_version` changes when any other one commits: the writer's for other processes, the reader's whoever writes.

        What this process writes it has heard of already, so the writer is asked, unless it is in use just now.
        """
        if self._writes.is_in_use:
            return data_version(self._reader) != self._version
        return data_version(self._writer) != self._writes.foreign_version

    async def changed(self) -> None:
        """See Database. It always lets others have a turn of the event loop."""
        deadline = time.monotonic() + 1.0
        await asyncio.sleep(0)
        self._writes.empty_log()
        try:
            self._files.look()
            while time.monotonic() < deadline and not self._has_news():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(_POLL_S)
        except sqlite3.Error as failure:
            raise error_of(failure) from failure

    async def close(self) -> None:
        """See Database."""
        await self._writes.close()
        self._reader.close()
        self._writer.close()
