"""A conversation of Responses that goes on with a model of another format: what its first model alone could do stands in its items."""

import pytest

from keyhouse.domain.errors import Code
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request
from tests.gateway.wire.rendered_requests import refusal

ASKED, SAID = {"role": "user", "content": "What is new?"}, {"role": "assistant", "content": "Much."}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "news"}}
PATCH = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "c1",
    "name": "apply_patch",
    "input": "*** Begin Patch",
    "status": "completed",
}
PATCHED = {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done!"}
TOOL = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}, "strict": False}
UPSTREAMS = {"openai_chat": "gemini-3-pro", "anthropic_messages": "claude-opus-5-5", "bedrock_converse": "global.anthropic.claude-opus-5-5"}


def sent(upstream, *items, **members):
    body = {"model": "m", "input": [ASKED, *items], "tools": [TOOL], **members}
    return render_upstream_request(body, "openai_responses", upstream, UpstreamModel(UPSTREAMS[upstream]))


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_search_of_the_first_model_is_named_and_left_out(upstream):
    result = sent(upstream, SEARCH, SAID, {"role": "user", "content": "Go on"})

    assert [message["role"] for message in result.body["messages"]] == ["user", "assistant", "user"]
    assert result.body == sent(upstream, SAID, {"role": "user", "content": "Go on"}).body
    assert result.dropped == ("input[].web_search_call",)
    error = refusal(sent, upstream, SEARCH, SAID, drop_tuning_params=False)
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "input[].web_search_call")


def test_a_call_of_a_custom_tool_is_told_with_its_text():
    call, result = sent("anthropic_messages", PATCH, PATCHED).body["messages"][1:]
    assert call["content"] == [{"type": "tool_use", "id": "c1", "name": "apply_patch", "input": {"input": "*** Begin Patch"}}]
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "c1", "content": "Done!"}]

    call, result = sent("openai_chat", PATCH, PATCHED).body["messages"][1:]
    assert call["tool_calls"][0]["function"] == {"name": "apply_patch", "arguments": '{"input":"*** Begin Patch"}'}
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "Done!"}


def test_a_custom_tool_that_may_be_called_now_is_refused():
    custom = {"type": "custom", "name": "apply_patch"}
    assert refusal(sent, "anthropic_messages", PATCH, PATCHED, tools=[TOOL, custom]).code is Code.UNSUPPORTED_PARAMETER


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_tools_that_the_first_model_was_given_inside_are_left_out_beside_those_of_the_request(upstream):
    inside = {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [{"type": "custom", "name": "exec"}]}

    result = sent(upstream, inside, SAID, {"role": "user", "content": "Go on"})

    assert result.body == sent(upstream, SAID, {"role": "user", "content": "Go on"}).body
    assert result.dropped == ("input[].additional_tools",)
    for further in ({"drop_tuning_params": False}, {"tools": []}):
        assert refusal(sent, upstream, inside, **further).code is Code.UNSUPPORTED_PARAMETER


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize(
    ("tool", "dropped"),
    [
        ({**TOOL, "output_schema": {"type": "object"}}, ("tools[].output_schema",)),
        ({**TOOL, "output_schema": None, "async": False}, ()),
    ],
)
def test_what_else_is_said_of_a_function_is_named(upstream, tool, dropped):
    result = sent(upstream, tools=[tool])
    assert (result.body, result.dropped) == (sent(upstream).body, dropped)


@pytest.mark.parametrize(("types", "dropped"), [(["text", "image"], ("tools[].search_content_types",)), (["text"], ()), (None, ())])
def test_kinds_of_findings_are_named(types, dropped):
    search = {"type": "web_search_preview"}
    result = sent("anthropic_messages", tools=[{**search, "search_content_types": types}])
    assert (result.body, result.dropped) == (sent("anthropic_messages", tools=[search]).body, dropped)


@pytest.mark.parametrize("reference", [{"id": "msg_1"}, {"type": None, "id": "msg_1"}, {"type": "item_reference", "id": "msg_1"}])
def test_a_reference_is_refused_however_it_is_written(reference):
    error = refusal(sent, "openai_chat", reference)
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "input.1.type")
    assert "store: false" in error.message
