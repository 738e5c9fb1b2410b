"""Limits of an answer that clients of the Messages API have to state, and state as for Claude."""

import pytest

from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request


def rendered(upstream, model, limit, caller="anthropic_messages", **known):
    name = "max_tokens" if caller != "openai_responses" else "max_output_tokens"
    said = {"input": "Hi"} if caller == "openai_responses" else {"messages": [{"role": "user", "content": "Hi"}]}
    return render_upstream_request({"model": "m", **said, name: limit}, caller, upstream, UpstreamModel(model, **known))


@pytest.mark.parametrize(
    ("upstream", "model", "known", "place", "most"),
    [
        ("openai_chat", "gpt-4o", {"max_output_tokens": 16384}, "max_completion_tokens", 16384),
        ("openai_responses", "gpt-5.2", {"max_output_tokens": 20000}, "max_output_tokens", 20000),
        ("bedrock_converse", "us.amazon.nova-pro-v1:0", {}, "inferenceConfig", {"maxTokens": 10000}),
        ("bedrock_converse", "us.amazon.nova-pro-v1:0", {"max_output_tokens": 5000}, "inferenceConfig", {"maxTokens": 5000}),
    ],
)
def test_a_limit_above_what_the_model_can_is_brought_down_and_named(upstream, model, known, place, most):
    result = rendered(upstream, model, 32000, **known)
    limit = most if isinstance(most, int) else most["maxTokens"]
    assert (result.body[place], result.enforced) == (most, (f"max_tokens={limit}",))
    assert rendered(upstream, model, limit, **known).enforced == ()


@pytest.mark.parametrize("model", ["global.amazon.nova-2-lite-v1:0", "meta.llama3-3-70b-instruct-v1:0"])
def test_a_limit_of_a_model_of_which_none_is_known_is_sent_as_it_is(model):
    assert rendered("bedrock_converse", model, 32000).body["inferenceConfig"] == {"maxTokens": 32000}


@pytest.mark.parametrize("caller", ["openai_chat", "openai_responses"])
def test_a_limit_that_nobody_has_to_state_is_left_to_the_provider_to_refuse(caller):
    result = rendered("bedrock_converse", "us.amazon.nova-pro-v1:0", 32000, caller)
    assert (result.body["inferenceConfig"], result.enforced) == ({"maxTokens": 32000}, ())


@pytest.mark.parametrize(
    ("model", "known", "limit"),
    [
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", {}, 32000),
        ("global.anthropic.claude-sonnet-5", {}, 128000),
        ("us.anthropic.claude-opus-5-5", {"max_output_tokens": 64000}, 64000),
    ],
)
@pytest.mark.parametrize("caller", ["openai_chat", "openai_responses"])
def test_claude_on_converse_gets_a_limit_where_none_is_stated_since_it_is_cut_off_early_without(caller, model, known, limit):
    result = rendered("bedrock_converse", model, None, caller, **known)
    assert (result.body["inferenceConfig"], result.enforced) == ({"maxTokens": limit}, ())
    assert rendered("bedrock_converse", model, 7, caller, **known).body["inferenceConfig"] == {"maxTokens": 7}


@pytest.mark.parametrize(
    "model", ["us.amazon.nova-pro-v1:0", "qwen.qwen3-32b-v1:0", "arn:aws:bedrock:us-east-1:1:application-inference-profile/a"]
)
def test_other_models_on_converse_get_none_where_none_is_stated(model):
    assert "inferenceConfig" not in rendered("bedrock_converse", model, None, "openai_chat").body


@pytest.mark.parametrize("caller", ["openai_chat", "openai_responses", "anthropic_messages"])
@pytest.mark.parametrize("model", ["global.moonshotai.kimi-k3", "moonshotai.kimi-k2.5", "us.xai.grok-4.3"])
def test_a_limit_below_what_a_model_of_converse_takes_is_raised_and_named(model, caller):
    result = rendered("bedrock_converse", model, 1, caller)
    assert (result.body["inferenceConfig"], result.enforced) == ({"maxTokens": 16}, ("max_tokens=16",))
    assert rendered("bedrock_converse", model, 16, caller).enforced == ()
    assert rendered("bedrock_converse", "qwen.qwen3-32b-v1:0", 1, caller).body["inferenceConfig"] == {"maxTokens": 1}
