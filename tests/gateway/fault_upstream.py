"""A raw HTTP/1.1 upstream on loopback that misbehaves on purpose, for every test that calls an upstream.

A test gives it a script, an async function that is run with a `Peer` for each connection. Nothing here parses or writes more of HTTP than a
script asks for, so that a script can break any rule.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from keyhouse.domain.address import Origin


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as it came: the head's bytes without the empty line, and the body with its framing removed."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.split(b"\r\n", 1)[0]

    def header(self, name: bytes) -> list[bytes]:
        """The values of a header, in order."""
        lines = (line.partition(b":") for line in self.head.split(b"\r\n")[1:])
        return [value.strip() for found, _, value in lines if found.lower() == name]


class Peer:
    """One connection, seen from the upstream's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: "FaultUpstream") -> None:
        self.reader = reader
        self.writer = writer
        self.upstream = upstream
        # Which connection of this upstream it is, from 0.
        self.number = upstream.connections
        upstream.connections += 1

    async def request(self) -> ReceivedRequest:
        """Read a whole request. Raises IncompleteReadError when the client leaves."""
        head = (await self.reader.readuntil(b"\r\n\r\n"))[:-4]
        received = ReceivedRequest(head, b"")
        body = b""
        if length := received.header(b"content-length"):
            body = await self.reader.readexactly(int(length[0]))
        elif received.header(b"transfer-encoding"):
            body = await self._chunks()
        received = ReceivedRequest(head, body)
        self.upstream.requests.append(received)
        return received

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body

    async def send(self, *pieces: bytes) -> None:
        """Write each piece as a packet of its own as far as the system allows."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def left(self) -> None:
        """Wait until the client has closed the connection."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close with a reset instead of an end."""
        connected = self.writer.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class FaultUpstream:
    """A server on a free port of 127.0.0.1. A connection is closed when its script returns. `requests`, `connections`: what came so far."""

    script: Script
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    connections: int = 0
    requests: list[ReceivedRequest] = field(default_factory=list)
    port: int = 0
    # For the test to set when its client has read something, and for a script to wait for.
    read_from: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _peers: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def origin(self) -> Origin:
        """Where to call it."""
        return Origin("https" if self.tls else "http", self.host, self.port)

    async def __aenter__(self) -> "FaultUpstream":
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self.tls, limit=1 << 26, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(0)  # who was accepted in this turn is told of in the next
        while self._peers:
            for peer in self._peers:
                peer.cancel()
            await asyncio.gather(*self._peers, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._peers.add(task)
        task.add_done_callback(self._peers.discard)
        # Not at the end of the task: one that is cancelled before its first step never comes to it. asyncio's transport cannot be ended
        # once more where it has ended after what was left to write.
        task.add_done_callback(lambda ended: writer.transport.abort() if ended.cancelled() else None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self.script(Peer(reader, writer, self))
        finally:
            writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def answering(*pieces: bytes) -> Script:
    """A script that gives every request of a connection the same answer, piece by piece."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*pieces)

    return script


def answering_once(*pieces: bytes) -> Script:
    """A script that answers one request, piece by piece, and then closes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)

    return script


def response(body: bytes = b"ok", *, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """A whole answer with a length. `headers`: lines, each ended."""
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b\r\n%b" % (status, len(body), headers, body)


def chunked_response(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A whole chunked answer. `trailers`: lines, each ended."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n" + trailers + b"\r\n"
