"""An upstream on loopback in a thread of its own, so that blocking clients can call it: raw scripts as the client's own tests use them."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.gateway.fault_upstream import FaultUpstream, Peer, ReceivedRequest, Script, response


@dataclass
class Upstream:
    """A running upstream. `script` may be replaced between requests of new connections; `requests` are those that came."""

    script: Script
    loop: asyncio.AbstractEventLoop
    server: FaultUpstream | None = None
    left: list[int] = field(default_factory=list)

    @property
    def address(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def requests(self) -> list[ReceivedRequest]:
        assert self.server is not None
        return self.server.requests

    @property
    def connections(self) -> int:
        assert self.server is not None
        return self.server.connections

    def follow(self, script: Script) -> None:
        """From now on follow this script, on new connections: those that are open are closed."""
        self.script = script
        dropped = threading.Event()

        async def drop() -> None:
            assert self.server is not None
            peers = list(self.server._peers)
            for peer in peers:
                peer.cancel()
            await asyncio.gather(*peers, return_exceptions=True)
            dropped.set()

        asyncio.run_coroutine_threadsafe(drop(), self.loop)
        assert dropped.wait(30)

    def bodies(self) -> list[Any]:
        """The JSON bodies that came."""
        return [json.loads(request.body) for request in self.requests]


@contextmanager
def running_upstream(script: Script) -> Iterator[Upstream]:
    """An upstream that runs until the block ends."""
    loop = asyncio.new_event_loop()
    upstream = Upstream(script, loop)
    started, stopping = threading.Event(), asyncio.Event()

    async def current_script(peer: Peer) -> None:
        await upstream.script(peer)

    async def serve() -> None:
        async with FaultUpstream(current_script) as server:
            upstream.server = server
            started.set()
            await stopping.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
        loop.close()


Answering = Callable[[ReceivedRequest], bytes]


def answered_by(answer: Answering) -> Script:
    """A script that gives every request of a connection what `answer` says."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.send(answer(await peer.request()))

    return script


def json_answer(body: object, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """A whole JSON answer. `headers`: lines, each ended."""
    return response(json.dumps(body).encode(), status=status, headers=b"content-type: application/json\r\n" + headers)


def stream_answer(*events: bytes, headers: bytes = b"", ended: bool = True) -> bytes:
    """A chunked answer of server-sent events, one chunk each; without its last chunk if it is not `ended`."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n" + headers + b"\r\n"
    return head + framed + (b"0\r\n\r\n" if ended else b"")


def data_event(body: object) -> bytes:
    """An event without a name."""
    return b"data: %b\n\n" % json.dumps(body).encode()


def named_event(name: str, body: object) -> bytes:
    """An event with a name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps(body).encode())
