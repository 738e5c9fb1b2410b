"""Tools whose names are too long for an upstream, and the caller's names in what it answers."""

import re

import msgspec
import pytest

from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_response, render_upstream_request

LONG = "mcp__plugin_atlassian_atlassian__" + "getJiraProjectIssueTypesMetadata" * 2
OTHER, SHORT = LONG + "2", "a" * 64
MODELS = {"openai_chat": "gpt-4.1", "openai_responses": "gpt-6-sol", "bedrock_converse": "amazon.nova-pro-v1:0"}


def request(upstream, *names):
    call = {"type": "tool_use", "id": "t", "name": LONG, "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
    body = {
        "model": "m",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}],
        "tools": [{"name": name, "input_schema": {"type": "object"}} for name in names],
        "tool_choice": {"type": "tool", "name": names[0]},
    }
    return render_upstream_request(body, "anthropic_messages", upstream, UpstreamModel(MODELS[upstream]))


@pytest.mark.parametrize("upstream", MODELS)
def test_a_long_name_is_short_wherever_it_stands(upstream):
    rendered = request(upstream, LONG, OTHER, SHORT)
    text = msgspec.json.encode(rendered.body).decode()
    short, other = rendered.tool_names
    assert (LONG in text, text.count(short), text.count(other), text.count(SHORT)) == (False, 3, 1, 1)
    assert {len(short), len(other)} == {64}
    assert rendered.tool_names == {short: LONG, other: OTHER}
    assert rendered.enforced == ("tools[].name=shortened",)


@pytest.mark.parametrize("upstream", MODELS)
def test_short_names_stay(upstream):
    rendered = request(upstream, SHORT)
    assert rendered.tool_names == {}
    assert SHORT in str(rendered.body)
    # A tool that was called once and is no longer there has a name that is too long all the same.
    assert LONG not in str(rendered.body)


def test_answers_name_the_tool_as_the_caller_does():
    [short] = names = request("openai_chat", LONG).tool_names
    defaults = AnswerDefaults("id", "m", 1, names)
    calls = [{"index": 0, "id": "c", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in (short, "f")]
    choice = {"index": 0, "message": {"role": "assistant", "tool_calls": calls}, "finish_reason": "tool_calls"}
    answer = render_caller_response(msgspec.json.encode({"choices": [choice]}), "anthropic_messages", "openai_chat", defaults)
    assert [block["name"] for block in answer["content"]] == [LONG, "f"]
    translation = StreamTranslation("anthropic_messages", "openai_chat", defaults)
    started = translation.feed(None, msgspec.json.encode({"choices": [{"index": 0, "delta": {"tool_calls": calls[:1]}}]}))
    assert LONG.encode() in started
    assert short.encode() not in started


def test_a_name_and_its_namespace_may_be_too_long_for_claude_together():
    tool = {"type": "function", "name": "g" * 64, "parameters": {"type": "object"}}
    space = {"type": "namespace", "name": "n" * 63, "description": "d", "tools": [tool, {**tool, "name": "h" * 63}]}
    body = {"model": "m", "input": "Hi", "tools": [space]}

    rendered = render_upstream_request(body, "openai_responses", "anthropic_messages", UpstreamModel("claude-opus-5-5"))
    short, whole = (tool["name"] for tool in rendered.body["tools"])
    assert (len(short), whole) == (128, f"{'n' * 63}__{'h' * 63}")
    assert rendered.tool_names == {short: f"{'n' * 63}__{'g' * 64}"}
    assert rendered.enforced == ("tools[].name=shortened",)


@pytest.mark.parametrize("upstream", ["anthropic_messages", "bedrock_converse"])
def test_a_name_that_servers_of_open_models_take_is_rewritten_for_others(upstream):
    names = ["actions/download.logs", "actions_download_logs", "größe"]
    call = {"id": "t", "type": "function", "function": {"name": names[0], "arguments": "{}"}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "t", "content": "ok"}]
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}, *messages], "tools": tools}

    rendered = render_upstream_request(body, "openai_chat", upstream, UpstreamModel("anthropic.claude-opus-4-8"))
    assert set(rendered.tool_names.values()) == {names[0], names[2]}
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in rendered.tool_names)
    assert len({*rendered.tool_names, names[1]}) == 3
    assert next(short for short, whole in rendered.tool_names.items() if whole == names[0]) in str(rendered.body["messages"][1])
    assert rendered.enforced == ("tools[].name=rewritten",)
