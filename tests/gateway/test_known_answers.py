"""Answers read in one look: whatever is read so means the same to the parser, and nothing that the parser would not take whole is."""

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhouse.gateway.bounds import MAX_HEAD_BYTES
from keyhouse.gateway.headers import to_caller
from keyhouse.gateway.known_answer import Known, KnownAnswers
from tests.gateway.fault_upstream import chunked_response, response
from tests.gateway.test_connection import ANSWERS, Outcome, outcome

OK = b"HTTP/1.1 200 OK\r\n"
USUAL = (
    b"Date: Mon, 30 Nov 2026 19:00:00 GMT\r\nContent-Type: application/json\r\n%bConnection: keep-alive\r\nx-request-id: req_1\r\n"
    b"x-ratelimit-limit-requests: 500\r\nopenai-processing-ms: 12\r\nSet-Cookie: a=b; path=/\r\n\r\n"
)
WITH_LENGTH = OK + USUAL % b"Content-Length: 12\r\n" + b'{"a":"\r\n\\n"}'
IN_A_CHUNK = OK + USUAL % b"Transfer-Encoding: chunked\r\n" + b'c\r\n{"a":"\r\n\\n"}\r\n0\r\n\r\n'


def agreed(accepted: Iterable[tuple[bytes, Known]]) -> int:
    """Checks that the parser says the same of each, and counts them."""

    async def scenario() -> int:
        pairs = list(accepted)
        for data, known in pairs:
            assert_same(await outcome([data], eof=False), data, known)
        return len(pairs)

    return asyncio.run(scenario())


def assert_same(parsed: Outcome, data: bytes, known: Known) -> None:
    lines, body = known
    assert (parsed.status, parsed.ended, parsed.error, parsed.kept, parsed.body) == (200, True, None, True, body), data
    expected = [(name, value) for name, value in to_caller(parsed.headers) if name != b"content-length"]
    assert lines.endswith(b"\r\n"), data
    told = [(name, value) for name, _, value in (line.partition(b": ") for line in lines[:-2].split(b"\r\n"))]
    assert sorted(told) == sorted([*expected, (b"content-length", b"%d" % len(body))]), data


def read_by(known: KnownAnswers, answers: Iterable[bytes]) -> list[tuple[bytes, Known]]:
    """Those of the answers that are read in one look."""
    read = ((data, known.read(data)) for data in answers)
    return [(data, one) for data, one in read if one is not None]


def read_at_first(*answers: bytes) -> list[tuple[bytes, Known]]:
    """The same where each is the first that comes."""
    return [one for data in answers for one in read_by(KnownAnswers(), [data])]


# What is read


@pytest.mark.parametrize("answer", [WITH_LENGTH, IN_A_CHUNK, response(), response(b""), chunked_response(b"o")])
def test_a_usual_answer_is_read_at_first_and_again(answer: bytes) -> None:
    assert agreed(read_by(KnownAnswers(), [answer] * 3)) == 3


def test_what_goes_on_is_the_callers_and_nothing_else() -> None:
    [(_, (lines, body))] = read_at_first(WITH_LENGTH)

    assert lines == (
        b"content-type: application/json\r\ncontent-length: 12\r\nx-request-id: req_1\r\n"
        b"x-ratelimit-limit-requests: 500\r\nopenai-processing-ms: 12\r\n"
    )
    assert body == b'{"a":"\r\n\\n"}'


NAMES = st.sampled_from(
    b"content-type Content-Type x-request-id X-Request-Id request-id x-ratelimit-limit-tokens X-RateLimit-Remaining anthropic-priority-a"
    b" date Server set-cookie keep-alive Trailer TE Via content_length x_y 1 - _ x-ratelimit- retry-after CONTENT-ENCODING vary".split()
) | st.from_regex(rb"\A[A-Za-z0-9_-]{1,9}\Z").filter(lambda name: name.lower() != b"upgrade")
VISIBLE = st.integers(0x21, 0x7E).map(lambda code: bytes([code]))
VALUES = st.sampled_from(b"0 application/json % %b %% ( \\ \\1 {0} close gzip chunked : 2".split()) | st.builds(
    lambda first, rest, last: first + rest + last,
    VISIBLE,
    st.lists(VISIBLE | st.sampled_from([b" ", b"\t"]), max_size=9).map(b"".join),
    VISIBLE,
)
PLAIN_LINES = st.lists(st.tuples(NAMES, VALUES), max_size=7)
BODIES = st.binary(min_size=1, max_size=40) | st.sampled_from(
    [b"\r\n0\r\n\r\n", b"0\r\n\r\n", b"x" * 300, b" x", b"HTTP/1.1 200 OK\r\n\r\n"]
)
FRAMINGS = st.sampled_from([b"content-length", b"Content-Length", b"CONTENT-LENGTH", b"transfer-encoding", b"Transfer-Encoding"])


def written(lines: Iterable[tuple[bytes, bytes]], framing: bytes, at: int, body: bytes, status_line: bytes = OK) -> bytes:
    """An answer with the header of its framing among the others."""
    headers = [b"%b: %b\r\n" % line for line in lines]
    chunked = framing.lower() == b"transfer-encoding"
    headers.insert(at, b"%b: %b\r\n" % (framing, b"chunked" if chunked else b"%d" % len(body)))
    return b"%b%b\r\n%b" % (status_line, b"".join(headers), b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)


@given(PLAIN_LINES, st.data(), FRAMINGS, st.integers(0, 7), st.sampled_from([OK, b"HTTP/1.1 200 \r\n"]))
def test_plain_answers_are_read_whatever_their_names_and_then_any_with_other_values(
    lines: list[tuple[bytes, bytes]], data: st.DataObject, framing: bytes, at: int, status_line: bytes
) -> None:
    answers = [written(lines, framing, at, data.draw(BODIES), status_line)]
    for _ in range(2):
        others = [(name, data.draw(VALUES)) for name, _ in lines]
        answers.append(written(others, framing, at, data.draw(BODIES), status_line))

    assert agreed(read_by(KnownAnswers(), answers)) == 3


# Whatever is read means the same to the parser

ODD_LINES = (
    b"connection: close|connection: keep-alive|Connection: Keep-Alive|connection: keep-alive, close|connection: upgrade|Connection: x"
    b"|proxy-connection: close|Proxy-Connection: keep-alive|upgrade: h2c|Upgrade: websocket|trailer: x|keep-alive: timeout=5"
    b"|content-length: 2|content-length: 02|content-length: +2|Content-Length: 3|content-length: 2, 2|content-length:  2|content-length: 2 "
    b"|content-length:2|content-length: 0x2|content-length: 99999999999999999999|transfer-encoding: chunked|Transfer-Encoding: Chunked"
    b"|transfer-encoding: gzip, chunked|transfer-encoding: chunked, gzip|transfer-encoding: chunked |transfer-encoding: identity"
    b"|x-a: b| folded|\tfolded|x-b:|x-c: \xff|x-d: a\0b|x-e: a\rb|x-f: a\nb|x g: h|x-h : i|x-i: j \t|x-j:  k|: v|x|x-k: \x7f"
    b"|content_length: 9|x-request-id: a|X-Request-Id: b|request-id: \x80|x.y: z|x!: y|retry-after: 1"
).split(b"|")
ODD_STARTS = [
    b"",
    b"\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\ncontent-length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"x",
]
ODD_STATUS_LINES = [
    OK,
    b"HTTP/1.1 200 \r\n",
    *(b"HTTP/1.1 200\r\n|HTTP/1.0 200 OK\r\n|HTTP/1.1 201 OK\r\n|HTTP/1.1 204 \r\n|HTTP/1.1 200 ok\r\n|HTTP/1.1 200 OK\n".split(b"|")),
    *(b"http/1.1 200 OK\r\n|HTTP/1.1  200 OK\r\n|HTTP/1.1 200 OK \r\n|HTTP/2.0 200 OK\r\n|ICY 200 OK\r\n|HTTP/1.1 304 \r\n".split(b"|")),
]
LAST = b"\r\n0\r\n\r\n"
ODD_SIZES = b"3|1|+2|-2|0x2|2 |2;a=b|2\r|000000000002|g|".split(b"|")
ODD_ENDS = [
    *(b"|o|ok|ok |ok\r\n|0\r\n\r\n|\r\n0\r\n\r\n|2\r\nok0\r\n\r\n|2\nok\r\n0\r\n\r\n|2\r\nok\n0\r\n\r\n|2\r\nok\r\n0\n\n".split(b"|")),
    *(b"2\r\nok\r\n0\r\nx: y\r\n\r\n|2\r\nok\r\n00\r\n\r\n|1\r\no\r\n1\r\nk\r\n0\r\n\r\n|2\r\nok\r\n0;a\r\n\r\n".split(b"|")),
    *(size + b"\r\nok" + LAST for size in ODD_SIZES),
    b"2\r\nok" + LAST + LAST,
    b"2\r\nok" + LAST + OK + b"\r\n",
    b"2\r\nok" + LAST + LAST[2:],
    b"7\r\n" + LAST + LAST[:-1] + b"\r",
]
PLAIN_CHUNKS = [b"2\r\nok" + LAST, b"02\r\nok" + LAST, b"7\r\n2" + LAST + LAST]


@given(
    st.just(b"") | st.sampled_from(ODD_STARTS),
    st.just(OK) | st.sampled_from(ODD_STATUS_LINES),
    st.lists(st.sampled_from(ODD_LINES), max_size=3),
    st.sampled_from([b"\r\n", b"\r\n", b"\n"]),
    st.sampled_from([*ODD_ENDS, *PLAIN_CHUNKS]),
    st.sampled_from([b"", b"content-length: 2\r\n", b"transfer-encoding: chunked\r\n"]),
)
@settings(max_examples=400)
def test_odd_answers_are_read_only_where_the_parser_says_the_same(
    start: bytes, status_line: bytes, lines: list[bytes], end_of_line: bytes, end: bytes, framing: bytes
) -> None:
    data = start + status_line + b"".join(line + end_of_line for line in lines) + framing + b"\r\n" + end
    chunked = b"chunked" in framing or any(line.lower().startswith(b"transfer") for line in lines)
    usual = OK + b"".join(map(plain, lines)) + framing + b"\r\n" + (PLAIN_CHUNKS[0] if chunked else b"ok")

    agreed([*read_at_first(data), *read_by(KnownAnswers(), [usual, data])])


def plain(line: bytes) -> bytes:
    """The line as a plain answer has it."""
    name = line.partition(b":")[0].strip()
    fixed = {b"content-length": b"2", b"transfer-encoding": b"chunked", b"connection": b"keep-alive", b"proxy-connection": b"keep-alive"}
    return b"%b: %b\r\n" % (name, fixed.get(name.lower(), b"y"))


FRAMING_LINES = [line for line in ODD_LINES if line.lower().startswith((b"content-length", b"transfer-encoding"))]
IN_CHUNK_FRAMING = OK + b"transfer-encoding: chunked\r\n"
ODD_LENGTHS = b"02|+2|-2|2 |2,2|2, 2|0x2|1|3|00|\xb2|0000000000002|2000000000000|".split(b"|")


@pytest.mark.parametrize(
    "answer",
    [
        *(OK + line + b"\r\ncontent-length: 2\r\n\r\nok" for line in FRAMING_LINES),
        *(OK + b"content-length: 2\r\n" + line + b"\r\n\r\nok" for line in FRAMING_LINES),
        *(IN_CHUNK_FRAMING + line + b"\r\n\r\n2\r\nok\r\n0\r\n\r\n" for line in FRAMING_LINES),
        *(OK + b"content-length: " + length + b"\r\n\r\nok" for length in ODD_LENGTHS),
        *(
            OK + b"transfer-encoding: " + coding + b"\r\n\r\n2\r\nok\r\n0\r\n\r\n"
            for coding in b"gzip, chunked|chunked |chunked, gzip".split(b"|")
        ),
        *(IN_CHUNK_FRAMING + b"\r\n" + end for end in ODD_ENDS),
        *(response(headers=b"connection: " + value + b"\r\n") for value in b"close|x|keep-alive, close|upgrade".split(b"|")),
        *(response(headers=line + b"\r\n") for line in b"upgrade: h2c|Proxy-Connection: close|x-a: b\r\n c|x-a:|x-a: \0".split(b"|")),
        *(start + response() for start in ODD_STARTS[1:]),
        *(line + b"content-length: 2\r\n\r\nok" for line in ODD_STATUS_LINES[2:]),
        OK + b"x: y\r\n\r\nok",
        response() + b"x",
        response() + response(b"poison"),
        response().replace(b"\r\n", b"\n"),
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(answer: bytes) -> None:
    known = KnownAnswers()
    assert known.read(response())
    assert known.read(chunked_response(b"ok"))

    assert known.read(answer) is None
    assert KnownAnswers().read(answer) is None


def test_few_of_the_answers_that_the_parser_is_tested_with_are_plain() -> None:
    assert agreed(read_at_first(*(answer for answer, _ in ANSWERS.values()))) == 2


# Mutations

BYTES = [bytes([code]) for code in b"\r\n\0 \t\x80:09aZ,;-"]


def mutants(answer: bytes) -> set[bytes]:
    """The answer with each of its bytes deleted or replaced, with one more at each place, with two in the other order, or cut there."""
    made: set[bytes] = set()
    for at in range(len(answer) + 1):
        before, after = answer[:at], answer[at + 1 :]
        made |= {before, before + after, before + after[:1] + answer[at : at + 1] + after[1:]}
        for byte in [*BYTES, b"\r\n", b"\r\n\r\n"]:
            made |= {before + byte + after, before + byte + answer[at:]}
    return made - {answer}


@pytest.mark.parametrize("answer", [WITH_LENGTH, IN_A_CHUNK], ids=["length", "chunk"])
def test_every_small_change_of_a_known_answer_that_is_read_means_the_same_to_the_parser(answer: bytes) -> None:
    known = KnownAnswers()
    assert known.read(answer)
    changed = mutants(answer)

    assert 0 < agreed(read_by(known, changed)) < len(changed)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Vary: a b\r\nretry-after: 1\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
        OK + b"x-request-id: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
    ids=["length", "chunk"],
)
def test_every_small_change_of_an_answer_that_comes_first_and_is_read_means_the_same_to_the_parser(answer: bytes) -> None:
    changed = mutants(answer)

    assert 0 < agreed(read_at_first(*changed)) < len(changed)


# Bounds


def other_layouts(count: int) -> list[bytes]:
    return [response(headers=b"x-%d: y\r\n" % number) for number in range(count)]


def test_no_more_than_four_layouts_are_known() -> None:
    known = KnownAnswers()

    assert len(read_by(known, other_layouts(8))) == 4
    assert len(read_by(known, other_layouts(8))) == 4


def test_answers_that_cannot_be_read_end_the_lessons_and_leave_what_is_known() -> None:
    known = KnownAnswers()
    assert known.read(response(b"before"))
    for number in range(15):
        assert known.read(response(b"cut short", headers=b"x-%d: y\r\n" % number)[:-1]) is None

    assert known.read(response(headers=b"x-15: y\r\n")) is None
    assert known.read(response(b"after")) is not None


def test_a_known_answer_with_a_head_too_large_for_the_parser_is_left_to_it() -> None:
    """Which refuses it."""
    known = KnownAnswers()
    assert known.read(response(headers=b"x-a: y\r\n"))

    largest = response(headers=b"x-a: %b\r\n" % (b"y" * (MAX_HEAD_BYTES - len(response(headers=b"x-a: \r\n", body=b"")))))
    for more in range(8):
        agreed(read_by(known, [largest.replace(b"x-a: ", b"x-a: " + b"y" * more)]))
    assert known.read(largest) is not None
    assert known.read(largest.replace(b"x-a: ", b"x-a: " + b"y" * 1024)) is None


def test_a_head_of_very_many_lines_is_not_learned() -> None:
    """Its pattern would take everybody's time, and memory for long."""
    usual = response(headers=b"".join(b"x-%d: y\r\n" % number for number in range(63)))
    large = response(headers=b"".join(b"x-%d: y\r\n" % number for number in range(64)))

    assert KnownAnswers().read(usual) is not None
    assert KnownAnswers().read(large) is None


@pytest.mark.parametrize(
    "value", [b"y" + b" " * 200_000, b"y" + b" \t" * 100_000 + b"y\0", b"y " * 100_000 + b"\x80", b" " * 200_000, b"y" * 200_000 + b"\n"]
)
def test_no_value_makes_reading_slow(value: bytes) -> None:
    """Where a pattern went back in it at each place, this would take minutes."""
    known = KnownAnswers()
    usual = response(headers=b"x-a: y\r\ncontent-type: y\r\nx-b: y\r\n")
    assert known.read(usual)

    for name in (b"x-a", b"content-type", b"x-b"):
        for made in (value, value + b"\r\n"):
            assert known.read(usual.replace(name + b": y", name + b": " + made)) is None
    for size in (7000, 8100, 9000):
        assert KnownAnswers().read(response(headers=b"x-a: %b\r\n" % (value[:size] + value[-1:]))) is None
