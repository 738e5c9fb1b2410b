"""Requests whose head is known and whose body comes behind it: answered as whole ones, let go as those are whose body does not come."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhouse.web.gateway.exchange import CallerLeftError
from keyhouse.web.http_bounds import BODY_IDLE_TIMEOUT_S, HIGH_WATER_BYTES, KEEP_ALIVE_S
from keyhouse.web.http_exchange import HttpExchange
from keyhouse.web.http_protocol import HttpProtocol
from tests.web.test_http_moments import HEAD, MemoryTransport, connected, turns

OTHER = b"PUT /other HTTP/1.1\r\nhost: b\r\ncontent-length: %d\r\n\r\n"
BODILESS = b"GET /none HTTP/1.1\r\nhost: a\r\n\r\n"
CHUNKED = b"POST /chunked HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


class Answers:
    """Notes each request as it is answered, and whether its head had been held."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, bytes | None]] = []
        self.were_held: list[bool] = []
        self.left = 0
        self.admits = True

    async def __call__(self, exchange: HttpExchange) -> None:
        try:
            body = await exchange.body(1 << 20)
        except CallerLeftError:
            self.left += 1
            raise
        self.noted.append((exchange.method, exchange.path, body))
        self.were_held.append(exchange.head_at > 0.0)
        exchange.head.is_admitted = self.admits
        await exchange.answer(200, [], b"well")


def on_a_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    async def main() -> None:
        await test()

    return lambda: asyncio.run(main())


def request(kind: str, size: int) -> bytes:
    if kind == "bodiless":
        return BODILESS
    if kind == "chunked":
        return CHUNKED
    return (HEAD if kind == "same" else OTHER) % size + b"x" * size


def as_answered(kind: str, size: int) -> tuple[str, str, bytes]:
    if kind == "bodiless":
        return "GET", "/none", b""
    if kind == "chunked":
        return "POST", "/chunked", b"abc"
    return ("POST", "/", b"x" * size) if kind == "same" else ("PUT", "/other", b"x" * size)


KINDS = st.sampled_from(["same", "same", "same", "same", "other", "bodiless", "chunked"])
REQUESTS = st.lists(st.tuples(KINDS, st.sampled_from([0, 1, 2, 9, 1000, HIGH_WATER_BYTES, HIGH_WATER_BYTES + 1])), min_size=1, max_size=8)


@settings(deadline=None, max_examples=400)
@given(asked=REQUESTS, data=st.data())
def test_requests_cut_anywhere_are_answered_in_turn(asked: list[tuple[str, int]], data: st.DataObject) -> None:
    whole = b"".join(request(*each) for each in asked)
    ends = [0]
    for each in asked:
        ends.append(ends[-1] + len(request(*each)))
    near = st.sampled_from(sorted({place for end in ends for place in range(end - 3, end + 70) if 0 < place < len(whole)}))
    cuts = sorted(data.draw(st.sets(near, max_size=8)))
    waits = data.draw(st.lists(st.booleans(), min_size=len(cuts) + 1, max_size=len(cuts) + 1))

    async def main() -> None:
        answers = Answers()
        connection, transport = connected(answers)
        for start, end, waits_behind in zip([0, *cuts], [*cuts, len(whole)], waits, strict=True):
            connection.data_received(whole[start:end])
            if waits_behind:
                await turns()
            while not transport.is_read:
                await turns()
        for _ in range(3 * len(asked)):
            await turns()
        assert answers.noted == [as_answered(*each) for each in asked]
        assert transport.written.count(b"well") == len(asked)
        assert connection.is_idle
        assert connection.deadline < math.inf

    asyncio.run(main())


async def waiting() -> tuple[Answers, HttpProtocol, MemoryTransport]:
    """A connection that waits for the body of its second request."""
    answers = Answers()
    connection, transport = connected(answers)
    connection.data_received(HEAD % 2)
    connection.data_received(b"{}")
    await turns()
    assert answers.were_held == [False]
    connection.data_received(HEAD % 3)
    await turns()
    assert not connection.is_idle
    return answers, connection, transport


@on_a_loop
async def test_a_head_that_comes_alone_is_learned_and_the_next_one_held() -> None:
    answers, connection, transport = await waiting()
    for piece in (b"1", b"2", b"3"):
        connection.data_received(piece)
    await turns()
    assert answers.noted == [("POST", "/", b"{}"), ("POST", "/", b"123")]
    assert answers.were_held == [False, True]
    assert transport.written.count(b"well") == 2
    assert connection.is_idle


@on_a_loop
async def test_what_looks_like_a_known_head_inside_another_head_is_none() -> None:
    answers = Answers()
    connection, transport = connected(answers)
    connection.data_received(HEAD % 2 + b"{}")
    await turns()
    connection.data_received(b"PUT /other HTTP/1.1\r\nx-odd: ")
    connection.data_received(HEAD % 2 + b"{}")
    await turns()
    assert answers.noted == [("POST", "/", b"{}"), ("PUT", "/other", b"{}")]
    assert transport.written.count(b"well") == 2


@on_a_loop
async def test_what_looks_like_a_request_inside_a_body_that_nobody_wants_is_none() -> None:
    looks_whole = HEAD % 2 + b"{}"
    noted: list[str] = []

    async def answer(exchange: HttpExchange) -> None:
        noted.append(exchange.path)
        await exchange.answer(200, [], b"well")

    connection, transport = connected(answer)
    # As many heads as a connection learns: the last one stays known.
    for data in (OTHER % 0, looks_whole, OTHER % 0, looks_whole, OTHER % (2 * len(looks_whole)), looks_whole, looks_whole):
        connection.data_received(data)
        await turns()
    assert noted == ["/other", "/", "/other", "/", "/other"]
    connection.data_received(looks_whole)
    await turns()
    assert noted[5:] == ["/"]
    assert transport.written.count(b"well") == 6


@on_a_loop
async def test_a_held_request_of_a_caller_who_was_not_let_in_makes_room_for_others() -> None:
    answers = Answers()
    answers.admits = False
    connection, transport = connected(answers)
    connection.data_received(HEAD % 2 + b"{}")
    await turns()
    connection.data_received(HEAD % 3)
    connection.data_received(b"1")
    assert connection.is_idle
    connection.expire()
    assert transport.is_aborted


@on_a_loop
async def test_each_piece_of_a_held_request_gives_it_time_for_the_next() -> None:
    _, connection, _ = await waiting()
    first = connection.deadline
    assert first < connection.loop.time() + BODY_IDLE_TIMEOUT_S < connection.loop.time() + KEEP_ALIVE_S
    connection.data_received(b"1")
    assert first < connection.deadline < connection.loop.time() + BODY_IDLE_TIMEOUT_S


@pytest.mark.parametrize("how", ["expires", "is lost"])
def test_a_request_whose_body_does_not_come_is_answered_as_one_whose_caller_left(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        answers, connection, transport = await waiting()
        before = transport.written
        if how == "expires":
            connection.expire()
            assert transport.is_aborted
        connection.connection_lost(None)
        await turns()
        assert (answers.left, transport.written) == (1, before)
        assert connection.tasks == set()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert caplog.records == []


@on_a_loop
async def test_a_server_that_stops_answers_what_is_held() -> None:
    answers, connection, transport = await waiting()
    connection.shutdown()
    assert not transport.is_closed
    connection.data_received(b"123")
    await turns()
    assert answers.noted[1:] == [("POST", "/", b"123")]
    assert transport.written.count(b"connection: close") == 1
    assert transport.is_closed


@on_a_loop
async def test_requests_behind_a_held_one_are_answered_behind_it() -> None:
    answers, connection, transport = await waiting()
    connection.data_received(b"123" + HEAD % 1 + b"4" + HEAD % 2 + b"5")
    await turns()
    connection.data_received(b"6")
    await turns()
    assert [body for _, _, body in answers.noted] == [b"{}", b"123", b"4", b"56"]
    assert answers.were_held[:2] == [False, True]
    connection.data_received(HEAD % 1 + b"7")
    await turns()
    assert answers.noted[-1] == ("POST", "/", b"7")
    assert transport.written.count(b"well") == 5


@on_a_loop
async def test_bodies_that_come_apart_do_not_use_up_what_a_connection_may_learn() -> None:
    answers = Answers()
    connection, _ = connected(answers)
    connection.data_received(OTHER % 0)
    await turns()
    for _ in range(9):
        connection.data_received(HEAD % 2)
        await turns()
        connection.data_received(b"{}")
        await turns()
    assert answers.were_held == [False, False] + [True] * 8
