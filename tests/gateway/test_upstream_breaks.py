"""Answers that break off: an error wherever it happens, after all that came before it."""

import asyncio

import pytest

from keyhouse.gateway.passing import pieces
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import GET, POST, client
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, chunked_response

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("kept", range(1, len(chunked_response(b"one", b"two")) - 1))
def test_a_break_anywhere_in_a_chunked_answer_is_an_error(run: Run, how: str, kept: int) -> None:
    answer = chunked_response(b"one", b"two")
    await_body = len(CHUNKED_HEAD)

    async def scenario() -> None:
        seen = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(answer[:kept])
            if kept > await_body:
                await seen.wait()
            if how == "reset":
                peer.reset()

        async with FaultUpstream(script) as server, client() as upstream:
            got = bytearray()

            async def call() -> None:
                opened = await upstream.open(POST.to(server.origin))
                seen.set()
                async for data in pieces(opened.body):
                    got.extend(data)

            with pytest.raises(UpstreamError) as caught:
                await call()
            assert caught.value.kind is UpstreamFailure.BROKEN
            assert caught.value.request_sent
            assert b"onetwo".startswith(got)
            assert upstream.connections().open == 0

    run(scenario())


def test_an_answer_without_length_that_is_reset_is_broken(run: Run) -> None:
    async def scenario() -> None:
        seen = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", b"half")
            await seen.wait()
            peer.reset()

        async with FaultUpstream(script) as server, client() as upstream:
            answer = await upstream.open(GET.to(server.origin))
            assert await answer.body.at_most(1) == b"half"
            seen.set()
            with pytest.raises(UpstreamError) as caught:
                await answer.body.at_most(1)
            assert caught.value.kind is UpstreamFailure.BROKEN

    run(scenario())


def test_what_came_before_a_break_is_given_before_the_error(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED_HEAD + chunk(b"first words") + b"zz\r\n")
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            answer = await upstream.open(GET.to(server.origin))
            assert await answer.body.at_most(1) == b"first words"
            with pytest.raises(UpstreamError) as caught:
                await answer.body.at_most(1)
            assert caught.value.kind is UpstreamFailure.BAD_RESPONSE
            with pytest.raises(UpstreamError):
                await answer.body.at_most(1)

    run(scenario())
