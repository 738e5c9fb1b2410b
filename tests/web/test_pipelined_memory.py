"""Pipelined requests wait as bytes: as requests, whoever sends thousands of them without a key would fill the memory."""

import asyncio
import gc
import socket

import pytest
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from keyhouse.web.gateway.exchange import Exchange
from keyhouse.web.http_exchange import SLICE_BYTES, Answering, HttpExchange
from keyhouse.web.serving import server_config

TINY = b"GET / HTTP/1.1\r\nhost:\r\n\r\n"
COUNT = 6000
BODIES = b"".join(b"POST / HTTP/1.1\r\nhost:\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size for size in (0, 1, 70_000, 3, 40_000, 0))


async def nothing_else(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(("asked", "count"), [(TINY * COUNT, COUNT), (TINY + BODIES * 20, 121)], ids=["tiny ones", "with bodies"])
def test_pipelined_requests_are_few_at_a_time_and_all_answered(loop_factory, asked: bytes, count: int) -> None:
    may_answer, bodies = asyncio.Event(), []

    async def answer(exchange: Exchange) -> None:
        await may_answer.wait()
        body = await exchange.body(100_000)
        assert body is not None
        bodies.append(len(body))
        await exchange.answer(200, [], b"")

    async def scenario() -> int:
        config = server_config(nothing_else, shutdown_timeout_s=1, answering=Answering(lambda path: answer))
        config.load()
        state, loop = ServerState(), asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: config.http_protocol_class(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        with socket.create_connection(server.sockets[0].getsockname()) as caller:
            caller.setblocking(False)
            sending = asyncio.create_task(loop.sock_sendall(caller, asked))
            while not state.tasks:
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
            waiting = sum(type(each) is HttpExchange for each in gc.get_objects())
            may_answer.set()
            received = b""
            while received.count(b"HTTP/1.1 200 OK") < count:
                received += await loop.sock_recv(caller, 1 << 20)
            await sending
        server.close()
        await server.wait_closed()

        return waiting

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        waiting = runner.run(scenario())
    assert 0 < waiting <= SLICE_BYTES // len(TINY) + 3
    assert len(bodies) == count
    assert count == COUNT or bodies == [0, *(0, 1, 70_000, 3, 40_000, 0) * 20]
