"""Answers that contradict themselves or hold nothing, as servers give them: what a caller gets can be sent back, and tells the truth."""

import msgspec
import pytest

from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.translation import render_caller_response

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
