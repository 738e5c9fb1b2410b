"""Requests in one format, rendered in another."""

import base64

import msgspec
import pytest
from anthropic.types import message_create_params
from openai.types.chat import completion_create_params
from pydantic import TypeAdapter

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire import anthropic_messages
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request

MESSAGES = TypeAdapter(message_create_params.MessageCreateParams)
COMPLETION = TypeAdapter(completion_create_params.CompletionCreateParams)
PNG = "data:image/png;base64,aGk="
CURRENT, OLDER = "claude-opus-5-5", "claude-sonnet-4-5"


def chat(messages=None, **members):
    return {"model": "m", "messages": messages or [{"role": "user", "content": "Hi"}], **members}


def to_messages(body, model=CURRENT, **known):
    result = render_upstream_request(body, "openai_chat", "anthropic_messages", UpstreamModel(model, **known))
    MESSAGES.validate_python({name: value for name, value in result.body.items() if name not in ("temperature", "top_p", "top_k")})
    return result


def to_converse(body, model="anthropic.claude-sonnet-4-5-20250929-v1:0", caller="openai_chat"):
    return render_upstream_request(body, caller, "bedrock_converse", UpstreamModel(model))


def to_chat(body, **known):
    result = render_upstream_request({"max_tokens": 10, **body}, "anthropic_messages", "openai_chat", UpstreamModel("gpt-5-mini", **known))
    COMPLETION.validate_python(result.body)
    return result


def tool(name="f", **members):
    return {"type": "function", "function": {"name": name, **members}}


def call(tool_call_id="c1", name="f", arguments="{}"):
    return {"id": tool_call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def refusal(render, *arguments, **members):
    with pytest.raises(Error) as raised:
        render(*arguments, **members)
    return raised.value


TOOL_LOOP = [
    {"role": "user", "content": "Weather in Paris and Rome?"},
    {
        "role": "assistant",
        "content": "I will look.",
        "tool_calls": [call("c1", "w", '{"city": "Paris"}'), call("c2", "w", '{"city": "Rome"}')],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "sun"},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "rain"}]},
    {"role": "user", "content": "And?"},
]


def test_system_and_developer_messages_move_to_the_front():
    body = to_messages(
        chat(
            [
                {"role": "system", "content": "One."},
                {"role": "user", "content": "Hi"},
                {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
            ]
        )
    ).body
    assert body["system"] == [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
    assert body["messages"] == [{"role": "user", "content": "Hi"}]


def test_tool_loop_becomes_alternating_turns_with_results_first():
    body = to_messages(chat(TOOL_LOOP, tools=[tool("w")])).body
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "I will look."},
        {"type": "tool_use", "id": "c1", "name": "w", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "c2", "name": "w", "input": {"city": "Rome"}},
    ]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": "sun"},
        {"type": "tool_result", "tool_use_id": "c2", "content": "rain"},
        {"type": "text", "text": "And?"},
    ]


def test_tool_loop_in_converse():
    messages = to_converse(chat(TOOL_LOOP, tools=[tool("w")])).body["messages"]
    assert messages[1]["content"][1] == {"toolUse": {"toolUseId": "c1", "name": "w", "input": {"city": "Paris"}}}
    assert messages[2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "sun"}]}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "rain"}]}},
        {"text": "And?"},
    ]


def test_blank_texts_are_left_out():
    body = to_messages(
        chat([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": [call()]}], tools=[tool()])
    ).body
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]


def test_results_of_tools_come_before_the_rest_of_their_turn():
    call_block = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    answers = [{"type": "text", "text": "Here."}, {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]
    body = {
        "model": "m",
        "max_tokens": 10,
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [call_block]},
            {"role": "user", "content": answers},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }
    content = to_converse(body, caller="anthropic_messages").body["messages"][2]["content"]
    assert [list(block) for block in content] == [["toolResult"], ["text"]]


def test_white_space_alone_is_no_text():
    messages = [
        {"role": "system", "content": " "},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "\n"},
        {"role": "user", "content": "?"},
    ]
    body = to_messages(chat(messages)).body
    assert ("system" in body, body["messages"]) == (
        False,
        [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "?"}]}],
    )


@pytest.mark.parametrize("odd", ["functions.get:0", "a" * 65, "", "ü"])
def test_tool_ids_that_would_be_refused_are_rewritten_alike(odd):
    loop = [{"role": "assistant", "tool_calls": [call(odd)]}, {"role": "tool", "tool_call_id": odd, "content": "ok"}]
    messages = to_messages(chat([{"role": "user", "content": "Hi"}, *loop], tools=[tool()])).body["messages"]
    rewritten = messages[1]["content"][0]["id"]
    assert messages[2]["content"][0]["tool_use_id"] == rewritten
    assert len(rewritten) <= 64
    assert rewritten.replace("-", "_").replace("_", "a").isascii()


def test_two_odd_tool_ids_stay_apart():
    messages = [{"role": "assistant", "tool_calls": [call("a.b"), call("a:b")]}]
    blocks = to_messages(chat([{"role": "user", "content": "Hi"}, *messages], tools=[tool()])).body["messages"][1]["content"]
    assert blocks[0]["id"] != blocks[1]["id"]


def test_images_as_data_and_by_url():
    content = [{"type": "image_url", "image_url": {"url": PNG}}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    blocks = to_messages(chat([{"role": "user", "content": content}])).body["messages"][0]["content"]
    assert blocks[0]["source"] == {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert blocks[1]["source"] == {"type": "url", "url": "https://example.com/a.png"}


def test_converse_takes_images_as_data_only():
    image = {"type": "image_url", "image_url": {"url": PNG}}
    assert to_converse(chat([{"role": "user", "content": [image]}])).body["messages"][0]["content"][0] == {
        "image": {"format": "png", "source": {"bytes": "aGk="}}
    }
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert refusal(to_converse, chat([{"role": "user", "content": [image]}])).code is Code.UNSUPPORTED_PARAMETER


@pytest.mark.parametrize(
    "url", ["data:image/bmp;base64,aGk=", "data:image/png,hi", "data:;base64,aGk=", "file:///etc/passwd", "ftp://a/b.png", ""]
)
def test_other_images_are_refused(url):
    error = refusal(to_messages, chat([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]))
    assert error.code in (Code.UNSUPPORTED_PARAMETER, Code.BAD_REQUEST)


def test_files_become_documents():
    pdf = {"type": "file", "file": {"filename": "report.pdf", "file_data": "data:application/pdf;base64,aGk="}}
    text = {
        "type": "file",
        "file": {"filename": "a.txt", "file_data": "data:text/plain;base64," + base64.b64encode("grüß".encode()).decode()},
    }
    blocks = to_messages(chat([{"role": "user", "content": [pdf, text]}])).body["messages"][0]["content"]
    assert blocks[0] == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
        "title": "report.pdf",
    }
    assert blocks[1]["source"] == {"type": "text", "media_type": "text/plain", "data": "grüß"}


def test_document_names_of_converse_are_legal_and_differ():
    pdf = {"type": "file", "file": {"filename": "my_report.v2.pdf", "file_data": "data:application/pdf;base64,aGk="}}
    blocks = to_converse(chat([{"role": "user", "content": [pdf, pdf]}])).body["messages"][0]["content"]
    assert [block["document"]["name"] for block in blocks] == ["my report v2 pdf", "my report v2 pdf (2)"]


def test_bare_base64_of_a_file_counts_as_pdf():
    part = {"type": "file", "file": {"file_data": "aGk="}}
    assert (
        to_messages(chat([{"role": "user", "content": [part]}])).body["messages"][0]["content"][0]["source"]["media_type"]
        == "application/pdf"
    )


@pytest.mark.parametrize(
    ("choice", "rendered", "in_converse"),
    [
        ("auto", {"type": "auto"}, {"auto": {}}),
        ("required", {"type": "any"}, {"any": {}}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}, {"tool": {"name": "f"}}),
    ],
)
def test_tool_choice(choice, rendered, in_converse):
    assert to_messages(chat(tools=[tool()], tool_choice=choice)).body["tool_choice"] == rendered
    assert to_converse(chat(tools=[tool()], tool_choice=choice)).body["toolConfig"]["toolChoice"] == in_converse


def test_tool_choice_none():
    assert to_messages(chat(tools=[tool()], tool_choice="none")).body["tool_choice"] == {"type": "none"}
    assert "toolConfig" not in to_converse(chat(tools=[tool()], tool_choice="none")).body
    assert refusal(to_converse, chat(TOOL_LOOP, tools=[tool("w")], tool_choice="none")).details["param"] == "tool_choice"


def test_converse_wants_tools_declared_while_calls_are_in_the_conversation():
    assert refusal(to_converse, chat(TOOL_LOOP)).details["param"] == "tools"


def test_allowed_tools_leaves_the_others_out():
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}}
    body = to_messages(chat(tools=[tool("f"), tool("g")], tool_choice=choice)).body
    assert [each["name"] for each in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("choice", "kind"),
    [(None, "auto"), ("auto", "auto"), ("required", "any"), ({"type": "function", "function": {"name": "f"}}, "tool")],
)
def test_one_call_at_a_time(choice, kind):
    rendered = to_messages(chat(tools=[tool()], tool_choice=choice, parallel_tool_calls=False)).body["tool_choice"]
    assert (rendered["type"], rendered["disable_parallel_tool_use"]) == (kind, True)


def test_tools_without_a_schema_get_an_empty_one():
    body = to_messages(chat(tools=[tool(description="d"), tool("g", parameters={"properties": {"a": {}}})])).body
    assert body["tools"][0] == {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
    assert body["tools"][1]["input_schema"] == {"type": "object", "properties": {"a": {}}}


def test_strict_tools_are_dropped_for_models_without_them():
    strict = [tool(strict=True)]
    assert to_messages(chat(tools=strict)).body["tools"][0]["strict"] is True
    old = to_messages(chat(tools=strict), "claude-sonnet-4-20250514")
    assert ("strict" in old.body["tools"][0], old.dropped) == (False, ("tools[].strict",))


def test_custom_tools_are_refused():
    assert refusal(to_messages, chat(tools=[{"type": "custom", "custom": {"name": "f"}}])).details["param"] == "tools.0.type"


def test_structured_output():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": schema, "strict": True}}
    assert to_messages(chat(response_format=wanted)).body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    definition = to_converse(chat(response_format=wanted)).body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (msgspec.json.decode(definition["schema"]), definition["name"], definition["description"]) == (schema, "n", "d")


def test_structured_output_and_effort_share_output_config():
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    config = to_messages(chat(response_format=wanted, reasoning_effort="low")).body["output_config"]
    assert config == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}


def test_json_object_is_refused():
    error = refusal(to_messages, chat(response_format={"type": "json_object"}))
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "response_format")


@pytest.mark.parametrize(
    ("given", "sent"),
    [({"max_tokens": 5}, 5), ({"max_completion_tokens": 7}, 7), ({"max_tokens": 5, "max_completion_tokens": 7}, 5), ({}, 8192)],
)
def test_token_limit(given, sent):
    assert to_messages(chat(**given)).body["max_tokens"] == sent


def test_known_maximum_stands_in_for_a_token_limit():
    assert to_messages(chat(), max_output_tokens=64_000).body["max_tokens"] == 64_000
    assert "inferenceConfig" not in to_converse(chat()).body


def test_temperature_above_one_becomes_one():
    result = to_messages(chat(temperature=1.5), OLDER)
    assert (result.body["temperature"], result.enforced) == (1, ("temperature=1",))


def test_models_that_take_no_sampling_lose_it():
    result = to_messages(chat(temperature=0.5, top_p=0.9, top_k=5))
    assert result.dropped == ("temperature", "top_p", "top_k")
    assert not {"temperature", "top_p", "top_k"} & result.body.keys()


def test_models_that_take_one_of_two_keep_temperature():
    result = to_messages(chat(temperature=0.5, top_p=0.9), OLDER)
    assert (result.body["temperature"], result.dropped) == (0.5, ("top_p",))


def test_models_of_other_names_keep_their_sampling():
    assert to_messages(chat(temperature=0.5, top_p=0.9), "our-own-model").body["top_p"] == 0.9


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (CURRENT, "low", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (CURRENT, "minimal", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (CURRENT, "xhigh", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}),
        ("claude-opus-4-6", "xhigh", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (CURRENT, "none", {"thinking": {"type": "disabled"}}),
        (OLDER, "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (OLDER, "high", {"thinking": {"type": "enabled", "budget_tokens": 9999}}),
        ("claude-opus-4-5", "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}, "output_config": {"effort": "low"}}),
    ],
)
def test_reasoning_effort(model, effort, expected):
    body = to_messages(chat(reasoning_effort=effort, max_tokens=10_000), model).body
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == expected


@pytest.mark.parametrize(
    ("model", "members"),
    [
        (OLDER, {"max_tokens": 1024}),
        (OLDER, {"tools": [tool()], "tool_choice": "required"}),
        (OLDER, {"messages": TOOL_LOOP, "tools": [tool("w")]}),
        ("claude-3-5-haiku-20241022", {}),
    ],
)
def test_reasoning_that_can_not_be_is_dropped(model, members):
    result = to_messages({**chat(), "reasoning_effort": "low", **members}, model)
    assert ("thinking" in result.body, result.dropped) == (False, ("reasoning_effort",))


def test_switching_off_is_dropped_for_models_that_always_think():
    assert to_messages(chat(reasoning_effort="none"), "claude-fable-5").dropped == ("reasoning_effort",)


def test_forced_tools_and_adaptive_thinking_go_together():
    assert to_messages(chat(tools=[tool()], tool_choice="required", reasoning_effort="low")).body["thinking"] == {"type": "adaptive"}


def test_thinking_excludes_sampling():
    result = to_messages(chat(reasoning_effort="low", temperature=0.2, max_tokens=5000), OLDER)
    assert result.dropped == ("temperature",)


def test_thinking_blocks_go_back_unchanged_and_first():
    blocks = [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
    answer = {"role": "assistant", "content": None, "tool_calls": [call()], "reasoning_content": "t", "thinking_blocks": blocks}
    messages = [{"role": "user", "content": "Hi"}, answer, {"role": "tool", "tool_call_id": "c1", "content": "ok"}]
    result = to_messages(chat(messages, tools=[tool()], reasoning_effort="low", max_tokens=5000), OLDER)
    assert result.body["messages"][1]["content"][:2] == blocks
    assert result.body["thinking"]["type"] == "enabled"


def test_unsigned_thinking_is_not_sent():
    answer = {"role": "assistant", "content": "Yes", "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": ""}]}
    assert to_messages(chat([{"role": "user", "content": "Hi"}, answer])).body["messages"][1]["content"] == "Yes"
    assert to_converse(chat([{"role": "user", "content": "Hi"}, answer])).body["messages"][1]["content"] == [{"text": "Yes"}]


def test_white_space_alone_is_no_stop_sequence():
    assert refusal(to_messages, chat(stop=["\n\n"])).details["param"] == "stop"
    assert to_messages(chat(stop="END")).body["stop_sequences"] == ["END"]


def test_cache_markers_in_both_spellings():
    parts = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "b", "prompt_cache_breakpoint": {"mode": "explicit"}},
    ]
    blocks = to_messages(chat([{"role": "user", "content": parts}])).body["messages"][0]["content"]
    assert [block["cache_control"] for block in blocks] == [{"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}]
    assert to_converse(chat([{"role": "user", "content": parts}])).body["messages"][0]["content"] == [
        {"text": "a"},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
        {"text": "b"},
        {"cachePoint": {"type": "default"}},
    ]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("us.amazon.nova-2-lite-v1:0", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "high"}),
        ("global.anthropic.claude-opus-5-v1:0", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
    ],
)
def test_reasoning_in_converse_has_the_form_of_the_family(model, expected):
    assert to_converse(chat(reasoning_effort="max"), model).body["additionalModelRequestFields"] == expected


def test_converse_drops_reasoning_for_other_families():
    assert to_converse(chat(reasoning_effort="low"), "meta.llama4-scout").dropped == ("reasoning_effort",)


def test_converse_sends_the_limit_that_a_budget_was_measured_by():
    body = to_converse(chat(reasoning_effort="low")).body
    assert body["inferenceConfig"]["maxTokens"] > body["additionalModelRequestFields"]["thinking"]["budget_tokens"]


@pytest.mark.parametrize("members", [{"n": True}, {"logprobs": 0}, {"top_logprobs": False}])
def test_true_is_not_one(members):
    assert refusal(to_messages, chat(**members)).details["param"] in members


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ("Hi", "messages"),
        ([5], "messages.0"),
        ([{"role": "king", "content": "Hi"}], "messages.0.role"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "user", "content": [{"type": "video"}]}], "messages.0.content.0.type"),
        ([{"role": "assistant", "tool_calls": [call(arguments="{")]}], "messages.0.tool_calls.0.function.arguments"),
        ([{"role": "assistant", "tool_calls": [call(arguments="[]")]}], "messages.0.tool_calls.0.function.arguments"),
        ([{"role": "tool", "content": "ok"}], "messages.0.tool_call_id"),
    ],
)
def test_wrong_shapes_are_named(messages, where):
    error = refusal(to_messages, {"model": "m", "messages": messages})
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, where)


def test_messages_request_becomes_a_chat_request():
    body = to_chat(
        {
            "model": "m",
            "max_tokens": 100,
            "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
            "messages": [
                {"role": "user", "content": "Hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "Yes?"}],
                },
                {"role": "system", "content": "Now in French."},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "Go"}, {"type": "image", "source": {"type": "url", "url": "https://e/a.png"}}],
                },
            ],
            "stop_sequences": ["END"],
            "temperature": 0.3,
            "stream": True,
        }
    ).body
    assert body == {
        "model": "gpt-5-mini",
        "messages": [
            {"role": "system", "content": "Be brief.\nBe kind."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "system", "content": "Now in French."},
            {"role": "user", "content": [{"type": "text", "text": "Go"}, {"type": "image_url", "image_url": {"url": "https://e/a.png"}}]},
        ],
        "max_completion_tokens": 100,
        "temperature": 0.3,
        "stop": ["END"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_images_in_tool_results_follow_in_a_user_message():
    result = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "content": [
            {"type": "text", "text": "seen"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        ],
    }
    messages = [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [result]},
    ]
    rendered = to_chat({"model": "m", "messages": messages, "tools": [{"name": "f", "input_schema": {"type": "object"}}]}).body["messages"]
    assert rendered[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert rendered[2:] == [
        {"role": "tool", "tool_call_id": "t1", "content": "seen"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
    ]


def test_messages_tool_choice_becomes_that_of_chat():
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    choice = {"type": "tool", "name": "f", "disable_parallel_tool_use": True}
    body = to_chat({"model": "m", "messages": [], "tools": tools, "tool_choice": choice}).body
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("thinking", "config", "effort"),
    [
        ({"type": "enabled", "budget_tokens": 1024}, {}, "minimal"),
        ({"type": "enabled", "budget_tokens": 10_000}, {}, "medium"),
        ({"type": "enabled", "budget_tokens": 20_000}, {}, "high"),
        ({"type": "adaptive"}, {}, "medium"),
        ({"type": "adaptive"}, {"effort": "max"}, "max"),
        (None, {"effort": "low"}, "low"),
    ],
)
def test_thinking_becomes_an_effort(thinking, config, effort):
    assert to_chat({"model": "m", "messages": [], "thinking": thinking, "output_config": config}).body["reasoning_effort"] == effort


def test_upstreams_without_reasoning_effort_or_the_newer_limit():
    body = {"model": "m", "messages": [], "thinking": {"type": "adaptive"}, "stream": True}
    result = to_chat(body, takes_reasoning_effort=False, output_limit_name="max_tokens", takes_stream_options=False)
    assert result.body == {"model": "gpt-5-mini", "messages": [], "max_tokens": 10, "stream": True}
    assert result.dropped == ("thinking",)


def test_switched_off_thinking_is_dropped_in_chat():
    assert to_chat({"model": "m", "messages": [], "thinking": {"type": "disabled"}}).dropped == ("thinking",)


@pytest.mark.parametrize(
    ("member", "value", "where"),
    [
        ("tools", [{"type": "web_search_20250305", "name": "web_search"}], "tools.0.type"),
        ("messages", [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}], "messages.0.content.0.type"),
        ("output_config", {"task_budget": {"type": "tokens"}}, "output_config.task_budget"),
    ],
)
def test_what_only_anthropic_runs_is_refused(member, value, where):
    error = refusal(to_chat, {"model": "m", "messages": [], member: value})
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, where)


def test_documents_of_messages_in_chat():
    blocks = [
        {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
        {"type": "document", "title": "a.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}},
        {"type": "search_result", "title": "S", "source": "https://e", "content": [{"type": "text", "text": "found"}]},
    ]
    content = to_chat({"model": "m", "messages": [{"role": "user", "content": blocks}]}).body["messages"][0]["content"]
    assert content == [
        {"type": "text", "text": "T\nhello"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
        {"type": "text", "text": "S\nhttps://e"},
        {"type": "text", "text": "found"},
    ]


def test_messages_request_becomes_a_converse_request():
    body = {
        "model": "m",
        "max_tokens": 5000,
        "system": "Be brief.",
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "messages": [
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "redacted_thinking", "data": "aGk="},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": "no"}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }
    rendered = to_converse(body, caller="anthropic_messages").body
    assert rendered["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "aGk="}},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}},
    ]
    assert rendered["messages"][2]["content"][0]["toolResult"]["status"] == "error"
    assert rendered["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert rendered["inferenceConfig"] == {"maxTokens": 5000}


def test_thoughts_of_a_claude_model_are_not_shown_to_other_families():
    blocks = [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "aGk="}]
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes", "thinking_blocks": blocks},
        {"role": "user", "content": "Go on"},
        {"role": "assistant", "content": "", "thinking_blocks": blocks},
    ]
    rendered = to_converse(chat(messages), "openai.gpt-oss-120b-1:0").body["messages"]
    assert [message["content"] for message in rendered] == [[{"text": "Hi"}], [{"text": "Yes"}], [{"text": "Go on"}]]


def test_vertex_has_the_model_in_the_url():
    body = to_messages(chat()).body
    vertex = anthropic_messages.render_vertex_request(body, anthropic_messages.VERTEX_API_VERSION)
    assert vertex == {"anthropic_version": "vertex-2023-10-16", "max_tokens": 8192, "messages": [{"role": "user", "content": "Hi"}]}
