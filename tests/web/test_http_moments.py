"""A caller's connection at moments that a network gives too rarely: what comes is handed to it, and its clock only looked at."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from keyhouse.gateway.headers import value_of
from keyhouse.gateway.passing import Take
from keyhouse.web.gateway.exchange import CallerLeftError
from keyhouse.web.http_answer import CONTINUE, DateLine
from keyhouse.web.http_crowd import Crowd
from keyhouse.web.http_exchange import HIGH_WATER_BYTES, Answering, HttpExchange
from keyhouse.web.http_protocol import HttpProtocol
from keyhouse.web.serving import server_config

HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


class MemoryTransport(asyncio.Transport):
    """Leads nowhere: keeps what is written, and says whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.is_read, self.is_closed, self.is_aborted = b"", True, False, False
        self.on_write: Callable[[], None] = lambda: None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data
        self.on_write()

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def write_eof(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("everything is answered straight")


def connected(answer: Callable[[HttpExchange], Awaitable[None]]) -> tuple[HttpProtocol, MemoryTransport]:
    config = server_config(application, shutdown_timeout_s=1)
    config.load()
    made: Any = HttpProtocol(config, ServerState(), {}, answering=Answering(lambda path: answer), crowd=Crowd(9), date=DateLine())
    transport = MemoryTransport()
    made.connection_made(transport)
    return made, transport


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def well(exchange: HttpExchange) -> None:
    await exchange.body(1 << 20)
    await exchange.answer(200, [], b"well")


def on_a_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    async def main() -> None:
        await test()

    def run() -> None:
        asyncio.run(main())

    return run


@on_a_loop
async def test_a_head_that_comes_a_byte_at_a_time_gets_no_more_time_for_it() -> None:
    connection, _ = connected(well)
    connection.data_received(HEAD[:9])
    until = connection.deadline
    assert until < math.inf
    for byte in HEAD[9:30]:
        await asyncio.sleep(0)
        connection.data_received(bytes([byte]))
    assert connection.deadline == until


@pytest.mark.parametrize("known", [False, True])
def test_who_waits_for_an_answer_has_all_the_time(known: bool) -> None:
    async def main() -> None:
        answering = asyncio.Event()

        async def late(exchange: HttpExchange) -> None:
            await answering.wait()
            await well(exchange)

        connection, transport = connected(late)
        for number in range(1 + known):
            answering.clear()
            connection.data_received(HEAD % 2 + b"{}")
            await turns()
            assert connection.deadline == math.inf
            answering.set()
            await turns()
            assert transport.written.count(b"well") == number + 1
            assert connection.deadline < math.inf

    asyncio.run(main())


@on_a_loop
async def test_no_more_of_a_body_is_read_than_waits_for_its_reader() -> None:
    reading = asyncio.Event()

    async def late(exchange: HttpExchange) -> None:
        await reading.wait()
        await well(exchange)

    connection, transport = connected(late)
    size = HIGH_WATER_BYTES + 2
    connection.data_received(HEAD % size)
    connection.data_received(b"x" * HIGH_WATER_BYTES)
    assert transport.is_read
    connection.data_received(b"x")
    assert not transport.is_read
    reading.set()
    await turns()
    assert transport.is_read
    connection.data_received(b"x")
    await turns()
    assert transport.written.endswith(b"well")


@on_a_loop
async def test_a_body_that_turns_out_to_be_none_puts_nothing_into_an_answer_that_has_begun() -> None:
    async def early(exchange: HttpExchange) -> None:
        exchange.begin(200, [])
        exchange.write(b"begun")
        await exchange.left()

    connection, transport = connected(early)
    connection.data_received(CHUNKED)
    await turns()
    before = transport.written
    assert before.endswith(b"begun\r\n")
    connection.data_received(b"no chunk\r\n")
    await turns()
    assert transport.written == before


@on_a_loop
async def test_a_change_goes_on_when_its_caller_leaves_and_a_call_does_not() -> None:
    ended: list[str] = []

    async def change(exchange: HttpExchange) -> None:
        await turns()
        try:
            exchange.end_with_caller()
        except CallerLeftError:
            ended.append("change")

    async def call(exchange: HttpExchange) -> None:
        exchange.end_with_caller()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("call")

    for answer in (change, call):
        connection, _ = connected(answer)
        connection.data_received(HEAD % 2 + b"{}")
        await asyncio.sleep(0)
        connection.connection_lost(None)
        await turns()
        await turns()
    assert ended == ["change", "call"]


@on_a_loop
async def test_who_does_not_take_an_answer_gets_no_other() -> None:
    connection, transport = connected(well)
    connection.pause_writing()
    connection.data_received(HEAD % 2 + b"{}")
    await turns()
    assert transport.written == b""
    connection.resume_writing()
    await turns()
    assert transport.written.endswith(b"well")


@pytest.mark.parametrize(
    ("parts", "given"),
    [
        ((CHUNKED + b"a\r\n0123456789\r\n", b"0\r\n\r\n"), b"0123456789"),
        ((CHUNKED + b"a\r\n0123456789\r\n", b"1\r\nx\r\n"), None),
        ((HEAD % 10, b"0123456789"), b"0123456789"),
        ((HEAD % 10 + b"0123456789",), b"0123456789"),
        ((HEAD % 11 + b"0123456789x",), None),
        ((HEAD % 11,), None),
    ],
)
def test_a_body_is_given_up_as_soon_as_it_is_known_to_be_too_large(parts: tuple[bytes, ...], given: bytes | None) -> None:
    async def main() -> None:
        bodies: list[bytes | None] = []

        async def limited(exchange: HttpExchange) -> None:
            bodies.append(await exchange.body(10))
            await exchange.answer(200, [], b"")

        connection, _ = connected(limited)
        for part in parts:
            assert bodies == []
            connection.data_received(part)
            await turns()
        assert bodies == [given]

    asyncio.run(main())


@pytest.mark.parametrize(("head", "rest"), [(HEAD % 3, None), (CHUNKED, None), (CHUNKED, b"no chunk\r\n")])
@pytest.mark.parametrize("is_read", [True, False])
def test_a_body_that_breaks_off_is_never_taken_for_a_whole_one(head: bytes, rest: bytes | None, is_read: bool) -> None:
    async def main() -> None:
        reading, ended = asyncio.Event(), []

        async def change(exchange: HttpExchange) -> None:
            await reading.wait()
            try:
                ended.append(await exchange.body(100))
            except CallerLeftError:
                ended.append("left")

        connection, _ = connected(change)
        connection.data_received(head + (b"{}" if head != CHUNKED else b"2\r\n{}\r\n"))
        if is_read:
            reading.set()
        await turns()
        assert ended == []
        if rest is None:
            connection.connection_lost(None)
        else:
            connection.data_received(rest)
        reading.set()
        await turns()
        assert ended == ["left"]

    asyncio.run(main())


@on_a_loop
async def test_a_request_whose_head_is_known_tells_its_own_length() -> None:
    told: list[bytes | None] = []

    async def telling(exchange: HttpExchange) -> None:
        told.append(value_of(exchange.headers, b"content-length"))
        await exchange.answer(200, [], b"")

    connection, _ = connected(telling)
    for body in (b"{}", b"longer", b"{}", b""):
        connection.data_received(HEAD % len(body) + body)
        await turns()
    assert told == [b"2", b"6", b"2", b"0"]


class Streamed:
    """A body in two pieces."""

    def __init__(self) -> None:
        self._left = [b"one", b"two"]

    async def pass_to(self, take: Take) -> bool:
        while self._left:
            if not take(self._left.pop(0)):
                return False
        return True


STAYS, ENDS, FRAMES, COUNTED = b"1.1", b"1.0", b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", [(b"content-length", b"6")]


@pytest.mark.parametrize("is_slow", [False, True])
@pytest.mark.parametrize(
    ("version", "headers", "body"), [(STAYS, [], FRAMES), (STAYS, COUNTED, b"onetwo"), (ENDS, [], b"onetwo"), (ENDS, COUNTED, b"onetwo")]
)
def test_a_stream_is_framed_as_its_head_says_the_first_time_and_every_time(
    version: bytes, headers: list[tuple[bytes, bytes]], body: bytes, is_slow: bool
) -> None:
    async def main() -> None:
        async def streaming(exchange: HttpExchange) -> None:
            await exchange.answer(200, headers, Streamed())

        connection, transport = connected(streaming)
        for number in range(3 if version == STAYS else 1):
            connection.data_received((HEAD % number).replace(STAYS, version) + b"x" * number)
            if is_slow:
                transport.on_write = connection.pause_writing
            for _ in range(4):
                await turns()
                connection.resume_writing()
            begun, _, rest = transport.written.partition(b"\r\n\r\n")
            assert rest == body
            assert (b"transfer-encoding: chunked" in begun) == (body == FRAMES)
            assert (b"connection: close" in begun) == transport.is_closed == (version == ENDS)
            transport.written = b""

    asyncio.run(main())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"Expect: 100-Continue", CONTINUE),
        (b"expect: 100-continue", CONTINUE),
        (b"expect: something", b""),
        (b"x-expect: 100-continue", b""),
    ],
)
def test_who_asks_is_told_to_go_on_in_whatever_letters_and_nobody_else(line: bytes, told: bytes) -> None:
    async def main() -> None:
        connection, transport = connected(well)
        connection.data_received((HEAD % 2).replace(b"host: a", b"host: a\r\n" + line))
        await turns()
        assert transport.written == told
        connection.data_received(b"{}")
        await turns()
        assert transport.written.startswith(told + b"HTTP/1.1 200 OK")

    asyncio.run(main())


@on_a_loop
async def test_who_still_sends_a_body_has_not_left() -> None:
    left: list[str] = []

    async def early(exchange: HttpExchange) -> None:
        await exchange.left()
        left.append(exchange.path)

    connection, _ = connected(early)
    for sent in (HEAD % 4, b"{", b"}  "):
        connection.data_received(sent)
        await turns()
        assert left == []
    connection.connection_lost(None)
    await turns()
    assert left == ["/"]


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"4")]])
def test_a_caller_who_leaves_in_the_middle_of_an_answer_is_no_failure(
    headers: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        left = asyncio.Event()

        async def streaming(exchange: HttpExchange) -> None:
            exchange.begin(200, headers)
            exchange.write(b"ab")
            await left.wait()
            exchange.write(b"cd")
            exchange.end()

        connection, transport = connected(streaming)
        connection.data_received(HEAD % 2 + b"{}")
        await turns()
        before = transport.written
        connection.connection_lost(None)
        left.set()
        await turns()
        assert transport.written == before

    asyncio.run(main())
    assert caplog.records == []
