"""What a request on a kept-alive connection costs, in things that do not depend on the machine."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from keyhouse.domain.target import Target
from keyhouse.gateway import own_socket
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.prepared import PreparedTargets
from tests.gateway.calls import POST, Call, client, fetched
from tests.gateway.fault_upstream import FaultUpstream, answering, chunked_response, response


def counted(name: str, counts: dict[str, int], do: Callable[..., Any]) -> Callable[..., Any]:
    def counting(*args: Any, **options: Any) -> Any:
        counts[name] = counts.get(name, 0) + 1
        return do(*args, **options)

    return counting


@pytest.mark.parametrize("answer", [response(b"hello"), chunked_response(b"hello")])
@pytest.mark.parametrize("call", [POST, Call(body=b"x" * 32 * 1024)])
def test_a_request_is_one_write_and_sets_no_timer(answer: bytes, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: dict[str, int] = {}
    made = Connection.connection_made

    def connection_made(self: Connection, transport: asyncio.BaseTransport) -> None:
        monkeypatch.setattr(transport, "write", counted("left to transports", counts, transport.write))  # type: ignore[attr-defined]
        made(self, transport)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(own_socket, "write_to", counted("writes", counts, own_socket.write_to))
        monkeypatch.setattr(Connection, "connection_made", connection_made)
        async with FaultUpstream(answering(answer)) as server, client() as upstream:
            assert await fetched(upstream, server.origin, call) == (200, b"hello")
            counts.clear()
            for name in ("call_at", "call_later"):
                monkeypatch.setattr(loop, name, counted("timers", counts, getattr(loop, name)))
            for _ in range(50):
                assert await fetched(upstream, server.origin, call) == (200, b"hello")
            assert counts == {"writes": 50}

    asyncio.run(scenario())


def test_a_target_is_prepared_once_and_forgotten_with_it() -> None:
    prepared = PreparedTargets()
    url = "http://127.0.0.1:9/v1/chat/completions"
    target = Target("p", "m", "m", "chat", "openai_chat", url, url)
    other = Target("p", "m", "m", "chat", "openai_chat", "http://127.0.0.1:9/other", url)
    assert prepared.get(target, "chat") is prepared.get(target, "chat")
    assert prepared.get(other, "chat").head.target == b"/other"
    assert len(prepared._kept) == 2
    del target, other
    assert not prepared._kept
