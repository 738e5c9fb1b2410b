"""A caller who takes slowly is waited for, one who takes nothing is left: a real socket, and the moment of each look chosen by the test."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest
import uvloop

from keyhouse.gateway.timeouts import Deadlines, Timed
from keyhouse.web.http_taking import TAKE_TIMEOUT_S, Taking

WHOLE = b"x" * 8_000_000


class Sender(asyncio.Protocol):
    """Notes what its transport tells."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self.deadlines: Deadlines[Timed] = Deadlines()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.taking = Taking(self.transport, asyncio.get_running_loop(), self.deadlines)

    def pause_writing(self) -> None:
        self.taking.fall_behind()

    def resume_writing(self) -> None:
        self.taking.catch_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.taking.end()
        self.lost.set_result(exc)


@contextlib.asynccontextmanager
async def connection() -> AsyncIterator[tuple[Sender, socket.socket]]:
    """A sender, and the caller's socket, which is read by nobody."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        transport, sender = await asyncio.get_running_loop().create_connection(Sender, sock=ours)
        yield sender, theirs
        transport.abort()
        await sender.lost
    assert sender.deadlines.watched() == []


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as running:
        yield running


async def take_some(sender: Sender, theirs: socket.socket) -> None:
    """Read until the sender has got something off."""
    before = sender.transport.get_write_buffer_size()
    while sender.transport.get_write_buffer_size() >= before:
        with contextlib.suppress(BlockingIOError):
            theirs.recv(65536)
        await asyncio.sleep(0)


async def stand_still(sender: Sender) -> None:
    """Let the loop send what the socket takes."""
    before = -1
    while sender.transport.get_write_buffer_size() != before:
        before = sender.transport.get_write_buffer_size()
        await asyncio.sleep(0)


def test_who_takes_slowly_is_waited_for_and_who_takes_nothing_is_left(runner):
    async def check() -> None:
        async with connection() as (sender, theirs):
            sender.transport.write(WHOLE)
            await stand_still(sender)
            assert sender.taking.is_behind
            assert sender.deadlines.watched() == [sender.taking]
            for _ in range(3):
                await take_some(sender, theirs)
                sender.taking.expire()
                assert not sender.transport.is_closing()
            await stand_still(sender)
            sender.taking.expire()
            sender.taking.expire()
            await sender.lost

    runner.run(check())


def test_who_catches_up_is_watched_no_more(runner):
    async def check() -> None:
        async with connection() as (sender, theirs):
            sender.transport.write(WHOLE)
            await stand_still(sender)
            waiting = asyncio.ensure_future(sender.taking.caught_up())
            while sender.taking.is_behind:
                await take_some(sender, theirs)
            await waiting
            assert sender.deadlines.watched() == []

    runner.run(check())


def test_nobody_waits_for_a_caller_who_left_while_it_was_behind(runner):
    async def check() -> None:
        async with connection() as (sender, theirs):
            sender.transport.write(WHOLE)
            await stand_still(sender)
            waiting = asyncio.ensure_future(sender.taking.caught_up())
            await asyncio.sleep(0)
            theirs.close()
            await sender.lost
            await asyncio.wait_for(waiting, 20)
            assert not sender.taking.is_behind

    runner.run(check())


@pytest.mark.parametrize("is_earlier", [True, False])
def test_whoever_falls_behind_keeps_nobody_elses_deadline_from_being_looked_at(runner, is_earlier):
    async def check() -> None:
        async with connection() as (sender, _):
            due = asyncio.get_running_loop().time() + (TAKE_TIMEOUT_S - 1 if is_earlier else TAKE_TIMEOUT_S + 1000)
            sender.deadlines.arm(due)
            sender.taking.fall_behind()
            assert sender.deadlines.next_due == (due if is_earlier else sender.taking.deadline)

    runner.run(check())


def test_a_connection_that_is_closed_does_not_wait_for_ever_for_its_last_bytes_to_be_taken(runner):
    async def check() -> None:
        async with connection() as (sender, theirs):
            sender.transport.write(WHOLE)
            await stand_still(sender)
            while sender.taking.is_behind:
                await take_some(sender, theirs)
            sender.transport.write(WHOLE)
            await stand_still(sender)
            sender.taking.close()
            assert not sender.lost.done()
            await take_some(sender, theirs)
            sender.taking.expire()
            assert not sender.lost.done()
            await stand_still(sender)
            sender.taking.expire()
            sender.taking.expire()
            await sender.lost

    runner.run(check())


def test_a_connection_that_is_closed_while_its_caller_is_behind_is_watched_to_its_last_byte(runner):
    async def check() -> None:
        async with connection() as (sender, theirs):
            sender.transport.set_write_buffer_limits(high=len(WHOLE), low=len(WHOLE))
            for _ in range(2):
                sender.transport.write(WHOLE)
                await stand_still(sender)
            sender.taking.close()
            while sender.taking.is_behind:
                await take_some(sender, theirs)
            assert sender.transport.get_write_buffer_size() > 0
            assert sender.deadlines.watched() == [sender.taking]
            await stand_still(sender)
            sender.taking.expire()
            sender.taking.expire()
            await sender.lost

    runner.run(check())


def test_a_connection_that_owes_little_as_it_is_closed_is_left_too(runner):
    async def check() -> None:
        async with connection() as (sender, _):
            sender.transport.set_write_buffer_limits(high=2 * len(WHOLE))
            sender.transport.write(WHOLE)
            await stand_still(sender)
            assert not sender.taking.is_behind
            sender.taking.close()
            assert sender.deadlines.watched() == [sender.taking]
            sender.taking.expire()
            await sender.lost

    runner.run(check())


def test_a_connection_that_owes_nothing_closes_at_once(runner):
    async def check() -> None:
        async with connection() as (sender, _):
            sender.taking.close()
            await sender.lost

    runner.run(check())
