"""Listens, in a thread of its own, for what wakes a process when another one changed something in PostgreSQL."""

import asyncio
import select
import socket
import threading

import psycopg

from keyhouse.storage.database_url import PostgresServer
from keyhouse.storage.postgres_server import connect

_LISTENS_FOR_S = 1.0


class Listener:
    """A connection that does nothing else. It comes back by itself when the database was away."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        # The thread waits for the server and for this: it can be read once the other end is closed.
        self._end, self._ended = socket.socketpair()

    async def heard(self) -> None:
        """Return after a notice, at the latest after `_LISTENS_FOR_S`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="keyhouse-listen", daemon=True)
            self._thread.start()
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(_LISTENS_FOR_S):
                await waiter[1].wait()
        except TimeoutError:
            return
        finally:
            self._waiters.discard(waiter)

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._end.close()
        if self._thread is not None:
            self._thread.join()
        self._ended.close()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen_once()
            except psycopg.Error:
                self._closed.wait(1.0)

    def _listen_once(self) -> None:
        with connect(self._server, autocommit=True) as connection:
            connection.execute("LISTEN keyhouse_changes")
            events = select.poll()
            for each in (connection, self._ended):
                events.register(each, select.POLLIN)
            while not self._closed.is_set():
                for _ in connection.notifies(timeout=0):
                    self._tell()
                events.poll()

    def _tell(self) -> None:
        for loop, event in list(self._waiters):
            loop.call_soon_threadsafe(event.set)
