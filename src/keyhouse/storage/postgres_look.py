"""How PostgreSQL's change notices are asked for from the event loop itself: a connection that does nothing else, a prepared statement, one
round trip, no thread. psycopg's connections wait in one; its `pq` is the driver below them.
"""

import asyncio
import os
import select
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from keyhouse.storage import changes, postgres_server
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.postgres_server import BOUND_LOCKS, Connection, NoAnswer

_NAME = b"changes"
# Left to itself the server plans each question anew, which takes longer than to answer it, or once for all while the table is still small.
_PLANNED_ONCE = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off"


class Look:
    """One question after the other. `connect` opens a connection that commits by itself. Belongs to one event loop."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._line: _Line | None = None
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
            rows = _rows(await line.answer(mark.encode()))
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

    async def _opened(self) -> "_Line":
        if self._closed:
            raise _ended()
        self._line = line = _Line(await asyncio.to_thread(self._connect))
        if self._closed:
            line.close()
        try:
            await line.prepare()
        except BaseException:
            line.close()
            raise
        self.opened += 1
        return line


class _Line:
    """A connection whose socket the event loop watches, from when it is opened to when it is lost or closed."""

    def __init__(self, connection: Connection) -> None:
        self.lost: psycopg.Error | None = None
        """Why nothing can be asked here any more."""
        self._connection = connection
        self._result: PGresult | None = None
        self._answer: asyncio.Future[PGresult] | None = None
        # libpq closes its socket as soon as the connection is lost, and the number may be another's before the loop hears of it.
        self._socket = os.dup(connection.fileno())
        self._events = select.poll()
        self._events.register(self._socket, select.POLLIN)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._take)

    async def prepare(self) -> None:
        """Make it ready for questions. Raises psycopg.Error."""
        _require(await self._told(lambda: self._connection.pgconn.send_query(f"{BOUND_LOCKS}; {_PLANNED_ONCE}".encode())))
        _require(await self._told(lambda: self._connection.pgconn.send_prepare(_NAME, changes.AFTER.postgresql.encode())))

    async def answer(self, mark: bytes) -> PGresult:
        """What the server says to the prepared question. Raises psycopg.Error."""
        return await self._told(lambda: self._connection.pgconn.send_query_prepared(_NAME, [mark]))

    async def _told(self, send: Callable[[], None]) -> PGresult:
        if self.lost is not None:
            raise self.lost
        self._answer = self._loop.create_future()
        send()
        end = self._loop.call_later(postgres_server.PATIENCE_S, self._give_up)
        try:
            return await self._answer
        finally:
            end.cancel()

    def _give_up(self) -> None:
        self.close(NoAnswer("The look at the changes was not answered."))

    def close(self, why: psycopg.Error | None = None) -> None:
        """Close the connection, once; what was asked is answered with `why`."""
        if self.lost is not None:
            return
        self.lost = why or _ended()
        self._loop.remove_reader(self._socket)
        os.close(self._socket)
        self._connection.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self.lost)

    def _take(self) -> None:
        """Bytes came: a part of an answer, something nobody asked for, or the end of the connection.

        All that is there is taken: uvloop tells of a connection with an error once, and the server's last words may come before the error.
        """
        try:
            pgconn = self._connection.pgconn
            more = True
            while more:
                pgconn.consume_input()
                while not pgconn.is_busy():
                    if (result := pgconn.get_result()) is None:
                        self._settle()
                        return
                    self._result = result
                more = bool(self._events.poll(0))
        except psycopg.Error as lost:
            self.close(lost)

    def _settle(self) -> None:
        result, self._result = self._result, None
        if result is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(result)


def _ended() -> psycopg.OperationalError:
    return psycopg.OperationalError("The look at the changes was ended.")


def _rows(result: PGresult) -> list[tuple[Any, ...]]:
    _require(result)
    return [tuple(read(result.get_value(row, column)) for column, read in enumerate(_COLUMNS)) for row in range(result.ntuples)]


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


_COLUMNS = (_text, _text, _number, _text, _text, _number)
"""Of `changes.AFTER`: the next mark, the table's place, then a notice's number, organization, project and revision."""


def _require(result: PGresult) -> None:
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        # What libpq says itself, of a connection that broke, has no code.
        code = result.error_field(DiagnosticField.SQLSTATE)
        raise (psycopg.errors.lookup(code.decode()) if code else psycopg.OperationalError)("The look at the changes failed.")
