"""How PostgreSQL's change notices are asked for: a connection that does nothing else, a prepared statement, one round trip, no thread."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq.abc import PGresult

from keyhouse.storage import changes
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.postgres_line import Line
from keyhouse.storage.postgres_server import BOUND_LOCKS, Connection

_NAME = b"changes"
_WHAT = "look at the changes"
# Left to itself the server plans each question anew, which takes longer than to answer it, or once for all while the table is still small.
_PLANNED_ONCE = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off"


class Look:
    """One question after the other. `connect` opens a connection that commits by itself. Belongs to one event loop."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._line: Line | None = None
        self._closed = False
        self._place: str | None = None
        self.opened = 0
        """How many databases were looked at: behind another connection there may be another one, restored or a standby that fell short.

        One that was restored in place counts as another, too.
        """

    @property
    def is_open(self) -> bool:
        """Whether there is a connection on which the next question can be asked."""
        return self._line is not None and self._line.lost is None

    async def after(self, mark: str) -> tuple[dict[int, ChangeNotice], str]:
        """The notices since a mark by their number, and the next mark.

        Raises psycopg.Error; then the next question opens a new connection. Raises Error `storage_unavailable` where none can be opened.
        """
        line = self._line if self.is_open else None
        if line is None:
            line = await self._opened()
        try:
            answer = await line.answer(_NAME, [mark.encode()])
            line.require(answer)
            rows = _rows(answer)
        except BaseException:
            line.close()
            self._line = None
            raise
        mark, place = rows[0][:2]
        self.opened += self._place not in (None, place)
        self._place = place
        return changes.noticed(rows), mark

    def close(self) -> None:
        """Close the connection. Who waits for an answer, or asks later, gets a psycopg.OperationalError."""
        self._closed = True
        if self._line is not None:
            self._line.close()

    async def _opened(self) -> Line:
        if self._closed:
            raise psycopg.OperationalError("The look at the changes was ended.")
        self._line = line = Line(await asyncio.to_thread(self._connect), _WHAT)
        if self._closed:
            line.close()
        try:
            await line.run(f"{BOUND_LOCKS}; {_PLANNED_ONCE}")
            await line.prepare(_NAME, changes.AFTER.postgresql)
        except BaseException:
            line.close()
            raise
        self.opened += 1
        return line


def _rows(result: PGresult) -> list[tuple[Any, ...]]:
    return [tuple(read(result.get_value(row, column)) for column, read in enumerate(_COLUMNS)) for row in range(result.ntuples)]


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


_COLUMNS = (_text, _text, _number, _text, _text, _number)
"""Of `changes.AFTER`: the next mark, the table's place, then a notice's number, organization, project and revision."""
