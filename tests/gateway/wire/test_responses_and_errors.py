"""Whole answers and errors in one format, rendered in another, read with the official packages' own types."""

from functools import partial

import anthropic
import httpx2
import msgspec
import openai
import pytest
from anthropic import Anthropic
from anthropic.types import Message
from openai import OpenAI
from openai.types.chat import ChatCompletion

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire import bedrock_converse
from keyhouse.gateway.wire.translation import render_caller_error, render_caller_response

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [
        {"type": "thinking", "thinking": "Two calls.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Let me "},
        {"type": "text", "text": "look."},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "toolu_2", "name": "get_time", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 25,
        "cache_creation_input_tokens": 10,
        "cache_read_input_tokens": 100,
        "output_tokens": 89,
        "output_tokens_details": {"thinking_tokens": 20},
        "service_tier": "standard",
    },
}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-5-mini",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me look.",
                "refusal": None,
                "annotations": [],
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}},
                    {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": ""}},
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 135,
        "completion_tokens": 89,
        "total_tokens": 224,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 20},
    },
}
CONVERSE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Two calls.", "signature": "sig"}}},
                {"text": "Let me look."},
                {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"city": "Paris"}}},
                {"toolUse": {"toolUseId": "tooluse_2", "name": "get_time", "input": {}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 25, "outputTokens": 89, "totalTokens": 224, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 10},
    "metrics": {"latencyMs": 500},
}
ANSWERS = {"anthropic_messages": MESSAGE, "openai_chat": COMPLETION, "bedrock_converse": CONVERSE}


@pytest.fixture
def completion(defaults):
    def read(upstream, answer):
        return ChatCompletion.model_validate(
            render_caller_response(msgspec.json.encode(answer), "openai_chat", upstream, defaults), strict=True
        )

    return read


@pytest.fixture
def message(defaults):
    def read(upstream, answer):
        return Message.model_validate(
            render_caller_response(msgspec.json.encode(answer), "anthropic_messages", upstream, defaults), strict=True
        )

    return read


@pytest.mark.parametrize(
    ("details", "written"),
    [
        ([{"ttl": "1h", "inputTokens": 7}, {"ttl": "5m", "inputTokens": 3}], (7, 3)),
        ([{"ttl": "5m", "inputTokens": 10}], (0, 10)),
        ([], None),
        (None, None),
    ],
)
def test_a_message_tells_for_how_long_was_cached(message, details, written):
    usage = message("bedrock_converse", {**CONVERSE, "usage": {**CONVERSE["usage"], "cacheDetails": details}}).usage
    told = usage.cache_creation
    assert usage.cache_creation_input_tokens == 10
    assert (told and (told.ephemeral_1h_input_tokens, told.ephemeral_5m_input_tokens)) == written


@pytest.mark.parametrize("upstream", ["openai_chat", "bedrock_converse"])
def test_a_message_states_no_citations(defaults, upstream):
    """Some clients take an array of them or nothing, and no null."""
    message = render_caller_response(msgspec.json.encode(ANSWERS[upstream]), "anthropic_messages", upstream, defaults)
    assert [block.keys() for block in message["content"] if block["type"] == "text"] == [{"type", "text"}]


@pytest.mark.parametrize("upstream", ["anthropic_messages", "bedrock_converse"])
def test_answer_becomes_a_completion(completion, upstream):
    read = completion(upstream, ANSWERS[upstream])
    choice = read.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me look.")
    assert [(call.function.name, call.function.arguments) for call in choice.message.tool_calls] == [
        ("get_weather", '{"city":"Paris"}'),
        ("get_time", "{}"),
    ]
    assert (read.usage.prompt_tokens, read.usage.completion_tokens, read.usage.total_tokens) == (135, 89, 224)
    assert read.usage.prompt_tokens_details.cached_tokens == 100
    extra = choice.message.model_extra
    assert extra["reasoning_content"] == "Two calls."
    assert extra["thinking_blocks"][0] == {"type": "thinking", "thinking": "Two calls.", "signature": "sig"}


def test_completion_names_the_answer_as_the_upstream_does(completion):
    read = completion("anthropic_messages", MESSAGE)
    assert (read.id, read.model, read.created) == ("msg_1", "claude-sonnet-4-5", 1_800_000_000)
    read = completion("bedrock_converse", CONVERSE)
    assert (read.id, read.model) == ("request-1", "the-model")


@pytest.mark.parametrize("upstream", ["openai_chat", "bedrock_converse"])
def test_answer_becomes_a_message(message, upstream):
    read = message(upstream, ANSWERS[upstream])
    assert (read.stop_reason, read.stop_sequence) == ("tool_use", None)
    assert [block.type for block in read.content if block.type != "thinking"] == ["text", "tool_use", "tool_use"]
    assert [block.input for block in read.content if block.type == "tool_use"] == [{"city": "Paris"}, {}]
    usage = read.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens, usage.output_tokens) == (25, 100, 10, 89)


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("model_context_window_exceeded", "length"),
        ("something_new", "stop"),
    ],
)
def test_stop_reasons_become_finish_reasons(completion, stop_reason, finish_reason):
    assert completion("anthropic_messages", {**MESSAGE, "stop_reason": stop_reason}).choices[0].finish_reason == finish_reason


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "tool_calls"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_stop_reasons_of_converse_beside_calls(completion, stop_reason, finish_reason):
    assert completion("bedrock_converse", {**CONVERSE, "stopReason": stop_reason}).choices[0].finish_reason == finish_reason


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason"),
    [("stop", "tool_use"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal"), (None, "tool_use")],
)
def test_finish_reasons_become_stop_reasons(message, finish_reason, stop_reason):
    answer = {**COMPLETION, "choices": [{**COMPLETION["choices"][0], "finish_reason": finish_reason}]}
    assert message("openai_chat", answer).stop_reason == stop_reason


@pytest.mark.parametrize("reason", ["error", "insufficient_system_resource"])
def test_a_completion_that_broke_off_is_an_error(message, reason):
    broken = {"index": 0, "message": {"role": "assistant", "content": "Ye"}, "finish_reason": reason}
    with pytest.raises(Error) as raised:
        message("openai_chat", {**COMPLETION, "choices": [broken]})
    assert raised.value.code is Code.UPSTREAM_INVALID_ANSWER


@pytest.mark.parametrize(("reason", "stop_reason"), [("length", "max_tokens"), ("model_length", "model_context_window_exceeded")])
def test_a_call_that_was_cut_off_is_left_out(message, reason, stop_reason):
    calls = [{"id": f"c{text}", "type": "function", "function": {"name": "f", "arguments": text}} for text in ("{}", '{"a":')]
    cut = {"index": 0, "message": {"role": "assistant", "content": "Yes", "tool_calls": calls}, "finish_reason": reason}
    read = message("openai_chat", {**COMPLETION, "choices": [cut]})
    assert ([block.type for block in read.content], read.stop_reason) == (["text", "tool_use"], stop_reason)


def test_arguments_may_be_an_object_and_counts_may_have_a_fraction_of_nothing(message):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": [1]}}}
    answer = {"index": 0, "message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"}
    read = message("openai_chat", {**COMPLETION, "choices": [answer], "usage": {"prompt_tokens": 3.0, "completion_tokens": 2}})
    assert (read.content[0].input, read.usage.input_tokens) == ({"a": [1]}, 3)


def test_refusal_of_a_completion(message):
    refused = {"index": 0, "message": {"role": "assistant", "content": None, "refusal": "I can not."}, "finish_reason": "stop"}
    read = message("openai_chat", {**COMPLETION, "choices": [refused]})
    assert (read.stop_reason, read.content[0].text, read.stop_details.explanation) == ("refusal", "I can not.", "I can not.")


def test_refusal_of_a_message(completion):
    details = {"type": "refusal", "category": None, "explanation": "Declined."}
    read = completion("anthropic_messages", {**MESSAGE, "content": [], "stop_reason": "refusal", "stop_details": details})
    assert (read.choices[0].message.content, read.choices[0].message.refusal) == (None, "Declined.")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_of_a_completion_becomes_thinking(message, name):
    answer = {"index": 0, "message": {"role": "assistant", "content": "Yes", name: "Hm."}, "finish_reason": "stop"}
    read = message("openai_chat", {**COMPLETION, "choices": [answer]})
    assert (read.content[0].thinking, read.content[0].signature, read.content[1].text) == ("Hm.", "", "Yes")


def test_content_in_blocks_is_read_in_order(message):
    said = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m."}]},
        {"type": "text", "text": "Yes"},
        {"type": "reference", "reference_ids": [1]},
    ]
    answer = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    thinking, text = message("openai_chat", {**COMPLETION, "choices": [answer]}).content
    assert (thinking.thinking, text.text) == ("Hm.", "Yes")


def test_calls_without_an_id_get_one_that_no_other_call_has(message):
    calls = [{"type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    answer = {"index": 0, "message": {"role": "assistant", "tool_calls": calls, "reasoning": {"odd": 1}}, "finish_reason": "stop"}
    said = [message("openai_chat", {**COMPLETION, "choices": [answer]}).content for _ in range(2)]
    assert len({block.id for blocks in said for block in blocks}) == 4


@pytest.mark.parametrize("extra", [{"google": {"thought_signature": "c2ln"}}, {"google": {"thought_signature": ""}}, {"google": []}, 5])
def test_signature_of_a_call_is_kept_before_it(message, extra):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": extra}
    answer = {"index": 0, "message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"}
    *before, last = message("openai_chat", {**COMPLETION, "choices": [answer]}).content
    assert (last.type, last.id) == ("tool_use", "c")
    assert [block.data for block in before] == (["google:c2ln"] if "c2ln" in str(extra) else [])


def test_unusual_blocks_are_left_out(completion):
    odd = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "text", "text": "Yes"}]
    assert completion("anthropic_messages", {**MESSAGE, "content": odd}).choices[0].message.content == "Yes"


@pytest.mark.parametrize("caller", ["openai_chat", "anthropic_messages"])
@pytest.mark.parametrize("upstream", ["openai_chat", "anthropic_messages", "bedrock_converse"])
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'"\xb5"', b'{"\xb5":1}', b"[]", b"{}", b'{"choices":[]}', b'{"content":"x","stop_reason":"end_turn"}']
)
def test_answer_of_no_format_is_an_error_of_the_upstream(defaults, caller, upstream, body):
    with pytest.raises(Error) as raised:
        render_caller_response(body, caller, upstream, defaults)
    assert raised.value.code is Code.UPSTREAM_INVALID_ANSWER


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_output_is_an_error(completion, reason):
    with pytest.raises(Error):
        completion("bedrock_converse", {**CONVERSE, "stopReason": reason})


def raised_by(client_class, status: int, body: bytes):
    """The exception that an official client raises at this answer."""
    answer = httpx2.Response(status, headers={"content-type": "application/json"}, content=body)
    http = httpx2.Client(transport=httpx2.MockTransport(lambda request: answer))
    with client_class(api_key="k", http_client=http, max_retries=0) as client:
        ask = client.chat.completions.create if client_class is OpenAI else partial(client.messages.create, max_tokens=1)
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as raised:
            ask(model="m", messages=[])
    return raised.value


ANTHROPIC_ERRORS = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (409, "conflict_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
]


@pytest.mark.parametrize(("status", "kind"), ANTHROPIC_ERRORS)
def test_anthropic_errors_raise_the_same_class_in_openai_clients(status, kind):
    theirs = msgspec.json.encode({"type": "error", "error": {"type": kind, "message": "why"}, "request_id": "req_1"})
    ours = msgspec.json.encode(render_caller_error(status, theirs, "openai_chat", "anthropic_messages"))
    error = raised_by(OpenAI, status, ours)
    assert type(error) is type(raised_by(OpenAI, status, b'{"error":{"message":"why"}}'))
    assert error.body["message"] == "why"
    assert kind in (error.type, error.code)


@pytest.mark.parametrize(("status", "kind"), ANTHROPIC_ERRORS)
def test_openai_errors_raise_the_same_class_in_anthropic_clients(status, kind):
    theirs = b'{"error":{"message":"why","type":"some_type","param":null,"code":"some_code"}}'
    ours = msgspec.json.encode(render_caller_error(status, theirs, "anthropic_messages", "openai_chat"))
    error = raised_by(Anthropic, status, ours)
    native = raised_by(Anthropic, status, msgspec.json.encode({"type": "error", "error": {"type": kind, "message": "why"}}))
    assert type(error) is type(native)
    assert (error.type, error.api_message) == (kind, "why")


def test_openai_error_keeps_its_words():
    body = b'{"error":{"message":"No such model","type":"invalid_request_error","param":"model","code":"model_not_found"}}'
    assert render_caller_error(404, body, "openai_chat", "openai_chat") == {
        "error": {"message": "No such model", "type": "not_found_error", "param": "model", "code": "model_not_found"}
    }


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>bad gateway</html>", b'{"error":"\xb5"}', b"null", b'{"error":null}', b'{"error":[]}', b'{"message":5}', b"[" * 9000],
)
@pytest.mark.parametrize("upstream", ["openai_chat", "anthropic_messages", "bedrock_converse"])
def test_error_without_words_is_still_an_error(upstream, body):
    for caller in ("openai_chat", "anthropic_messages"):
        error = render_caller_error(502, body, caller, upstream)["error"]
        assert error["message"] == "The upstream answered with status 502 and no message."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"slow down"}', "slow down"),
        (b'{"message":"slow down"}', "slow down"),
        (b'[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}]', "slow down"),
        (b'{"detail":"slow down"}', "slow down"),
        (b'{"detail":[{"loc":["body","n"],"msg":"slow down"}]}', '[{"loc":["body","n"],"msg":"slow down"}]'),
        (b'{"object":"error","message":{"detail":["slow down"]}}', '{"detail":["slow down"]}'),
    ],
)
def test_plain_errors_of_openai_shaped_upstreams(body, message):
    assert render_caller_error(429, body, "anthropic_messages", "openai_chat") == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": message},
    }


def test_converse_error_is_named_by_its_header():
    error = bedrock_converse.parse_error(429, b'{"message":"slow"}', "ThrottlingException:http://internal.amazon.com/coral/")
    assert (error.status, error.type, error.message) == (429, "ThrottlingException", "slow")
    rendered = render_caller_error(429, b'{"message":"slow"}', "openai_chat", "bedrock_converse", "ThrottlingException")
    assert rendered["error"] == {"message": "slow", "type": "rate_limit_error", "param": None, "code": "ThrottlingException"}


@pytest.mark.parametrize(
    ("name", "of_anthropic", "of_openai"),
    [
        ("modelStreamErrorException", "api_error", "server_error"),
        ("modelTimeoutException", "timeout_error", "server_error"),
        ("throttlingException", "rate_limit_error", "rate_limit_error"),
        ("validationException", "invalid_request_error", "invalid_request_error"),
    ],
)
def test_a_failure_of_the_model_inside_a_stream_is_no_fault_of_the_request(replayed, name, of_anthropic, of_openai):
    events = [("messageStart", b'{"role": "assistant"}'), (name, b'{"message": "No."}')]

    assert f'"type":"{of_anthropic}"'.encode() in replayed("anthropic_messages", "bedrock_converse", events)
    assert f'"type":"{of_openai}"'.encode() in replayed("openai_chat", "bedrock_converse", events)
