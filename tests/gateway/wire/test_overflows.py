"""A conversation that is too long for its model, said so that each client knows what to do: shorten it, and go on."""

import json

import msgspec
import pytest

from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_error

OPENAI = "Your input exceeds the context window of this model. Please adjust your input and try again."
TOO_LONG = [
    ("openai_responses", {"error": {"message": OPENAI, "type": "invalid_request_error", "code": "context_length_exceeded"}}),
    ("openai_responses", {"error": {"message": OPENAI, "type": "invalid_request_error", "code": "invalid_request_body"}}),
    ("openai_chat", {"error": {"message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."}}),
    ("openai_chat", {"message": "The input (345516 tokens) is longer than the model's context length (262144 tokens).", "code": 400}),
    ("openai_chat", [{"error": {"code": 400, "message": "The input token count (2000000) exceeds the maximum number of tokens allowed."}}]),
    ("openai_chat", {"error": "the request exceeds the available context size, try increasing it"}),
    ("openai_chat", {"error": {"message": "This model's maximum prompt length is 131072 but the request contains 200000 tokens."}}),
    ("bedrock_converse", {"message": "Input is too long for requested model."}),
    (
        "anthropic_messages",
        {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}},
    ),
]
OTHERS = [
    (400, {"error": {"message": "Unknown parameter: 'x'.", "code": "unknown_parameter"}}),
    (400, {"error": {"message": "max_tokens is too large: 9 > 8."}}),
    (429, {"error": {"message": "Too many tokens: the context length of all requests exceeds your limit."}}),
]


def told(caller, upstream, body, status=400):
    return render_caller_error(status, json.dumps(body).encode(), caller, upstream)["error"]


@pytest.mark.parametrize(("upstream", "body"), TOO_LONG)
def test_claude_code_compacts_and_goes_on(upstream, body):
    error = told("anthropic_messages", upstream, body)

    assert error["type"] == "invalid_request_error"
    assert "prompt is too long" in error["message"]
    assert "capability_rejected: prompt_too_long" in error["message"]
    stated = body[0] if isinstance(body, list) else body
    words = stated["error"] if isinstance(stated.get("error"), str) else stated.get("error", stated)["message"]
    assert words in error["message"]


@pytest.mark.parametrize("caller", ["openai_chat", "openai_responses"])
@pytest.mark.parametrize(("upstream", "body"), TOO_LONG)
def test_clients_of_openai_read_its_code(caller, upstream, body):
    error = told(caller, upstream, body)

    assert (error["code"], error["type"]) == ("context_length_exceeded", "invalid_request_error")
    assert "capability" not in error["message"]


@pytest.mark.parametrize(("status", "body"), OTHERS)
def test_no_other_error_is_taken_for_it(status, body):
    assert "prompt" not in told("anthropic_messages", "openai_chat", body, status)["message"]
    assert told("openai_responses", "openai_chat", body, status)["code"] != "context_length_exceeded"


FAILED = {"error": {"code": "context_length_exceeded", "message": OPENAI}, "status": "failed"}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.failed", "response": FAILED},
        {"type": "error", "code": "context_length_exceeded", "message": OPENAI, "param": None},
        {"type": "error", "error": {"type": "invalid_request_error", "code": "context_length_exceeded", "message": OPENAI}},
    ],
)
def test_a_stream_of_responses_that_ends_in_it_says_so_too(event):
    stream = StreamTranslation("anthropic_messages", "openai_responses", AnswerDefaults("msg_1", "m", 1))
    begun = stream.feed(None, msgspec.json.encode({"type": "response.created", "response": {"id": "r", "model": "m"}}))
    ended = stream.feed(None, msgspec.json.encode(event))

    assert b"message_start" in begun
    assert b'"type":"invalid_request_error"' in ended
    assert b"capability_rejected: prompt_too_long" in ended


@pytest.mark.parametrize(
    ("code", "kind"),
    [("server_is_overloaded", b"overloaded_error"), ("slow_down", b"rate_limit_error"), ("invalid_prompt", b"invalid_request_error")],
)
def test_other_failures_of_such_a_stream_are_of_their_kind(code, kind):
    stream = StreamTranslation("anthropic_messages", "openai_responses", AnswerDefaults("msg_1", "m", 1))
    ended = stream.feed(None, msgspec.json.encode({"type": "response.failed", "response": {"error": {"code": code, "message": "No."}}}))

    assert b'"type":"' + kind + b'"' in ended


def test_codex_reads_it_in_a_stream():
    stream = StreamTranslation("openai_responses", "anthropic_messages", AnswerDefaults("resp_1", "m", 1))
    error = {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}
    *_, failed = stream.feed(None, msgspec.json.encode({"type": "error", "error": error})).strip().split(b"\n\n")

    response = json.loads(failed.partition(b"data: ")[2])["response"]
    assert (response["status"], response["error"]["code"]) == ("failed", "context_length_exceeded")
