"""A connection to PostgreSQL that is asked from the event loop itself: one question after the other, prepared ones, no thread.

psycopg's own connections wait in one; its `pq` is the driver below them.
"""

import asyncio
import os
import select
from collections.abc import Callable, Sequence

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult

from keyhouse.storage import postgres_server
from keyhouse.storage.postgres_server import Connection, NoAnswer

_FINE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class Line:
    """A connection whose socket the event loop watches, from when it is opened to when it is lost or closed. `name` says what for."""

    def __init__(self, connection: Connection, name: str) -> None:
        """Raises psycopg.Error where the system has no room for it; the connection is closed then."""
        self.lost: psycopg.Error | None = None
        """Why nothing can be asked here any more."""
        self._connection = connection
        self._pgconn = connection.pgconn
        self._name = name
        self._result: PGresult | None = None
        self._answer: asyncio.Future[PGresult] | None = None
        self._writes = False
        # libpq closes its socket as soon as the connection is lost, and the number may be another's before the loop hears of it.
        try:
            self._socket = os.dup(connection.fileno())
        except OSError as refused:
            connection.close()
            raise psycopg.OperationalError(f"The {name} can open no further file.") from refused
        self._events = select.poll()
        self._events.register(self._socket, select.POLLIN)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._take)

    @property
    def is_usable(self) -> bool:
        """Whether nothing is known against it, now: the server may have ended it, and the event loop not have heard of that yet."""
        if self.lost is None and self._events.poll(0):
            self._take()
        return self.lost is None

    async def run(self, text: str) -> None:
        """Statements that return nothing. Raises psycopg.Error."""
        self.require(await self._told(lambda: self._pgconn.send_query(text.encode())))

    async def prepare(self, name: bytes, text: str) -> None:
        """Make a question ready. Raises psycopg.Error."""
        self.require(await self._told(lambda: self._pgconn.send_prepare(name, text.encode())))

    async def answer(self, name: bytes, values: Sequence[bytes | None], value_format: Format = Format.TEXT) -> PGresult:
        """What the server says to a prepared question, its values given in one format. Raises psycopg.Error where it is silent."""
        return await self._told(lambda: self._pgconn.send_query_prepared(name, values, [value_format] * len(values)))

    def require(self, result: PGresult) -> None:
        """Raise psycopg.Error where an answer tells of a failure."""
        if result.status not in _FINE:
            # What libpq says itself, of a connection that broke, has no code.
            code = result.error_field(DiagnosticField.SQLSTATE)
            raise (psycopg.errors.lookup(code.decode()) if code else psycopg.OperationalError)(f"The {self._name} failed.")

    async def _told(self, send: Callable[[], None]) -> PGresult:
        if self.lost is not None:
            raise self.lost
        answer: asyncio.Future[PGresult] = self._loop.create_future()
        self._answer = answer
        end = self._loop.call_later(postgres_server.PATIENCE_S, self._give_up)
        try:
            send()
            self._push()
            return await answer
        except BaseException:
            # What came now would be an answer to this question, which nobody waits for.
            answer.cancel()
            self.close()
            raise
        finally:
            end.cancel()
            # It may hold what is raised, whose traceback holds us.
            del answer

    def _give_up(self) -> None:
        self.close(NoAnswer(f"The {self._name} was not answered."))

    def close(self, why: psycopg.Error | None = None) -> None:
        """Close the connection, once; what was asked is answered with `why`."""
        if self.lost is not None:
            return
        self.lost = why or psycopg.OperationalError(f"The {self._name} was ended.")
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        os.close(self._socket)
        self._connection.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self.lost)

    def _push(self) -> None:
        """Send on; what the server has no room for yet goes when it has."""
        if self.lost is not None:
            return
        try:
            waits = bool(self._pgconn.flush())
        except psycopg.Error as lost:
            self.close(lost)
            return
        if waits and not self._writes:
            self._loop.add_writer(self._socket, self._push)
        elif self._writes and not waits:
            self._loop.remove_writer(self._socket)
        self._writes = waits

    def _take(self) -> None:
        """Bytes came: a part of an answer, something nobody asked for, or the end of the connection.

        All that is there is taken: uvloop tells of a connection with an error once, and the server's last words may come before the error.
        """
        try:
            pgconn = self._pgconn
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
        lost = self._pgconn.status != ConnStatus.OK
        # Where the connection went after an answer, what it told of may not have been committed.
        if result is not None and self._answer is not None and not self._answer.done() and not (lost and result.status in _FINE):
            self._answer.set_result(result)
        if lost:
            self.close(psycopg.OperationalError(f"The {self._name} lost its connection."))
