"""Reads of one whole chunk that go on as they came: whatever an upstream sends, a caller gets the same as if all had been parsed."""

import asyncio
import weakref
from dataclasses import dataclass, field
from random import Random

import pytest

from keyhouse.gateway.events import MAX_HELD_BYTES, WholeEvents
from keyhouse.gateway.response import HIGH_WATER_BYTES
from keyhouse.gateway.usage_reader import UsageReader
from keyhouse.gateway.whole_chunks import LARGEST_BYTES, STARTS
from keyhouse.gateway.wire.answer import Usage
from tests.gateway.test_connection import CHUNKED_HEAD, Exchange
from tests.gateway.test_passing import LAST, chunk, turn

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
COUNTED = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}\n\n'
DONE = b"data: [DONE]\n\n"
BODIES = (
    *(
        EVENT,
        EVENT,
        EVENT,
        COUNTED,
        EVENT + EVENT,
        DONE,
        b"event: x\n" + EVENT,
        EVENT + EVENT[:20],
        EVENT[20:],
        EVENT[:-1],
        b"\n",
        b"}\n\n",
    ),
    *(b": keep-alive\n\n", b"data:[DONE]\n\n", b'data: {"a":1}\r\n\r\n', b"data: {}\r\r", b"\r\n", b"0\r\n\r\n", b"x", b"5\r\n}\n\n\r\n"),
)


@dataclass
class Caller:
    """Takes what it is given as the server of HTTP does. `is_behind` by turns: after so many bytes it wants no more."""

    patience: int
    written: bytes = b""
    straight: list[bytes] = field(default_factory=list)
    fails_at: int = 1 << 60

    def take(self, piece: bytes) -> bool:
        return self._write(chunk(piece))

    def take_chunk(self, framed: bytes) -> bool:
        self.straight.append(framed)
        return self._write(framed)

    def _write(self, wire: bytes) -> bool:
        before = len(self.written)
        self.written += wire
        if len(self.written) > self.fails_at:
            raise ValueError("gone")
        return before // self.patience == len(self.written) // self.patience


@dataclass
class Seen:
    """What the caller has got after each read, and how it ended."""

    written: list[bytes] = field(default_factory=list)
    outcome: object = None
    error_code: str = ""
    usage: Usage | None = None
    kept: bool = False
    reading: bool = True
    straight: int = 0


@dataclass
class Case:
    """Reads of an answer after its head, and how the caller is."""

    reads: list[bytes]
    patience: int = 1 << 60
    fails_at: int = 1 << 60
    over_tls: bool = False
    ends: bool = True


async def run(case: Case, *, straight: bool) -> Seen:
    """All reads, each while the caller waits for more, or is behind for the time of a read."""
    exchange, seen, caller = Exchange(), Seen(), Caller(case.patience, fails_at=case.fails_at)
    exchange.feed(CHUNKED_HEAD)
    usage = UsageReader()
    events = WholeEvents(exchange.opened.result().body, "chat", usage)
    if straight:
        events.frame_to(caller.take_chunk)

    async def answer() -> bool:
        while not await events.pass_to(caller.take):
            for _ in range(2):
                await asyncio.sleep(0)
        return True

    passing = asyncio.create_task(answer())
    await asyncio.sleep(0)
    for number, read in enumerate(case.reads):
        if exchange.transport.aborted or passing.done():
            break
        if case.over_tls:
            exchange.feed(read)
        else:
            exchange.connection.data_received(read)
        seen.written.append(caller.written)
        for _ in range((0, 0, 9, 0, 1)[number % 5]):
            await asyncio.sleep(0)
    if case.ends and not exchange.transport.aborted:
        exchange.connection.eof_received()
    for _ in range(8):
        await asyncio.sleep(0)
    if passing.done():
        error = passing.exception()
        seen.outcome = passing.result() if error is None else repr(error)
    else:
        passing.cancel()
        await asyncio.gather(passing, return_exceptions=True)
    seen.written.append(caller.written)
    seen.error_code, seen.usage, seen.reading = events.error_code, usage.usage(), exchange.transport.reading
    seen.straight = len(caller.straight)
    seen.kept = exchange.kept()
    return seen


def framed(body: bytes, random: Random) -> bytes:
    """A chunk, mostly as everybody writes one."""
    if random.random() < 0.85:
        return chunk(body)
    size = random.choice((b"%X", b"0%x", b"%x;a=b", b"%x ", b"+%x", b"0x%x", b"%x\r")) % len(body)
    return size + b"\r\n" + body + random.choice((b"\r\n", b"\r\n", b"\n", b"\r"))


def mutated(wire: bytes, random: Random) -> bytes:
    """The same with a byte changed, left out, doubled or put in."""
    place = random.randrange(len(wire))
    byte = random.choice((b"\r", b"\n", b"0", b"1", b"a", b"}", b"\0", b";", b" ", bytes([random.randrange(256)])))
    return random.choice(
        (
            wire[:place] + byte + wire[place + 1 :],
            wire[:place] + wire[place + 1 :],
            wire[:place] + byte + wire[place:],
            wire[: place + 1] + wire[place:],
        )
    )


def case_of(random: Random) -> Case:
    """A stream, cut mostly where its chunks end."""
    bodies = random.choices(BODIES, k=random.randrange(1, 9)) if random.random() < 0.8 else [EVENT] * 6 + [COUNTED, DONE]
    reads = [framed(body, random) for body in bodies]
    if random.random() < 0.7:
        reads.append(LAST if random.random() < 0.8 else b"0\r\nx: y\r\n\r\n")
    for _ in range(random.choice((0, 0, 1, 2))):
        number = random.randrange(len(reads))
        reads[number] = mutated(reads[number], random) or b"\r"
    for _ in range(random.choice((0, 0, 1, 3))):
        number = random.randrange(len(reads))
        place = random.randrange(len(reads[number]) + 1)
        reads[number : number + 1] = [part for part in (reads[number][:place], reads[number][place:]) if part]
    for _ in range(random.choice((0, 0, 1, 2))):
        number = random.randrange(len(reads))
        reads[number : number + 2] = [b"".join(reads[number : number + 2])]
    return Case(
        reads,
        patience=random.choice((1 << 60, 1 << 60, 100, 300)),
        fails_at=random.choice((1 << 60, 1 << 60, 1 << 60, 250)),
        over_tls=random.random() < 0.5,
        ends=random.random() < 0.5,
    )


async def differ(case: Case) -> tuple[Seen, Seen] | None:
    """What is seen on both ways, where it is not the same."""
    with_chunks, parsed = await run(case, straight=True), await run(case, straight=False)
    straight, with_chunks.straight = with_chunks.straight, 0
    if with_chunks != parsed:
        return with_chunks, parsed
    with_chunks.straight = straight
    return None


async def tried(seeds: range) -> None:
    for seed in seeds:
        case = case_of(Random(seed))
        found = await differ(case)
        assert found is None, (seed, case, found)


@pytest.mark.parametrize("first", range(0, 4000, 1000))
def test_a_caller_gets_the_same_as_if_all_had_been_parsed(first: int) -> None:
    asyncio.run(tried(range(first, first + 1000)))


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_whole_event_goes_on_as_it_came_once_a_chunk_has_ended(over_tls: bool) -> None:
    seen = asyncio.run(run(Case([chunk(EVENT)] * 5 + [chunk(COUNTED), chunk(DONE)], over_tls=over_tls), straight=True))

    assert seen.written[-1] == chunk(EVENT) * 5 + chunk(COUNTED) + chunk(DONE)
    assert (seen.straight, seen.outcome, seen.error_code) == (5, True, "")
    assert seen.usage == Usage(3, 5)


NOT_ALONE = {
    "capitals": b"%X\r\n%b\r\n" % (len(EVENT) + 9, b": 56789\n\n" + EVENT),
    "zeros": b"0%x\r\n%b\r\n" % (len(EVENT), EVENT),
    "an extension": b"%x;a\r\n%b\r\n" % (len(EVENT), EVENT),
    "two chunks": chunk(EVENT) * 2,
    "no event's end": chunk(EVENT[:-1]),
    "the last event": chunk(DONE),
    "a chunk's half": chunk(EVENT)[:30],
    "bytes that look like a chunk inside one": b"%x\r\n" % (len(EVENT) + 1),
}


@pytest.mark.parametrize("read", NOT_ALONE.values(), ids=NOT_ALONE.keys())
def test_anything_else_is_parsed(read: bytes) -> None:
    seen = asyncio.run(run(Case([chunk(EVENT), read], ends=False), straight=True))

    assert seen.straight == 0


@pytest.mark.parametrize("over_tls", [False, True])
@pytest.mark.parametrize("size", [21, 262, LARGEST_BYTES, LARGEST_BYTES + 1, 2 * LARGEST_BYTES])
def test_no_read_of_a_length_that_no_chunk_has_goes_on_as_it_came(size: int, over_tls: bool) -> None:
    """What an upstream writes there would stand in the caller's connection as if we had framed it."""
    for first in (b"\n", b"\r\n", b"\0", b""):
        forged = first + b"0\r\n\r\n" + b"x" * (size - len(first) - 10) + b"}\n\n\r\n"
        case = Case([chunk(EVENT), chunk(EVENT), forged], over_tls=over_tls)

        assert asyncio.run(differ(case)) is None
        assert asyncio.run(run(case, straight=True)).straight == 1


@pytest.mark.parametrize("before", [b"1", b"1;a", b"\r\n", b"57\r\n", b"59\r\nx\n", b"ae\r\n" + chunk(EVENT)])
def test_a_chunk_that_begins_elsewhere_is_none(before: bytes) -> None:
    """The parser is inside a size, an extension, or a chunk whose own bytes look like the end of one."""
    reads = [chunk(EVENT), chunk(EVENT) + before, chunk(EVENT), b"\r\n", chunk(EVENT), LAST]

    assert asyncio.run(differ(Case(reads))) is None
    assert asyncio.run(run(Case(reads[:3], ends=False), straight=True)).straight == 0


def test_a_caller_who_is_behind_gets_nothing_more_before_it_has_caught_up() -> None:
    async def scenario() -> None:
        exchange, caller = Exchange(), Caller(patience=1)
        exchange.feed(CHUNKED_HEAD, chunk(EVENT))
        events = WholeEvents(exchange.opened.result().body, "chat", UsageReader())
        events.frame_to(caller.take_chunk)
        assert await events.pass_to(caller.take) is False
        exchange.feed(chunk(EVENT), chunk(EVENT))
        assert (caller.written, caller.straight) == (chunk(EVENT), [])
        assert await events.pass_to(caller.take) is False
        passing = asyncio.create_task(events.pass_to(caller.take))
        await turn()
        exchange.feed(*[chunk(EVENT)] * 3)
        assert caller.straight == [chunk(EVENT)]
        assert await passing is False
        assert await events.pass_to(caller.take) is False
        assert caller.written == chunk(EVENT) + chunk(EVENT * 2) + chunk(EVENT) + chunk(EVENT * 2)
        events.close()
        exchange.transport.release()

    asyncio.run(scenario())


def test_a_chunk_inside_one_of_which_much_was_held_is_none() -> None:
    inside = chunk(EVENT)
    large = b"x" * HIGH_WATER_BYTES + b"\n\n"
    reads = [chunk(EVENT), chunk(EVENT), b"%x\r\n" % (len(large) + 2 * len(inside)) + large, inside, inside, b"\r\n", chunk(EVENT), LAST]

    assert asyncio.run(differ(Case(reads, patience=len(chunk(EVENT)) * 2))) is None


def test_a_body_that_was_passed_on_in_chunks_holds_its_reader_no_more() -> None:
    async def scenario() -> None:
        exchange, caller = Exchange(), Caller(patience=1 << 60)
        exchange.feed(CHUNKED_HEAD, chunk(EVENT))
        body = exchange.opened.result().body
        left = weakref.ref(caller)
        passing = asyncio.create_task(body.pass_to(caller.take, caller.take_chunk))
        await turn()
        exchange.feed(LAST)
        assert await passing
        del caller, passing
        assert left() is None
        assert exchange.kept()

    asyncio.run(scenario())


def test_a_caller_who_was_cancelled_gets_nothing_more() -> None:
    async def scenario() -> None:
        exchange, caller = Exchange(), Caller(patience=1 << 60)
        exchange.feed(CHUNKED_HEAD, chunk(EVENT))
        events = WholeEvents(exchange.opened.result().body, "chat", UsageReader())
        events.frame_to(caller.take_chunk)
        passing = asyncio.create_task(events.pass_to(caller.take))
        await turn()
        passing.cancel()
        exchange.feed(chunk(EVENT))
        with pytest.raises(asyncio.CancelledError):
            await passing
        assert caller.written == chunk(EVENT)
        events.close()
        exchange.transport.release()

    asyncio.run(scenario())


def test_what_a_callers_side_raises_ends_the_passing() -> None:
    seen = asyncio.run(run(Case([chunk(EVENT)] * 4, fails_at=len(chunk(EVENT)) + 1), straight=True))

    assert (seen.outcome, seen.straight) == ("ValueError('gone')", 1)


def test_an_event_moves_the_deadline() -> None:
    async def scenario() -> None:
        exchange, caller = Exchange(), Caller(patience=1 << 60)
        exchange.feed(CHUNKED_HEAD, chunk(EVENT))
        events = WholeEvents(exchange.opened.result().body, "chat", UsageReader())
        events.frame_to(caller.take_chunk)
        passing = asyncio.create_task(events.pass_to(caller.take))
        await turn()
        exchange.connection.deadline = 0
        exchange.feed(chunk(EVENT))
        assert caller.straight
        assert exchange.connection.deadline > asyncio.get_running_loop().time()
        exchange.feed(LAST)
        assert await passing
        assert exchange.kept()

    asyncio.run(scenario())


def test_an_end_without_the_upstreams_is_an_error_event_after_chunks_that_went_straight() -> None:
    seen = asyncio.run(run(Case([chunk(EVENT)] * 3 + [chunk(EVENT)[:40]]), straight=True))

    assert seen.straight == 2
    assert seen.written[-1].startswith(chunk(EVENT) * 3)
    assert (seen.error_code, seen.written[-1].count(b'"error"')) == ("upstream_broken", 1)


def test_an_event_too_large_to_be_held_goes_on_with_what_follows_it() -> None:
    large = b"x" * (MAX_HELD_BYTES // 4)
    reads = [chunk(EVENT), *[chunk(large)] * 5, chunk(b"}\n\n"), chunk(EVENT), LAST]

    assert asyncio.run(differ(Case(reads))) is None


def test_what_a_read_starts_with_tells_a_chunk_of_its_length() -> None:
    for size in range(1, LARGEST_BYTES + 100):
        length = len(chunk(b"x" * size))
        assert chunk(b"x" * size).startswith(STARTS[length]) == (length <= LARGEST_BYTES)
    lengths = {len(chunk(b"x" * size)) for size in range(1, LARGEST_BYTES)}
    assert {STARTS[length] for length in range(LARGEST_BYTES + 100) if length not in lengths or length > LARGEST_BYTES} == {()}
    assert len(STARTS) <= LARGEST_BYTES + 1
