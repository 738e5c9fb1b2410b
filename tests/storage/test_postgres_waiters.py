"""Who waits for a connection to PostgreSQL gets one that is given back, in turn, and none is lost or waited for in vain."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from keyhouse.storage import postgres_connections
from keyhouse.storage import postgres_server as postgres_server_module
from keyhouse.storage.database_url import PostgresServer as ServerUrl
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.postgres_connections import Connections
from keyhouse.storage.postgres_pipeline import Pipeline
from tests.conftest import PostgresServer

PATIENCE_S = 30
LONG_S = 120.0
"""Longer than any test here waits where all is well; where it is not, the test ends."""


@pytest.fixture
def connections(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    """Connections to a server that has just refused another one."""
    monkeypatch.setattr(postgres_server_module, "PATIENCE_S", LONG_S)
    url = parse_database_url(postgres_server.empty_database())
    assert isinstance(url, ServerUrl)
    opened = Connections(url)
    opened._refused_until = time.monotonic() + LONG_S
    yield opened
    opened.close()
    assert (opened._open, list(opened._waiting)) == (0, [])


class InLine:
    """Threads that wait for a connection, one behind the other."""

    def __init__(self, connections: Connections, pool: ThreadPoolExecutor) -> None:
        self._connections = connections
        self._pool = pool
        self.served: list[int] = []

    def join(self) -> "Future[Pipeline]":
        """One more; returns once it waits."""
        number = len(self._connections._waiting)
        waiting = self._pool.submit(self._take, number)
        deadline = time.monotonic() + PATIENCE_S
        while len(self._connections._waiting) == number:
            assert time.monotonic() < deadline
        return waiting

    def _take(self, number: int) -> Pipeline:
        with self._connections.one("BEGIN") as pipeline:
            self.served.append(number)
            return pipeline


@pytest.fixture
def line(connections: Connections) -> Iterator[InLine]:
    with ThreadPoolExecutor(3) as pool:
        yield InLine(connections, pool)


def test_what_is_given_back_goes_to_who_waited_longest(connections: Connections, line: InLine) -> None:
    with connections.one("BEGIN") as pipeline:
        waiting = [line.join() for _ in range(3)]
    assert [each.result(PATIENCE_S) for each in waiting] == [pipeline] * 3
    assert line.served == [0, 1, 2]
    assert connections._open == 1


def test_where_the_last_connection_is_lost_who_waits_opens_another(connections: Connections, line: InLine) -> None:
    with connections.one("BEGIN") as pipeline:
        waiting = [line.join() for _ in range(2)]
        pipeline.close()
    assert pipeline not in [each.result(PATIENCE_S) for each in waiting]


def test_where_another_connection_is_left_who_waits_keeps_the_place(connections: Connections, line: InLine) -> None:
    connections._refused_until = 0.0
    left, lost = connections._another(), connections._another()
    connections._refused_until = time.monotonic() + LONG_S
    waiting = line.join()
    place = connections._waiting[0]
    connections._close(lost)
    kept = list(connections._waiting)
    connections._give_back(left)
    assert waiting.result(PATIENCE_S) is left
    assert kept == [place]


def test_what_was_used_last_is_used_next(connections: Connections) -> None:
    """So that those that are not needed rest, and are closed."""
    connections._refused_until = 0.0
    first, second = connections._another(), connections._another()
    for pipeline in (second, first):
        connections._give_back(pipeline)
    with connections.one("BEGIN") as pipeline:
        assert pipeline is first


def test_who_waits_for_nothing_asks_the_server_again(connections: Connections) -> None:
    def awaited() -> Pipeline | None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(connections._awaited)
            try:
                return waiting.result(PATIENCE_S)
            finally:
                for place in connections._waiting:
                    place.put(None)

    assert awaited() is None
    connections._refused_until = 0.0
    with connections.one("BEGIN"):
        assert awaited() is None
        assert not connections._waiting


def test_what_is_given_back_at_the_last_moment_is_taken(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = connections._another()

    class Late(SimpleQueue[Any]):
        """A place whose patience ends at the very moment at which a connection is given back."""

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            if timeout is None:
                return super().get(timeout=PATIENCE_S)
            connections._give_back(pipeline)
            raise Empty

    monkeypatch.setattr(postgres_connections, "SimpleQueue", Late)
    assert connections._awaited() is pipeline
    connections._give_back(pipeline)
