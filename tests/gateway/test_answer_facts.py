"""What spans tell of an answer: found in the bytes that were kept of it, in every shape, and nothing of its words."""

import json

import pytest

from keyhouse.gateway.answer_facts import NO_FACTS, AnswerFacts
from keyhouse.gateway.usage_reader import UsageReader, WholeRead

CHAT = {"choices": [{"index": 0, "message": {"content": '"id":"no"', "tool_calls": [{"id": "call_1"}]}, "finish_reason": "tool_calls"}]}
TWO = [{"index": 1, "finish_reason": "length"}, {"index": 0, "finish_reason": "stop"}]
RESPONSE = {"object": "response", "id": "resp_1", "model": "gpt-x", "output": [{"id": "msg_1", "status": "completed"}]}


@pytest.mark.parametrize(
    ("answer", "facts"),
    [
        # Gemini orders its members by the alphabet: those of the choices come first.
        ({**CHAT, "id": "chatcmpl-1", "model": "m-1"}, AnswerFacts("chatcmpl-1", "m-1", ("tool_call",))),
        ({"id": "c", "model": "m", "choices": TWO}, AnswerFacts("c", "m", ("stop", "length"))),
        ({"id": "msg_1", "model": "claude-x", "content": [], "stop_reason": "end_turn"}, AnswerFacts("msg_1", "claude-x", ("stop",))),
        ({**RESPONSE, "status": "completed"}, AnswerFacts("resp_1", "gpt-x", ("stop",))),
        (
            {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            AnswerFacts("resp_1", "gpt-x", ("length",)),
        ),
        ({"output": {}, "stopReason": "end_turn"}, AnswerFacts(None, None, ("stop",))),
        ({"id": "c", "choices": [{"finish_reason": "abort"}]}, AnswerFacts("c", None, ("abort",))),
        ({"object": "list", "data": [], "model": "text-embedding-x"}, AnswerFacts(None, "text-embedding-x")),
        ({"id": "x" * 1000, "model": "m"}, AnswerFacts(None, "m")),
        ({"id": 7}, NO_FACTS),
        ([], NO_FACTS),
    ],
)
def test_a_whole_answer(answer: object, facts: AnswerFacts) -> None:
    body = json.dumps(answer).encode()
    assert WholeRead(body).facts() == facts
    reader = UsageReader()
    for start in range(0, len(body), 7):
        reader.feed(body[start : start + 7])
    assert reader.facts() == facts


def _data(*events: object) -> bytes:
    return b"".join(b"event: e\r\ndata: " + json.dumps(event).encode() + b"\r\n\r\n" for event in events)


CHUNK = {"id": "chatcmpl-1", "model": "m-1", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
LAST = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
STARTED = {"type": "message_start", "message": {"id": "msg_1", "model": "claude-x", "stop_reason": None}}
STOPPED = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}}
CREATED = {"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}}
COMPLETED = {"type": "response.completed", "response": {**RESPONSE, "status": "completed"}}


@pytest.mark.parametrize("between", [0, 5, 5000])
@pytest.mark.parametrize(
    ("first", "more", "last", "facts"),
    [
        (CHUNK, CHUNK, LAST, AnswerFacts("chatcmpl-1", "m-1", ("stop",))),
        (STARTED, {"type": "content_block_delta", "delta": {"text": "Hi"}}, STOPPED, AnswerFacts("msg_1", "claude-x", ("tool_call",))),
        (CREATED, {"type": "response.output_text.delta", "delta": "Hi"}, COMPLETED, AnswerFacts("resp_1", "gpt-x", ("stop",))),
    ],
    ids=["chat", "messages", "responses"],
)
def test_a_stream_short_and_long(first: object, more: object, last: object, facts: AnswerFacts, between: int) -> None:
    reader = UsageReader()
    for piece in (_data(first), *[_data(more)] * between, _data(last), b"data: [DONE]\n\n"):
        reader.feed(piece)
    assert reader.facts() == facts


def test_a_stream_that_breaks_off_says_no_reason() -> None:
    reader = UsageReader()
    reader.feed(_data(CHUNK)[:-20] + b"\n")
    reader.feed(_data(CHUNK))
    assert reader.facts() == AnswerFacts("chatcmpl-1", "m-1")


@pytest.mark.parametrize("body", [b"", b"\xff\xfb\x90data:", b"data: \xff", b"{\xff", b"[" * 200_000, b"{" * 200_000], ids=str)
def test_what_is_no_answer_tells_nothing(body: bytes) -> None:
    assert WholeRead(body).facts() == NO_FACTS


def test_what_is_large_is_not_looked_into() -> None:
    large = json.dumps({"id": "c", "data": "x" * 1024 * 1024}).encode()
    assert WholeRead(large).facts() == NO_FACTS
    reader = UsageReader()
    reader.feed(large)
    assert reader.facts() == NO_FACTS


@pytest.mark.parametrize("before", [b"", b"data: "], ids=["whole", "event"])
@pytest.mark.parametrize("member", [b'{"message":', b'{"x":'], ids=["known", "unknown"])
def test_what_is_nested_too_deep_tells_nothing(before: bytes, member: bytes) -> None:
    assert WholeRead(before + member * 20_000 + b"{}" + b"}" * 20_000).facts() == NO_FACTS
