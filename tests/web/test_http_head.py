"""A head that is known is never taken for another request than the parser would have read."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhouse.web.http_bounds import HIGH_WATER_BYTES
from keyhouse.web.http_head import CallerHead, KnownHead
from keyhouse.web.http_target import target_of

PLAIN = (
    b"POST /v1/chat/completions?beta=true HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
    b"Connection: keep-alive\r\nAuthorization: Bearer x\r\n\r\n{}"
)
BODILESS = b"GET /api/model-providers HTTP/1.1\r\nhost: a\r\nx-auth-token: x\r\n\r\n"
FINE_LINES = (
    b"X-Odd:  two blanks\r\n",
    b"X-Odd:none\r\n",
    b"X-Odd: content-length: 5\r\n",
)
UNUSUAL_LINES = (
    b"X-Odd: behind \r\n",
    b"X-Odd: folded\r\n more\r\n",
    b"X-Odd: bare\nline\r\n",
    b"Content-Length: 2\r\n",
    b"Content-Length : 2\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\n",
)


@dataclass
class Parsed:
    """One request as the parser reads it; `is_whole` where the bytes were all of it, and nothing more."""

    url: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    ends: int = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ends += 1


def parsed(data: bytes) -> tuple[Parsed, bytes] | None:
    """None for what is no request, or asks for another protocol."""
    found = Parsed()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    return (found, parser.get_method()) if found.url else None


def learned(data: bytes) -> KnownHead:
    known, read = KnownHead(), parsed(data)
    if read is not None:
        known.learn(CallerHead(read[1].decode(), target_of(read[0].url), read[0].headers), data)
    return known


def without_length(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [pair for pair in headers if pair[0] != b"content-length"]


def require_same(known: KnownHead, data: bytes) -> bool:
    """Whether the head was known, and then everything is as the parser reads it; where it is held, once its body has come."""
    body = known.body_in(data)
    while known.holds:
        data += b"x"
        body = known.body_in(b"x")
    if body is None:
        return False
    read = parsed(data)
    assert read is not None
    request, method = read
    head = known.head
    assert (request.ends, request.body, method.decode()) == (1, body, head.method)
    assert target_of(request.url) == (head.path, head.raw_path, head.query)
    assert without_length(request.headers) == without_length(head.headers)
    if any(name == b"content-length" for name, _ in head.headers):
        # Digits may be led by zeros.
        assert [int(value) for name, value in request.headers if name == b"content-length"] == [len(body)]
        assert (b"content-length", b"%d" % len(body)) in head.headers_for(len(body))
    assert without_length(head.headers_for(len(body))) == without_length(head.headers)
    return True


def test_a_body_of_another_length_is_known_by_its_head() -> None:
    known = learned(PLAIN)
    for body in (b"", b"{}", b"x" * 5, b"x" * 70_000):
        data = PLAIN.replace(b": 2\r\n", b": %d\r\n" % len(body))[:-2] + body
        assert require_same(known, data)


def test_a_request_without_a_body_is_known() -> None:
    known = learned(BODILESS)
    assert require_same(known, BODILESS)
    assert not require_same(known, BODILESS + b"GET")
    assert not require_same(known, BODILESS[:-1])


def test_a_part_of_a_request_or_more_than_one_is_not_known() -> None:
    known = learned(PLAIN)
    for data in (*(PLAIN[:end] for end in range(len(PLAIN))), PLAIN + PLAIN, PLAIN + b"\r\n"):
        assert known.body_in(data) is None
        assert known.let_go(b"") == (data if len(PLAIN) - len(data) in (1, 2) else b"")


@pytest.mark.parametrize("line", FINE_LINES)
def test_a_head_of_a_plain_form_is_learned(line: bytes) -> None:
    data = PLAIN.replace(b"Host: a\r\n", b"Host: a\r\n" + line)
    assert require_same(learned(data), data)


@pytest.mark.parametrize("data", [PLAIN.replace(b"POST", b"\r\nPOST"), *(PLAIN.replace(b"Host", line + b"Host") for line in UNUSUAL_LINES)])
def test_a_head_of_an_unusual_form_is_not_learned(data: bytes) -> None:
    assert learned(data).body_in(data) is None


@pytest.mark.parametrize("lines", [b"Content-Length: 12 \r\n", b"Content-Length: 12\r\nContent-Length: 12\r\n"])
def test_a_length_that_is_told_in_another_form_is_not_learned(lines: bytes) -> None:
    """Else some of its digits could be taken for those of the next request, whose body is then only a part of its own."""
    data = PLAIN.replace(b"Content-Length: 2\r\n", lines)[:-2] + b"x" * 12
    lengths = [(b"content-length", b"12")] * lines.count(b"12")
    headers = [(b"host", b"a"), *lengths, (b"connection", b"keep-alive"), (b"authorization", b"Bearer x")]
    known = KnownHead()
    known.learn(CallerHead("POST", target_of(b"/v1/chat/completions?beta=true"), headers), data)
    for head in (lines, b"Content-Length: 12\r\n"):
        start = PLAIN.replace(b"Content-Length: 2\r\n", head)[:-2]
        assert known.body_in(start + b"xx") is None
        assert not known.holds
        assert known.body_in(start + b"x" * 12) is None


def test_a_connection_stops_learning_where_each_head_differs() -> None:
    known = KnownHead()
    for number in range(6):
        data = BODILESS.replace(b": x", b": x%d" % number)
        read = parsed(data)
        assert read is not None
        known.learn(CallerHead("GET", target_of(read[0].url), read[0].headers), data)
        assert (known.body_in(data) is not None) == (number < 4)


def changed(data: bytes) -> Iterator[bytes]:
    """The same with one byte of its head another one, one more, or one less."""
    for place in range(data.index(b"\r\n\r\n") + 4):
        for put in (b"x", b"X", b"0", b" ", b"\r", b"\n", b":"):
            yield data[:place] + put + data[place + 1 :]
            yield data[:place] + put + data[place:]
        yield data[:place] + data[place + 1 :]


@pytest.mark.parametrize("plain", [PLAIN, BODILESS])
def test_no_byte_of_a_known_head_may_be_another_one(plain: bytes) -> None:
    known = learned(plain)
    for data in changed(plain):
        require_same(known, data)


@pytest.mark.parametrize("plain", [PLAIN, BODILESS])
def test_a_head_is_not_learned_from_the_bytes_of_another(plain: bytes) -> None:
    read = parsed(plain)
    assert read is not None
    head = CallerHead(read[1].decode(), target_of(read[0].url), read[0].headers)
    fewer = plain[: plain.rindex(b"\r\n", 0, plain.index(b"\r\n\r\n"))] + b"\r\n\r\n"
    for data in (*changed(plain), BODILESS, PLAIN, fewer, b"", b"\r\n\r\n"):
        known = KnownHead()
        known.learn(head, data)
        # Blanks behind a value are no part of it: RFC 9110 section 5.5.
        if b" \r" not in data:
            require_same(known, data)


@pytest.mark.parametrize("said", [b"Content-Length: 2 ", b"Content-Length:2", b"Content-Length:\t2\t", b"Content-Length: 02"])
def test_a_length_is_known_as_it_is_said_or_not_at_all(said: bytes) -> None:
    first = PLAIN.replace(b"Content-Length: 2", said)
    known = learned(first)
    require_same(known, first)
    for size in (0, 2, 5, 22, 25, 222):
        for length in (b"%d" % size, b"2%d" % size, b"%d2" % size):
            require_same(known, first[:-2].replace(b"2", length) + b"x" * size)


def test_what_was_sent_together_with_a_request_is_no_part_of_its_head() -> None:
    for further in (b"G", b"\r", BODILESS):
        known = KnownHead()
        read = parsed(BODILESS)
        assert read is not None
        known.learn(CallerHead(read[1].decode(), target_of(read[0].url), read[0].headers), BODILESS + further)
        assert known.body_in(BODILESS + further) is None


def test_without_a_head_nothing_is_known() -> None:
    known = learned(PLAIN)
    rest = PLAIN.partition(b"Content-Length: ")[2]
    read = parsed(PLAIN)
    assert read is not None
    known.learn(CallerHead("POST", target_of(b"/other"), read[0].headers), PLAIN)
    assert [KnownHead().body_in(b""), known.body_in(rest), known.body_in(b"X" + rest)] == [None] * 3


@given(
    st.lists(st.sampled_from(FINE_LINES + UNUSUAL_LINES), max_size=2),
    st.sampled_from([PLAIN, BODILESS]),
    st.integers(0, 200),
    st.binary(max_size=6) | st.sampled_from([b"\r\n", b"\n", b"0", b"Content-Length: 9\r\n"]),
    st.integers(0, 3),
)
def test_no_other_request_is_taken_for_it(lines: list[bytes], plain: bytes, place: int, put: bytes, cut: int) -> None:
    first = plain.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\n" + b"".join(lines))
    known = learned(first)
    place %= len(first)
    require_same(known, first)
    require_same(known, first[:place] + put + first[place + cut :])


def test_a_known_head_waits_for_its_body_however_that_comes() -> None:
    known = learned(PLAIN)
    head = PLAIN[:-2].replace(b": 2\r\n", b": 5\r\n")
    for pieces in ((b"12345",), (b"1", b"2345"), (b"", b"1", b"2", b"3", b"4", b"5")):
        assert known.body_in(head + pieces[0] * (len(pieces) == 2)) is None
        assert known.holds
        rest = pieces[1:] if len(pieces) == 2 else pieces
        assert [known.body_in(piece) for piece in rest] == [None] * (len(rest) - 1) + [b"12345"]
        assert known.held_at > 0.0
        assert not known.holds
        assert known.let_go(b"next") == b"next"
    assert known.body_in(PLAIN) == b"{}"
    assert known.held_at == 0.0


def test_what_is_held_is_let_go_with_what_came_behind_it() -> None:
    known = learned(PLAIN)
    head = PLAIN[:-2].replace(b": 2\r\n", b": 5\r\n")
    assert [known.body_in(piece) for piece in (head + b"1", b"234", b"5G")] == [None] * 3
    assert not known.holds
    assert known.let_go(b"5G") == head + b"12345G"
    assert known.let_go(b"5G") == b"5G"


@pytest.mark.parametrize(("size", "is_held"), [(HIGH_WATER_BYTES, True), (HIGH_WATER_BYTES + 1, False)])
def test_only_a_small_request_is_held(size: int, is_held: bool) -> None:
    known = learned(PLAIN)
    assert known.body_in(PLAIN[:-2].replace(b": 2\r\n", b": %d\r\n" % size)) is None
    assert known.holds == is_held
