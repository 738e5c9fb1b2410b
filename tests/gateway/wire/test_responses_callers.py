"""Callers of Responses on models of other formats: requests, whole answers and streams, read with the official package's own types."""

import httpx
import msgspec
import pytest
from anthropic.types import message_create_params
from openai import APIError, OpenAI
from openai.types.chat import completion_create_params
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_response, render_upstream_request
from tests.gateway.wire.rendered_requests import refusal

EVENT = TypeAdapter(ResponseStreamEvent)
TYPES = {
    "anthropic_messages": TypeAdapter(message_create_params.MessageCreateParams),
    "openai_chat": TypeAdapter(completion_create_params.CompletionCreateParams),
}
MODELS = {"anthropic_messages": "claude-opus-5-5", "openai_chat": "gpt-5.2", "bedrock_converse": "anthropic.claude-opus-4-5-20251101-v1:0"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}, "strict": None}
DEFAULTS = AnswerDefaults(
    "resp_1", "the-model", 1_800_000_000, request={"tools": [TOOL], "metadata": {"a": "b"}, "instructions": "Be brief."}
)


def sent(upstream="anthropic_messages", model=None, **members):
    body = {"model": "m", "input": "Hi", **members}
    result = render_upstream_request(body, "openai_responses", upstream, UpstreamModel(model or MODELS[upstream]))
    if upstream in TYPES:
        TYPES[upstream].validate_python(result.body)
    return result


ITEMS = [
    {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "of-openai"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}]},
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":"b"}', "status": "completed"},
    {"type": "function_call", "call_id": "c2", "name": "f", "arguments": ""},
    {"type": "function_call_output", "call_id": "c1", "output": "sun"},
    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
    {"role": "user", "content": "And?"},
]


def test_items_become_the_messages_of_chat_completions():
    assert sent("openai_chat", instructions="Be brief.", input=ITEMS, tools=[TOOL]).body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":"b"}'}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "tool", "tool_call_id": "c2", "content": "rain"},
        {"role": "user", "content": "And?"},
    ]


def test_items_become_the_turns_of_messages():
    body = sent(instructions="Be brief.", input=ITEMS, tools=[TOOL]).body
    assert body["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in body["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "tool_result", "text"]
    assert "Hm." not in str(body)


def test_results_follow_their_calls_whatever_stands_between():
    call, result = ITEMS[4], ITEMS[6]
    other = [{**call, "call_id": "c2"}, {**result, "call_id": "c2"}]
    note = {"role": "developer", "content": "Note."}
    thought = {"type": "reasoning", "summary": []}
    items = [
        ITEMS[1],
        call,
        note,
        other[0],
        {"role": "user", "content": "Stop."},
        thought,
        other[1],
        note,
        result,
        {"role": "user", "content": "Go."},
    ]
    messages = sent("openai_chat", input=items, tools=[TOOL]).body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "system", "user", "system", "user"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["c1", "c2"]
    # A call that nobody answered holds nothing up.
    messages = sent("openai_chat", input=[ITEMS[1], call, note, ITEMS[3]], tools=[TOOL]).body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "system", "assistant"]


def test_settings_become_those_of_messages():
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}, "strict": True}
    result = sent(
        model="claude-opus-5",
        max_output_tokens=5000,
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": form, "verbosity": "low"},
        tools=[TOOL],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        include=["reasoning.encrypted_content"],
        store=False,
        prompt_cache_key="k",
    )
    assert result.body["max_tokens"] == 5000
    assert result.body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert result.body["output_config"]["effort"] == "high"
    assert result.body["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert result.body["tool_choice"] == {"type": "tool", "name": "f", "disable_parallel_tool_use": True}
    assert result.body["cache_control"] == {"type": "ephemeral"}
    assert result.dropped == ("text.verbosity",)


def test_breakpoints_of_a_cache_are_markers_of_claudes():
    def marked(kind, **members):
        return {"type": kind, **members, "prompt_cache_breakpoint": {"mode": "explicit"}}

    items = [
        {
            "role": "developer",
            "content": [{**marked("input_text", text="Long."), "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}],
        },
        {
            "role": "user",
            "content": [marked("input_image", image_url="data:image/png;base64,aGk="), marked("input_file", file_id="file_1")],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [marked("input_text", text="ok")]},
    ]
    body = sent(input=items, tools=[TOOL], prompt_cache_key="k").body
    assert body["system"] == [{"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    assert [block["cache_control"] for block in body["messages"][0]["content"]] == [{"type": "ephemeral"}] * 2
    assert body["messages"][2]["content"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in body
    point = {"cachePoint": {"type": "default"}}
    converse = sent("bedrock_converse", input=[items[2], items[3]], tools=[TOOL]).body
    assert converse["messages"][2]["content"][1] == point
    assert sent("openai_chat", input=items[2:], tools=[TOOL]).dropped == ("input[].content[].prompt_cache_breakpoint",)


@pytest.mark.parametrize(
    ("members", "dropped"),
    [
        ({"reasoning": {"context": "auto", "mode": "standard"}}, ()),
        ({"reasoning": {"context": "all_turns", "effort": "low"}}, ("reasoning.context",)),
        ({"tools": [{**TOOL, "async": True, "defer_loading": False, "allowed_callers": ["direct", "programmatic"]}]}, ("tools[].async",)),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f", "detail": "high"}]}]},
            ("input[].content[].detail",),
        ),
    ],
)
def test_what_openai_alone_can_do_is_named(members, dropped):
    assert sent(**members).dropped == dropped


def test_functions_that_only_programs_may_call_are_refused():
    error = refusal(sent, tools=[{**TOOL, "allowed_callers": ["programmatic"]}])
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "tools.0.allowed_callers")


def test_only_allowed_tools_are_sent():
    chosen = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    body = sent("openai_chat", tools=[TOOL, {**TOOL, "name": "g"}], tool_choice=chosen).body
    assert ([tool["function"]["name"] for tool in body["tools"]], body["tool_choice"]) == (["g"], "required")


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"tools": [{"type": "code_interpreter"}]}, "tools.0.type"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "f"}]}]}, "tools.0.tools.0.type"),
        ({"tools": [{"type": "custom", "name": "f"}]}, "tools.0.type"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0.type"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "https://e"}]}]}, "input.0.content.0.type"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input.0.content.0.type"),
        ({"include": ["message.output_text.logprobs"]}, "include.0"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"text": {"odd": 1}}, "text.odd"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tool_choice": {"type": "web_search"}, "tools": [TOOL]}, "tool_choice.type"),
    ],
)
def test_what_has_no_equivalent_is_refused(members, where):
    error = refusal(sent, **members)
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, where)


def test_json_without_a_schema_is_asked_of_chat_completions():
    wanted = {"text": {"format": {"type": "json_object"}}}
    assert sent("openai_chat", **wanted).body["response_format"] == {"type": "json_object"}
    told = sent(**wanted)
    assert "one valid JSON object" in str(told.body["system"])
    assert told.dropped == ("text.format",)


def test_what_to_do_about_items_that_are_not_kept_is_told():
    error = refusal(sent, input=[{"type": "item_reference", "id": "msg_1"}])
    assert "store: false" in error.message


def test_a_search_that_may_be_made_is_left_out_and_named():
    found = ["web_search_call.action.sources", "web_search_call.results"]
    result = sent(tools=[TOOL, {"type": "web_search", "external_web_access": False}], include=found)
    assert ([tool["name"] for tool in result.body["tools"]], result.dropped) == (["f"], ("tools[].web_search",))


def test_how_thoughts_are_told_is_no_wish_for_any():
    assert "reasoning_effort" not in sent("openai_chat", model="a-model", reasoning={"summary": "auto"}).body


SPACE = {"type": "namespace", "name": "mcp__files", "description": "d", "tools": [TOOL, {**TOOL, "name": "g" * 60}]}


def test_functions_of_a_namespace_are_told_by_both_names():
    call = {"type": "function_call", "call_id": "c", "namespace": "mcp__files", "name": "f", "arguments": "{}"}
    items = [{"role": "user", "content": "Hi"}, call, {"type": "function_call_output", "call_id": "c", "output": "ok"}]
    result = sent("openai_chat", input=items, tools=[TOOL, SPACE])
    names = [tool["function"]["name"] for tool in result.body["tools"]]
    assert names[:2] == ["f", "mcp__files__f"]
    assert result.body["messages"][1]["tool_calls"][0]["function"]["name"] == "mcp__files__f"
    defaults = AnswerDefaults("resp_1", "m", 1, result.tool_names, {"tools": [TOOL, SPACE]})
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names]
    choice = {"index": 0, "message": {"role": "assistant", "tool_calls": calls}, "finish_reason": "tool_calls"}
    rendered = render_caller_response(msgspec.json.encode({"choices": [choice]}), "openai_responses", "openai_chat", defaults)
    output = Response.model_validate(rendered, strict=True).output
    assert [(item.namespace, item.name) for item in output] == [(None, "f"), ("mcp__files", "f"), ("mcp__files", "g" * 60)]


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ({"type": "input_image", "image_url": "https://e/a.png"}, {"type": "url", "url": "https://e/a.png"}),
        ({"type": "input_image", "file_id": "file_1"}, {"type": "file", "file_id": "file_1"}),
        ({"type": "input_file", "file_url": "https://e/a.pdf"}, {"type": "url", "url": "https://e/a.pdf"}),
        (
            {"type": "input_file", "file_data": "data:application/pdf;base64,aGk="},
            {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
        ),
    ],
)
def test_images_and_files(part, source):
    [message] = sent(input=[{"role": "user", "content": [part]}]).body["messages"]
    assert message["content"][0]["source"] == source


def test_an_image_must_be_at_an_address():
    with pytest.raises(Error) as raised:
        sent(input=[{"role": "user", "content": [{"type": "input_image", "image_url": "a.png"}]}])
    assert raised.value.code is Code.BAD_REQUEST


def read(answer, upstream="anthropic_messages"):
    rendered = render_caller_response(msgspec.json.encode(answer), "openai_responses", upstream, DEFAULTS)
    return Response.model_validate(rendered, strict=True)


MESSAGE = {
    "id": "msg_1",
    "model": "claude-opus-5-5",
    "content": [
        {"type": "thinking", "thinking": "Two calls.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": "b"}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 25, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 89},
}


def test_an_answer_becomes_a_response():
    response = read(MESSAGE)
    assert (response.id, response.model, response.status, response.output_text) == (
        "resp_1",
        "claude-opus-5-5",
        "completed",
        "Let me look.",
    )
    assert [item.type for item in response.output] == ["reasoning", "reasoning", "message", "function_call"]
    assert len({item.id for item in response.output}) == 4
    assert (response.output[3].call_id, response.output[3].arguments) == ("toolu_1", '{"a":"b"}')
    assert (response.usage.input_tokens, response.usage.input_tokens_details.cached_tokens, response.usage.total_tokens) == (135, 100, 224)
    assert (response.instructions, response.metadata, response.tools[0].name) == ("Be brief.", {"a": "b"}, "f")


def test_thoughts_go_back_as_they_came():
    items = [item.model_dump(exclude_none=True) for item in read(MESSAGE).output]
    said = [{"role": "user", "content": "Hi"}, *items, {"type": "function_call_output", "call_id": "toolu_1", "output": "ok"}]
    messages = sent(input=said, tools=[TOOL]).body["messages"]
    assert messages[1]["content"] == MESSAGE["content"]


@pytest.mark.parametrize(
    "kept", ["keyhouse:", "keyhouse:!!!", "keyhouse:e30=", "keyhouse:bnVsbA==", "keyhouse:eyJ0eXBlIjoidGV4dCJ9", "gAAAA"]
)
def test_thoughts_that_nobody_can_read_are_left_out(kept):
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "summary": [], "encrypted_content": kept},
        {"role": "user", "content": "Yes"},
    ]
    assert "thinking" not in str(sent(input=items).body)


@pytest.mark.parametrize(
    ("stop_reason", "status", "reason"),
    [
        ("end_turn", "completed", None),
        ("pause_turn", "completed", None),
        ("max_tokens", "incomplete", "max_output_tokens"),
        ("model_context_window_exceeded", "incomplete", "max_output_tokens"),
        ("refusal", "incomplete", "content_filter"),
    ],
)
def test_a_response_says_why_it_ended(stop_reason, status, reason):
    response = read({**MESSAGE, "content": [], "stop_reason": stop_reason})
    assert (response.status, response.incomplete_details and response.incomplete_details.reason) == (status, reason)


def test_a_refusal_is_told():
    refused = {**MESSAGE, "content": [], "stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "This was declined."}}
    assert read(refused).output[0].content[0].refusal == "This was declined."


def served(stream: bytes) -> httpx.Client:
    """A client whose every request is answered with these bytes: the package reads them as it would read a provider's."""
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    return httpx.Client(transport=httpx.MockTransport(lambda request: answer))


def accumulated(stream: bytes) -> Response:
    with (
        OpenAI(api_key="k", http_client=served(stream), max_retries=0) as client,
        client.responses.stream(model="m", input="Hi") as read,
    ):
        return read.get_final_response()


@pytest.mark.parametrize(
    ("upstream", "name", "types"),
    [
        ("anthropic_messages", "messages_thinking_and_tools.sse", ["reasoning", "reasoning", "message", "function_call", "function_call"]),
        ("anthropic_messages", "messages_text.sse", ["message"]),
        ("anthropic_messages", "messages_refusal.sse", None),
        ("openai_chat", "chunks_reasoning_and_tools.sse", None),
        ("openai_chat", "chunks_text.sse", ["message"]),
        ("bedrock_converse", "converse_thinking_and_tools.jsonl", None),
    ],
)
def test_streams_are_well_formed_and_read_by_the_official_client(recorded, events, upstream, name, types):
    stream = replayed(recorded(name), upstream)
    told = [EVENT.validate_json(data, strict=True) for _, data in events(stream)]
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert [kind for kind, _ in events(stream)] == [event.type for event in told]
    done = [event.item for event in told if event.type == "response.output_item.done"]
    response = told[-1].response
    assert (response.output, told[0].response.id) == (done, response.id)
    begun = [event.output_index for event in told if event.type == "response.output_item.added"]
    assert begun == list(range(len(done)))
    if response.status == "incomplete":
        # The package's accumulator knows no other end than completion, at the provider itself neither.
        return
    final = accumulated(stream)
    assert [item.type for item in final.output] == [item.type for item in done] == (types or [item.type for item in done])
    assert final.output_text == "".join(event.delta for event in told if event.type == "response.output_text.delta")


def replayed(stream, upstream):

    translation = StreamTranslation("openai_responses", upstream, DEFAULTS)
    return b"".join([*(translation.feed(name, data) for name, data in stream), translation.end()])


def test_a_stream_and_a_whole_answer_carry_the_same_thoughts(recorded):
    final = accumulated(replayed(recorded("messages_thinking_and_tools.sse"), "anthropic_messages"))
    items = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in final.output]
    content = sent(input=[{"role": "user", "content": "Hi"}, *items], tools=[TOOL]).body["messages"][1]["content"]
    assert content[0] == {"type": "thinking", "thinking": "Two cities, two calls.", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}
    assert content[1] == {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}


@pytest.mark.parametrize(("upstream", "name"), [("anthropic_messages", "messages_overloaded.sse"), ("openai_chat", "chunks_error.sse")])
def test_a_stream_that_fails_raises_in_the_official_client(recorded, upstream, name):
    with pytest.raises(APIError, match=r"(?i)overloaded|error"):
        accumulated(replayed(recorded(name), upstream))
