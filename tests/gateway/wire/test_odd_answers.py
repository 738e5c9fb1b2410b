"""Answers that contradict themselves or hold nothing, as servers give them: what a caller gets can be sent back, and tells the truth."""

import base64

import msgspec
import pytest

from keyhouse.domain.errors import Error
from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.decoding import decoded, decoded_arguments
from keyhouse.gateway.wire.translation import render_caller_error, render_caller_response
from tests.gateway.wire.rendered_requests import chat, to_messages
from tests.gateway.wire.test_streams import accumulated_message

DEFAULTS = AnswerDefaults("msg_1", "m", 1_800_000_000)


def whole(upstream, answer):
    return render_caller_response(msgspec.json.encode(answer), "anthropic_messages", upstream, DEFAULTS)


@pytest.mark.parametrize(("content", "blocks"), [("Hi", [{"type": "text", "text": "Hi"}]), (None, [])])
def test_an_answer_that_names_calls_and_makes_none_has_ended(replayed, content, blocks):
    choice = {"index": 0, "message": {"content": content}, "finish_reason": "tool_calls"}
    message = whole("openai_chat", {"choices": [choice]})
    assert (message["content"], message["stop_reason"]) == (blocks, "end_turn")

    chunk = {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": "tool_calls"}]}
    stream = replayed("anthropic_messages", "openai_chat", [(None, msgspec.json.encode(chunk)), (None, b"[DONE]")])
    assert b'"stop_reason":"end_turn"' in stream


def test_empty_text_of_converse_is_no_block(replayed):
    call = {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": ""}, call]}}, "stopReason": "tool_use"}
    assert [block["type"] for block in whole("bedrock_converse", answer)["content"]] == ["tool_use"]

    events = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": ""}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Hi"}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {}),
    ]
    stream = replayed("anthropic_messages", "bedrock_converse", [(name, msgspec.json.encode(data)) for name, data in events])
    assert stream.count(b"event: content_block_start") == 1


def test_a_hidden_thought_of_converse_that_comes_in_pieces_is_one_block(replayed):
    pieces = [base64.b64encode(piece).decode() for piece in (b"one thou", b"g", b"ht")]
    deltas = [{"reasoningContent": {"redactedContent": piece}} for piece in pieces]
    events = [
        ("messageStart", {"role": "assistant"}),
        *(("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta}) for delta in deltas),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": deltas[0]}),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"text": "Hi"}}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {}),
    ]
    stream = replayed("anthropic_messages", "bedrock_converse", [(name, msgspec.json.encode(data)) for name, data in events])
    content = [block.model_dump(exclude_none=True) for block in accumulated_message(stream).content]
    assert content == [
        {"type": "redacted_thinking", "data": base64.b64encode(b"one thought").decode()},
        {"type": "redacted_thinking", "data": pieces[0]},
        {"type": "text", "text": "Hi"},
    ]


HALVES = '"a\\ud83d\\ude00b\\ud83d c\\ude00"'
READ = "a\N{GRINNING FACE}b\N{REPLACEMENT CHARACTER} c\N{REPLACEMENT CHARACTER}"


TOO_MANY = [b'{"content":[' + value * count + b"1]}" for value, count in ((b"[],", 500_000), (b'{"":0},', 500_000), (b"1,", 4_000_001))]


@pytest.mark.parametrize("answer", TOO_MANY, ids=["arrays", "objects", "numbers"])
def test_an_answer_of_ever_so_many_values_is_not_taken_apart(answer):
    """64 MiB of empty arrays took 1.7 GB, and nobody else was served for a quarter of a minute."""
    with pytest.raises(Error, match="too many values"):
        decoded(answer)
    assert decoded(b'{"text":"' + b"[x" * 400_000 + b'"}').text("text").startswith("[x")


def test_nor_are_such_arguments_of_a_call():
    with pytest.raises(Error, match="arguments of a tool call"):
        decoded_arguments('{"a":[' + "[]," * 500_000 + "1]}", is_cut=False)


def test_half_a_character_ends_no_answer(replayed):
    whole_answer = b'{"choices":[{"index":0,"message":{"content":%b},"finish_reason":"stop"}]}' % HALVES.encode()
    rendered = render_caller_response(whole_answer, "anthropic_messages", "openai_chat", DEFAULTS)
    assert rendered["content"] == [{"type": "text", "text": READ}]

    chunk = b'{"choices":[{"index":0,"delta":{"content":%b},"finish_reason":"stop"}]}' % HALVES.encode()
    stream = replayed("anthropic_messages", "openai_chat", [(None, chunk), (None, b"[DONE]")])
    assert READ.encode() in stream
    assert b"event: error" not in stream


def test_half_a_character_in_the_arguments_of_a_call_breaks_neither_answer_nor_request():
    function = {"name": "f", "arguments": f'{{"a":{HALVES}}}'}
    message = {"content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    rendered = whole("openai_chat", {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    assert rendered["content"][0]["input"] == {"a": READ}

    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", **message}, {"role": "tool", "tool_call_id": "c", "content": "ok"}]
    assert to_messages(chat(messages)).body["messages"][1]["content"][0]["input"] == {"a": READ}


def test_half_a_character_leaves_an_error_its_words():
    body = b'{"error":{"message":%b}}' % HALVES.encode()
    assert render_caller_error(400, body, "anthropic_messages", "openai_chat")["error"]["message"] == READ


@pytest.mark.parametrize("data", [b'{"a":"\\ud83d"', b'{"a":"\\ud83d\n"}', b'["\\ud83d",NaN]', b"\xff\\ud83d"])
def test_what_is_no_json_is_none_beside_half_a_character_either(data):
    with pytest.raises(Error):
        decoded(data)
