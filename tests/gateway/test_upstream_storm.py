"""Everything at once: whatever upstreams and callers do, each caller gets its own answer or an error, and nothing is left.

One thing is beyond any client: a second whole answer that the upstream sends by itself, and that arrives after the next request went out.
"""

import asyncio
import gc
import random
import sys
from collections.abc import Awaitable, Callable, Sequence

import pytest

from keyhouse.gateway.pool import PoolLimits
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream import Upstream, UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError
from tests.gateway.calls import Call, client, fetched, read
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, Script, answering, response

OneCall = Callable[[Upstream, FaultUpstream, bytes, random.Random], Awaitable[str]]
"""Sends a body to an upstream that answers it with the same; how that ended."""
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def unreliable(dice: random.Random) -> Script:
    """Answers most requests with their own body, and some in every wrong way."""

    async def script(peer: Peer) -> None:
        while True:
            asked = (await peer.request()).body
            peer.upstream.requests.clear()
            match dice.randrange(14):
                case 0:
                    return
                case 1:
                    return peer.reset()
                case 2:
                    await peer.send(response(asked) + response(b"poison"))
                case 3:
                    await peer.send(b"", response(asked) + b"0\r\n\r\n")
                case 4:
                    await peer.send(CHUNKED_HEAD, b"%x\r\n%b\r\n" % (len(asked), asked), b"zz\r\n")
                case 5:
                    return await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(asked) + 5, asked))
                case 6:
                    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(asked) - 1, asked))
                case 7:
                    return await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", asked)
                case 8:
                    await peer.send(response(asked, headers=b"connection: close\r\n"))
                case 9:
                    await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n", CHUNKED_HEAD, b"%x\r\n%b\r\n0\r\n\r\n" % (len(asked), asked))
                case _:
                    await peer.send(response(asked))

    return script


async def one_call(upstream: Upstream, server: FaultUpstream, body: bytes, dice: random.Random) -> str:
    answer = await upstream.open(Call(body=body).to(server.origin))
    try:
        if dice.randrange(8) == 0:
            return "left"
        got = await read(answer)
    finally:
        answer.close()
    # An upstream that says its answer is a byte shorter than it is has given that, and no client can know better.
    assert got in (body, body[:-1])
    return "answered"


async def storm(dice: random.Random, one_call: OneCall, callers: int, times: Sequence[int]) -> set[str]:
    """How calls end that so many callers make at two unreliable upstreams, some leaving; a body is written one of these many `times`."""
    outcomes: set[str] = set()
    settings = UpstreamSettings(timeouts=Timeouts(connect_s=10, pool_s=20), limits=PoolLimits(per_origin=6, total=10))
    async with FaultUpstream(unreliable(dice)) as one, FaultUpstream(unreliable(dice)) as other, client(settings) as upstream:

        async def caller(name: int) -> None:
            for number in range(25):
                body = b"request %d of caller %d;" % (number, name) * dice.choice(times)
                call = asyncio.ensure_future(one_call(upstream, dice.choice((one, other)), body, dice))
                if dice.randrange(6) == 0:
                    for _ in range(dice.randrange(20)):
                        await asyncio.sleep(0)
                    call.cancel()
                outcome = (await asyncio.gather(call, return_exceptions=True))[0]
                assert isinstance(outcome, str | UpstreamError | asyncio.CancelledError), outcome
                outcomes.add(outcome if isinstance(outcome, str) else type(outcome).__name__)

        await asyncio.gather(*(caller(name) for name in range(callers)))
        now = upstream.connections()
        assert (now.open, now.waiting) == (now.idle, 0)
        assert now.open <= 10
    return outcomes


@pytest.mark.parametrize("seed", range(6))
def test_no_caller_ever_gets_another_ones_answer(run: Run, seed: int) -> None:
    outcomes = run(storm(random.Random(seed), one_call, callers=20, times=(1, 1, 5000)))
    assert outcomes == {"answered", "left", "UpstreamError", "CancelledError"}


def test_a_request_does_the_same_work_however_many_connections_are_idle(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:

            async def calls_of_one_request() -> int:
                counted = 0

                def count(_: object, event: str, __: object) -> None:
                    nonlocal counted
                    counted += event in ("call", "c_call")

                request = Call().to(server.origin)
                gc.disable()  # whoever is called when it collects is no part of the request
                sys.setprofile(count)
                connection = upstream._pool.take_idle(request.head.key)
                assert connection is not None
                upstream._pool.give_back(connection)
                sys.setprofile(None)
                gc.enable()
                return counted

            await fetched(upstream, server.origin)
            alone = await calls_of_one_request()
            await asyncio.gather(*(fetched(upstream, server.origin) for _ in range(100)))
            assert upstream.connections().idle > 20
            assert await calls_of_one_request() == alone

    run(scenario())
