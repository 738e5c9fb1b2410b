"""A connection that is asked from the event loop: one that owes an answer, or cannot be watched, is closed and asked nothing more."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import psycopg
import pytest

from keyhouse.storage.database_url import PostgresServer as ServerUrl
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.postgres_line import Line
from keyhouse.storage.postgres_server import Connection, connect
from tests.conftest import PostgresServer
from tests.storage.no_room import no_further_file


@pytest.fixture
def url(postgres_server: PostgresServer) -> ServerUrl:
    url = parse_database_url(postgres_server.empty_database())
    assert isinstance(url, ServerUrl)
    return url


@contextlib.asynccontextmanager
async def nothing_unheard() -> AsyncIterator[None]:
    """No future's failure is left to the collector."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    yield
    await asyncio.sleep(0)
    gc.collect()
    assert complaints == []


def test_a_line_whose_question_was_given_up_is_asked_nothing_more(url: ServerUrl) -> None:
    async def main() -> None:
        async with nothing_unheard():
            connection = await asyncio.to_thread(connect, url, autocommit=True)
            line = Line(connection, "test")
            await line.prepare(b"slow", "SELECT pg_sleep(600)::text")
            asking = asyncio.create_task(line.answer(b"slow", []))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert (line.is_usable, connection.closed) == (False, True)
            with pytest.raises(psycopg.OperationalError, match=r"The test was ended\."):
                await line.run("SELECT 1")
            del line, asking

    asyncio.run(main())


def test_a_line_whose_question_could_not_be_sent_is_asked_nothing_more(url: ServerUrl) -> None:
    async def main() -> None:
        async with nothing_unheard():
            connection = await asyncio.to_thread(connect, url, autocommit=True)
            line = Line(connection, "test")
            await line.prepare(b"echo", "SELECT $1::text")
            with pytest.raises(TypeError):
                await line.answer(b"echo", ["no bytes"])  # type: ignore[list-item]
            assert (line.is_usable, connection.closed) == (False, True)
            del line

    asyncio.run(main())


def test_a_connection_that_cannot_be_watched_is_closed(url: ServerUrl) -> None:
    async def main() -> None:
        connection: Connection = await asyncio.to_thread(connect, url, autocommit=True)
        with no_further_file(), pytest.raises(psycopg.OperationalError, match="no further file"):
            Line(connection, "test")
        assert connection.closed

    asyncio.run(main())
