"""Tokens are read from what passes, in every shape, wherever it is cut, without holding it."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhouse.gateway.usage_reader import UsageReader, WholeRead
from keyhouse.gateway.wire.answer import Usage


def sse(*events: object, named: bool = False) -> bytes:
    """A stream of events."""
    lines = [event if isinstance(event, str) else json.dumps(event, separators=(",", ":")) for event in events]
    heads = [f"event: {event['type']}\n" if named and isinstance(event, dict) else "" for event in events]
    return "".join(f"{head}data: {line}\n\n" for head, line in zip(heads, lines, strict=True)).encode()


CHAT = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
DETAILED = {**CHAT, "prompt_tokens_details": {"cached_tokens": 60}, "completion_tokens_details": {"reasoning_tokens": 8}}
RESPONSES = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 8},
    "total_tokens": 120,
}
MESSAGES = {"input_tokens": 40, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 50, "output_tokens": 20}
LONG = {"choices": [{"delta": {"content": "word " * 50}}], "usage": None}

ANSWERS: dict[str, tuple[bytes, Usage | None]] = {
    "chat": (
        json.dumps({"choices": [{"message": {"content": "hello"}}], "usage": CHAT, "system_fingerprint": "f"}).encode(),
        Usage(100, 20),
    ),
    "chat, detailed": (json.dumps({"usage": DETAILED}).encode(), Usage(40, 20, 60, None, 8)),
    "chat, usage first": (json.dumps({"usage": CHAT, "choices": ["x" * 100_000]}).encode(), Usage(100, 20)),
    "chat, long": (json.dumps({"choices": ["x" * 100_000], "usage": CHAT}).encode(), Usage(100, 20)),
    "chat, pretty": (json.dumps({"choices": [], "usage": CHAT}, indent=4).encode(), Usage(100, 20)),
    "chat stream": (sse(*[LONG] * 200, {"choices": [], "usage": DETAILED}, "[DONE]"), Usage(40, 20, 60, None, 8)),
    "chat stream, not asked for": (sse(*[LONG] * 200, "[DONE]"), None),
    "chat stream, usage in each": (sse({"usage": {**CHAT, "completion_tokens": 1}}, {"usage": CHAT}, "[DONE]"), Usage(100, 20)),
    "chat stream, in a member of its own": (sse(LONG, {"x_groq": {"id": "req_1", "usage": CHAT}}, "[DONE]"), Usage(100, 20)),
    "embeddings": (json.dumps({"data": ["x" * 200_000], "usage": {"prompt_tokens": 7, "total_tokens": 7}}).encode(), Usage(7, 0)),
    "embeddings, total alone": (json.dumps({"data": [], "usage": {"total_tokens": 7}}).encode(), Usage(7, 0)),
    "chat, thinking beside": (json.dumps({"usage": {**DETAILED, "total_tokens": 128}}).encode(), Usage(40, 28, 60, None, 8)),
    "messages, in iterations": (
        json.dumps(
            {"usage": {**MESSAGES, "iterations": [{**MESSAGES, "type": "message", "cache_creation": {"ephemeral_5m_input_tokens": 0}}] * 2}}
        ).encode(),
        Usage(40, 20, 50, 10),
    ),
    "responses": (json.dumps({"output": [], "usage": RESPONSES, "metadata": {}}).encode(), Usage(40, 20, 60, None, 8)),
    "responses stream": (
        sse(
            {"type": "response.created", "response": {"usage": None}},
            {"type": "response.completed", "response": {"usage": RESPONSES}},
            named=True,
        ),
        Usage(40, 20, 60, None, 8),
    ),
    "messages": (json.dumps({"content": [], "usage": MESSAGES}).encode(), Usage(40, 20, 50, 10)),
    "messages stream": (
        sse(
            {"type": "message_start", "message": {"usage": {**MESSAGES, "output_tokens": 1}}},
            *[{"type": "content_block_delta", "delta": {"text": "word " * 50}}] * 200,
            {"type": "message_delta", "usage": {"output_tokens": 20}},
            {"type": "message_stop"},
            named=True,
        ),
        Usage(40, 20, 50, 10),
    ),
    "messages stream, broken off": (sse({"type": "message_start", "message": {"usage": MESSAGES}}, named=True), Usage(40, 20, 50, 10)),
    "converse": (
        json.dumps({"stopReason": "end_turn", "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}}).encode(),
        Usage(3, 4),
    ),
    "speech": (b"\xff\xfb\x90\x64" * 30_000, None),
    "empty": (b"", None),
    "a text that speaks of it": (json.dumps({"choices": ['"usage":{"prompt_tokens":9}']}).encode(), None),
    "of an odd type": (json.dumps({"usage": {"prompt_tokens": "many"}}).encode(), None),
    "a list": (json.dumps({"usage": [1]}).encode(), None),
    "cut in the middle": (b'{"usage":{"prompt_tokens":12,', None),
    "deep": (b'{"usage":{"a":' + b"[" * 5000, None),
    "seconds": (json.dumps({"text": "hi", "usage": {"type": "duration", "seconds": 3}}).encode(), None),
}


def usage_of(*chunks: bytes) -> Usage | None:
    reader = UsageReader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader.usage()


@pytest.mark.parametrize("name", ANSWERS)
def test_tokens_are_read_in_every_shape(name: str) -> None:
    answer, usage = ANSWERS[name]
    assert usage_of(answer) == usage


@pytest.mark.parametrize("name", ANSWERS)
def test_of_an_answer_that_is_there_whole_the_same_is_read(name: str) -> None:
    answer, usage = ANSWERS[name]
    assert WholeRead(answer).usage() == usage
    assert WholeRead(b'{"response":%b}' % answer).usage() == usage


@pytest.mark.parametrize("size", [1, 7, 1000, 70_000])
@pytest.mark.parametrize("name", ANSWERS)
def test_tokens_are_read_wherever_the_answer_is_cut(name: str, size: int) -> None:
    answer, usage = ANSWERS[name]
    assert usage_of(*(answer[start : start + size] for start in range(0, len(answer), size))) == usage


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b'"usage"', b":", b'{"prompt_tokens":1}', b"null", b" " * 9000])))
def test_no_answer_breaks_the_reader(chunks: list[bytes]) -> None:
    assert WholeRead(b"".join(chunks)).usage() == usage_of(*chunks)


def test_a_large_answer_is_not_held() -> None:
    reader = UsageReader()
    for _ in range(100):
        reader.feed(b"x" * 1_000_000)
        held: list[Any] = [reader._head, *reader._chunks]
        assert sum(map(sys.getsizeof, held)) < 64 * 1024
