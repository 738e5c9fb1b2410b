"""Finding addresses: no name waits for another one, and what is asked for at once is asked once."""

import asyncio
import socket
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from keyhouse.domain.address import Origin
from keyhouse.gateway.name_lookup import MOST_AT_ONCE, NameLookups
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import client, fetched, within
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, answering, answering_once, response


@dataclass
class Resolver:
    """Stands in for the system's: knows no name that begins with `silent` before `speak` is set, and then each as 127.0.0.1.

    Of names that begin with `slow` it tells one for each `word`.
    """

    asked: Counter[str] = field(default_factory=Counter)
    speak: threading.Event = field(default_factory=threading.Event)
    word: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def getaddrinfo(self, host: str, port: int | None, **_: object) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        self.asked[host] += 1
        if host.startswith("silent"):
            self.speak.wait()
        if host.startswith("slow"):
            self.word.acquire()
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.speak.set()
    made.word.release(1000)


def named(origin: Origin, name: str) -> Origin:
    return replace(origin, host=name)


def test_names_that_nobody_answers_for_hold_up_no_other(run: Run, resolver: Resolver) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            silent = [asyncio.create_task(fetched(upstream, named(server.origin, f"silent{number}"))) for number in range(20)]
            while len(resolver.asked) < len(silent):
                await asyncio.sleep(0)
            assert await fetched(upstream, named(server.origin, "answered")) == (200, b"ok")
            assert not any(call.done() for call in silent)
            resolver.speak.set()
            assert await asyncio.gather(*silent) == [(200, b"ok")] * 20

    run(scenario())


def test_calls_at_once_ask_for_their_name_once(run: Run, resolver: Resolver) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            calls = [asyncio.create_task(fetched(upstream, named(server.origin, "silent"))) for _ in range(50)]
            await asyncio.sleep(0)
            resolver.speak.set()
            assert await asyncio.gather(*calls) == [(200, b"ok")] * 50
            assert resolver.asked["silent"] == 1

    run(scenario())


def test_a_name_is_asked_for_anew_for_each_later_connection(run: Run, resolver: Resolver) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering_once(response())) as server, client() as upstream:
            for _ in range(3):
                await fetched(upstream, named(server.origin, "changing"))
            assert resolver.asked["changing"] == 3

    run(scenario())


def test_a_call_that_gives_up_leaves_its_look_up_to_the_next(run: Run, resolver: Resolver) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, named(server.origin, "silent"), within())
            assert caught.value.kind is UpstreamFailure.CONNECT_TIMEOUT
            later = asyncio.create_task(fetched(upstream, named(server.origin, "silent")))
            await asyncio.sleep(0)
            resolver.speak.set()
            assert await later == (200, b"ok")
            assert resolver.asked["silent"] == 1

    run(scenario())


def test_names_beyond_the_bound_wait_for_their_turn(run: Run, resolver: Resolver) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            names = [f"silent{number}" for number in range(MOST_AT_ONCE)]
            calls = [asyncio.create_task(fetched(upstream, named(server.origin, name))) for name in [*names, "last"]]
            while len(resolver.asked) < MOST_AT_ONCE:
                await asyncio.sleep(0)
            assert "last" not in resolver.asked
            resolver.speak.set()
            assert await asyncio.gather(*calls) == [(200, b"ok")] * len(calls)

    run(scenario())


def test_who_waits_longest_for_a_turn_has_the_next(run: Run, resolver: Resolver) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            slow = [f"slow{number}" for number in range(MOST_AT_ONCE)]
            names = [*slow, "silent-first", "silent-second"]
            calls = [asyncio.create_task(fetched(upstream, named(server.origin, name))) for name in names]
            for told in range(2):
                while len(resolver.asked) < MOST_AT_ONCE + told:
                    await asyncio.sleep(0)
                assert set(resolver.asked) == set(names[: MOST_AT_ONCE + told])
                resolver.word.release()
            resolver.word.release(MOST_AT_ONCE)
            resolver.speak.set()
            assert await asyncio.gather(*calls) == [(200, b"ok")] * len(calls)

    run(scenario())


def test_names_that_wait_where_no_thread_can_be_started_cannot_be_resolved_now(
    run: Run, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            slow = [asyncio.create_task(fetched(upstream, named(server.origin, f"slow{number}"))) for number in range(MOST_AT_ONCE)]
            while len(resolver.asked) < MOST_AT_ONCE:
                await asyncio.sleep(0)
            waiting = [asyncio.create_task(fetched(upstream, named(server.origin, f"waiting{number}"))) for number in range(600)]
            await asyncio.sleep(0)
            with monkeypatch.context() as short:
                short.setattr(threading.Thread, "start", start)
                resolver.word.release()
                for outcome in await asyncio.gather(*waiting, return_exceptions=True):
                    assert isinstance(outcome, UpstreamError)
                    assert (outcome.kind, outcome.message) == (UpstreamFailure.CONNECT_FAILED, "The upstream's name could not be resolved.")
            assert await fetched(upstream, named(server.origin, "waiting0")) == (200, b"ok")
            resolver.word.release(MOST_AT_ONCE)
            assert await asyncio.gather(*slow) == [(200, b"ok")] * MOST_AT_ONCE

    run(scenario())


@pytest.mark.usefixtures("uncollected")
def test_a_failed_look_up_leaves_nothing_to_the_collector_of_cycles(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class LostError(OSError):
        """One that can be watched."""

    def getaddrinfo(*_: object, **__: object) -> None:
        raise LostError

    async def scenario() -> None:
        left = None
        try:
            await NameLookups().addresses("lost")
        except LostError as lost:
            left = weakref.ref(lost)
        assert left is not None
        # The thread may be about to let go of it.
        while left() is not None:
            await asyncio.sleep(0)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    run(scenario())


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_the_system_tells_each_address_once_of_either_family(run: Run, host: str, family: socket.AddressFamily) -> None:
    async def scenario() -> None:
        assert [(kind, address[0]) for kind, address in await NameLookups().addresses(host)] == [(family, host)]

    run(scenario())


def test_a_look_up_that_nobody_answers_keeps_no_process_from_ending() -> None:
    script = """
import asyncio, socket, threading
from keyhouse.gateway.name_lookup import NameLookups
asked = threading.Event()
def getaddrinfo(*_, **__):
    asked.set()
    threading.Event().wait()
socket.getaddrinfo = getaddrinfo
async def main():
    looking = asyncio.create_task(NameLookups().addresses("silent"))
    await asyncio.sleep(0)
    asked.wait()
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_loop_ends_though_a_look_up_is_under_way(run: Run, resolver: Resolver) -> None:
    async def scenario() -> None:
        async with client() as upstream:
            with pytest.raises(UpstreamError):
                await fetched(upstream, Origin("http", "silent", 80), within())

    run(scenario())
    resolver.speak.set()
    for thread in threading.enumerate():
        if thread.name == "keyhouse-names":
            thread.join()
