"""Connecting: every address is judged, each permitted one is tried, and a failure says what can be tried again."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyhouse.domain.address import Origin
from keyhouse.gateway.address_policy import AddressPolicy, address_policy
from keyhouse.gateway.dialing import _connect, _Endpoint
from keyhouse.gateway.upstream import UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.conftest import NEEDS_IPV6, UNKNOWN_HOST
from tests.gateway.calls import POST, client, fetched
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, answering, response


def under(policy: AddressPolicy) -> UpstreamSettings:
    return UpstreamSettings(policy=policy)


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has names resolved by a table; DNS itself is beyond loopback."""

    def install(**addresses: list[str]) -> None:
        def getaddrinfo(host: str, port: int | None, **_: object) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
            if not (found := addresses.get(host)):
                raise socket.gaierror(socket.EAI_NONAME, "unknown name")
            return [
                (socket.AF_INET6, 1, 6, "", (address, 0, 0, 0)) if ":" in address else (socket.AF_INET, 1, 6, "", (address, 0))
                for address in found
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return install


def test_a_refused_connection_may_be_tried_again(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server:
            origin = server.origin
        async with client() as upstream:
            with pytest.raises(UpstreamError, match="ECONNREFUSED") as caught:
                await fetched(upstream, origin)
            assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.CONNECT_FAILED, False)
            assert str(origin.port) not in str(caught.value)
            assert caught.value.__suppress_context__ or caught.value.__context__ is None

    run(scenario())


def test_an_upstream_that_comes_back_is_reached_again(run: Run) -> None:
    async def scenario() -> None:
        async with client() as upstream:
            async with FaultUpstream(answering(response(b"1"))) as server:
                assert await fetched(upstream, server.origin) == (200, b"1")
                origin = server.origin
            with pytest.raises(UpstreamError):
                await fetched(upstream, origin)
            async with FaultUpstream(answering(response(b"2")), port=origin.port):
                assert await fetched(upstream, origin) == (200, b"2")

    run(scenario())


def test_a_connection_closed_as_soon_as_it_is_made_breaks_or_fails(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            peer.reset()

        async with FaultUpstream(script) as server, client() as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin)
            assert caught.value.kind in {UpstreamFailure.BROKEN, UpstreamFailure.CONNECT_FAILED}
            assert caught.value.request_sent is (caught.value.kind is UpstreamFailure.BROKEN)
            assert upstream.connections().open == 0

    run(scenario())


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", b"127.0.0.1"),
        ("localhost", b"localhost"),
        pytest.param("::1", b"[::1]", marks=NEEDS_IPV6),
    ],
)
def test_literal_addresses_of_both_kinds_and_names_are_reached(run: Run, host: str, said: bytes) -> None:
    async def scenario() -> None:
        listens_on = "127.0.0.1" if host == "localhost" else host
        async with client() as upstream, FaultUpstream(answering(response()), host=listens_on) as server:
            assert await fetched(upstream, replace(server.origin, host=host)) == (200, b"ok")
            assert server.requests[0].header(b"host") == [b"%b:%d" % (said, server.port)]

    run(scenario())


def test_a_blocked_address_is_never_connected_to(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client(under(AddressPolicy(allow_private=False))) as upstream:
            with pytest.raises(UpstreamError, match="KEYHOUSE_ALLOW_PRIVATE_ADDRESSES") as caught:
                await fetched(upstream, server.origin)
            assert caught.value.kind is UpstreamFailure.BLOCKED
            assert "by its rule loopback_address." in caught.value.message
            assert not caught.value.request_sent
            assert server.connections == 0

    run(scenario())


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.0/8"])
def test_an_allowed_address_is_reached_when_private_ones_are_off(run: Run, allowed: str) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client(under(address_policy(False, allowed))) as upstream:
            assert await fetched(upstream, server.origin) == (200, b"ok")

    run(scenario())


def test_a_name_is_judged_by_what_it_resolves_to(run: Run, resolving: Any) -> None:
    async def scenario() -> None:
        resolving(rebound=["169.254.169.254"], inside=["10.1.2.3"], mapped=["::ffff:169.254.169.254"])
        async with client(under(AddressPolicy(allow_private=False))) as upstream:
            for host, rule in (("rebound", "cloud_metadata"), ("inside", "private_address"), ("mapped", "cloud_metadata")):
                with pytest.raises(UpstreamError) as caught:
                    await fetched(upstream, Origin("http", host, 80))
                assert caught.value.kind is UpstreamFailure.BLOCKED
                assert f"by its rule {rule}." in caught.value.message
                assert host not in str(caught.value)

    run(scenario())


def test_an_allowed_name_may_resolve_to_a_private_address_but_never_to_metadata(run: Run, resolving: Any) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client(under(address_policy(False, "inside"))) as upstream:
            resolving(inside=["127.0.0.1"])
            assert await fetched(upstream, Origin("http", "inside", server.port)) == (200, b"ok")
        resolving(inside=["169.254.169.254"])
        async with client(under(address_policy(True, "inside,169.254.0.0/16"))) as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, Origin("http", "inside", 80))
            assert "by its rule cloud_metadata." in caught.value.message

    run(scenario())


def test_the_address_that_was_judged_is_the_one_connected_to(run: Run, resolving: Any) -> None:
    """A name that changes its address between two look-ups changes nothing: there is one."""

    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            resolving(changing=["127.0.0.1"])
            for _ in range(3):
                assert await fetched(upstream, Origin("http", "changing", server.port)) == (200, b"ok")
                resolving(changing=["169.254.169.254"])
            assert server.connections == 1

    run(scenario())


def test_a_new_connection_is_judged_anew(run: Run, resolving: Any) -> None:
    async def scenario() -> None:
        answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
        async with FaultUpstream(answering(answer)) as server, client() as upstream:
            resolving(changing=["127.0.0.1"])
            await fetched(upstream, Origin("http", "changing", server.port))
            resolving(changing=["169.254.169.254"])
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, Origin("http", "changing", server.port))
            assert caught.value.kind is UpstreamFailure.BLOCKED

    run(scenario())


def test_the_permitted_addresses_are_tried_in_turn(run: Run, resolving: Any) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            resolving(many=["169.254.1.1", "127.0.0.2", "::1", "127.0.0.3", "127.0.0.1"])
            assert await fetched(upstream, Origin("http", "many", server.port)) == (200, b"ok")

    run(scenario())


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address is tried because the one before is slow on a busy machine."""
    monkeypatch.setattr("keyhouse.gateway.dialing.NEXT_ADDRESS_AFTER_S", 60.0)


def test_of_a_names_addresses_only_the_permitted_are_connected_to(run: Run, resolving: Any) -> None:
    async def scenario() -> None:
        async with (
            FaultUpstream(answering(response())) as permitted,
            FaultUpstream(answering(response()), host="127.0.0.2", port=permitted.port) as forbidden,
            client(under(address_policy(False, "127.0.0.1"))) as upstream,
        ):
            resolving(many=["127.0.0.2", "127.0.0.1"])
            assert await fetched(upstream, Origin("http", "many", permitted.port)) == (200, b"ok")
            assert (permitted.connections, forbidden.connections) == (1, 0)

    run(scenario())


@NEEDS_IPV6
@pytest.mark.usefixtures("_patient")
@pytest.mark.parametrize(
    ("addresses", "reached"),
    [
        (["127.0.0.2", "127.0.0.1", "::1"], "::1"),
        (["127.0.0.1", "::1"], "127.0.0.1"),
        (["::1", "127.0.0.1"], "::1"),
    ],
)
def test_the_kinds_of_addresses_take_turns_in_the_resolvers_order(run: Run, resolving: Any, addresses: list[str], reached: str) -> None:
    """A kind that leads nowhere costs one attempt."""

    async def scenario() -> None:
        async with (
            FaultUpstream(answering(response())) as first,
            FaultUpstream(answering(response()), host="::1", port=first.port) as second,
            client() as upstream,
        ):
            resolving(many=addresses)
            assert await fetched(upstream, Origin("http", "many", first.port)) == (200, b"ok")
            assert (first.connections, second.connections) == ((1, 0) if reached == "127.0.0.1" else (0, 1))

    run(scenario())


def test_when_no_address_answers_the_error_is_the_last_ones(run: Run, resolving: Any) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server:
            port = server.port
        async with client() as upstream:
            resolving(many=["127.0.0.1", "127.0.0.2"])
            with pytest.raises(UpstreamError, match="ECONNREFUSED") as caught:
                await fetched(upstream, Origin("http", "many", port))
            assert caught.value.kind is UpstreamFailure.CONNECT_FAILED

    run(scenario())


@contextlib.contextmanager
def full_listener() -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """One on 127.0.0.2 whose queue is full, so that whoever connects hears nothing; and those who fill it."""
    with contextlib.ExitStack() as held:
        full = held.enter_context(socket.socket())
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        waiting = [held.enter_context(socket.socket()) for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        yield full, waiting


def test_an_address_that_hangs_does_not_keep_the_next_from_its_turn(run: Run, resolving: Any) -> None:
    async def scenario() -> None:
        with full_listener() as (full, _):
            port = full.getsockname()[1]
            async with FaultUpstream(answering(response()), port=port) as server, client() as upstream:
                resolving(many=["127.0.0.2", "127.0.0.1"])
                assert await fetched(upstream, Origin("http", "many", port)) == (200, b"ok")
                assert server.connections == 1
                assert not [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "_connect"]

    run(scenario())


def knocks(port: int) -> int:
    """How many connections to a port of 127.0.0.2 are being made."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(fields[2] == f"0200007F:{port:04X}" and fields[3] == "02" for fields in lines)


def test_an_address_that_is_slow_is_waited_for_when_all_others_have_failed(run: Run, resolving: Any) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"{}")
            writer.write(response())
        writer.close()

    async def scenario() -> None:
        with full_listener() as (full, waiting):
            port = full.getsockname()[1]
            before = knocks(port)
            async with client() as upstream:
                resolving(many=["127.0.0.2", "127.0.0.1"])
                call = asyncio.create_task(fetched(upstream, Origin("http", "many", port)))
                while knocks(port) == before:
                    await asyncio.sleep(0)
                for each in waiting:
                    each.close()
                # The system knocks once more after a second.
                async with await asyncio.start_server(script, sock=full.dup()):
                    assert await call == (200, b"ok")

    run(scenario())


@pytest.mark.parametrize("name", [UNKNOWN_HOST, "a" * 64], ids=["nobody's", "no name at all"])
def test_a_name_that_does_not_resolve_is_a_failed_connection(run: Run, name: str) -> None:
    async def scenario() -> None:
        async with client() as upstream:
            with pytest.raises(UpstreamError, match="name could not be resolved") as caught:
                await fetched(upstream, Origin("http", name, 80))
            assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.CONNECT_FAILED, False)
            assert caught.value.__suppress_context__, "the cause may repeat the name"

    run(scenario())


@pytest.mark.parametrize("later", [None, 0, 1, 2, 3])
def test_a_caller_that_leaves_while_connecting_leaves_nothing_open(run: Run, later: int | None) -> None:
    """`later`: how many turns after the first cancellation the second comes, that of a time to connect which is over as well."""

    async def scenario() -> None:
        async with FaultUpstream(Peer.left) as server, client() as upstream:
            for turns in [*range(12)] * (20 if later is None else 5):  # which turn meets which event differs
                opening = asyncio.create_task(upstream.open(POST.to(replace(server.origin, scheme="https"))))
                for pause in (turns,) if later is None else (turns, later):
                    for _ in range(pause):
                        await asyncio.sleep(0)
                    opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening
                assert upstream.connections().open == 0
            # After a second cancellation nobody waits for the handshake's end any more; a loop must not close before it.
            making = [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "_made"]
            if making:
                assert later is not None
                await asyncio.wait(making)

    run(scenario())


def test_a_connection_that_waits_is_probed(run: Run) -> None:
    """NATs and firewalls forget silent ones within minutes, while an answer may take as long."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, await _connect(_Endpoint(server.family, server.getsockname())) as connected:
            assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [connected.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [60, 30, 4]

    run(scenario())


def test_redirects_are_given_to_the_caller(run: Run) -> None:
    async def scenario() -> None:
        answer = response(b"elsewhere", status=b"307 Temporary Redirect", headers=b"location: http://169.254.169.254/\r\n")
        async with FaultUpstream(answering(answer)) as server, client() as upstream:
            opened = await upstream.open(POST.to(server.origin))
            assert (opened.status, dict(opened.headers)[b"location"]) == (307, b"http://169.254.169.254/")
            assert len(server.requests) == 1
            opened.close()

    run(scenario())
