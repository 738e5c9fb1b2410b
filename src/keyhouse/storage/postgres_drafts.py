"""Writes from memory on PostgreSQL: what waits is drafted, and written in one statement on a connection of its own, in one round trip.

Only where the projects are still as the drafts took them to be; whatever else comes is done in a transaction, as if there were no drafts.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult

from keyhouse.domain.errors import Error
from keyhouse.storage import postgres_draft_statement as statement
from keyhouse.storage.database import ChangeNotice, Work
from keyhouse.storage.drafts import Draft, notices_of
from keyhouse.storage.postgres_connections import IDLE_S
from keyhouse.storage.postgres_line import Line
from keyhouse.storage.postgres_server import CONNECTION_LOST, LASTING, Connection, NoAnswer
from keyhouse.storage.sharing import gathered

_log = logging.getLogger("keyhouse.storage")
_MOST = 64
_NOT_ASKED_AGAIN_S = 1.0
_ONE, _MANY = b"one_draft", b"many_drafts"
# Planned once, and as for large tables: each row by its index. What waits for a lock gives way to others soon, and is done by itself.
_SETTINGS = (
    "SET lock_timeout = '1s'; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; "
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
) + LASTING


class Came(Enum):
    """What came of a draft."""

    WRITTEN = "written"
    NOT_WRITTEN = "not written"
    UNKNOWN = "unknown"
    """The connection was lost: the server may have written it, or may yet."""


class Drafted(NamedTuple):
    """What came of a draft, what its work returned, and which revision it took its project to be at."""

    came: Came
    result: Any = None
    revision: int = 0


_NOT_WRITTEN = Drafted(Came.NOT_WRITTEN)
_NOTHING = Draft()


class _Job:
    __slots__ = ("draft", "outcome", "project_id", "result", "row", "work")

    def __init__(self, project_id: str, work: Work[Any], outcome: "asyncio.Future[Came]") -> None:
        self.project_id, self.work, self.outcome = project_id, work, outcome
        self.draft = _NOTHING
        self.row: statement.Row = ((), ())
        self.result: Any = None

    def is_drafted(self) -> bool:
        self.draft = Draft()
        try:
            self.result = self.work(self.draft)
            self.row = statement.row_of(self.draft)
        except Exception:  # noqa: BLE001 - a transaction tells of it, where it is so there too
            self.tell(Came.NOT_WRITTEN)
            return False
        return True

    def tell(self, came: Came) -> None:
        if not self.outcome.done():
            self.outcome.set_result(came)


class Drafts:
    """Belongs to one event loop. `committed` is told of what was noted, before anybody whose write it was."""

    def __init__(self, connect: Callable[[], Connection], committed: Callable[[Sequence[ChangeNotice]], None]) -> None:
        self._connect, self._committed = connect, committed
        self._line: Line | None = None
        self._opening: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._asked_at = -IDLE_S
        self._closed = False
        self._waiting: list[_Job] = []
        # Whether the last statement was for several: who writes alone is not kept waiting for others.
        self._has_company = False
        self._worker: asyncio.Task[None] | None = None

    async def write(self, project_id: str, work: Work[Any]) -> Drafted:
        """Do a work on one project."""
        if not self._is_ready():
            return _NOT_WRITTEN
        job = _Job(project_id, work, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._worker is None:
            self._worker = asyncio.create_task(self._write_waiting())
        came = await job.outcome
        return _NOT_WRITTEN if came is Came.NOT_WRITTEN else Drafted(came, job.result, job.draft.noted[0].revision - 1)

    async def opened(self) -> None:
        """Wait for the connection, if it is being opened."""
        if self._opening is not None:
            await asyncio.wait([self._opening])

    def shed(self) -> None:
        """Close the connection where nobody needed it for long: the server may allow no more."""
        if self._line is not None and self._worker is None and time.monotonic() - self._asked_at > IDLE_S:
            self._line.close()
            self._line = None

    async def close(self) -> None:
        """Let what waits be written, then close the connection."""
        self._closed = True
        if self._worker is not None:
            await asyncio.wait([self._worker])
        await self.opened()
        if self._line is not None:
            self._line.close()
            self._line = None

    def _is_ready(self) -> bool:
        """Where there is no connection, one is opened for those who come later; who writes but once in a while needs none."""
        if self._line is not None and self._line.lost is None:
            self._asked_at = time.monotonic()
            return not self._closed
        now, before = time.monotonic(), self._asked_at
        self._asked_at = now
        if self._opening is None and not self._closed and now - before < IDLE_S and now >= self._not_before:
            self._opening = asyncio.create_task(self._open())
        return False

    async def _open(self) -> None:
        self._not_before = time.monotonic() + _NOT_ASKED_AGAIN_S
        try:
            line = Line(await asyncio.to_thread(self._connect), "write")
            try:
                await line.run(_SETTINGS)
                await line.prepare(_ONE, statement.TEXT_OF_ONE)
                await line.prepare(_MANY, statement.TEXT_OF_MANY)
            except BaseException:
                line.close()
                raise
            self._line = line
        except (Error, psycopg.Error):
            pass  # whoever writes in a transaction hears why
        except Exception as error:  # noqa: BLE001 - nobody waits for this
            _log.error("No connection for writes from memory could be opened.", exc_info=error)
        finally:
            self._opening = None

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                if self._has_company:
                    await gathered(self._waiting, _MOST)
                jobs = self._next()
                self._has_company = len(jobs) > 1
                if jobs:
                    await self._write_together(jobs)
                if self._waiting:
                    await asyncio.sleep(0)  # whose write this was keeps what it left: who comes next may draft from that
        finally:
            self._worker = None
            if self._waiting:
                self._end_all([])

    def _next(self) -> list[_Job]:
        """The first that waits of each project, drafted: a second one goes by what the first one left."""
        chosen: dict[str, _Job] = {}
        left: list[_Job] = []
        for job in self._waiting:
            if job.project_id in chosen or len(chosen) == _MOST:
                left.append(job)
            elif job.is_drafted():
                chosen[job.project_id] = job
        self._waiting = left
        return list(chosen.values())

    async def _write_together(self, jobs: list[_Job]) -> None:
        line = self._line
        if line is None or not line.is_usable:
            self._end_all(jobs)
            return
        try:
            if len(jobs) == 1:
                result = await line.answer(_ONE, statement.of_one(jobs[0].row), Format.BINARY)
            else:
                result = await line.answer(_MANY, statement.of_many([job.row for job in jobs]), Format.BINARY)
            self._settle(jobs, result)
        except psycopg.Error as lost:
            if isinstance(lost, NoAnswer):
                self._end_all([])
        except Exception as error:  # noqa: BLE001 - nobody waits for this; whose write it was is told below
            _log.error("What came of a write from memory was not understood.", exc_info=error)
        finally:
            for job in jobs:
                job.tell(Came.UNKNOWN)

    def _settle(self, jobs: list[_Job], result: PGresult) -> None:
        if result.status != ExecStatus.TUPLES_OK:
            code = result.error_field(DiagnosticField.SQLSTATE)
            if (code and code.decode()) not in CONNECTION_LOST:
                for job in jobs:
                    job.tell(Came.NOT_WRITTEN)
            return
        written = {result.get_value(row, 0) for row in range(result.ntuples)}
        done = [job for job in jobs if job.project_id.encode() in written]
        try:
            if done:
                self._committed(notices_of([job.draft for job in done]))
        finally:
            for job in jobs:
                job.tell(Came.WRITTEN if job.project_id.encode() in written else Came.NOT_WRITTEN)

    def _end_all(self, jobs: list[_Job]) -> None:
        """Nothing was sent for these, nor for those who wait: each is done by itself."""
        self._line = None
        waiting, self._waiting = self._waiting, []
        for job in [*jobs, *waiting]:
            job.tell(Came.NOT_WRITTEN)
