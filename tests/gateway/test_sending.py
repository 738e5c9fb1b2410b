"""How a large request goes out, without a network that is slow at the right moment."""

import asyncio
import math

from keyhouse.gateway.bounds import PIECE_BYTES
from tests.gateway.calls import Call
from tests.gateway.conftest import Run
from tests.gateway.test_connection import CHUNKED_HEAD, Exchange

LARGE = Call(body=b"x" * (4 * PIECE_BYTES))


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_an_upstream_that_takes_no_more_gets_no_more(run: Run) -> None:
    async def scenario() -> None:
        exchange = Exchange(LARGE)
        exchange.transport.written = b""
        exchange.connection.pause_writing()
        await some_turns()
        assert len(exchange.transport.written) == PIECE_BYTES
        assert exchange.connection.deadline < math.inf
        exchange.connection.resume_writing()
        await some_turns()
        assert exchange.transport.written == LARGE.body
        exchange.kept()

    run(scenario())


def test_an_answer_that_pauses_while_its_request_is_still_sent_is_waited_for(run: Run) -> None:
    async def scenario() -> None:
        exchange = Exchange(LARGE)
        exchange.feed(CHUNKED_HEAD)
        assert exchange.connection.deadline == math.inf
        await some_turns()
        assert exchange.connection.deadline < math.inf
        exchange.kept()

    run(scenario())
