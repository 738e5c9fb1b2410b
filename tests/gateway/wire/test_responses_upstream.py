"""Messages on a model of OpenAI's Responses: requests, whole answers and streams, held against the types of both official packages."""

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types import responses
from openai.types.responses import response_create_params
from pydantic import TypeAdapter

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_caller_error, render_caller_response, render_upstream_request
from tests.gateway.wire.rendered_requests import refusal, to_chat, to_converse

PARAMS = TypeAdapter(response_create_params.ResponseCreateParams)
UPSTREAM_EVENT = TypeAdapter(responses.ResponseStreamEvent)
MESSAGE_EVENT = TypeAdapter(RawMessageStreamEvent)
RECORDED = "responses_reasoning_and_tools.sse"
KEPT = {"type": "redacted_thinking", "data": "openai:rs_1:gAAA-whole:=="}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}


def to_responses(model="gpt-6-sol", **members):
    body = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **members}
    result = render_upstream_request(body, "anthropic_messages", "openai_responses", UpstreamModel(model))
    PARAMS.validate_python(result.body)
    return result


def test_nothing_is_stored_and_thoughts_come_encrypted():
    assert to_responses().body == {
        "model": "gpt-6-sol",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "max_output_tokens": 100,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }


def test_a_thought_that_nothing_follows_is_left_out():
    hi, go_on = {"role": "user", "content": "Hi"}, {"role": "user", "content": "Go on"}

    def kinds(*content):
        items = to_responses(messages=[hi, {"role": "assistant", "content": list(content)}, go_on], tools=[TOOL]).body["input"]
        return [item.get("type", item.get("role")) for item in items[1:-1]]

    call, words = {"type": "tool_use", "id": "t", "name": "f", "input": {}}, {"type": "text", "text": "Hm."}
    assert kinds(KEPT) == kinds(KEPT, KEPT) == []
    assert kinds(KEPT, words, KEPT) == ["reasoning", "assistant"]
    assert kinds(KEPT, KEPT, call) == ["reasoning", "reasoning", "function_call"]


@pytest.mark.parametrize(
    ("model", "phases"),
    [
        *[
            (model, ["commentary", "final_answer"])
            for model in ("gpt-5.3-codex", "gpt-5.4", "gpt-5.4-pro", "gpt-5.5", "gpt-5.6-sol", "gpt-6.2-astra")
        ],
        *[(model, [None, None]) for model in ("gpt-5.2", "gpt-5.2-codex", "gpt-5.2-pro", "of-our-own")],
    ],
)
def test_words_before_calls_are_told_apart_from_answers(model, phases):
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "sun"}]},
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "And?"},
    ]
    items = to_responses(model, messages=messages, tools=[TOOL]).body["input"]
    assert [item.get("phase") for item in items if item.get("role") == "assistant"] == phases
    assert {item.get("phase") for item in items if item.get("role") != "assistant"} == {None}


def test_a_conversation_becomes_items_in_its_order():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "sun"}, image]}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What?"}, image]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "of Claude", "signature": "s"},
                KEPT,
                {"type": "redacted_thinking", "data": "of Claude"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "b"}},
                {"type": "tool_use", "id": "t" * 65, "name": "f", "input": {}},
            ],
        },
        {"role": "user", "content": [result, {"type": "tool_result", "tool_use_id": "t" * 65}, {"type": "text", "text": "And?"}]},
        {"role": "system", "content": "Be briefer."},
    ]
    rendered = to_responses(system=[{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}], messages=messages, tools=[TOOL])
    picture = {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,aGk="}
    long_id = rendered.body["input"][5]["call_id"]
    assert len(long_id) == 40
    assert rendered.body["input"] == [
        {"role": "system", "content": "Be\nbrief."},
        {"role": "user", "content": [{"type": "input_text", "text": "What?"}, picture]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA-whole:=="},
        {"role": "assistant", "content": "Let me look.", "phase": "commentary"},
        {"type": "function_call", "call_id": "t1", "name": "f", "arguments": '{"a":"b"}'},
        {"type": "function_call", "call_id": long_id, "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "t1", "output": [{"type": "input_text", "text": "sun"}, picture]},
        {"type": "function_call_output", "call_id": long_id, "output": ""},
        {"role": "user", "content": [{"type": "input_text", "text": "And?"}]},
        {"role": "system", "content": "Be briefer."},
    ]
    assert rendered.dropped == ()


@pytest.mark.parametrize(
    ("source", "sent"),
    [
        (
            {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
            {"filename": "T", "file_data": "data:application/pdf;base64,aGk="},
        ),
        ({"type": "url", "url": "https://e/a.pdf"}, {"file_url": "https://e/a.pdf"}),
        ({"type": "file", "file_id": "file_1"}, {"file_id": "file_1"}),
    ],
)
def test_documents_are_files(source, sent):
    document = {"type": "document", "title": "T", "source": source}
    [message] = to_responses(messages=[{"role": "user", "content": [document]}]).body["input"]
    told = [] if "filename" in sent else [{"type": "input_text", "text": "T"}]
    assert message["content"] == [*told, {"type": "input_file", **sent}]


def test_tools_are_strict_only_where_they_say_so():
    tools = to_responses(tools=[TOOL, {**TOOL, "strict": True}], tool_choice={"type": "tool", "name": "f"}).body
    assert [tool["strict"] for tool in tools["tools"]] == [False, True]
    assert tools["tool_choice"] == {"type": "function", "name": "f"}


@pytest.mark.parametrize(
    ("model", "members", "reasoning"),
    [
        ("gpt-6-sol", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"effort": "max"}),
        ("gpt-6-sol", {"thinking": {"type": "adaptive", "display": "summarized"}}, {"effort": "medium", "summary": "auto"}),
        ("gpt-6-sol", {"thinking": {"type": "disabled"}}, {"effort": "none"}),
        ("gpt-6-luna", {"thinking": {"type": "disabled"}}, {"effort": "none"}),
        ("gpt-6.1-terra", {"thinking": {"type": "disabled"}}, {"effort": "none"}),
        ("gpt-6-astra", {"thinking": {"type": "disabled"}}, None),
        ("gpt-6.2-sol", {"thinking": {"type": "disabled"}}, None),
        ("gpt-5.6-terra", {"thinking": {"type": "disabled"}}, {"effort": "none"}),
        ("gpt-5.4", {"thinking": {"type": "enabled", "budget_tokens": 40_000}, "max_tokens": 64_000}, {"effort": "xhigh"}),
        ("openai.gpt-5.5", {"output_config": {"effort": "max"}}, {"effort": "xhigh"}),
        ("gpt-5.4-pro", {"output_config": {"effort": "low"}}, {"effort": "medium"}),
        ("gpt-5.2", {}, None),
    ],
)
def test_thinking_is_reasoning_as_the_model_takes_it(model, members, reasoning):
    assert to_responses(model, **members).body.get("reasoning") == reasoning


@pytest.mark.parametrize(
    ("model", "members", "takes"),
    [
        ("gpt-6-sol", {}, False),
        ("gpt-5.6-sol", {"thinking": {"type": "disabled"}}, True),
        ("gpt-5.6-sol", {}, False),
        ("gpt-5.4", {}, True),
        ("gpt-5.4", {"thinking": {"type": "adaptive"}}, False),
    ],
)
def test_a_model_that_reasons_takes_no_temperature(model, members, takes):
    result = to_responses(model, temperature=0.5, top_p=1, **members)
    assert (result.body.get("temperature"), "temperature" in result.dropped) == ((0.5, False) if takes else (None, True))
    assert ("include" in result.body) == (not takes)
    assert "top_p" not in result.dropped


def test_a_limit_below_the_least_is_raised_and_stop_sequences_are_refused():
    result = to_responses(max_tokens=1)
    assert (result.body["max_output_tokens"], result.enforced) == (16, ("max_tokens=16",))
    assert refusal(to_responses, stop_sequences=["END"]).details["param"] == "stop_sequences"


def test_thoughts_of_another_provider_reach_no_other_model():
    body = {"model": "m", "max_tokens": 5000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    calls = [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "ok"}]}
    for block in (KEPT, {"type": "redacted_thinking", "data": "google:c2ln"}):
        messages = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [block]},
            {"role": "assistant", "content": [block, *calls]},
        ]
        said = {**body, "messages": [*messages, result], "tools": [TOOL]}
        rendered = to_converse(said, caller="anthropic_messages")
        assert "redactedContent" not in str(rendered.body)
        # The calls came without thoughts that this model could read, so with a budget it must not be asked to think.
        assert rendered.dropped == ("thinking",)
        assert "openai:" not in str(to_chat(said).body)


def message_of(defaults, **members):
    response = {"id": "resp_1", "model": "gpt-6-sol", "created_at": 1, "status": "completed", "error": None, "output": [], **members}
    rendered = render_caller_response(msgspec.json.encode(response), "anthropic_messages", "openai_responses", defaults)
    return Message.model_validate(rendered, strict=True)


def said(text, kind="output_text"):
    return {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "content": [{"type": kind, kind.removeprefix("output_"): text, "annotations": []}],
    }


def test_the_recorded_stream_is_as_the_official_package_reads_it(recorded):
    events = [UPSTREAM_EVENT.validate_json(data, strict=True) for _, data in recorded(RECORDED)]
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]


def test_whole_and_streamed_answers_are_one(recorded, replayed, events, defaults):
    stream = recorded(RECORDED)
    response = msgspec.json.decode(stream[-1][1])["response"]
    whole = message_of(defaults, **response)
    assert [block.type for block in whole.content] == ["thinking", "redacted_thinking", "text", "tool_use", "tool_use"]
    assert (whole.content[0].thinking, whole.content[1].data) == ("Two cities,\n\ntwo calls.", KEPT["data"])
    assert [(block.id, block.name, block.input) for block in whole.content[3:]] == [
        ("call_1", "get_weather", {"city": "Paris"}),
        ("call_2", "get_time", {}),
    ]
    assert (whole.stop_reason, whole.usage.input_tokens, whole.usage.cache_read_input_tokens) == ("tool_use", 25, 100)
    assert (whole.usage.output_tokens, whole.usage.output_tokens_details.thinking_tokens) == (89, 20)
    assert accumulated(events(replayed("anthropic_messages", "openai_responses", stream))) == whole.model_dump()


def accumulated(rendered):
    """The message that a stream amounts to."""
    message, arguments = {}, {}
    for event in (MESSAGE_EVENT.validate_json(data).model_dump() for kind, data in rendered if kind != "ping"):
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"])
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                if delta["type"] == "input_json_delta":
                    arguments[event["index"]] = arguments.get(event["index"], "") + delta["partial_json"]
                else:
                    name = delta["type"].removesuffix("_delta")
                    block[name] += delta[name]
            case "message_delta":
                message |= {**event["delta"], "usage": {**message["usage"], **event["usage"]}}
    for index, text in arguments.items():
        message["content"][index]["input"] = msgspec.json.decode(text)
    return message


@pytest.mark.parametrize(
    ("members", "stop_reason"),
    [
        ({"output": [said("Yes")]}, "end_turn"),
        ({"output": [said("I can not.", "refusal")]}, "refusal"),
        ({"output": [said("Ye")], "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_tokens"),
        ({"output": [], "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "refusal"),
    ],
)
def test_a_response_says_why_it_stopped(defaults, members, stop_reason):
    assert message_of(defaults, **members).stop_reason == stop_reason


def test_a_call_that_was_cut_off_is_left_out(defaults):
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":'}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert message_of(defaults, output=[said("Ye"), call], **cut).content[1:] == []
    with pytest.raises(Error) as raised:
        message_of(defaults, output=[call])
    assert raised.value.code is Code.UPSTREAM_INVALID_ANSWER


def test_a_response_that_failed_is_an_error_in_its_own_words(defaults):
    with pytest.raises(Error, match="broke in the middle"):
        message_of(defaults, status="failed", error={"code": "server_error", "message": "It broke in the middle."})


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "Slower."}}}, "rate_limit_error"),
        ({"type": "error", "code": "server_error", "message": "Slower.", "param": None}, "api_error"),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "Slower."}}, "invalid_request_error"),
    ],
)
def test_a_stream_that_fails_ends_in_an_error_event(recorded, replayed, events, last, kind):
    stream = [*recorded(RECORDED)[:5], (None, msgspec.json.encode(last))]
    *_, (name, data) = events(replayed("anthropic_messages", "openai_responses", stream))
    assert (name, msgspec.json.decode(data)["error"]) == ("error", {"type": kind, "message": "Slower."})


@pytest.mark.parametrize("kept", [0, 1, 8, 20, 25])
def test_a_stream_that_ends_early_never_ends_well(recorded, replayed, events, kept):
    *_, (name, _) = events(replayed("anthropic_messages", "openai_responses", recorded(RECORDED)[:kept]))
    assert name == "error"


def test_arguments_may_come_whole_at_the_end(replayed, events):
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'}
    sent = [
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.output_item.added", "item": {**call, "arguments": ""}},
        {"type": "keepalive"},
        {"type": "response.output_item.done", "item": call},
        {"type": "response.incomplete", "response": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}},
    ]
    message = accumulated(
        events(replayed("anthropic_messages", "openai_responses", [(None, msgspec.json.encode(event)) for event in sent]))
    )
    assert ([block["input"] for block in message["content"]], message["stop_reason"]) == ([{"a": 1}], "max_tokens")


def test_errors_keep_their_words():
    body = b'{"error":{"message":"No.","type":"invalid_request_error","param":"input","code":"unsupported_value"}}'
    assert render_caller_error(400, body, "anthropic_messages", "openai_responses")["error"] == {
        "type": "invalid_request_error",
        "message": "No.",
    }
