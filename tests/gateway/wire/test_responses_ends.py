"""How answers end for callers of Responses: cut off, refused and failed, whole and streamed; and whose thoughts go on to whom."""

import json

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_response, render_upstream_request

EVENT = TypeAdapter(ResponseStreamEvent)
DEFAULTS = AnswerDefaults("resp_1", "the-model", 1_800_000_000)
WORDS = "I can not help with that."


def whole(message, finish_reason, upstream="openai_chat"):
    body = {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}]}
    return Response.model_validate(render_caller_response(msgspec.json.encode(body), "openai_responses", upstream, DEFAULTS), strict=True)


def streamed(events, deltas, finish_reason):
    """The events told, each of its published type, of a stream of chat completions."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks = [{"choices": [choice]} for choice in (*choices, {"index": 0, "delta": {}, "finish_reason": finish_reason})]
    data = [*(json.dumps(chunk).encode() for chunk in chunks), b"[DONE]"]
    return told(events, "openai_chat", [(None, each) for each in data])


def told(events, upstream, stream):
    translation = StreamTranslation("openai_responses", upstream, DEFAULTS)
    raw = b"".join([*(translation.feed(name, data) for name, data in stream), translation.end()])
    return [EVENT.validate_json(data, strict=True) for _, data in events(raw)]


def test_a_refusal_is_told_as_one_and_completes_the_answer(events):
    response = whole({"content": None, "refusal": WORDS}, "stop")
    [message] = response.output
    assert (response.status, message.status, [part.to_dict() for part in message.content]) == (
        "completed",
        "completed",
        [{"type": "refusal", "refusal": WORDS}],
    )
    stream = streamed(events, [{"refusal": WORDS[:5]}, {"refusal": WORDS[5:]}], "stop")
    assert [event.type for event in stream[2:-1]] == [
        "response.output_item.added",
        "response.content_part.added",
        "response.refusal.delta",
        "response.refusal.delta",
        "response.refusal.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    assert stream[3].part.to_dict() == {"type": "refusal", "refusal": ""}
    assert stream[-1].response.to_dict(exclude_unset=False) == response.to_dict(exclude_unset=False)


def test_a_provider_that_stops_its_model_says_why_in_events_of_their_own(recorded, events):
    stream = told(events, "anthropic_messages", recorded("messages_refusal.sse"))
    kinds = [event.type for event in stream]
    begun = kinds.index("response.refusal.delta") - 2
    assert kinds[begun:] == [
        "response.output_item.added",
        "response.content_part.added",
        "response.refusal.delta",
        "response.refusal.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert stream[-1].response.output[-1].content[0].refusal == stream[begun + 3].refusal


CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"city": "Os'}}


def test_what_is_cut_off_is_marked_as_incomplete(events):
    assert whole({"content": "Once"}, "length").output[0].status == "incomplete"
    stream = streamed(events, [{"content": "Look"}, {"tool_calls": [CALL]}], "length")
    done = [event.item.status for event in stream if event.type == "response.output_item.done"]
    assert done == [item.status for item in stream[-1].response.output] == ["completed", "incomplete"]
    assert stream[-1].type == "response.incomplete"


def test_thoughts_that_are_cut_off_have_no_such_mark(events):
    assert whole({"content": None, "reasoning_content": "Hm"}, "length").output[0].status is None
    assert streamed(events, [{"reasoning_content": "Hm"}], "length")[-1].response.output[0].status is None


@pytest.mark.parametrize(("kind", "code"), [("rate_limit_error", "rate_limit_exceeded"), ("overloaded_error", "server_error")])
def test_a_failure_is_told_twice_as_openai_tells_it(recorded, events, kind, code):
    begun = [event for event in recorded("messages_text.sse") if event[0] != "message_stop" and event[0] != "message_delta"]
    error = json.dumps({"type": "error", "error": {"type": kind, "message": "Come again."}}).encode()
    *before, stated, failed = told(events, "anthropic_messages", [*begun, ("error", error)])
    assert (stated.type, stated.message) == ("error", "Come again.")
    assert (failed.type, failed.response.status) == ("response.failed", "failed")
    assert (failed.response.error.code, failed.response.error.message) == (code, "Come again.")
    assert [item.type for item in failed.response.output] == ["message"]
    assert before[-1].type == "response.output_item.done"
    assert [event.sequence_number for event in (*before, stated, failed)] == list(range(len(before) + 2))


SIGNED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("upstream", "model"), [("anthropic_messages", "claude-opus-5-5"), ("bedrock_converse", "anthropic.claude-opus-4-5-20251101-v1:0")]
)
def test_a_claude_model_goes_on_after_another_without_its_signatures_and_thoughts(upstream, model):
    call = {**SIGNED, "extra_content": {"google": {"thought_signature": "c2ln"}}}
    items = [item.to_dict() for item in whole({"reasoning_content": "Hm.", "tool_calls": [call]}, "tool_calls").output]
    assert [item["type"] for item in items] == ["reasoning", "reasoning", "function_call"]
    question, result = {"role": "user", "content": "Hi"}, {"type": "function_call_output", "call_id": "c", "output": "ok"}
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    body = {"model": "m", "input": [question, *items, result], "tools": [tool]}
    sent = render_upstream_request(body, "openai_responses", upstream, UpstreamModel(model)).body
    assert [len(message["content"]) for message in sent["messages"][1:]] == [1, 1]
    assert "google" not in str(sent)
    # Of a turn that held thoughts alone nothing is left.
    body = {"model": "m", "input": [question, items[0], {"role": "user", "content": "Go on"}]}
    [message] = render_upstream_request(body, "openai_responses", upstream, UpstreamModel(model)).body["messages"]
    assert message["role"] == "user"
