"""The framing of AWS event streams, split anywhere, and broken in every way."""

import struct
import zlib
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.aws_event_stream import EventStreamDecoder


def header(name: str, kind: int, value: bytes) -> bytes:
    return bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value


def text_header(name: str, value: str) -> bytes:
    return header(name, 7, struct.pack(">H", len(value.encode())) + value.encode())


def frame(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    unsigned = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return unsigned + struct.pack(">I", zlib.crc32(unsigned))


def event(name: str, payload: bytes) -> bytes:
    return frame(
        text_header(":message-type", "event") + text_header(":event-type", name) + text_header(":content-type", "application/json"), payload
    )


def outcome(data: bytes) -> Code | None:
    try:
        list(EventStreamDecoder().feed(data))
    except Error as error:
        return error.code
    return None


def broken(data: bytes, **options) -> Error:
    with pytest.raises(Error) as raised:
        list(EventStreamDecoder(**options).feed(data))
    return raised.value


# Made by hand, and read alike by botocore 1.43.11: 61 bytes in all, 32 of them headers.
VECTOR = bytes.fromhex(
    "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1"
)


def test_known_message():
    (message,) = EventStreamDecoder().feed(VECTOR)
    assert message.headers == {"content-type": "application/json"}
    assert message.payload == b"{'foo':'bar'}"


def test_events_exceptions_and_errors_have_a_name_and_data():
    exception = frame(
        text_header(":message-type", "exception") + text_header(":exception-type", "throttlingException"), b'{"message":"slow"}'
    )
    error = frame(text_header(":message-type", "error") + text_header(":error-code", "Internal") + text_header(":error-message", "oh"), b"")
    messages = list(EventStreamDecoder().feed(event("messageStop", b"{}") + exception + error))
    assert [(message.event_name, message.event_data) for message in messages] == [
        ("messageStop", b"{}"),
        ("throttlingException", b'{"message":"slow"}'),
        ("InternalError", b'{"message":"oh"}'),
    ]


def test_every_type_of_header():
    values = [
        header("true", 0, b""),
        header("false", 1, b""),
        header("byte", 2, b"\xff"),
        header("short", 3, struct.pack(">h", -300)),
        header("int", 4, struct.pack(">i", 70_000)),
        header("long", 5, struct.pack(">q", -(1 << 40))),
        header("bytes", 6, struct.pack(">H", 2) + b"\x00\x01"),
        text_header("text", "ü"),
        header("time", 8, struct.pack(">q", 1_700_000_000_000)),
        header("uuid", 9, bytes(range(16))),
    ]
    (message,) = EventStreamDecoder().feed(frame(b"".join(values), b""))
    assert message.headers == {
        "true": True,
        "false": False,
        "byte": -1,
        "short": -300,
        "int": 70_000,
        "long": -(1 << 40),
        "bytes": b"\x00\x01",
        "text": "ü",
        "time": 1_700_000_000_000,
        "uuid": bytes(range(16)),
    }


@given(st.lists(st.binary(max_size=60), max_size=5), st.lists(st.integers(0, 1000)))
def test_splits_at_any_byte_change_nothing(payloads, cuts):
    stream = b"".join(event("contentBlockDelta", payload) for payload in payloads)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    decoder = EventStreamDecoder()
    messages = [message for start, end in pairwise(edges) for message in decoder.feed(stream[start:end])]
    assert [message.payload for message in messages] == payloads


def test_an_unfinished_message_is_held():
    decoder = EventStreamDecoder()
    assert list(decoder.feed(VECTOR[:-1])) == []
    assert len(list(decoder.feed(VECTOR[-1:]))) == 1


@given(st.integers(0, len(VECTOR) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(place, change):
    changed = bytearray(VECTOR)
    changed[place] ^= change
    assert broken(bytes(changed)).code is Code.UPSTREAM_INVALID_ANSWER


@given(st.binary(max_size=200))
def test_noise_never_crashes(noise):
    assert outcome(noise) in (None, Code.UPSTREAM_INVALID_ANSWER)


@given(st.binary(max_size=60))
def test_noise_in_headers_never_crashes(noise):
    assert outcome(frame(noise, b"")) in (None, Code.UPSTREAM_INVALID_ANSWER)


@pytest.mark.parametrize(("total", "headers"), [(1 << 31, 0), (200, 199), (15, 0), (200_000, 140_000)])
def test_lengths_that_can_not_be_are_refused_at_the_prelude(total, headers):
    prelude = struct.pack(">II", total, headers)
    assert "event stream is broken" in broken(prelude + struct.pack(">I", zlib.crc32(prelude))).message


def test_size_of_a_message_is_bounded():
    assert "too large" in broken(event("messageStop", b"x" * 100), maximum_message_bytes=100).message


@pytest.mark.parametrize("malformed", [b"\x05ab", header("a", 99, b""), b"\x01a\x07\x00\x09x", b"\x01\xff\x00", b"\x01a\x04\x00"])
def test_malformed_headers_are_refused(malformed):
    assert "header" in broken(frame(malformed, b"")).message


def test_decoded_stream_feeds_the_translation(recorded, replayed):
    stream = recorded("converse_thinking_and_tools.jsonl")
    framed = b"".join(event(name, data) for name, data in stream)
    messages = [(message.event_name, message.event_data) for message in EventStreamDecoder().feed(framed)]
    assert replayed("openai_chat", "bedrock_converse", messages) == replayed("openai_chat", "bedrock_converse", stream)
    assert msgspec.json.decode(messages[-1][1])["usage"]["totalTokens"] == 224
