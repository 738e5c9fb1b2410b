"""Writing past the transport: the same bytes in the same order, and never into a descriptor that has become another's."""

import asyncio
import contextlib
import os
import socket
import ssl

import pytest

from keyhouse.gateway import own_socket
from keyhouse.gateway.own_socket import Write, straight_write
from tests.gateway.conftest import Authority, Run


class Protocol(asyncio.Protocol):
    def __init__(self) -> None:
        self.is_behind = False
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def pause_writing(self) -> None:
        self.is_behind = True

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(error)


async def connected() -> tuple[asyncio.Transport, Protocol, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    transport, protocol = await asyncio.get_running_loop().create_connection(Protocol, sock=ours)
    return transport, protocol, theirs


def too_late(write: Write) -> None:
    # uvloop's transports say so.
    with contextlib.suppress(RuntimeError):
        write(b"too late")


def received(theirs: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += theirs.recv(size - len(found))
    return found


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each write past a transport was to send."""
    sizes: list[int] = []

    def write(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return os.write(descriptor, data)

    monkeypatch.setattr(own_socket, "write_to", write)
    return sizes


def test_what_the_system_takes_is_written_at_once(run: Run, written: list[int]) -> None:
    async def main() -> None:
        transport, _, theirs = await connected()
        write = straight_write(transport)
        write(b"one")
        assert theirs.recv(9) == b"one"
        transport.write(b"two")
        write(b"three")
        assert received(theirs, 8) == b"twothree"
        transport.close()
        theirs.close()

    run(main())
    assert written == [3, 5]


def test_what_it_does_not_take_waits_in_the_transport_and_stays_in_order(run: Run, written: list[int]) -> None:
    async def main() -> None:
        transport, protocol, theirs = await connected()
        write = straight_write(transport)
        sent = [bytes([number]) * 50_000 for number in range(8)]
        for piece in sent:
            write(piece)
        assert protocol.is_behind
        assert transport.get_write_buffer_size() > 300_000
        assert await asyncio.to_thread(received, theirs, 400_000) == b"".join(sent)
        transport.close()
        theirs.close()

    run(main())
    assert written == [50_000]


@pytest.mark.parametrize("how", ["close", "abort"])
def test_nothing_is_written_to_a_descriptor_that_may_be_another_one(run: Run, how: str, written: list[int]) -> None:
    async def main() -> None:
        transport, protocol, theirs = await connected()
        descriptor = transport.get_extra_info("socket").fileno()
        write = straight_write(transport)
        getattr(transport, how)()
        write(b"too late")
        await protocol.lost
        await asyncio.sleep(0)
        others = [socket.socketpair() for _ in range(9)]
        assert descriptor in {each.fileno() for pair in others for each in pair}
        too_late(write)
        for each in (end for pair in others for end in pair):
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(9)
        for each in (end for pair in others for end in pair):
            each.close()
        theirs.close()

    run(main())
    assert written == []


def test_who_is_gone_is_told_of_by_the_transport(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await connected()
        write = straight_write(transport)
        transport.pause_reading()
        theirs.close()
        write(b"nobody")
        assert isinstance(await protocol.lost, BrokenPipeError)
        assert transport.is_closing()
        too_late(write)

    run(main())


def test_what_is_encrypted_goes_through_its_transport(run: Run, authority: Authority, written: list[int]) -> None:
    async def main() -> None:
        events = asyncio.get_running_loop()
        server = await events.create_server(Protocol, "127.0.0.1", 0, ssl=authority.server_context("a"))
        port = server.sockets[0].getsockname()[1]
        context = ssl.create_default_context(cafile=authority.ca_file)
        transport, protocol = await events.create_connection(Protocol, "127.0.0.1", port, ssl=context, server_hostname="a")
        straight_write(transport)(b"secret")
        transport.close()
        await protocol.lost
        server.close()

    run(main())
    assert written == []
