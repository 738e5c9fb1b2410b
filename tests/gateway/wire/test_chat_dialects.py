"""What servers of Chat Completions do their own way, as Anthropic's clients meet it: reasons to stop, counts, efforts, signatures."""

import msgspec
import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.translation import render_caller_response
from tests.gateway.wire.rendered_requests import to_chat

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
UNSIGNED = "skip_thought_signature_validator"


def answered(defaults, finish_reason="stop", usage=None, **message):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    body = msgspec.json.encode({"id": "i", "model": "m", "choices": [choice], "usage": usage})
    return render_caller_response(body, "anthropic_messages", "openai_chat", defaults)


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "content_filter: PROHIBITED_CONTENT", "IMAGE_SAFETY"])
def test_what_gemini_filters_is_a_refusal(defaults, reason):
    assert answered(defaults, reason)["stop_reason"] == "refusal"


def test_geminis_own_word_for_the_limit(defaults):
    assert answered(defaults, "MAX_TOKENS", content="Ye")["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("reason", ["function_call_filter: MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_a_call_that_gemini_throws_away_is_an_error(defaults, replayed, events, reason):
    with pytest.raises(Error) as raised:
        answered(defaults, reason)
    assert raised.value.code is Code.UPSTREAM_INVALID_ANSWER
    chunks = [{"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}, "finish_reason": part}]} for part in (None, reason)]
    stream = replayed("anthropic_messages", "openai_chat", [*((None, msgspec.json.encode(chunk)) for chunk in chunks), (None, b"[DONE]")])
    assert events(stream)[-1][0] == "error"


@pytest.mark.parametrize("details", [{"reasoning_tokens": 386}, {}])
def test_thinking_that_is_counted_beside_the_answer_is_output_too(defaults, details):
    usage = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 399, "completion_tokens_details": details}
    assert answered(defaults, usage=usage, content="Yes")["usage"]["output_tokens"] == 387
    assert answered(defaults, usage={**usage, "total_tokens": 0}, content="Yes")["usage"]["output_tokens"] == 1


def conversation(*turns):
    """Turns of calls, each the blocks before a call and whether the user goes on after its result."""
    messages = [{"role": "user", "content": "Hi"}]
    for number, (blocks, goes_on) in enumerate(turns):
        call = {"type": "tool_use", "id": f"c{number}", "name": "f", "input": {}}
        result = {"type": "tool_result", "tool_use_id": f"c{number}", "content": "ok"}
        said = [{"type": "text", "text": "Go on"}] if goes_on else []
        messages += [{"role": "assistant", "content": [*blocks, call]}, {"role": "user", "content": [result, *said]}]
    return {"model": "m", "messages": messages, "tools": [{"name": "f", "input_schema": {"type": "object"}}]}


def signatures(body, model, quirks=("signed_calls",)):
    calls = [call for message in to_chat(body, id=model, quirks=quirks).body["messages"] for call in message.get("tool_calls", ())]
    return [call.get("extra_content", {}).get("google", {}).get("thought_signature") for call in calls]


SIGNED = [{"type": "redacted_thinking", "data": "google:c2ln"}]


@pytest.mark.parametrize("model", ["gemini-3-flash-preview", "google/gemini-3.1-pro-preview", "gemini-4-argon"])
def test_a_call_that_nobody_signed_says_so_to_models_that_want_signatures(model):
    assert signatures(conversation(([], False), (SIGNED, True)), model) == [UNSIGNED, "c2ln"]


def test_of_calls_at_once_the_first_is_signed():
    body = conversation((SIGNED, False), ([], False))
    for message in body["messages"]:
        if message["role"] == "assistant":
            message["content"].append({**message["content"][-1], "id": "d"})
    assert signatures(body, "gemini-3-flash-preview") == ["c2ln", None, UNSIGNED, None]


@pytest.mark.parametrize(("model", "quirks"), [("gemini-2.5-flash", ("signed_calls",)), ("gemini-3-flash-preview", ()), ("gpt-5.2", ())])
def test_no_other_model_hears_of_unsigned_calls(model, quirks):
    assert signatures(conversation(([], False)), model, quirks) == [None]


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        *[(model, None) for model in ("gpt-4.1-mini", "gpt-4o", "openai/gpt-4o-mini", "gpt-3.5-turbo", "chatgpt-4o-latest")],
        *[(model, None) for model in ("llama-3.3-70b-versatile", "meta-llama/llama-4-scout-17b-16e-instruct", "qwen/qwen3-32b")],
        *[(model, "high") for model in ("gemini-2.5-flash", "google/gemini-3.1-pro-preview", "gemini-4-argon")],
        ("gpt-5.6-sol", "max"),
        ("gpt-5.3-chat-latest", None),
    ],
)
def test_the_highest_effort_is_one_that_the_model_takes(model, sent):
    result = to_chat({"model": "m", "messages": [], "thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, id=model)
    assert result.body.get("reasoning_effort") == sent
    # What was asked for is no change.
    changed = () if sent in (None, "max") else (f"thinking={sent}",)
    assert (result.dropped, result.enforced) == (("thinking",) if sent is None else (), changed)


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("deepseek-ai/DeepSeek-V4-Pro", "Hm."),
        ("deepseek-v4-flash", "Hm."),
        ("moonshotai/Kimi-K2.6", "Hm."),
        ("gpt-5.2", None),
        ("llama-4", None),
    ],
)
def test_thoughts_go_back_to_models_that_want_them(model, sent):
    thought = [{"type": "thinking", "thinking": "Hm.", "signature": ""}]
    _, said, _ = to_chat(conversation((thought, False)), id=model).body["messages"]
    assert (said.get("reasoning_content"), len(said["tool_calls"])) == (sent, 1)
    assert "reasoning_content" not in to_chat(conversation(([], False)), id=model).body["messages"][1]
