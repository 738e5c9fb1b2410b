"""Server-sent events: what the parser reads is what the standard says, wherever the stream is cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhouse.domain.errors import Error
from keyhouse.gateway.sse import MAX_EVENT_LINES, ServerSentEvent, SseParser


def parsed(*pieces: bytes) -> list[ServerSentEvent]:
    parser = SseParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def reference(stream: bytes) -> list[ServerSentEvent]:
    """The standard's own steps, line by line, with nothing clever."""
    lines = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]
    events: list[ServerSentEvent] = []
    data, event = b"", ""
    for line in lines:
        if not line:
            if data:
                events.append(ServerSentEvent(data[:-1], event or "message"))
            data, event = b"", ""
        elif not line.startswith(b":"):
            name, _, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if name == b"data":
                data += value + b"\n"
            elif name == b"event":
                event = value.decode("utf-8", "replace")
    return events


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a":1}\n\ndata: [DONE]\n\n', [ServerSentEvent(b'{"a":1}'), ServerSentEvent(b"[DONE]")]),
        (b"event: ping\ndata: {}\n\n", [ServerSentEvent(b"{}", "ping")]),
        (b"data: a\r\ndata: b\r\n\r\n", [ServerSentEvent(b"a\nb")]),
        (b"data: a\rdata: b\r\r", [ServerSentEvent(b"a\nb")]),
        (b": a comment\n\ndata:x\n\n", [ServerSentEvent(b"x")]),
        (b"\xef\xbb\xbfdata: x\n\n", [ServerSentEvent(b"x")]),
        (b"data:  two blanks\n\n", [ServerSentEvent(b" two blanks")]),
        (b"data\n\n", [ServerSentEvent(b"")]),
        (b"data\ndata\n\n", [ServerSentEvent(b"\n")]),
        (b"event: lonely\n\ndata: x\n\n", [ServerSentEvent(b"x")]),
        (b"id: 7\ndata: x\n\ndata: y\n\n", [ServerSentEvent(b"x"), ServerSentEvent(b"y")]),
        (b"id: 7\n\nid: a\0b\ndata: y\n\n", [ServerSentEvent(b"y")]),
        (b"retry: 100\ndata: x\n\nretry: 1x\ndata: y\n\n", [ServerSentEvent(b"x"), ServerSentEvent(b"y")]),
        (b"retry: " + b"9" * 5000 + b"\ndata: x\n\n", [ServerSentEvent(b"x")]),
        (b"\n\n\n\ndata: x\n\n\n\n\n", [ServerSentEvent(b"x")]),
        (b"unknown: field\ndata: x\n\n", [ServerSentEvent(b"x")]),
        (b"data: never finished\n", []),
        (b"", []),
    ],
)
def test_streams_are_read_as_the_standard_says(stream: bytes, events: list[ServerSentEvent]) -> None:
    assert parsed(stream) == events
    assert reference(stream) == events


def test_a_byte_at_a_time_gives_the_same_events() -> None:
    stream = b"\xef\xbb\xbfevent: a\r\ndata: 1\r\n\r\n: c\rdata: 2\r\rdata: 3\n\n"

    assert parsed(*(stream[i : i + 1] for i in range(len(stream)))) == reference(stream)


PARTS = st.sampled_from(
    [
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"data: x",
        b"data:",
        b"data",
        b"event: e",
        b"id: 1",
        b"retry: 5",
        b":",
        b": c",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\0",
    ]
)


@given(st.lists(PARTS, max_size=30).map(b"".join), st.lists(st.integers(0, 200), max_size=12))
def test_a_stream_cut_anywhere_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]

    assert parsed(*pieces) == reference(stream)


def test_an_endless_event_is_refused() -> None:
    parser = SseParser(max_event_bytes=1000)
    parser.feed(b"data: ")

    for _ in range(9):
        parser.feed(b"x" * 100)
    with pytest.raises(Error, match="too large"):
        parser.feed(b"x" * 100)


@pytest.mark.parametrize("line", [b"data:\n", b"data\n", b"x\n"])
def test_an_event_of_ever_so_many_lines_is_refused(line: bytes) -> None:
    """Some 16 MiB of them would keep everybody else waiting while they are told apart."""
    event = b"data: x\n" + line * MAX_EVENT_LINES
    with pytest.raises(Error, match="too many lines"):
        parsed(event + b"\n")
    assert len(parsed(b"data: x\n" + line * 1000 + b"\n")) == 1


def test_large_events_cost_one_pass() -> None:
    """Pieces are joined once, when the event is whole: 8 MiB in 128-byte pieces would otherwise copy 256 GiB."""
    parser = SseParser()
    events: list[ServerSentEvent] = []
    for _ in range(65536):
        events += parser.feed(b"y" * 128)
    events += parser.feed(b"\n\ndata: x\n\n")

    assert events == [ServerSentEvent(b"x")]


def test_only_one_event_is_bounded_not_the_stream() -> None:
    parser = SseParser(max_event_bytes=100)
    for _ in range(50):
        assert parser.feed(b"data: abcdef") == []
        assert [event.data for event in parser.feed(b"gh\n\ndata: i")] == [b"abcdefgh"]
        assert [event.data for event in parser.feed(b"\n\n")] == [b"i"]
