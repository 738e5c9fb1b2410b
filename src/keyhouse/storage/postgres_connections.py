"""A process's connections to PostgreSQL for transactions: as many as threads ask for one at once, while the server allows them.

Where it refuses another one, whoever asks waits for one of those that are open. What was not needed for a while is closed, all but one.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

import psycopg

from keyhouse.domain.errors import Error
from keyhouse.storage import postgres_server
from keyhouse.storage.database import storage_unavailable
from keyhouse.storage.database_url import PostgresServer
from keyhouse.storage.postgres_pipeline import Pipeline
from keyhouse.storage.postgres_server import Connection, connect

IDLE_S = 60.0
"""How long a connection is kept that nobody needs."""
_NOT_ASKED_AGAIN_S = 1.0


class Connections:
    """Used by several threads. The connection used last is taken first; who waits for one gets it before anybody who asks later."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._idle: list[Pipeline] = []
        self._waiting: deque[SimpleQueue[Pipeline | None]] = deque()
        self._open = 0
        self._refused_until = 0.0

    def connect(self, *, autocommit: bool = False) -> Connection:
        """A new one, for other uses too. Raises Error `storage_unavailable`."""
        try:
            return connect(self._server, autocommit=autocommit)
        except psycopg.errors.ConnectionTimeout as failure:
            raise away() from failure
        except psycopg.OperationalError as failure:
            raise storage_unavailable("PostgreSQL does not answer, or refuses the connection.") from failure

    @contextmanager
    def one(self, begin: str) -> Iterator[Pipeline]:
        """One for a transaction that begins so, and must end by a commit or is rolled back. Raises Error `storage_unavailable`."""
        pipeline = self._rested() or self._another()
        pipeline.begin = begin
        try:
            yield pipeline
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                pipeline.roll_back()
            raise
        finally:
            self._give_back(pipeline)

    def shed(self) -> None:
        """Close those that nobody needed for long, but for the last one: where the server allows no more, another process may need them."""
        before = time.monotonic() - IDLE_S
        with self._lock:
            surplus = [pipeline for pipeline in self._idle[: self._open - 1] if pipeline.rested_at < before]
            self._idle = [pipeline for pipeline in self._idle if pipeline not in surplus]
        for pipeline in surplus:
            self._close(pipeline)

    def close(self) -> None:
        """Close those that nobody uses."""
        while (pipeline := self._rested()) is not None:
            self._close(pipeline)

    def _rested(self) -> Pipeline | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _another(self) -> Pipeline:
        """A new one, or where the server refuses it one that is given back in time."""
        latest = time.monotonic() + postgres_server.PATIENCE_S
        while True:
            now = time.monotonic()
            with self._lock:
                asks = not self._open or now >= min(self._refused_until, latest)
                self._open += asks
            pipeline = self._opened(last_chance=now >= latest) if asks else None
            if pipeline is None:
                pipeline = self._awaited()
            if pipeline is not None:
                return pipeline

    def _opened(self, *, last_chance: bool) -> Pipeline | None:
        """Fill a place that is already counted; None where the server refuses and there is something to wait for."""
        opened = None
        try:
            opened = Pipeline(self.connect())
        except Error as refused:
            if last_chance or self._open == 1 or isinstance(refused.__cause__, psycopg.errors.ConnectionTimeout):
                raise
            self._refused_until = time.monotonic() + _NOT_ASKED_AGAIN_S
        finally:
            if opened is None:
                self._forget()
        return opened

    def _awaited(self) -> Pipeline | None:
        """The next one that is given back; None when the server may be asked again."""
        place: SimpleQueue[Pipeline | None] = SimpleQueue()
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if not self._open:
                return None
            self._waiting.append(place)
        try:
            return place.get(timeout=max(self._refused_until - time.monotonic(), 0))
        except Empty:
            with self._lock:
                if place in self._waiting:
                    self._waiting.remove(place)
                    return None
        return place.get()

    def _give_back(self, pipeline: Pipeline) -> None:
        if not pipeline.idle:
            self._close(pipeline)
            return
        pipeline.rested_at = time.monotonic()
        with self._lock:
            if self._waiting:
                self._waiting.popleft().put(pipeline)
            else:
                self._idle.append(pipeline)

    def _close(self, pipeline: Pipeline) -> None:
        pipeline.close()
        self._forget()

    def _forget(self) -> None:
        """One is open no more; where none is, nobody waits for one."""
        with self._lock:
            self._open -= 1
            while self._waiting and not self._open:
                self._waiting.popleft().put(None)


def away() -> Error:
    """The server does not answer."""
    return storage_unavailable("PostgreSQL does not answer.")
