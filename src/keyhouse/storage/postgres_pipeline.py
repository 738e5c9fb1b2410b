"""A transaction on PostgreSQL over libpq itself: statements are prepared once and sent without waiting, answers come in as few round trips
as there are reads. psycopg's cursors cost several times what the rest of a write does; its `pq` is the driver below them.
"""

import select
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

from keyhouse.storage import postgres_server
from keyhouse.storage.postgres_server import BOUND_LOCKS, LASTING, Connection, NoAnswer
from keyhouse.storage.statements import Row, Statement

_FINE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class Pipeline:
    """A connection that stays in libpq's pipeline mode: https://www.postgresql.org/docs/15/libpq-pipeline-mode.html

    Belongs to one thread at a time. Every method raises psycopg.Error.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.begin = "BEGIN"
        """Opens each transaction, with the first statement of it."""
        self.rested_at = 0.0
        """When nobody needed it any more, on the monotonic clock."""
        self._pgconn = connection.pgconn
        self._pgconn.nonblocking = 1
        self._pgconn.enter_pipeline_mode()
        self._socket = connection.fileno()
        self._events = select.poll()
        self._events.register(self._socket, select.POLLIN)
        self._names: dict[str, bytes] = {}
        self._numbers = count()
        self._unanswered: deque[str | None] = deque()
        """What was sent, in order: a text that is being prepared, None for one that runs."""
        self._in_transaction = False
        self._ends = False
        self._send(BOUND_LOCKS, ())
        self._send(LASTING, ())
        self._end()
        self._synchronize()

    @property
    def lost(self) -> bool:
        """Whether the connection is."""
        return self._pgconn.status != ConnStatus.OK

    @property
    def idle(self) -> bool:
        """Whether the connection can begin a transaction."""
        return not (self._in_transaction or self.lost)

    def run(self, statement: Statement, values: Mapping[str, object]) -> None:
        """Send a statement. Its failure is raised by the next read or the commit."""
        if not self._in_transaction:
            self._in_transaction = True
            self._send(self.begin, ())
        self._send(statement.postgresql, [values[name] for name in statement.names])

    def rows(self, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        """Send a statement and wait for what it returns."""
        self.run(statement, values)
        self._pgconn.send_flush_request()
        return _rows(self._answer())

    def commit(self) -> None:
        """End the transaction, if there is one, and wait for that. After a failure it must be rolled back."""
        if self._in_transaction:
            self._send("COMMIT", ())
            self._end()
            self._answer()
            self._synchronize()

    def roll_back(self) -> None:
        """End the transaction, if there is one, and undo it."""
        if self._ends:
            self._synchronize()
        # A pipeline in which a statement failed skips everything up to its end, the first ROLLBACK too.
        for _ in range(2):
            if self._in_transaction:
                self._send("ROLLBACK", ())
                self._end()
                self._synchronize()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, text: str, values: Sequence[object]) -> None:
        parameters, formats = _parameters(values)
        name = self._names.get(text)
        if name is None:
            name = self._names[text] = b"keyhouse_%d" % next(self._numbers)
            self._pgconn.send_prepare(name, text.encode())
            self._unanswered.append(text)
        self._pgconn.send_query_prepared(name, parameters, formats, Format.BINARY)
        self._unanswered.append(None)

    def _end(self) -> None:
        self._pgconn.pipeline_sync()
        self._ends = True

    def _answer(self) -> PGresult:
        """The last answer to what was sent. Raises the first failure."""
        self._flush()
        result = self._next()
        while True:
            if result is None:
                raise psycopg.OperationalError("The connection ended before an answer.")
            self._note(result)
            if result.status not in _FINE:
                raise error_from_result(result)
            self._next()  # None: that was all of this answer
            if not self._unanswered:
                return result
            result = self._next()

    def _synchronize(self) -> None:
        """Take all that is still to come, whatever it says, up to the end that was sent."""
        self._flush()
        while (result := self._next()) is None or result.status != ExecStatus.PIPELINE_SYNC:
            if result is not None:
                self._note(result)
            elif self.lost:
                raise psycopg.OperationalError("The connection ended before the end of a transaction.")
        self._unanswered.clear()
        self._ends = False
        # The server tells of it at such an end only.
        self._in_transaction = self._pgconn.transaction_status != TransactionStatus.IDLE

    def _note(self, result: PGresult) -> None:
        """What could not be prepared is prepared again by whoever needs it next."""
        text = self._unanswered.popleft() if self._unanswered else None
        if text is not None and result.status != ExecStatus.COMMAND_OK:
            self._names.pop(text, None)

    def _next(self) -> PGresult | None:
        while self._pgconn.is_busy():
            self._wait()
        return self._pgconn.get_result()

    def _flush(self) -> None:
        """A server that is slow to read is so perhaps because nobody reads what it says."""
        if self._pgconn.flush():
            self._events.modify(self._socket, select.POLLIN | select.POLLOUT)
            try:
                while self._pgconn.flush():
                    self._wait()
            finally:
                self._events.modify(self._socket, select.POLLIN)

    def _wait(self) -> None:
        """For the server, which is not asked twice: whatever was sent, it must not be done after the caller was told that it is not."""
        if not self._events.poll(postgres_server.PATIENCE_S * 1000):
            self.close()
            raise NoAnswer("The server does not answer.")
        self._pgconn.consume_input()


def _parameters(values: Sequence[object]) -> tuple[list[bytes | None], list[Format]]:
    """Values as they go over the wire, and in which format: a text in the binary one, which can hold a NUL for the server to refuse."""
    sent: list[bytes | None] = []
    formats: list[Format] = []
    for value in values:
        if isinstance(value, str):
            sent.append(value.encode())
            formats.append(Format.BINARY)
        elif value is None or isinstance(value, bytes):
            sent.append(value)
            formats.append(Format.BINARY)
        elif isinstance(value, int):
            sent.append(b"%d" % value)
            formats.append(Format.TEXT)
        else:
            raise TypeError(f"A {type(value).__name__} is no value of a statement.")
    return sent, formats


def _rows(result: PGresult) -> list[Row]:
    columns = [(column, _READ[result.ftype(column)]) for column in range(result.nfields)]
    value = result.get_value
    return [
        tuple(None if (found := value(row, column)) is None else read(found) for column, read in columns) for row in range(result.ntuples)
    ]


def _number(value: bytes) -> int:
    return int.from_bytes(value, signed=True)


_READ: dict[int, Callable[[bytes], Any]] = {
    16: lambda value: value != b"\x00",
    17: bytes,
    18: bytes.decode,
    19: bytes.decode,
    20: _number,
    21: _number,
    23: _number,
    25: bytes.decode,
    705: bytes.decode,
    1043: bytes.decode,
    2278: lambda value: None,
}
"""By a column's type: bool, bytea, "char", name, int8, int2, int4, text, unknown, varchar, void.

https://www.postgresql.org/docs/15/catalog-pg-type.html
"""
