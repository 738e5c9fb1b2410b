"""Writes from memory on PostgreSQL whose connection is lost, refused or not needed: told as of a commit, and never made twice."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psycopg
import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.settings import Settings
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.database_url import PostgresServer as ServerUrl
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.postgres_drafts import Came, Drafts
from keyhouse.storage.postgres_line import Line
from keyhouse.storage.postgres_server import Connection, connect
from tests.conftest import PostgresServer
from tests.storage.drafts import LINES, Watched, asked, secret_of, versions, watched
from tests.storage.held_writes import waits_for_a_lock
from tests.storage.houses import settings_of
from tests.storage.no_room import no_further_file

_CUT = f"SELECT pg_terminate_backend(pid) {LINES}"


@pytest.fixture
def settings(tmp_path: Path, postgres_server: PostgresServer) -> Settings:
    return settings_of(tmp_path, postgres_server.new_database())


async def reopened(process: Watched) -> None:
    """Until there is a connection for drafts again."""
    process.drafts._not_before = 0.0
    await process.put(1, "sk-asks")
    await process.drafts.opened()
    process.came.clear()


def test_a_connection_that_was_cut_before_a_write_is_not_used(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            assert asked(settings, _CUT) == [(True,)]
            while asked(settings, f"SELECT count(*) {LINES}") != [(0,)]:
                pass
            await asyncio.gather(process.put(0, "sk-zero"), process.put(1, "sk-one"))
            assert process.came == [Came.NOT_WRITTEN] * 2
            assert [versions(settings, caller) for caller in process.callers] == [[1, 2, 3]] * 2
            await reopened(process)
            await process.put(0, "sk-again")
            assert process.came == [Came.WRITTEN]

    files = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(main())
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_what_was_cut_before_it_was_written_is_written_once(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            with psycopg.connect(settings.url) as connection:
                connection.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
                writing = [asyncio.create_task(process.put(number, f"sk-{number}")) for number in (0, 1)]
                await waits_for_a_lock(settings)
                assert asked(settings, _CUT) == [(True,)]
                while len(process.came) < 2:
                    await waits_for_a_lock(settings)
            await asyncio.gather(*writing)
            assert process.came == [Came.UNKNOWN] * 2
            assert [versions(settings, caller) for caller in process.callers] == [[1, 2, 3]] * 2
            assert [await secret_of(process, number) for number in (0, 1)] == ["sk-0", "sk-1"]

    asyncio.run(main())


class Relay:
    """Stands between a process and the server, which may no longer be heard from some time on."""

    def __init__(self, url: ServerUrl) -> None:
        self._told = psycopg.conninfo.conninfo_to_dict(url.conninfo)
        self.is_deaf = False
        self.written = asyncio.Event()
        """The server answered, and nobody hears of it."""
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._relay, "127.0.0.1") as server:
            self.port = server.sockets[0].getsockname()[1]
            yield

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(str(self._told["host"]), int(str(self._told["port"])))
        onward = asyncio.create_task(self._pass(reader, ours))
        while data := await theirs.read(65536):
            if self.is_deaf:
                self.written.set()
                break
            writer.write(data)
        for each in (ours, writer):
            each.close()
        await onward

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)


@contextlib.asynccontextmanager
async def relayed(settings: Settings) -> AsyncIterator[tuple[Watched, Relay]]:
    """A process whose drafts go by a relay."""
    url = parse_database_url(settings.url)
    assert isinstance(url, ServerUrl)
    relay = Relay(url)
    async with relay.running(), watched(settings) as process:
        direct = f"{settings.url.rpartition('@')[0]}@127.0.0.1:{relay.port}/{settings.url.rpartition('/')[2]}"
        through = parse_database_url(direct)
        assert isinstance(through, ServerUrl)
        process.drafts._connect = lambda: connect(through, autocommit=True)
        await process.warm()
        yield process, relay


def test_what_was_written_and_not_heard_of_is_not_called_undone(settings: Settings) -> None:
    async def main() -> None:
        async with relayed(settings) as (process, relay):
            relay.is_deaf = True
            with pytest.raises(Error, match=r"the change may have been made\. Read before you try again") as refused:
                await process.put(0, "sk-unheard")
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
            assert process.came == [Came.UNKNOWN]
            assert versions(settings, process.callers[0]) == [1, 2, 3]
            await process.put(0, "sk-after")
            assert versions(settings, process.callers[0]) == [1, 2, 3, 4]

    asyncio.run(main())


def test_a_server_that_is_gone_after_a_draft_leaves_it_unknown(tmp_path: Path, lonely_server: PostgresServer) -> None:
    settings = settings_of(tmp_path, lonely_server.empty_database())

    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            with contextlib.closing(psycopg.connect(settings.url)) as connection:
                connection.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
                writing = asyncio.create_task(process.put(0, "sk-unheard"))
                await waits_for_a_lock(settings)
                lonely_server.stop()
            with pytest.raises(Error, match="the change may have been made"):
                await writing
            lonely_server.start()
            assert versions(settings, process.callers[0]) == [1, 2]

    asyncio.run(main())


def test_a_refusal_after_a_lost_draft_is_not_told_as_one(settings: Settings) -> None:
    """The server may yet write what it was sent."""

    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            with psycopg.connect(settings.url) as connection:
                connection.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
                writing = asyncio.create_task(process.put(0, "sk-unheard"))
                await waits_for_a_lock(settings)
                connection.execute("UPDATE projects SET archived_at = 1 WHERE id = %s", [process.callers[0].project_id])
                assert asked(settings, _CUT) == [(True,)]
            with pytest.raises(Error, match="the change may have been made") as refused:
                await writing
            assert refused.value.__cause__ is not None

    asyncio.run(main())


def test_what_waits_is_written_before_a_database_is_closed(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            writing = [asyncio.create_task(process.put(number, "sk-last")) for number in (0, 1)]
            await asyncio.sleep(0)
            await process.storage.database.close()
            await asyncio.gather(*writing)
            assert process.came == [Came.WRITTEN] * 2
            assert [versions(settings, caller) for caller in process.callers] == [[1, 2, 3]] * 2

    asyncio.run(main())


def test_who_goes_away_before_the_answer_loses_nothing_for_others(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            going, staying = (asyncio.create_task(process.put(number, "sk-last")) for number in (0, 1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            going.cancel()
            await staying
            with pytest.raises(asyncio.CancelledError):
                await going
            assert versions(settings, process.callers[1]) == [1, 2, 3]
            await process.put(0, "sk-after")
            assert await secret_of(process, 0) == "sk-after"

    asyncio.run(main())


def test_a_connection_that_nobody_needs_is_closed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            process.drafts.shed()
            await process.put(0, "sk-there")
            monkeypatch.setattr("keyhouse.storage.postgres_drafts.IDLE_S", 0.0)
            process.drafts.shed()
            while asked(settings, f"SELECT count(*) {LINES}") != [(0,)]:
                pass
            await process.put(0, "sk-by-itself")
            assert process.came == [Came.WRITTEN, Came.NOT_WRITTEN]

    asyncio.run(main())


def test_who_writes_once_needs_no_further_connection(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings, projects=1) as process:
            await process.put(0, "sk-once")
            await process.drafts.opened()
            assert asked(settings, f"SELECT count(*) {LINES}") == [(0,)]

    asyncio.run(main())


def test_where_no_further_connection_is_allowed_writes_go_on(settings: Settings) -> None:
    others, _, name = settings.url.rpartition("/")

    async def main() -> None:
        async with watched(settings) as process:
            await process.put(0, "sk-first")
            with psycopg.connect(f"{others}/postgres", autocommit=True) as admin:
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            for number in range(3):
                await process.put(0, f"sk-{number}")
                await process.drafts.opened()
            assert process.came == [Came.NOT_WRITTEN] * 4

    asyncio.run(main())


def test_a_long_answer_and_a_long_question_go_in_pieces(settings: Settings) -> None:
    url = parse_database_url(settings.url)
    assert isinstance(url, ServerUrl)

    async def main() -> None:
        line = Line(await asyncio.to_thread(connect, url, autocommit=True), "test")
        await line.prepare(b"length", "SELECT length($1::text), $1::text")
        for size in (30_000_000, 1, 20_000_000):
            found = await line.answer(b"length", [b"x" * size])
            echoed = found.get_value(0, 1) or b""
            assert (found.get_value(0, 0), len(echoed), set(echoed)) == (b"%d" % size, size, set(b"x"))
        line.close()

    asyncio.run(main())


def test_a_connection_that_no_file_is_left_for_is_closed_and_opened_later(settings: Settings) -> None:
    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with watched(settings) as process:
            opened: list[Connection] = []
            connect_one = process.drafts._connect
            with contextlib.ExitStack() as full:

                def connect_last() -> Connection:
                    opened.append(connect_one())
                    full.enter_context(no_further_file())
                    return opened[0]

                process.drafts._connect = connect_last
                process.drafts._asked_at = time.monotonic()
                assert (await process.drafts.write("none", lambda tx: None)).came is Came.NOT_WRITTEN
                await process.drafts.opened()
            assert [connection.closed for connection in opened] == [True]
            process.drafts._connect = connect_one
            process.drafts._not_before = 0.0
            await process.warm()
            await process.put(0, "sk-later")
            assert process.came == [Came.WRITTEN]
        gc.collect()

    asyncio.run(main())
    assert complaints == []


def test_what_was_written_is_told_as_such_whatever_fails_then(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    failures = [LookupError("It can not listen.")]
    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with watched(settings) as process:
            await process.warm()
            committed = process.drafts._committed

            def fail(notices: Sequence[ChangeNotice]) -> None:
                if failures:
                    raise failures.pop()
                committed(notices)

            process.drafts._committed = fail
            writing = [asyncio.create_task(process.put(number, f"sk-{number}")) for number in (0, 1)]
            async with asyncio.timeout(30):
                await asyncio.gather(*writing)
            assert process.came == [Came.WRITTEN] * 2
            assert [versions(settings, caller) for caller in process.callers] == [[1, 2, 3]] * 2
            await process.put(0, "sk-after")
            assert await secret_of(process, 0) == "sk-after"
            gc.collect()

    with caplog.at_level(logging.ERROR, "keyhouse.storage"):
        asyncio.run(main())
    assert complaints == []
    assert {record.exc_info and record.exc_info[0] for record in caplog.records} == {LookupError}


def test_a_connection_that_cannot_be_made_ready_is_closed_and_none_is_opened_for_a_while(postgres_server: PostgresServer) -> None:
    url = parse_database_url(postgres_server.empty_database())
    assert isinstance(url, ServerUrl)
    opened: list[Connection] = []

    def connected() -> Connection:
        opened.append(connect(url, autocommit=True))
        return opened[-1]

    async def main() -> None:
        drafts = Drafts(connected, lambda notices: None)
        for _ in range(4):
            assert (await drafts.write("any", lambda tx: None)).came is Came.NOT_WRITTEN
            await drafts.opened()
        assert [connection.closed for connection in opened] == [True]
        await drafts.close()

    asyncio.run(main())
