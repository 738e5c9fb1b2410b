"""The twin: the same cases through aiohttp's client and through ours give the same, but for the differences that are named here."""

import contextlib
import ssl
from dataclasses import dataclass, replace

import aiohttp
import pytest

from keyhouse.gateway.passing import pieces
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream import UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import POST, Call, client
from tests.gateway.conftest import Authority, Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, Script, answering, answering_once, chunked_response, response
from tests.gateway.test_connection import ANSWERS, CHUNKED_HEAD, HEAD_OF

# Seconds until a client gives up: for the cases that hang, and for all others, which must never come to it.
SHORT_S, LONG_S = 0.2, 20.0


@dataclass(frozen=True)
class Seen:
    """What a caller sees of a call. `error`: a kind of ours, or `hangs` for a client that only its last time-out frees."""

    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    error: str | None = None

    @property
    def ending(self) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes, str | None]:
        """What is compared: of a broken answer the body may have come further in one client than in the other."""
        return self.status, self.headers, b"" if self.error else self.body, self.error


async def ours(server: FaultUpstream, call: Call = POST, patience_s: float = LONG_S, ca_file: str = "") -> Seen:
    timeouts = Timeouts(first_byte_s=patience_s, idle_s=patience_s)
    seen = Seen()
    async with client(UpstreamSettings(ca_file=ca_file)) as upstream:
        try:
            answer = await upstream.open(replace(call, timeouts=timeouts).to(server.origin))
            seen = Seen(answer.status, tuple(answer.headers))
            async for data in pieces(answer.body):
                seen = replace(seen, body=seen.body + data)
                server.read_from.set()
        except UpstreamError as error:
            seen = replace(seen, error=error.kind.value)
    return seen


async def theirs(server: FaultUpstream, call: Call = POST, patience_s: float = LONG_S, ca_file: str = "") -> Seen:
    timeout = aiohttp.ClientTimeout(total=patience_s * 3, sock_read=patience_s)
    context = ssl.create_default_context(cafile=ca_file) if ca_file else True
    url = f"{server.origin.scheme}://{server.origin.host}:{server.origin.port}{call.path.decode()}"
    seen = Seen()
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False, connector=aiohttp.TCPConnector(ssl=context)) as session:
        try:
            async with session.request(call.method.decode(), url, data=call.body or None, allow_redirects=False) as answer:
                headers = tuple((name.lower(), value) for name, value in answer.raw_headers)
                seen = Seen(answer.status, headers)
                async for data in answer.content.iter_any():
                    seen = replace(seen, body=seen.body + data)
                    server.read_from.set()
        except (aiohttp.ClientError, TimeoutError) as error:
            seen = replace(seen, error=kind_of(error, seen.status > 0))
    return seen


def kind_of(error: Exception, answered: bool) -> str:
    """Our name for an error of aiohttp's."""
    kinds: list[tuple[type[BaseException], str]] = [
        (aiohttp.ClientConnectorSSLError, UpstreamFailure.TLS_ERROR),
        (aiohttp.ClientConnectorCertificateError, UpstreamFailure.TLS_ERROR),
        (aiohttp.ConnectionTimeoutError, UpstreamFailure.CONNECT_TIMEOUT),
        (aiohttp.SocketTimeoutError, UpstreamFailure.IDLE_TIMEOUT if answered else UpstreamFailure.FIRST_BYTE_TIMEOUT),
        (TimeoutError, "hangs"),
        (aiohttp.ClientConnectorError, UpstreamFailure.CONNECT_FAILED),
        (aiohttp.ClientPayloadError, UpstreamFailure.BROKEN),
        (aiohttp.ClientResponseError, UpstreamFailure.BAD_RESPONSE),
        (aiohttp.ClientConnectionError, UpstreamFailure.BROKEN),
    ]
    return next(str(kind) for group, kind in kinds if isinstance(error, group))


async def compare(script: Script, call: Call = POST, difference: "Difference | None" = None, patience_s: float = LONG_S) -> Seen:
    """What ours sees of the case; the twin sees the same, or what the difference says."""
    async with FaultUpstream(script) as server:
        mine = await ours(server, call, patience_s)
    async with FaultUpstream(script) as server:
        twin = await theirs(server, call, patience_s)
    expected = (
        mine.ending if difference is None else (difference.status, difference.headers or mine.headers, difference.body, difference.error)
    )
    if difference is not None and not difference.status:
        expected = (0, (), b"", difference.error)
    assert twin.ending == expected
    assert mine.ending != twin.ending or difference is None
    return mine


@dataclass(frozen=True)
class Difference:
    """What aiohttp's client (3.14) does otherwise, and why ours does not follow."""

    why: str
    status: int = 0
    body: bytes = b""
    error: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


BAD = str(UpstreamFailure.BAD_RESPONSE)
DISCARDS = Difference("It discards an answer with which, in one read, bytes came that are wrong; ours gives what was well.", error=BAD)
LENIENT = "It reads what another implementation reads otherwise, which is how one answer is taken for two."
DIFFERENCES: dict[str, Difference] = {
    "204 then a body": DISCARDS,
    "a bad chunk size": DISCARDS,
    "a chunk that is too long": DISCARDS,
    "a huge chunk size": DISCARDS,
    "a coding in the trailers": Difference(LENIENT, 200, b"ok", headers=((b"transfer-encoding", b"chunked"),)),
    "a length in the trailers": DISCARDS,
    "chunked then garbage": DISCARDS,
    "closing then more": DISCARDS,
    "then garbage": DISCARDS,
    "a blank before the colon": Difference(LENIENT, 200, b"ok", headers=((b"content-length ", b"2"),)),
    "a folded header": Difference(LENIENT, 200, b"ok", headers=((b"x-a", b"b c"), (b"content-length", b"2"))),
    "bare line feeds": Difference(LENIENT, 200, b"ok", headers=((b"content-length", b"2"),)),
    "a length of very many zeros": Difference(
        "It takes a length with any number of zeros before it.", 200, b"ok", headers=((b"content-length", b"0" * 5000 + b"2"),)
    ),
    "almost chunked": Difference(LENIENT, 200, b"0\r\n\r\n", headers=((b"transfer-encoding", b"xchunked"),)),
    "another coding": Difference(LENIENT, 200, b"ok", headers=((b"transfer-encoding", b"gzip"),)),
    "two codings": Difference(LENIENT, 200, b"", headers=((b"transfer-encoding", b"gzip, chunked"),)),
    "chunked twice": Difference(LENIENT, 200, b"", headers=((b"transfer-encoding", b"chunked"),) * 2),
    "chunked with blanks after": Difference(
        "It takes the framing for the body.", 200, b"2\r\nok\r\n0\r\n\r\n", headers=((b"transfer-encoding", b"chunked"),)
    ),
    "a change of protocol": Difference(
        "It hands out a 101 that nobody asked for.", 101, headers=((b"upgrade", b"websocket"), (b"connection", b"upgrade"))
    ),
    "a status of zero": Difference("It takes 000 for a status."),
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_answers_of_every_shape(run: Run, name: str) -> None:
    answer, expected = ANSWERS[name]

    async def scenario() -> None:
        mine = await compare(answering_once(answer), difference=DIFFERENCES.get(name))
        assert mine == Seen(expected.status, expected.headers, expected.body, expected.error and str(expected.error))

    run(scenario())


ONE = b"3\r\none\r\n"


def ending(*pieces: bytes, how: str) -> Script:
    """Answers with the pieces, then hangs, resets or closes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        if how == "hangs":
            await peer.left()
        elif how == "resets":
            peer.reset()

    return script


async def late_nonsense(peer: Peer) -> None:
    """Answers with a chunk, and when that was read with something that is no chunk."""
    await peer.request()
    await peer.send(CHUNKED_HEAD + ONE)
    await peer.upstream.read_from.wait()
    await peer.send(b"zz\r\n")
    await peer.left()


async def slowly(peer: Peer) -> None:
    await peer.request()
    await peer.send(*(bytes([byte]) for byte in chunked_response(b"a byte", b"at a time")))


def header_of(size: int) -> bytes:
    return response(headers=b"x-filler: " + b"v" * size + b"\r\n")


BROKEN, IDLE, FIRST_BYTE = (
    str(kind) for kind in (UpstreamFailure.BROKEN, UpstreamFailure.IDLE_TIMEOUT, UpstreamFailure.FIRST_BYTE_TIMEOUT)
)
BEHAVIOURS: dict[str, tuple[Script, Call, str | None]] = {
    "a GET": (answering_once(response()), Call(b"GET", body=b""), None),
    "a HEAD": (answering_once(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"), Call(b"HEAD", body=b""), None),
    "a HEAD of chunks": (answering_once(CHUNKED_HEAD), Call(b"HEAD", body=b""), None),
    "a DELETE": (answering_once(b"HTTP/1.1 204 No Content\r\n\r\n"), Call(b"DELETE", body=b""), None),
    "a redirect": (answering_once(response(status=b"302 Found", headers=b"location: http://127.0.0.1:1/\r\n")), POST, None),
    "a 429": (answering_once(response(b'{"error":1}', status=b"429 Too Many Requests", headers=b"retry-after: 1\r\n")), POST, None),
    "a 503": (answering_once(response(b"busy", status=b"503 Service Unavailable")), POST, None),
    "an answer without length": (answering_once(HEAD_OF + b"\r\n", b"all ", b"of it"), POST, None),
    "an empty answer without length": (answering_once(HEAD_OF + b"\r\n"), POST, None),
    "an answer of single bytes": (slowly, POST, None),
    "five megabytes": (answering_once(response(bytes(range(256)) * 20_000)), POST, None),
    "five megabytes of chunks": (answering_once(chunked_response(*[bytes(range(256)) * 100] * 200)), POST, None),
    "a megabyte sent": (answering_once(response()), Call(body=bytes(range(256)) * 4000), None),
    "a header of 7 KiB": (answering_once(header_of(7 << 10)), POST, None),
    "a header of 100 KiB": (answering_once(header_of(100 << 10)), POST, BAD),
    "a close without an answer": (ending(how="closes"), POST, BROKEN),
    "a reset without an answer": (ending(how="resets"), POST, BROKEN),
    "a close inside the head": (ending(HEAD_OF + b"x-a", how="closes"), POST, BROKEN),
    "a close before the end of a length": (ending(HEAD_OF + b"content-length: 5\r\n\r\nhe", how="closes"), POST, BROKEN),
    "a close between chunks": (ending(CHUNKED_HEAD, ONE, how="closes"), POST, BROKEN),
    "a close inside a chunk": (ending(CHUNKED_HEAD, ONE, b"3\r\nt", how="closes"), POST, BROKEN),
    "a close inside a chunk's size": (ending(CHUNKED_HEAD, ONE, b"3", how="closes"), POST, BROKEN),
    "a close before the last line": (ending(CHUNKED_HEAD, ONE, b"0\r\n", how="closes"), POST, BROKEN),
    "a reset between chunks": (ending(CHUNKED_HEAD, ONE, how="resets"), POST, BROKEN),
    "a reset inside a chunk": (ending(CHUNKED_HEAD, ONE, b"3\r\nt", how="resets"), POST, BROKEN),
    "no answer": (ending(how="hangs"), POST, FIRST_BYTE),
    "half a head and no more": (ending(HEAD_OF + b"x-a", how="hangs"), POST, FIRST_BYTE),
    "only a 100": (ending(b"HTTP/1.1 100 Continue\r\n\r\n", how="hangs"), POST, FIRST_BYTE),
    "half a body and no more": (ending(HEAD_OF + b"content-length: 5\r\n\r\nhe", how="hangs"), POST, IDLE),
    "a chunk and no more": (ending(CHUNKED_HEAD, ONE, how="hangs"), POST, IDLE),
    "a bad chunk size after a chunk": (late_nonsense, POST, BAD),
    "a header of 20 KiB": (answering_once(header_of(20 << 10)), POST, None),
    "an endless head": (ending(HEAD_OF + b"x: y\r\n" * 20_000, how="hangs"), POST, BAD),
}
HANGING = {name for name, (_, _, error) in BEHAVIOURS.items() if error in {FIRST_BYTE, IDLE}} | {"a bad chunk size after a chunk"}
BEHAVIOUR_DIFFERENCES = {
    "a bad chunk size after a chunk": Difference("It hangs until its last time-out; ours fails at once.", 200, error="hangs"),
    "only a 100": Difference("After a 1xx answer it hangs until its last time-out; ours counts on.", error="hangs"),
    "a header of 20 KiB": Difference("It takes 8 KiB for a header; ours takes 64 for all of them.", error=BAD),
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_behaviour_of_every_kind(run: Run, name: str) -> None:
    script, call, error = BEHAVIOURS[name]

    async def scenario() -> None:
        mine = await compare(script, call, BEHAVIOUR_DIFFERENCES.get(name), SHORT_S if name in HANGING else LONG_S)
        assert mine.error == error

    run(scenario())


def test_an_upstream_that_refuses(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(Peer.left) as server:
            pass
        assert await ours(server) == await theirs(server) == Seen(error=str(UpstreamFailure.CONNECT_FAILED))

    run(scenario())


@pytest.mark.parametrize(("names", "trusted"), [(("127.0.0.1",), True), (("127.0.0.1",), False), (("127.0.0.2",), True)])
def test_tls_with_a_private_authority(run: Run, authority: Authority, names: tuple[str, ...], trusted: bool) -> None:
    ca_file = str(authority.ca_file) if trusted else ""

    async def scenario() -> None:
        async with FaultUpstream(answering(response()), authority.server_context(*names)) as server:
            mine = await ours(server, ca_file=ca_file)
            assert mine == await theirs(server, ca_file=ca_file)
            well = trusted and names == ("127.0.0.1",)
            assert mine.error == (None if well else str(UpstreamFailure.TLS_ERROR))

    run(scenario())


def test_what_the_upstream_receives_is_the_same_request(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server:
            call = Call(path=b"/v1/chat?a=%20b&c", body=b'{"a":1}')
            await ours(server, call)
            await theirs(server, call)
            mine, twin = server.requests
            assert (mine.line, mine.body) == (twin.line, twin.body)
            assert [mine.header(name) for name in (b"host", b"content-length")] == [
                twin.header(name) for name in (b"host", b"content-length")
            ]

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "connections"),
    [(response(), 1), (chunked_response(b"a"), 1), (response(headers=b"connection: close\r\n"), 3), (response() + b"X", 3)],
)
def test_as_many_connections_are_opened(run: Run, answer: bytes, connections: int) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(answer)) as server, client() as upstream:
            for _ in range(3):
                opened = await upstream.open(POST.to(server.origin))
                async for _ in pieces(opened.body):
                    pass
            assert server.connections == connections
        async with FaultUpstream(answering(answer)) as server, aiohttp.ClientSession() as session:
            for _ in range(3):
                with contextlib.suppress(aiohttp.ClientResponseError):
                    async with session.post(f"http://127.0.0.1:{server.port}/", data=b"{}") as answered:
                        await answered.read()
            assert server.connections == connections

    run(scenario())


def test_only_ours_replaces_a_kept_alive_connection_under_a_post(run: Run) -> None:
    """aiohttp tries methods again that are idempotent by definition; a provider that answers nothing on an old connection did nothing."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response())
        await peer.request()

    async def scenario() -> None:
        async with FaultUpstream(script) as server, client() as upstream:
            for _ in range(2):
                opened = await upstream.open(POST.to(server.origin))
                assert [data async for data in pieces(opened.body)] == [b"ok"]
        async with FaultUpstream(script) as server, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{server.port}/"
            async with session.post(url, data=b"{}") as answered:
                assert await answered.read() == b"ok"
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await session.post(url, data=b"{}")

    run(scenario())
