"""One connection fed byte by byte: an answer means the same wherever the network cuts it, and a connection in doubt is not used again."""

import asyncio
import itertools
import socket
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyhouse.domain.address import Origin
from keyhouse.gateway.bounds import MAX_HEAD_BYTES
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.pool import Lane, Pool, PoolLimits
from keyhouse.gateway.request import rendered_head
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import HEAD, POST, Call
from tests.gateway.fault_upstream import chunked_response, response

ORIGIN = Origin("http", "upstream.test", 80)


class MemoryTransport(asyncio.Transport):
    """A transport without a network: takes what is written, and a socket pair stands for its socket."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False
        self.reading = True
        self.ends = socket.socketpair()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        # So that all of it goes through here.
        return 1

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.ends[0] if name == "socket" else default

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def release(self) -> None:
        for end in self.ends:
            end.close()


@dataclass
class Outcome:
    """What a caller and the pool see of an answer."""

    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    ended: bool = False
    error: UpstreamFailure | None = None
    kept: bool = False


class Exchange:
    """One exchange on a connection of its own, fed by the test."""

    def __init__(self, call: Call = POST) -> None:
        self.pool = Pool(PoolLimits(), None)  # type: ignore[arg-type]
        self.connection, self.transport = Connection(self.pool, self.pool._deadlines), MemoryTransport()
        self.connection.connection_made(self.transport)
        self.connection.lane = self.pool._lanes["k"] = Lane("k", open=1)
        self.pool.open = 1
        request = call.to(ORIGIN)
        self.opened = self.connection.exchange(rendered_head(request), request.body, Timeouts(), bodiless=request.head.method == b"HEAD")

    def feed(self, *pieces: bytes) -> None:
        """Have the transport read the pieces, as long as it is open."""
        size = len(self.pool.read_buffer)
        for part in (piece[start : start + size] for piece in pieces for start in range(0, len(piece), size)):
            if not self.transport.aborted:
                self.connection.get_buffer(-1)[: len(part)] = part
                self.connection.buffer_updated(len(part))

    def kept(self) -> bool:
        """Whether the next request would get the connection; releases everything."""
        kept = self.pool.take_idle("k") is self.connection
        self.connection.abort()
        self.transport.release()
        return kept


async def outcome(pieces: list[bytes], *, eof: bool, call: Call = POST) -> Outcome:
    exchange = Exchange(call)
    exchange.feed(*pieces)
    if eof and not exchange.transport.aborted:
        exchange.connection.eof_received()
    seen = await seen_by_caller(exchange.opened)
    seen.kept = exchange.kept()
    return seen


async def seen_by_caller(opened: "asyncio.Future[UpstreamResponse]") -> Outcome:
    if not opened.done():
        return Outcome()
    try:
        answer = opened.result()
    except UpstreamError as error:
        return Outcome(error=error.kind)
    error = answer.body.error
    assert error is None or isinstance(error, UpstreamError)
    return Outcome(answer.status, tuple(answer.headers), answer.body.take(), answer.body.ended, error.kind if error else None)


def seen(*pieces: bytes, eof: bool = False, call: Call = POST) -> Outcome:
    return asyncio.run(outcome(list(pieces), eof=eof, call=call))


BAD = UpstreamFailure.BAD_RESPONSE
BROKEN = UpstreamFailure.BROKEN
LENGTH = (b"content-length", b"2")
CHUNKED = (b"transfer-encoding", b"chunked")
OK = Outcome(200, (LENGTH,), b"ok", ended=True, kept=True)
HEAD_OF = b"HTTP/1.1 200 OK\r\n"
CHUNKED_HEAD = HEAD_OF + b"transfer-encoding: chunked\r\n\r\n"
ANSWERS: dict[str, tuple[bytes, Outcome]] = {
    "with a length": (response(), OK),
    "chunked": (chunked_response(b"o", b"k"), Outcome(200, (CHUNKED,), b"ok", ended=True, kept=True)),
    "chunked with trailers and extensions": (
        CHUNKED_HEAD + b"2;a=b\r\nok\r\n0\r\nx: y\r\n\r\n",
        Outcome(200, (CHUNKED,), b"ok", ended=True, kept=True),
    ),
    "chunk sizes in capitals with zeros": (
        HEAD_OF + b"Transfer-Encoding: Chunked\r\n\r\n000A\r\n0123456789\r\n00\r\n\r\n",
        Outcome(200, ((b"transfer-encoding", b"Chunked"),), b"0123456789", ended=True, kept=True),
    ),
    "chunked with blanks after": (
        HEAD_OF + b"transfer-encoding: chunked \t\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Outcome(error=BAD),
    ),
    "a length with blanks around": (HEAD_OF + b"content-length:  2 \t\r\n\r\nok", OK),
    "empty": (response(b""), Outcome(200, ((b"content-length", b"0"),), b"", ended=True, kept=True)),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", Outcome(204, ended=True, kept=True)),
    "204 with a length": (b"HTTP/1.1 204 \r\ncontent-length: 2\r\n\r\n", Outcome(204, (LENGTH,), ended=True, kept=True)),
    "304 with a length": (b"HTTP/1.1 304 \r\ncontent-length: 2\r\n\r\n", Outcome(304, (LENGTH,), ended=True, kept=True)),
    "after 100 and 103": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + response(),
        OK,
    ),
    "without a reason": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", Outcome(200, (LENGTH,), b"ok", ended=True, kept=True)),
    "with repeated and odd headers": (
        HEAD_OF + b"Set-Cookie: a\r\nset-cookie: b\r\nX-E:\r\nX-High: \xff\xc3\xa9\r\nX-Tab: a\tb  \r\ncontent-length: 2\r\n\r\nok",
        Outcome(
            200,
            ((b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"x-e", b""), (b"x-high", b"\xff\xc3\xa9"), (b"x-tab", b"a\tb"), LENGTH),
            b"ok",
            ended=True,
            kept=True,
        ),
    ),
    "that closes": (
        HEAD_OF + b"connection: close\r\ncontent-length: 2\r\n\r\nok",
        Outcome(200, ((b"connection", b"close"), LENGTH), b"ok", ended=True),
    ),
    "with an upgrade offered": (
        HEAD_OF + b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nok",
        Outcome(200, ((b"upgrade", b"h2c"), (b"connection", b"upgrade"), LENGTH), b"ok", ended=True, kept=True),
    ),
    "a 999": (b"HTTP/1.1 999 ?\r\ncontent-length: 2\r\n\r\nok", Outcome(999, (LENGTH,), b"ok", ended=True, kept=True)),
    # The answer is whole and given; its connection is not used again.
    "then garbage": (response() + b"X", Outcome(200, (LENGTH,), b"ok", ended=True)),
    "then half an answer": (response() + b"HTTP/1.1 2", Outcome(200, (LENGTH,), b"ok", ended=True)),
    "then another answer": (response() + response(b"poison"), Outcome(200, (LENGTH,), b"ok", ended=True)),
    "204 then a body": (b"HTTP/1.1 204 \r\ncontent-length: 2\r\n\r\nok", Outcome(204, (LENGTH,), ended=True)),
    "chunked then garbage": (chunked_response(b"ok") + b"0\r\n\r\n", Outcome(200, (CHUNKED,), b"ok", ended=True)),
    "closing then more": (
        HEAD_OF + b"connection: close\r\ncontent-length: 2\r\n\r\nok more",
        Outcome(200, ((b"connection", b"close"), LENGTH), b"ok", ended=True),
    ),
    # No answer at all
    "two lengths": (HEAD_OF + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok", Outcome(error=BAD)),
    "the same length twice": (HEAD_OF + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok", Outcome(error=BAD)),
    "a list of lengths": (HEAD_OF + b"content-length: 2, 2\r\n\r\nok", Outcome(error=BAD)),
    "a negative length": (HEAD_OF + b"content-length: -2\r\n\r\nok", Outcome(error=BAD)),
    "a length of very many zeros": (HEAD_OF + b"content-length: " + b"0" * 5000 + b"2\r\n\r\nok", Outcome(error=BAD)),
    "a signed length": (HEAD_OF + b"content-length: +2\r\n\r\nok", Outcome(error=BAD)),
    "a huge length": (HEAD_OF + b"content-length: 99999999999999999999\r\n\r\nok", Outcome(error=BAD)),
    "a length and chunks": (HEAD_OF + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Outcome(error=BAD)),
    "chunks and a length": (HEAD_OF + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n", Outcome(error=BAD)),
    "another coding": (HEAD_OF + b"transfer-encoding: gzip\r\n\r\nok", Outcome(error=BAD)),
    "two codings": (HEAD_OF + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Outcome(error=BAD)),
    "chunked twice": (HEAD_OF + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Outcome(error=BAD)),
    "almost chunked": (HEAD_OF + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", Outcome(error=BAD)),
    "a folded header": (HEAD_OF + b"x-a: b\r\n c\r\ncontent-length: 2\r\n\r\nok", Outcome(error=BAD)),
    "a blank before the colon": (HEAD_OF + b"content-length : 2\r\n\r\nok", Outcome(error=BAD)),
    "a NUL in a value": (HEAD_OF + b"x-a: b\0c\r\ncontent-length: 2\r\n\r\nok", Outcome(error=BAD)),
    "a bare CR in a value": (HEAD_OF + b"x-a: b\rc\r\ncontent-length: 2\r\n\r\nok", Outcome(error=BAD)),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", Outcome(error=BAD)),
    "a change of protocol": (b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nxx", Outcome(error=BAD)),
    "another protocol": (b"SSH-2.0-OpenSSH\r\n", Outcome(error=BAD)),
    "a status of two digits": (b"HTTP/1.1 99 x\r\n\r\n", Outcome(error=BAD)),
    "a status of zero": (b"HTTP/1.1 000 x\r\n\r\n", Outcome(error=BAD)),
    # An answer that goes wrong after its head
    "a bad chunk size": (
        CHUNKED_HEAD + b"2\r\nok\r\nzz\r\n",
        Outcome(200, (CHUNKED,), b"ok", error=BAD),
    ),
    "a chunk that is too long": (
        CHUNKED_HEAD + b"2\r\nokay\r\n0\r\n\r\n",
        Outcome(200, (CHUNKED,), b"ok", error=BAD),
    ),
    "a length in the trailers": (
        CHUNKED_HEAD + b"2\r\nok\r\n0\r\ncontent-length: 9\r\n\r\n",
        Outcome(200, (CHUNKED,), b"ok", error=BAD),
    ),
    "a coding in the trailers": (
        CHUNKED_HEAD + b"2\r\nok\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n",
        Outcome(200, (CHUNKED,), b"ok", error=BAD),
    ),
    "a huge chunk size": (
        CHUNKED_HEAD + b"fffffffffffffffffff\r\n",
        Outcome(200, (CHUNKED,), error=BAD),
    ),
}
NAMES = sorted(ANSWERS)


@pytest.mark.parametrize("name", NAMES)
def test_answers_in_one_piece(name: str) -> None:
    answer, expected = ANSWERS[name]

    assert seen(answer) == expected


@pytest.mark.parametrize("name", NAMES)
def test_answers_a_byte_at_a_time(name: str) -> None:
    """A connection that an answer ended well in between takes the rest for bytes that nobody asked for."""
    answer, expected = ANSWERS[name]

    assert seen(*(answer[i : i + 1] for i in range(len(answer)))) == expected


@given(st.sampled_from(NAMES), st.lists(st.integers(0, 200), max_size=8))
def test_answers_cut_anywhere(name: str, cuts: list[int]) -> None:
    answer, expected = ANSWERS[name]
    edges = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]

    assert seen(*(answer[start:end] for start, end in itertools.pairwise(edges))) == expected


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_cut_short_never_ends_well_nor_keeps_its_connection(name: str) -> None:
    answer, expected = ANSWERS[name]
    for end in range(len(answer)):
        short = seen(answer[:end], eof=True)
        if expected.ended and short.ended:
            # Only an answer that is whole without the bytes cut off: those came after its end.
            assert (short.status, short.body) == (expected.status, expected.body)
        elif short != expected:
            assert short.error in {BROKEN, BAD}
            assert expected.body.startswith(short.body)
        assert not short.kept or answer[:end] == answer


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
@example(b"HTTP/1.1 200 OK\r\n\r\n", [])
def test_any_bytes_end_in_an_answer_or_a_named_error(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole = seen(stream, eof=True)
    cut = seen(*(stream[start:end] for start, end in itertools.pairwise(edges)), eof=True)

    assert whole.ended or whole.error is not None
    assert (whole.status, whole.body, whole.ended) == (cut.status, cut.body, cut.ended)


FIRST_LINES = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 \r\n", b"HTTP/1.0 200 \r\n", b"HTTP/1.1 204 \r\n"]
FRAMING = [b"content-length: 2\r\n", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"x: y\r\n"]
LINES = st.sampled_from([*FIRST_LINES, *FRAMING, b"\r\n", b"ok", b"2\r\n", b"0\r\n", b"\n", b"\r", b" "])


@given(st.lists(LINES, max_size=14).map(b"".join), st.lists(st.integers(0, 300), max_size=6))
def test_anything_like_http_means_the_same_wherever_it_is_cut(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole = seen(stream, eof=True)
    cut = seen(*(stream[start:end] for start, end in itertools.pairwise(edges)), eof=True)

    assert (whole.status, whole.headers, whole.body, whole.ended, whole.error) == (cut.status, cut.headers, cut.body, cut.ended, cut.error)


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    assert seen(HEAD_OF + b"\r\nall of", b" it", eof=True) == Outcome(200, (), b"all of it", ended=True)
    assert seen(HEAD_OF + b"\r\nall of", b" it") == Outcome(200, (), b"all of it")


def test_the_framing_of_a_1xx_answer_is_not_that_of_the_answer() -> None:
    for early in (b"content-length: 9\r\n", b"transfer-encoding: chunked\r\n"):
        head = b"HTTP/1.1 103 Early Hints\r\n" + early + b"\r\n" + HEAD_OF + b"\r\nall of it"
        assert seen(head, eof=True) == Outcome(200, (), b"all of it", ended=True)


@pytest.mark.parametrize("head", [b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b""])
def test_an_answer_to_head_has_no_body_whatever_its_head_says(head: bytes) -> None:
    for extra in (b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n"):
        answer = seen(HEAD_OF + head + b"\r\n" + extra, call=HEAD)
        assert (answer.status, answer.body, answer.ended, answer.kept) == (200, b"", True, False)


def filler(size: int) -> bytes:
    """Header lines of so many bytes."""
    line = b"x-filler: " + b"v" * 1012 + b"\r\n"
    return line * (size // len(line))


@pytest.mark.parametrize("step", [1 << 20, 1000])
def test_heads_up_to_64_kib_pass_and_larger_ones_do_not(step: int) -> None:
    def answered(head: bytes) -> Outcome:
        answer = HEAD_OF + head + b"content-length: 2\r\n\r\nok"
        return seen(*(answer[start : start + step] for start in range(0, len(answer), step)))

    assert answered(filler(MAX_HEAD_BYTES - 2048)).ended
    assert answered(filler(MAX_HEAD_BYTES + 2048)) == Outcome(error=BAD)
    assert answered(b"x: " + b"v" * 2 * MAX_HEAD_BYTES + b"\r\n") == Outcome(error=BAD)


@pytest.mark.parametrize(
    "endless",
    [b"x: y\r\n", b"x", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["headers", "one name", "continues"],
)
def test_endless_heads_are_cut_off(endless: bytes) -> None:
    start = b"" if endless.startswith(b"HTTP") else HEAD_OF

    assert seen(start, *[endless * 100] * (MAX_HEAD_BYTES // len(endless) // 100 + 2)).error is BAD


@pytest.mark.parametrize("endless", [b"2;" + b"a" * 1000, b"0\r\n" + b"x: y\r\n" * 100, b"0" * 1000], ids=["extension", "trailers", "size"])
def test_endless_chunk_framing_is_cut_off(endless: bytes) -> None:
    repeated = endless[3:] if endless.startswith(b"0\r") else endless[2:]
    answer = seen(CHUNKED_HEAD + b"" + endless, *[repeated] * 200)

    assert (answer.status, answer.error) == (200, BAD)


def test_an_answer_that_nobody_waits_for_closes_its_connection_at_its_head() -> None:
    async def scenario() -> None:
        exchange = Exchange()
        exchange.opened.cancel()
        exchange.feed(HEAD_OF)
        assert not exchange.transport.aborted
        exchange.feed(b"content-length: 2\r\n\r\nok")
        assert exchange.transport.aborted
        assert not exchange.kept()

    asyncio.run(scenario())


@pytest.mark.parametrize(("answer", "kept"), [(b"", False), (HEAD_OF, False), (CHUNKED_HEAD, False), (response(), True)])
def test_a_caller_that_leaves_closes_the_connection_unless_the_answer_was_whole(answer: bytes, kept: bool) -> None:
    async def scenario() -> None:
        exchange = Exchange()
        exchange.feed(answer)
        exchange.connection.abandon(exchange.opened)
        assert exchange.transport.aborted is not kept
        assert exchange.kept() is kept

    asyncio.run(scenario())


def test_reading_stops_while_much_is_unread_and_goes_on_when_it_was_read() -> None:
    async def scenario() -> None:
        exchange = Exchange()
        exchange.feed(CHUNKED_HEAD, *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 4)
        assert exchange.transport.reading
        exchange.feed(b"1\r\nx\r\n")
        assert not exchange.transport.reading
        assert len(exchange.opened.result().body.take()) == 4 * 65536 + 1
        assert exchange.transport.reading
        assert not exchange.kept()

    asyncio.run(scenario())


def test_a_connection_goes_back_reading_though_its_last_answer_is_unread() -> None:
    """A transport may deliver what it had decrypted before it was told to stop."""

    async def scenario() -> None:
        exchange = Exchange()
        exchange.feed(CHUNKED_HEAD, b"50000\r\n" + b"x" * 0x50000 + b"\r\n")
        assert not exchange.transport.reading
        exchange.feed(b"0\r\n\r\n")
        assert exchange.transport.reading
        assert exchange.kept()

    asyncio.run(scenario())
