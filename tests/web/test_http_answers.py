"""The bytes of an answer, whichever way it was given: every byte of it, and none behind its end."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from keyhouse.gateway.request import Headers
from keyhouse.web.gateway.exchange import CallerLeftError
from keyhouse.web.http_answer import HEAD_TOO_LARGE, NO_REQUEST, DateLine
from keyhouse.web.http_exchange import HttpExchange
from tests.web.test_http_moments import CHUNKED, HEAD, MemoryTransport, Streamed, connected, turns

Answer = Callable[[HttpExchange], Awaitable[None]]

LENGTH_4: Headers = [(b"content-length", b"4")]
LENGTH_9: Headers = [(b"x-a", b"b"), (b"content-length", b"9")]


def whole(status: int, headers: Headers, body: bytes) -> Answer:
    async def answer(exchange: HttpExchange) -> None:
        await exchange.answer(status, headers, body)

    return answer


def in_pieces(status: int, headers: Headers, *pieces: bytes) -> Answer:
    async def answer(exchange: HttpExchange) -> None:
        exchange.begin(status, headers)
        for piece in pieces:
            exchange.write(piece)
        exchange.end()

    return answer


def written(transport: MemoryTransport) -> bytes:
    """What was sent, but for the date."""
    return re.sub(rb"date: [^\r]+ GMT\r\n", b"", transport.written)


OK, NOTHING = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n"
FRAMED = b"transfer-encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        (b"GET", whole(200, [], b""), OK + b"content-length: 0\r\n\r\n"),
        (b"GET", whole(200, [], b"well"), OK + b"content-length: 4\r\n\r\nwell"),
        (b"GET", whole(200, LENGTH_4, b"well"), OK + b"content-length: 4\r\n\r\nwell"),
        (b"GET", whole(200, LENGTH_9, b"well"), OK + b"x-a: b\r\ncontent-length: 4\r\n\r\nwell"),
        (b"HEAD", whole(200, LENGTH_9, b""), OK + b"x-a: b\r\ncontent-length: 9\r\n\r\n"),
        (b"HEAD", whole(200, [], b"well"), OK + b"content-length: 4\r\n\r\n"),
        (b"GET", whole(204, LENGTH_9, b"well"), NOTHING + b"x-a: b\r\n\r\n"),
        (b"GET", whole(304, [], b""), b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (b"GET", whole(299, [], b""), b"HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n"),
        (b"GET", whole(599, [], b""), b"HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n"),
        (b"GET", in_pieces(200, [], b"we", b"", b"ll"), OK + FRAMED + b"\r\n2\r\nwe\r\n2\r\nll\r\n0\r\n\r\n"),
        (b"GET", in_pieces(200, [], b"x" * 26), OK + FRAMED + b"\r\n1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"),
        (b"GET", in_pieces(200, LENGTH_4, b"we", b"", b"ll"), OK + b"content-length: 4\r\n\r\nwell"),
        (b"HEAD", in_pieces(200, [], b"we", b"ll"), OK + b"\r\n"),
        (b"HEAD", in_pieces(200, LENGTH_4, b"we", b"ll"), OK + b"content-length: 4\r\n\r\n"),
        (b"GET", in_pieces(204, LENGTH_9), NOTHING + b"x-a: b\r\n\r\n"),
        (b"GET", in_pieces(304, []), b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
)
def test_every_byte_of_an_answer_is_as_it_should_be(method: bytes, answer: Answer, expected: bytes) -> None:
    async def main() -> None:
        connection, transport = connected(answer)
        for times in (1, 2):
            connection.data_received(method + b" / HTTP/1.1\r\nhost: a\r\n\r\n")
            await turns()
            assert written(transport) == expected * times
        assert not transport.is_closed

    asyncio.run(main())


@pytest.mark.parametrize("size", [16 * 1024, 16 * 1024 + 1, 1_000_000])
def test_a_whole_answer_of_any_size_is_sent_whole(size: int) -> None:
    async def main() -> None:
        connection, transport = connected(whole(200, [], b"x" * size))
        connection.data_received(HEAD % 0)
        await turns()
        assert written(transport) == OK + b"content-length: %d\r\n\r\n" % size + b"x" * size

    asyncio.run(main())


async def late_stream(exchange: HttpExchange) -> None:
    await exchange.answer(200, [], Streamed())


async def late_counted_stream(exchange: HttpExchange) -> None:
    await exchange.answer(200, [(b"content-length", b"6")], Streamed())


@pytest.mark.parametrize(
    "answer", [whole(200, [], b"well"), in_pieces(200, [], b"well"), in_pieces(200, LENGTH_4, b"well"), late_stream, late_counted_stream]
)
def test_who_was_refused_in_the_middle_of_a_body_gets_no_second_answer(answer: Answer) -> None:
    async def main() -> None:
        async def nevertheless(exchange: HttpExchange) -> None:
            with pytest.raises(CallerLeftError):
                await exchange.body(100)
            await answer(exchange)

        connection, transport = connected(nevertheless)
        connection.data_received(CHUNKED)
        await turns()
        connection.data_received(b"no chunk\r\n")
        await turns()
        assert transport.written == NO_REQUEST

    asyncio.run(main())


def test_a_refusal_is_a_whole_answer_that_ends_the_connection() -> None:
    begun, _, text = HEAD_TOO_LARGE.partition(b"\r\n\r\n")
    status, *lines = begun.split(b"\r\n")
    assert status == b"HTTP/1.1 431 Request Header Fields Too Large"
    assert lines == [b"content-type: text/plain; charset=utf-8", b"content-length: %d" % len(text), b"connection: close"]
    assert text.endswith(b"64 KiB.\n")


def test_the_date_of_an_answer_is_that_of_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    date = DateLine()
    for now, told in ((1e9, b"01:46:40"), (1e9 + 0.9, b"01:46:40"), (1e9 + 1, b"01:46:41"), (1e9 + 1.5, b"01:46:41")):
        monkeypatch.setattr("time.time", lambda now=now: now)
        assert date.text() == b"date: Sun, 09 Sep 2001 %b GMT\r\n" % told
