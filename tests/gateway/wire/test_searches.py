"""Searches of the web that a client of Anthropic's asks for, and models that are called by Responses make."""

import json

import msgspec
import pytest

from keyhouse.domain.errors import Code
from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.own_thoughts import may_hold_others, with_own_thoughts
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_response, render_upstream_request
from tests.gateway.wire.rendered_requests import refusal, to_chat, to_converse

SEARCH = {"type": "web_search_20250305", "name": "web_search"}
READ = {"name": "read", "input_schema": {"type": "object", "properties": {}}}
USER = {"role": "user", "content": "Who won?"}
DEFAULTS = AnswerDefaults("msg_1", "gpt-6-sol", 1)


def asked(*tools, **members):
    body = {"model": "m", "max_tokens": 2000, "messages": [USER], "tools": list(tools), **members}
    return render_upstream_request(body, "anthropic_messages", "openai_responses", UpstreamModel("gpt-6-sol"))


def item(number=1, status="completed", **action):
    return {"id": f"ws_{number}", "type": "web_search_call", "status": status, "action": action}


def found(*urls):
    return [{"type": "url", "url": url} for url in urls]


SAID = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Norway.", "annotations": []}]}
USAGE = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}


def response(*items):
    return {"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-6-sol", "output": list(items), "usage": USAGE}


def message(*items):
    return render_caller_response(msgspec.json.encode(response(*items)), "anthropic_messages", "openai_responses", DEFAULTS)


def events(*items):
    """What a stream with these items becomes, as the data of its events."""
    translation = StreamTranslation("anthropic_messages", "openai_responses", DEFAULTS)
    told = [{"type": "response.created", "response": response()}]
    for each in items:
        begun = {key: value for key, value in each.items() if key != "action"}
        told.append({"type": "response.output_item.added", "item": begun})
        if each["type"] == "web_search_call":
            told += [
                {"type": f"response.web_search_call.{state}", "item_id": each["id"]} for state in ("in_progress", "searching", "completed")
            ]
        else:
            told.append({"type": "response.output_text.delta", "delta": "Norway."})
        told.append({"type": "response.output_item.done", "item": each})
    told.append({"type": "response.completed", "response": response(*items)})
    text = b"".join(translation.feed(event["type"], msgspec.json.encode(event)) for event in told).decode()
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("version", ["web_search_20250305", "web_search_20260209", "web_search_20260318"])
def test_a_search_of_any_version_becomes_the_search_of_responses(version):
    body = asked({**SEARCH, "type": version, "allowed_callers": ["direct"]}).body
    assert body["tools"] == [{"type": "web_search", "user_location": {"type": "approximate"}}]
    assert body["include"] == ["reasoning.encrypted_content", "web_search_call.action.sources"]
    assert "max_tool_calls" not in body


def test_what_a_request_says_of_its_search_is_kept():
    place = {"type": "approximate", "city": "Oslo", "country": "NO"}
    body = asked({**SEARCH, "max_uses": 3, "blocked_domains": ["example.com"], "user_location": place}, READ).body
    assert [tool["type"] for tool in body["tools"]] == ["function", "web_search"]
    assert body["tools"][1] == {"type": "web_search", "filters": {"blocked_domains": ["example.com"]}, "user_location": place}
    assert body["max_tool_calls"] == 3
    assert asked({**SEARCH, "allowed_domains": ["a.no", "b.no"]}).body["tools"][0]["filters"] == {"allowed_domains": ["a.no", "b.no"]}


def test_a_request_without_a_search_says_nothing_of_one():
    body = asked(READ).body
    assert (body["include"], "max_tool_calls" in body) == (["reasoning.encrypted_content"], False)


def test_a_model_that_does_not_think_is_asked_for_addresses_alone():
    assert asked(SEARCH, thinking={"type": "disabled"}).body["include"] == ["web_search_call.action.sources"]


ALLOWED = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}


@pytest.mark.parametrize(
    ("tools", "choice", "said"),
    [
        ([SEARCH], {"type": "tool", "name": "web_search"}, "required"),
        ([READ, SEARCH], {"type": "tool", "name": "web_search"}, ALLOWED),
        ([READ, SEARCH], {"type": "tool", "name": "read"}, {"type": "function", "name": "read"}),
        ([SEARCH], {"type": "auto"}, "auto"),
        ([SEARCH], {"type": "any"}, "required"),
        ([{**READ, "name": "web_search"}], {"type": "tool", "name": "web_search"}, {"type": "function", "name": "web_search"}),
    ],
)
def test_a_model_may_be_made_to_search(tools, choice, said):
    assert asked(*tools, tool_choice=choice).body["tool_choice"] == said


@pytest.mark.parametrize("member", ["cache_control", "defer_loading", "strict"])
def test_what_a_search_of_responses_has_nothing_like_is_dropped_and_named(member):
    value = {"type": "ephemeral"} if member == "cache_control" else True
    assert asked({**SEARCH, member: value}).dropped == (f"tools[].{member}",)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({**SEARCH, "allowed_callers": ["code_execution_20260120"]}, "tools.0.allowed_callers"),
        ({**SEARCH, "response_inclusion": "excluded"}, "tools.0.response_inclusion"),
        ({"type": "web_fetch_20250910", "name": "web_fetch"}, "tools.0.type"),
        ({"type": "code_execution_20250825", "name": "code_execution"}, "tools.0.type"),
    ],
)
def test_what_would_change_the_answer_is_refused(tool, param):
    error = refusal(asked, tool)
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, param)


def test_what_anthropic_itself_refuses_of_a_search_is_refused():
    error = refusal(asked, {**SEARCH, "allowed_domains": ["a.no"], "blocked_domains": ["b.no"]})
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "tools.0.type")
    error = refusal(asked, {**READ, "name": "web_search"}, SEARCH)
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, "tools")


@pytest.mark.parametrize("tool", [{**SEARCH, "max_uses": "3"}, {**SEARCH, "allowed_domains": "a.no"}, {**SEARCH, "user_location": "Oslo"}])
def test_a_search_that_is_misspelt_is_refused(tool):
    assert refusal(asked, tool).code is Code.BAD_REQUEST


@pytest.mark.parametrize("render", [to_chat, lambda body: to_converse(body, "qwen.q", "anthropic_messages")])
def test_a_model_that_is_called_otherwise_can_not_search(render):
    error = refusal(render, {"model": "m", "max_tokens": 9, "messages": [USER], "tools": [READ, SEARCH]})
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "tools.1.type")


TWO = (item(1, type="search", query="who won", sources=found("https://a.no/1", "https://b.no")), item(2, type="search", queries=["x", "y"]))
ASKED = {"type": "server_tool_use", "id": "srvtoolu_ws_1", "name": "web_search", "input": {"query": "who won"}}
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_ws_1",
    "content": [
        {"type": "web_search_result", "title": url, "url": url, "encrypted_content": "", "page_age": None}
        for url in ("https://a.no/1", "https://b.no")
    ],
}
ASKED_AGAIN = {"type": "server_tool_use", "id": "srvtoolu_ws_2", "name": "web_search", "input": {"query": "x; y"}}
FOUND_NOTHING = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_ws_2", "content": []}


def test_a_message_tells_what_was_searched_for_and_found():
    told = message(*TWO, SAID)
    assert told["content"] == [ASKED, FOUND, ASKED_AGAIN, FOUND_NOTHING, {"type": "text", "text": "Norway."}]
    assert told["stop_reason"] == "end_turn"
    assert told["usage"]["server_tool_use"] == {"web_search_requests": 2, "web_fetch_requests": 0}


def test_a_stream_tells_the_same_in_blocks_that_follow_each_other():
    told = events(*TWO, SAID)
    shapes = [(event["type"], event.get("index")) for event in told if event["type"].startswith("content_block")]
    begun = [event["content_block"] for event in told if event["type"] == "content_block_start"]
    asked_for = [event["delta"]["partial_json"] for event in told if event.get("delta", {}).get("type") == "input_json_delta"]
    assert begun == [{**ASKED, "input": {}}, FOUND, {**ASKED_AGAIN, "input": {}}, FOUND_NOTHING, {"type": "text", "text": ""}]
    assert list(map(json.loads, asked_for)) == [{"query": "who won"}, {"query": "x; y"}]
    has_deltas = (True, False, True, False, True)
    assert shapes == [
        (f"content_block_{kind}", index)
        for index, has_delta in enumerate(has_deltas)
        for kind in (["start", "delta", "stop"] if has_delta else ["start", "stop"])
    ]
    assert told[-2]["usage"]["server_tool_use"] == {"web_search_requests": 2, "web_fetch_requests": 0}
    assert [event["type"] for event in told].count("ping") == 1 + 2 * 3


def test_a_search_that_failed_is_told_as_one():
    told = message(item(1, "failed", type="search", query="q"), SAID)
    assert told["content"][1]["content"] == {"type": "web_search_tool_result_error", "error_code": "unavailable"}


@pytest.mark.parametrize(
    "action", [{"type": "open_page", "url": "https://a.no"}, {"type": "find_in_page", "url": "https://a.no", "pattern": "p"}]
)
def test_a_page_that_was_opened_is_no_search(action):
    told = message(item(1, **action), SAID)
    assert told["content"] == [{"type": "text", "text": "Norway."}]
    assert "server_tool_use" not in told["usage"]
    assert [event["type"] for event in events(item(1, **action), SAID)].count("content_block_start") == 1


def test_an_id_is_one_that_anthropic_knows_whatever_the_upstream_calls_it():
    [asked_for, told, _] = message({**TWO[1], "id": "call:ä-7"}, SAID)["content"]
    assert (asked_for["id"], told["tool_use_id"]) == ("srvtoolu_ws_call___7", "srvtoolu_ws_call___7")


def test_a_search_can_be_told_in_responses_too():
    told = render_caller_response(msgspec.json.encode(response(TWO[0])), "openai_responses", "openai_responses", DEFAULTS)
    assert told["output"] == [{**TWO[0], "id": told["output"][0]["id"]}]
    failed = render_caller_response(
        msgspec.json.encode(response(item(1, "failed", type="search", query="q"))), "openai_responses", "openai_responses", DEFAULTS
    )
    assert failed["output"][0]["status"] == "failed"


ANSWERED = {"role": "assistant", "content": [ASKED, FOUND, {"type": "text", "text": "Norway."}]}
GO_ON = {"role": "user", "content": "And before?"}


def test_a_conversation_goes_on_with_what_was_answered_alone():
    result = asked(SEARCH, messages=[USER, ANSWERED, GO_ON])
    assert [each["content"] for each in result.body["input"]][1] == "Norway."
    assert result.dropped == ("messages[].content[].web_search_tool_result",)
    error = refusal(asked, SEARCH, messages=[USER, ANSWERED, GO_ON], drop_tuning_params=False)
    assert error.details["param"] == "messages[].content[].web_search_tool_result"


@pytest.mark.parametrize("kind", ["server_tool_use", "bash_code_execution_tool_result"])
def test_other_tools_that_anthropic_runs_are_still_refused_in_a_conversation(kind):
    block = {"type": kind, "id": "srvtoolu_1", "name": "bash_code_execution", "tool_use_id": "srvtoolu_1", "input": {}, "content": {}}
    error = refusal(asked, messages=[USER, {"role": "assistant", "content": [block]}, GO_ON])
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "messages.1.content.0.type")


def test_claude_is_not_shown_what_another_model_found():
    body = {"model": "m", "messages": [USER, ANSWERED, GO_ON]}
    assert may_hold_others(msgspec.json.encode(body))
    losses = Losses(drops_allowed=False)
    kept = with_own_thoughts(body, losses)
    assert kept["messages"] == [USER, {**ANSWERED, "content": [{"type": "text", "text": "Norway."}]}, GO_ON]
    assert losses.dropped == ("messages[].content[].web_search_tool_result",)


def test_what_claude_found_itself_it_is_shown_again():
    own = json.loads(json.dumps(ANSWERED).replace("srvtoolu_ws_1", "srvtoolu_01A"))
    body = {"model": "m", "messages": [USER, own, GO_ON]}
    assert not may_hold_others(msgspec.json.encode(body))
    assert with_own_thoughts(body, Losses()) is body


def test_thoughts_and_findings_of_others_are_named_each():
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    both = {**ANSWERED, "content": [thought, *ANSWERED["content"]]}
    losses = Losses()
    with_own_thoughts({"messages": [both]}, losses)
    assert losses.dropped == ("messages[].content[].thinking", "messages[].content[].web_search_tool_result")


def test_what_led_to_a_search_goes_with_it():
    kept = [{"type": "redacted_thinking", "data": f"openai:rs_{number}:gAAA"} for number in range(3)]
    call = {"type": "server_tool_use", "id": "srvtoolu_ws_1", "name": "web_search", "input": {"query": "news"}}
    said = {"role": "assistant", "content": [kept[0], kept[1], call, FOUND_NOTHING, kept[2], {"type": "text", "text": "Much."}]}
    messages = [{"role": "user", "content": "Hi"}, said, {"role": "user", "content": "Go on"}]

    result = render_upstream_request(
        {"model": "m", "max_tokens": 99, "messages": messages}, "anthropic_messages", "openai_responses", UpstreamModel("gpt-6-sol")
    )
    assert [item["id"] for item in result.body["input"] if item.get("type") == "reasoning"] == ["rs_2"]
