"""What Claude and Converse take of markers that OpenAI takes: four at most, and the longest lifetimes first."""

import pytest

from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request
from tests.gateway.wire.rendered_requests import chat, to_converse, to_messages, tool

MARK = {"cache_control": {"type": "ephemeral"}}
CLAUDE = "global.anthropic.claude-opus-4-8"


def text(words, **marker):
    return {"type": "text", "text": words, **marker}


def user(*contents):
    return {"role": "user", "content": list(contents)}


def lifetimes(blocks):
    return [block["cache_control"].get("ttl", "5m") if "cache_control" in block else None for block in blocks]


def test_the_latest_four_markers_are_kept():
    breakpoint_ = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    result = to_messages(chat([user(*(text(str(number), **breakpoint_) for number in range(6)))]))

    assert lifetimes(result.body["messages"][0]["content"]) == [None, None, "5m", "5m", "5m", "5m"]
    assert (result.enforced, result.dropped) == (("messages[].content[].cache_control=the latest 4",), ())
    blocks = to_converse(chat([user(*(text(str(number), **breakpoint_) for number in range(6)))]), CLAUDE).body["messages"][0]["content"]
    assert [next(iter(block)) for block in blocks] == ["text"] * 3 + ["cachePoint", *["text", "cachePoint"] * 3]


def test_tools_and_the_system_prompt_come_first():
    messages = [user(text("a", **MARK), text("b", **MARK)), {"role": "system", "content": [text("s", **MARK)]}, user(text("c", **MARK))]
    body = to_messages(chat(messages, tools=[{**tool(), **MARK}])).body

    assert "cache_control" not in body["tools"][0]
    assert lifetimes(body["system"]) == ["5m"]
    assert lifetimes(body["messages"][0]["content"]) == ["5m", "5m", "5m"]


def test_markers_inside_the_result_of_a_tool_count_and_so_does_the_whole_request():
    inner = [{"type": "input_text", "text": number, "prompt_cache_breakpoint": {"mode": "explicit"}} for number in "abcd"]
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    items = [{"role": "user", "content": "Hi"}, call, {"type": "function_call_output", "call_id": "c", "output": inner}]
    body = {"model": "m", "input": items, "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]}

    result = render_upstream_request(body, "openai_responses", "anthropic_messages", UpstreamModel("claude-opus-5-5"))
    assert lifetimes(result.body["messages"][2]["content"][0]["content"]) == ["5m"] * 4
    whole = to_messages(chat([user(*(text(number, **MARK) for number in "abcd"))], **MARK)).body
    assert lifetimes(whole["messages"][0]["content"]) == [None, "5m", "5m", "5m"]
    assert whole["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("ttls", "sent", "enforced"),
    [
        (["1h", "5m"], ["1h", "5m"], ()),
        (["5m", "1h"], ["1h", "1h"], ("cache_control.ttl=1h",)),
        ([None, "1h", "5m"], ["1h", "1h", "5m"], ("cache_control.ttl=1h",)),
        (["5m", "5m"], ["5m", "5m"], ()),
    ],
)
def test_a_marker_lives_as_long_as_those_behind_it(ttls, sent, enforced):
    marks = [{"cache_control": {"type": "ephemeral", **({} if ttl is None else {"ttl": ttl})}} for ttl in ttls]
    result = to_messages(chat([user(*(text("a", **mark) for mark in marks))]))
    assert (lifetimes(result.body["messages"][0]["content"]), result.enforced) == (sent, enforced)


def test_a_model_without_a_cache_is_told_of_no_limit():
    result = to_converse(chat([user(*(text(number, **MARK) for number in "abcde"))]), "meta.llama4-scout-17b")
    assert (result.enforced, result.dropped) == ((), ("messages[].content[].cache_control",))


def test_a_model_with_one_lifetime_is_told_of_that_one_alone():
    messages = [user(text("a", **MARK), text("b", cache_control={"type": "ephemeral", "ttl": "1h"}))]
    result = to_converse(chat(messages), "amazon.nova-pro-v1:0")
    assert result.enforced == ("cache_control.ttl=5m",)
    assert result.body["messages"][0]["content"][1::2] == [{"cachePoint": {"type": "default"}}] * 2
