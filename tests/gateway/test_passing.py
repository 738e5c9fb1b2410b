"""A body passed on piece by piece: nothing is lost, doubled or passed after its reader left, and a slow reader stops the upstream."""

import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from keyhouse.gateway.events import MAX_HELD_BYTES, WholeEvents
from keyhouse.gateway.passing import PassedBody, pieces
from keyhouse.gateway.response import HIGH_WATER_BYTES, ResponseBody
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.usage_reader import CountedBody, UsageReader
from tests.gateway.test_connection import CHUNKED_HEAD, HEAD_OF, Exchange

LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Reader:
    """Takes pieces; `goes_on` is what it answers."""

    def __init__(self, *, goes_on: bool = True) -> None:
        self.taken: list[bytes] = []
        self.goes_on = goes_on

    def take(self, piece: bytes) -> bool:
        self.taken.append(piece)
        return self.goes_on


async def turn() -> None:
    """Let the loop do all that is due."""
    for _ in range(3):
        await asyncio.sleep(0)


EXCHANGES: list[Exchange] = []


def opened(*parts: bytes, head: bytes = CHUNKED_HEAD) -> tuple[Exchange, ResponseBody]:
    exchange = Exchange()
    EXCHANGES.append(exchange)
    exchange.feed(head, *parts)
    return exchange, exchange.opened.result().body


def run(scenario: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(scenario)
    finally:
        while EXCHANGES:
            EXCHANGES.pop().transport.release()


def test_each_piece_is_passed_on_inside_the_read_that_brought_it() -> None:
    async def scenario() -> None:
        exchange, body = opened(chunk(b"early"))
        reader = Reader()
        passing = asyncio.create_task(body.pass_to(reader.take))
        await turn()
        assert reader.taken == [b"early"]
        exchange.feed(chunk(b"one") + chunk(b"two"))
        assert reader.taken == [b"early", b"onetwo"]
        exchange.feed(chunk(b"three") + LAST)
        assert reader.taken == [b"early", b"onetwo", b"three"]
        assert await passing is True
        assert exchange.kept()

    run(scenario())


def test_a_reader_that_wants_no_more_gets_no_more_until_it_asks() -> None:
    async def scenario() -> None:
        exchange, body = opened()
        reader = Reader(goes_on=False)
        passing = asyncio.create_task(body.pass_to(reader.take))
        await turn()
        exchange.feed(chunk(b"one"))
        exchange.feed(chunk(b"two"), chunk(b"three"))
        assert reader.taken == [b"one"]
        assert await passing is False
        assert await body.pass_to(reader.take) is False
        assert reader.taken == [b"one", b"twothree"]
        passing = asyncio.create_task(body.pass_to(reader.take))
        await turn()
        exchange.feed(chunk(b"four") + LAST)
        assert await passing is False
        assert await body.pass_to(reader.take) is True
        assert reader.taken == [b"one", b"twothree", b"four"]

    run(scenario())


def test_an_upstream_is_not_read_while_a_slow_reader_has_much_unread() -> None:
    async def scenario() -> None:
        exchange, body = opened()
        reader = Reader(goes_on=False)
        passing = asyncio.create_task(body.pass_to(reader.take))
        await turn()
        large = chunk(b"x" * HIGH_WATER_BYTES)
        exchange.feed(large)
        assert await passing is False
        exchange.feed(large, chunk(b"y"))
        assert not exchange.transport.reading
        seen = sum(map(len, reader.taken))
        reader.goes_on = True
        passing = asyncio.create_task(body.pass_to(reader.take))
        await turn()
        assert exchange.transport.reading
        exchange.feed(LAST)
        assert await passing is True
        assert sum(map(len, reader.taken)) == 2 * HIGH_WATER_BYTES + 1 > seen

    run(scenario())


@pytest.mark.parametrize("paused", [False, True])
def test_a_break_is_told_after_what_came_before_it(paused: bool) -> None:
    async def scenario() -> None:
        exchange, body = opened()
        reader = Reader(goes_on=not paused)
        passing = asyncio.create_task(body.pass_to(reader.take))
        await turn()
        exchange.feed(chunk(b"one"))
        exchange.feed(chunk(b"two"))
        exchange.connection.eof_received()
        if paused:
            assert await passing is False
            assert await body.pass_to(reader.take) is False
            passing = asyncio.create_task(body.pass_to(reader.take))
        with pytest.raises(UpstreamError):
            await passing
        assert b"".join(reader.taken) == b"onetwo"

    run(scenario())


def test_what_a_reader_raises_ends_the_passing_and_harms_no_connection() -> None:
    async def scenario() -> None:
        exchange, body = opened()

        def take(_: bytes) -> bool:
            raise ValueError("too long")

        passing = asyncio.create_task(body.pass_to(take))
        await turn()
        exchange.feed(chunk(b"one"))
        exchange.feed(chunk(b"two") + LAST)
        with pytest.raises(ValueError, match="too long"):
            await passing
        assert body.take() == b"two"
        assert exchange.kept()

    run(scenario())


def test_nothing_is_passed_to_a_reader_that_was_cancelled() -> None:
    async def scenario() -> None:
        exchange, body = opened()
        reader = Reader()
        passing = asyncio.create_task(body.pass_to(reader.take))
        await turn()
        passing.cancel()
        exchange.feed(chunk(b"one"))
        with pytest.raises(asyncio.CancelledError):
            await passing
        exchange.feed(chunk(b"two"))
        assert not reader.taken
        body.close()
        assert exchange.transport.aborted

    run(scenario())


def test_a_body_that_was_passed_on_holds_its_reader_no_more() -> None:
    async def scenario() -> None:
        exchange, body = opened()
        reader = Reader()
        left = weakref.ref(reader)
        passing = asyncio.create_task(body.pass_to(reader.take))
        await turn()
        exchange.feed(chunk(b"one"), LAST)
        assert await passing is True
        del reader, passing
        assert left() is None

    run(scenario())


def test_of_a_body_as_much_is_read_as_was_asked_for_and_no_further_piece() -> None:
    async def scenario() -> None:
        exchange, body = opened(chunk(b"ab"))
        reading = asyncio.create_task(body.at_most(4))
        await turn()
        exchange.feed(chunk(b"c"))
        await turn()
        assert not reading.done()
        exchange.feed(chunk(b"de"))
        assert await reading == b"abcde"
        exchange.feed(chunk(b"f"))
        assert body.take() == b"f"

    run(scenario())


def test_the_end_of_an_answer_of_which_much_is_unread_harms_nothing() -> None:
    async def scenario() -> None:
        exchange, body = opened(chunk(b"x" * (HIGH_WATER_BYTES + 1)) + LAST)
        assert body.ended
        assert len(body.take()) == HIGH_WATER_BYTES + 1
        assert exchange.kept()

    run(scenario())


def test_an_answer_that_was_left_holds_nothing_more_and_tells_its_reader() -> None:
    async def scenario() -> None:
        _, body = opened(chunk(b"unread"))
        body.close()
        assert (body.size, body.take()) == (0, b"")
        with pytest.raises(UpstreamError, match="closed before its end") as caught:
            await body.pass_to(Reader().take)
        assert caught.value.request_sent

    run(scenario())


def events(body: ResponseBody) -> WholeEvents:
    return WholeEvents(body, "chat", UsageReader())


def counted(body: ResponseBody) -> CountedBody:
    return CountedBody(body, UsageReader())


@pytest.mark.parametrize("wrapped", [events, counted, lambda body: body])
def test_pieces_are_the_same_bytes_for_a_reader_that_waits_between_them(wrapped: Any) -> None:
    async def scenario() -> None:
        exchange, body = opened(chunk(b"data: 1\n\n"))
        passed: PassedBody = wrapped(body)
        came: list[bytes] = []
        async for piece in pieces(passed):
            came.append(piece)
            if len(came) == 1:
                exchange.feed(chunk(b"data: 2\n\nda"), chunk(b"ta: 3\n\n") + chunk(b"unfinished"), LAST)
        assert b"".join(came) == b"data: 1\n\ndata: 2\n\ndata: 3\n\nunfinished"

    run(scenario())


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_event_goes_out_as_soon_as_it_has_ended(end: bytes) -> None:
    async def scenario() -> None:
        exchange, body = opened(chunk(b"data: 1" + end + b"da"))
        reader = Reader()
        passing = asyncio.create_task(events(body).pass_to(reader.take))
        await turn()
        assert reader.taken == [b"data: 1" + end]
        exchange.feed(chunk(b"ta: 2" + end[:1]), chunk(end[1:]))
        assert b"".join(reader.taken) == b"data: 1" + end + b"data: 2" + end
        exchange.feed(LAST)
        assert await passing is True

    run(scenario())


@pytest.mark.parametrize("line_end", [b"", b"\n"])
def test_an_event_without_end_is_not_held_for_ever(line_end: bytes) -> None:
    async def scenario() -> None:
        exchange, body = opened()
        reader = Reader()
        passing = asyncio.create_task(events(body).pass_to(reader.take))
        await turn()
        piece = b"x" * (MAX_HELD_BYTES // 5 - 1) + line_end
        exchange.feed(*[chunk(piece)] * 5)
        assert reader.taken == []
        exchange.feed(chunk(piece))
        assert b"".join(reader.taken) == piece * 6
        exchange.feed(LAST)
        assert await passing is True

    run(scenario())


def test_an_event_of_many_small_pieces_is_put_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []
    released = WholeEvents._released

    def counted_release(passed: WholeEvents) -> bytes:
        together.append(len(passed._held))
        return released(passed)

    async def scenario() -> None:
        monkeypatch.setattr(WholeEvents, "_released", counted_release)
        exchange, body = opened()
        reader = Reader()
        passing = asyncio.create_task(events(body).pass_to(reader.take))
        await turn()
        for _ in range(1000):
            exchange.feed(chunk(b":\n"))
        exchange.feed(chunk(b"\n"))
        assert (reader.taken, together) == ([b":\n" * 1000 + b"\n"], [1001])
        exchange.feed(LAST)
        assert await passing is True

    run(scenario())


@pytest.mark.parametrize("flood", [b"0\r\n" + b"x-more: y\r\n" * 10_000, b"1;" + b"x" * 100_000])
def test_an_answer_that_was_left_at_its_end_is_not_waited_for_through_a_flood(flood: bytes) -> None:
    async def scenario() -> None:
        exchange, body = opened(chunk(b"data: [DONE]\n\n"))
        passed = events(body)
        assert await passed.pass_to(Reader().take) is True
        passed.close()
        assert not exchange.transport.aborted
        exchange.feed(flood)
        assert exchange.transport.aborted

    run(scenario())


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_end_in_single_bytes_is_an_end(end: bytes) -> None:
    async def scenario() -> None:
        exchange, body = opened()
        reader = Reader()
        passing = asyncio.create_task(events(body).pass_to(reader.take))
        await turn()
        for byte in b"data: 1" + end + b"data: 2\ndata: 3" + end + b"d":
            exchange.feed(chunk(bytes([byte])))
        assert reader.taken == [b"data: 1" + end, b"data: 2\ndata: 3" + end]
        exchange.feed(LAST)
        assert await passing is True
        assert reader.taken[2:] == [b"d"]

    run(scenario())


def test_a_stream_that_breaks_off_while_its_reader_is_slow_ends_in_one_error_event() -> None:
    async def scenario() -> None:
        exchange, body = opened(chunk(b"data: 1\n\nda"))
        passed = events(body)
        reader = Reader(goes_on=False)
        assert await passed.pass_to(reader.take) is False
        exchange.feed(chunk(b"ta: 2\n\ndat"))
        exchange.connection.eof_received()
        assert await passed.pass_to(reader.take) is False
        assert await passed.pass_to(reader.take) is True
        assert reader.taken[:2] == [b"data: 1\n\n", b"data: 2\n\n"]
        assert len(reader.taken) == 3
        assert reader.taken[2].startswith(b'data: {"error":')
        assert passed.error_code == "upstream_broken"

    run(scenario())


def test_an_answer_that_its_connection_ends_is_passed_to_its_end() -> None:
    async def scenario() -> None:
        exchange, body = opened(head=HEAD_OF + b"\r\nall of")
        reader = Reader()
        passing = asyncio.create_task(body.pass_to(reader.take))
        await turn()
        exchange.feed(b" it")
        exchange.connection.eof_received()
        assert await passing is True
        assert reader.taken == [b"all of", b" it"]

    run(scenario())
