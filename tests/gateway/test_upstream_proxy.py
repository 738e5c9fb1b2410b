"""Proxies: which requests go through one, in which form, and what the address policy still judges."""

import asyncio
import base64
import contextlib
import traceback
from dataclasses import replace

import pytest

from keyhouse.domain.address import Origin, parse_origin
from keyhouse.gateway.address_policy import AddressPolicy
from keyhouse.gateway.bounds import MAX_HEAD_BYTES
from keyhouse.gateway.proxy import Proxies, proxies
from keyhouse.gateway.upstream import UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.conftest import UNKNOWN_HOST
from tests.gateway.calls import Call, client, fetched, within
from tests.gateway.conftest import Authority, Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, Script, answering, answering_once, response


def tunnelling(heads: list[bytes], answer: bytes = b"HTTP/1.1 200 Connection established\r\nx-via: proxy\r\n\r\n") -> Script:
    """A proxy that accepts CONNECT and passes bytes on to 127.0.0.1, whatever the name."""

    async def script(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await peer.send(answer)
        await asyncio.gather(passed_on(peer.reader, writer), passed_on(reader, peer.writer))

    return script


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def through(proxy: FaultUpstream, user: str = "", **settings: object) -> UpstreamSettings:
    url = f"http://{user}127.0.0.1:{proxy.port}"
    return UpstreamSettings(proxies=proxies(url, url), **settings)  # type: ignore[arg-type]


def test_https_goes_through_a_tunnel(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        heads: list[bytes] = []
        async with (
            FaultUpstream(tunnelling(heads)) as proxy,
            FaultUpstream(answering(response(b"through")), authority.server_context("api.example.com")) as server,
            client(through(proxy, "us%3Aer:pa%20ss@", ca_file=str(authority.ca_file))) as upstream,
        ):
            origin = Origin("https", "api.example.com", server.port)
            for _ in range(3):
                assert await fetched(upstream, origin) == (200, b"through")
            assert (proxy.connections, server.connections) == (1, 1)
            authority_form = b"api.example.com:%d" % server.port
            credentials = base64.b64encode(b"us:er:pa ss")
            assert heads == [
                b"CONNECT %b HTTP/1.1\r\nhost: %b\r\nproxy-authorization: Basic %b\r\n\r\n" % (authority_form, authority_form, credentials)
            ]
            assert server.requests[0].line == b"POST /v1/chat HTTP/1.1"
            assert server.requests[0].header(b"proxy-authorization") == []

    run(scenario())


@pytest.mark.parametrize(
    "status_line", [b"HTTP/1.0 200 Connection established", b"HTTP/1.1 200", b"HTTP/1.1 299 ", b"HTTP/1.1 201 a  b\r\nx: " + b"y" * 20_000]
)
def test_a_tunnel_is_one_whatever_the_proxy_calls_it(run: Run, authority: Authority, status_line: bytes) -> None:
    async def scenario() -> None:
        async with (
            FaultUpstream(tunnelling([], status_line + b"\r\n\r\n")) as proxy,
            FaultUpstream(answering(response(b"through")), authority.server_context("api.example.com")) as server,
            client(through(proxy, ca_file=str(authority.ca_file))) as upstream,
        ):
            assert await fetched(upstream, Origin("https", "api.example.com", server.port)) == (200, b"through")

    run(scenario())


def test_http_goes_in_the_absolute_form(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response(b"through"))) as proxy, client(through(proxy, "u:p@")) as upstream:
            for _ in range(3):
                assert await fetched(upstream, parse_origin("http://api.example.com"), Call(headers=[(b"x-a", b"1")])) == (200, b"through")
            assert proxy.connections == 1
            received = proxy.requests[0]
            assert received.line == b"POST http://api.example.com/v1/chat HTTP/1.1"
            assert (received.header(b"host"), received.header(b"x-a")) == ([b"api.example.com"], [b"1"])
            assert received.header(b"proxy-authorization") == [b"Basic " + base64.b64encode(b"u:p")]

    run(scenario())


@pytest.mark.parametrize(
    ("host", "status", "said"),
    [
        ("api.example.com", b"407 Proxy Authentication Required", "with 407: it wants another user and password than HTTPS_PROXY holds"),
        ("api.example.com", b"502 Bad Gateway", "with 502"),
        ("[2606:4700::1111]", b"403 Forbidden", "with 403"),
    ],
)
def test_a_proxy_that_refuses_is_a_failed_connection(run: Run, host: str, status: bytes, said: str) -> None:
    async def scenario() -> None:
        async with (
            FaultUpstream(answering_once(response(b"<p>Why</p>", status=status))) as proxy,
            client(through(proxy)) as upstream,
        ):
            with pytest.raises(UpstreamError, match=said) as caught:
                await fetched(upstream, parse_origin(f"https://{host}"))
            assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.CONNECT_FAILED, False)
            assert proxy.requests[0].line == b"CONNECT %b:443 HTTP/1.1" % host.encode()
            assert proxy.requests[0].header(b"proxy-authorization") == [], "there are no credentials"
            assert upstream.connections().open == 0

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nsmuggled",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
    ],
)
def test_a_proxy_that_does_not_speak_http_is_a_failed_connection(run: Run, answer: bytes) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering_once(answer)) as proxy, client(through(proxy)) as upstream:
            with pytest.raises(UpstreamError, match="proxy") as caught:
                await fetched(upstream, parse_origin("https://api.example.com"))
            assert caught.value.kind is UpstreamFailure.CONNECT_FAILED

    run(scenario())


def test_a_proxy_whose_answer_has_no_end_is_left(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * (MAX_HEAD_BYTES // 6 + 1))
        await peer.left()

    async def scenario() -> None:
        async with FaultUpstream(script) as proxy, client(through(proxy)) as upstream:
            with pytest.raises(UpstreamError, match="answer to CONNECT is not valid HTTP"):
                await fetched(upstream, parse_origin("https://api.example.com"))

    run(scenario())


def test_a_proxy_that_hangs_counts_as_connecting(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(Peer.left) as proxy, client(through(proxy)) as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, parse_origin("https://api.example.com"), within(0.03))
            assert caught.value.kind is UpstreamFailure.CONNECT_TIMEOUT

    run(scenario())


def test_a_proxy_whose_name_is_unknown_is_named(run: Run) -> None:
    async def scenario() -> None:
        async with client(UpstreamSettings(proxies=proxies(f"http://{UNKNOWN_HOST}"))) as upstream:
            with pytest.raises(UpstreamError, match="The proxy's name could not be resolved"):
                await fetched(upstream, parse_origin("https://api.example.com"))

    run(scenario())


def test_a_proxy_may_have_an_address_that_upstreams_may_not(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as proxy, client(through(proxy, policy=AddressPolicy(False))) as upstream:
            assert await fetched(upstream, parse_origin("http://api.example.com")) == (200, b"ok")

    run(scenario())


def test_a_proxy_that_is_away_is_named(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(Peer.left) as proxy:
            settings = through(proxy)
        async with client(settings) as upstream:
            with pytest.raises(UpstreamError, match="proxy could not be reached") as caught:
                await fetched(upstream, parse_origin("https://api.example.com"))
            assert caught.value.kind is UpstreamFailure.CONNECT_FAILED

    run(scenario())


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://169.254.169.254", "cloud_metadata"),
        ("https://metadata.google.internal", "cloud_metadata"),
        ("http://10.0.0.1", "private_address"),
        ("http://localhost", "loopback_address"),
        ("http://[::ffff:169.254.169.254]", "cloud_metadata"),
        ("http://2130706433", "odd_address_form"),
    ],
)
def test_behind_a_proxy_names_and_literal_addresses_are_judged(run: Run, url: str, rule: str) -> None:
    async def scenario() -> None:
        async with FaultUpstream(Peer.left) as proxy, client(through(proxy, policy=AddressPolicy(False))) as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, parse_origin(url))
            assert caught.value.kind is UpstreamFailure.BLOCKED
            assert f"by its rule {rule}." in caught.value.message
            assert proxy.connections == 0

    run(scenario())


def test_an_exempt_host_is_called_directly(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(Peer.left) as proxy, FaultUpstream(answering(response())) as server:
            settings = UpstreamSettings(proxies=replace(through(proxy).proxies, exempt=("127.0.0.0/8",)))
            async with client(settings) as upstream:
                assert await fetched(upstream, server.origin) == (200, b"ok")
                assert server.requests[0].line == b"POST /v1/chat HTTP/1.1"

    run(scenario())


@pytest.mark.parametrize(
    ("no_proxy", "url", "exempt"),
    [
        ("", "http://a.example", False),
        ("*", "http://a.example", True),
        ("a.example", "http://a.example", True),
        ("a.example", "http://b.a.example", True),
        (".a.example", "http://b.a.example", True),
        ("*.a.example", "http://b.a.example", True),
        ("a.example", "http://ba.example", False),
        ("A.Example", "http://a.example", True),
        ("a.example.", "http://a.example", True),
        ("a.example:http", "http://a.example", False),
        ("a.example:8080", "http://a.example:8080", True),
        ("a.example:8080", "http://a.example", False),
        ("x.example, a.example", "http://a.example", True),
        ("x.example a.example", "http://a.example", True),
        ("x.example,a.example", "http://a.example", True),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.5/8", "http://10.1.2.3", True),
        ("10.1.2.3", "http://10.1.2.3:99", True),
        ("10.1.2.3:99", "http://10.1.2.3:98", False),
        ("::1", "http://[::1]:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("[::1]:8081", "http://[::1]:8080", False),
        ("fd00::/8", "http://[fd12::1]", True),
        ("0.0.1", "http://10.0.0.1", False),
        ("1.2.3.4", "http://a.1.2.3.4.example", False),
        (".", "http://a.example", False),
        (":80", "http://a.example", False),
    ],
)
def test_no_proxy_is_read_as_other_clients_read_it(no_proxy: str, url: str, exempt: bool) -> None:
    table = proxies("http://p:1", "http://p:2", no_proxy)

    assert (table.proxy_for(parse_origin(url)) is None) is exempt


def test_each_scheme_has_its_proxy() -> None:
    table = proxies("http://secure:1", "plain:2")

    assert [
        proxy and (proxy.host, proxy.port) for proxy in (table.proxy_for(parse_origin(f"{s}://a.example")) for s in ("https", "http"))
    ] == [
        ("secure", 1),
        ("plain", 2),
    ]
    assert proxies() == Proxies()
    assert proxies("http://proxy").https == replace(proxies("http://proxy:80").https, port=80)  # type: ignore[type-var]


@pytest.mark.parametrize(
    "url",
    ["https://proxy:1", "socks5://proxy:1", "http://", "http://proxy:99999", "ftp://u:pa55@proxy", "http://[proxy", "http://u:pa55@℀"],
)
@pytest.mark.parametrize(("name", "position"), [("HTTPS_PROXY", 0), ("HTTP_PROXY", 1)])
def test_proxies_that_cannot_be_used_are_refused_without_their_address(url: str, name: str, position: int) -> None:
    with pytest.raises(ValueError, match=f"^{name} ") as caught:
        proxies(*("", "")[:position], url)
    assert "pa55" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("user", "credentials"), [("a:%3F%3F%3F@", b"a:???"), ("user@", b"user:"), ("user:@", b"user:"), (":token@", b":token")]
)
def test_a_user_or_a_password_alone_is_sent_too(user: str, credentials: bytes) -> None:
    proxy = proxies(f"http://{user}proxy").https
    assert proxy is not None
    assert proxy.authorization_lines() == b"proxy-authorization: Basic %b\r\n" % base64.b64encode(credentials)


def test_the_password_of_a_proxy_is_not_printed() -> None:
    table = proxies("http://user:pa55@proxy:1")

    assert table.https is not None
    assert base64.b64encode(b"user:pa55") in table.https.authorization
    assert "pa55" not in repr(UpstreamSettings(proxies=table))
    assert base64.b64encode(b"user:pa55").decode() not in repr(table)
