"""TLS: certificates and names are always verified, with the system's authorities or those the settings name."""

import asyncio
import contextlib
import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.tls import tls_context
from keyhouse.gateway.upstream import UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import POST, Call, client, fetched, read
from tests.gateway.conftest import Authority, Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, answering, answering_once, response


@pytest.mark.parametrize("setting", ["ca_file", "cert_file"])
def test_a_private_authority_is_trusted_where_a_setting_names_it(run: Run, authority: Authority, setting: str) -> None:
    settings = UpstreamSettings(**{setting: str(authority.ca_file)})

    async def scenario() -> None:
        async with (
            FaultUpstream(answering(response(b"sealed")), authority.server_context("127.0.0.1")) as server,
            client(settings) as upstream,
        ):
            for _ in range(100):
                assert await fetched(upstream, server.origin) == (200, b"sealed")
            assert server.connections == 1

    run(scenario())


def test_ca_file_adds_to_the_authorities_and_cert_file_replaces_them(authority: Authority) -> None:
    system = len(tls_context().get_ca_certs())

    assert len(tls_context(ca_file=str(authority.ca_file)).get_ca_certs()) == system + 1
    assert len(tls_context(cert_file=str(authority.ca_file)).get_ca_certs()) == 1
    authority.server_context("further")
    [further] = authority.folder.glob("further-*.pem")
    assert tls_context(str(authority.ca_file), str(further)).cert_store_stats()["x509"] == 2


def test_every_context_verifies() -> None:
    context = tls_context()

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls_context() is context, "the system's authorities take long to read"


def test_the_systems_authorities_are_trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL finds the system's file by this variable, too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    assert len(tls_context.__wrapped__().get_ca_certs()) == 1


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (b"no certificate", "in PEM form"), ("folder", "cannot be read")])
def test_a_file_without_certificates_is_named(tmp_path: Path, content: bytes | str | None, said: str) -> None:
    path = tmp_path / "missing.pem"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    for arguments, name in (({"cert_file": str(path)}, "SSL_CERT_FILE"), ({"ca_file": str(path)}, "KEYHOUSE_CA_FILE")):
        with pytest.raises(Error, match=f"{name} .*{said}") as caught:
            tls_context(**arguments)
        assert caught.value.code is Code.CONFIGURATION


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_upstream_that_speaks_http_2_too_is_spoken_to_in_http_1_1(run: Run, authority: Authority, version: ssl.TLSVersion) -> None:
    spoken: list[str | None] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        spoken.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await peer.send(response())
        await peer.left()

    async def scenario() -> None:
        context = authority.server_context("127.0.0.1")
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with FaultUpstream(script, context) as server, client(UpstreamSettings(ca_file=str(authority.ca_file))) as upstream:
            assert await fetched(upstream, server.origin) == (200, b"ok")
            assert spoken == ["http/1.1"]

    run(scenario())


@pytest.mark.parametrize(
    ("names", "expired", "trusted", "reason"),
    [
        (("127.0.0.1",), False, False, "KEYHOUSE_CA_FILE"),
        (("127.0.0.1",), True, True, "expired"),
        (("127.0.0.2",), False, True, "another name"),
        (("localhost",), False, True, "another name"),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused(
    run: Run, authority: Authority, names: tuple[str, ...], expired: bool, trusted: bool, reason: str
) -> None:
    settings = UpstreamSettings(ca_file=str(authority.ca_file) if trusted else "")

    async def scenario() -> None:
        context = authority.server_context(*names, expired=expired)
        async with FaultUpstream(answering(response()), context) as server, client(settings) as upstream:
            with pytest.raises(UpstreamError, match=reason) as caught:
                await fetched(upstream, server.origin)
            assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.TLS_ERROR, False)
            assert "127.0.0" not in str(caught.value)
            assert ("KEYHOUSE_CA_FILE" in str(caught.value)) is not trusted
            assert caught.value.__suppress_context__, "OpenSSL's own words may repeat the name"
            assert server.requests == []
            assert upstream.connections().open == 0

    run(scenario())


@pytest.mark.parametrize("how", ["self_signed", "with_authority"])
def test_whoever_meets_an_unknown_authority_is_told_how_to_trust_it(run: Run, authority: Authority, how: str) -> None:
    async def scenario() -> None:
        context = authority.server_context("127.0.0.1", **{how: True})
        async with FaultUpstream(answering(response()), context) as server, client() as upstream:
            with pytest.raises(UpstreamError, match=r"self-signed certificate.* KEYHOUSE_CA_FILE"):
                await fetched(upstream, server.origin)

    run(scenario())


def test_a_certificate_for_another_name_is_said_to_be_without_the_name(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        context = authority.server_context("api.example.com")
        async with FaultUpstream(answering(response()), context) as server, client(settings) as upstream:
            with pytest.raises(UpstreamError, match=r"not accepted: its certificate is for another name\.$"):
                await fetched(upstream, replace(server.origin, host="localhost"))

    settings = UpstreamSettings(ca_file=str(authority.ca_file))
    run(scenario())


def test_the_name_is_sent_and_verified(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        asked: list[str | None] = []
        context = authority.server_context("localhost")
        context.sni_callback = lambda _, name, __: asked.append(name)
        async with (
            FaultUpstream(answering(response()), context) as server,
            client(UpstreamSettings(ca_file=str(authority.ca_file))) as upstream,
        ):
            assert await fetched(upstream, replace(server.origin, host="localhost")) == (200, b"ok")
            assert asked == ["localhost"]

    run(scenario())


def test_an_upstream_without_tls_is_a_tls_error(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.left()

    async def scenario() -> None:
        async with FaultUpstream(script) as server, client() as upstream:
            with pytest.raises(UpstreamError, match="does not speak TLS at this port") as caught:
                await fetched(upstream, replace(server.origin, scheme="https"))
            assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.TLS_ERROR, False)

    run(scenario())


def test_an_upstream_that_wants_a_clients_certificate_says_so(run: Run, authority: Authority) -> None:
    """In TLS 1.3 the handshake has ended for us before the upstream refuses."""
    context = authority.server_context("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)

    async def script(peer: Peer) -> None:
        # asyncio's server closes without a word; others say why.
        came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        upstreams_end = context.wrap_bio(came, goes, server_side=True)
        with contextlib.suppress(ssl.SSLError):
            while True:
                came.write(await peer.reader.read(65536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    upstreams_end.do_handshake()
                await peer.send(goes.read())
        await peer.send(goes.read())
        await peer.left()

    async def scenario() -> None:
        async with FaultUpstream(script) as server, client(UpstreamSettings(ca_file=str(authority.ca_file))) as upstream:
            with pytest.raises(UpstreamError, match="client's certificate") as caught:
                await fetched(upstream, replace(server.origin, scheme="https"))
            assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.TLS_ERROR, True)

    run(scenario())


async def reset_in_the_handshake(peer: Peer) -> None:
    await peer.reader.read(1)
    peer.reset()


def test_an_upstream_that_closes_in_the_handshake_could_not_be_connected(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(reset_in_the_handshake) as server, client() as upstream:
            with pytest.raises(UpstreamError, match=r"^The connection ended during the TLS handshake \(ECONNRESET\)\.$") as caught:
                await fetched(upstream, replace(server.origin, scheme="https"))
            assert caught.value.kind is UpstreamFailure.CONNECT_FAILED

    run(scenario())


@pytest.mark.parametrize("answers", [True, False])
def test_a_caller_that_leaves_in_the_handshake_leaves_the_upstream_and_nothing_in_the_log(
    run: Run, authority: Authority, answers: bool
) -> None:
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    upstreams_end = authority.server_context("127.0.0.1").wrap_bio(came, goes, server_side=True)
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        came.write(await peer.reader.read(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            upstreams_end.do_handshake()
        asked.set()
        if answers:
            await peer.send(goes.read())
        await peer.left()
        left.set()

    async def scenario() -> None:
        async with FaultUpstream(script) as server, client(UpstreamSettings(ca_file=str(authority.ca_file))) as upstream:
            call = asyncio.create_task(fetched(upstream, replace(server.origin, scheme="https")))
            await asked.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert upstream.connections().open == 0
            await left.wait()

    run(scenario())


def test_a_caller_that_leaves_in_the_handshake_waits_for_no_upstream_that_stays(run: Run) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        asked.set()
        await over.wait()

    async def scenario() -> None:
        async with FaultUpstream(script) as server, client() as upstream:
            call = asyncio.create_task(fetched(upstream, replace(server.origin, scheme="https")))
            await asked.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert upstream.connections().open == 0
            over.set()

    run(scenario())


def test_a_caller_that_leaves_as_the_handshake_fails_has_left(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(reset_in_the_handshake) as server, client() as upstream:
            call = asyncio.create_task(fetched(upstream, replace(server.origin, scheme="https")))
            while not (making := [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "_made"]):
                await asyncio.sleep(0)
            making[0].add_done_callback(lambda _: call.cancel())
            with pytest.raises(asyncio.CancelledError):
                await call
            assert upstream.connections().open == 0

    run(scenario())


@pytest.mark.parametrize("said", [b"", b"220 mail.example.com\r\n"])
def test_upstreams_that_end_the_handshake_at_once_leave_nothing_open(run: Run, said: bytes) -> None:
    async def script(peer: Peer) -> None:
        if said:
            await peer.send(said)
            await peer.left()
        else:
            peer.reset()

    async def scenario() -> None:
        async with FaultUpstream(script) as server, client() as upstream:
            for _ in range(50):
                with pytest.raises(UpstreamError):
                    await fetched(upstream, replace(server.origin, scheme="https"))

    before = os.listdir("/proc/self/fd")
    run(scenario())
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_large_bodies_pass_both_ways_over_tls(run: Run, authority: Authority) -> None:
    body = bytes(range(256)) * 20_000

    async def scenario() -> None:
        async with (
            FaultUpstream(answering(response(body)), authority.server_context("127.0.0.1")) as server,
            client(UpstreamSettings(ca_file=str(authority.ca_file))) as upstream,
        ):
            for _ in range(2):
                assert await fetched(upstream, server.origin, Call(body=body)) == (200, body)
            assert server.requests[0].body == body
            assert server.connections == 1

    run(scenario())


def test_an_answer_without_length_ends_with_its_connection_over_tls(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        async with (
            FaultUpstream(answering_once(b"HTTP/1.1 200 OK\r\n\r\n", b"all of it"), authority.server_context("127.0.0.1")) as server,
            client(UpstreamSettings(ca_file=str(authority.ca_file))) as upstream,
        ):
            assert await fetched(upstream, server.origin) == (200, b"all of it")
            assert upstream.connections().open == 0

    run(scenario())


def test_a_kept_alive_tls_connection_closed_under_a_request_is_replaced(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(response())
            if peer.number == 0:
                await peer.request()
            else:
                await peer.left()

        async with (
            FaultUpstream(script, authority.server_context("127.0.0.1")) as server,
            client(UpstreamSettings(ca_file=str(authority.ca_file))) as upstream,
        ):
            for _ in range(2):
                assert await fetched(upstream, server.origin) == (200, b"ok")
            assert (server.connections, upstream.counters.replaced) == (2, 1)

    run(scenario())


def test_closing_a_half_read_answer_over_tls_leaves_the_upstream(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
            await peer.left()
            left.set()

        async with (
            FaultUpstream(script, authority.server_context("127.0.0.1")) as server,
            client(UpstreamSettings(ca_file=str(authority.ca_file))) as upstream,
        ):
            answer = await upstream.open(POST.to(server.origin))
            assert await answer.body.at_most(1) == b"ok"
            answer.close()
            await left.wait()
            with pytest.raises(UpstreamError):
                await read(answer)

    run(scenario())
