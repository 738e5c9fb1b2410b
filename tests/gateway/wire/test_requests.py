"""Conversations, tools and documents of requests in one format, rendered in another."""

import base64

import pytest

from keyhouse.domain.errors import Code
from tests.gateway.wire.rendered_requests import (
    CAN_BE_FORCED,
    PNG,
    TOOL_LOOP,
    call,
    chat,
    refusal,
    to_converse,
    to_messages,
    tool,
)


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
    assert [block["document"]["name"] for block in blocks[:2]] == ["my report v2 pdf", "my report v2 pdf (2)"]


@pytest.mark.parametrize("render", [to_messages, to_converse])
def test_a_jpeg_may_be_called_jpg(render):
    part = {"type": "image_url", "image_url": {"url": "data:image/JPG;base64,aGk="}}
    assert "jpeg" in str(render(chat([{"role": "user", "content": [part]}])).body["messages"][0]["content"][0])


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
    assert to_messages(chat(tools=[tool()], tool_choice=choice), CAN_BE_FORCED).body["tool_choice"] == rendered
    assert to_converse(chat(tools=[tool()], tool_choice=choice)).body["toolConfig"]["toolChoice"] == in_converse


def test_tool_choice_none():
    assert to_messages(chat(tools=[tool()], tool_choice="none")).body["tool_choice"] == {"type": "none"}
    assert "toolConfig" not in to_converse(chat(tools=[tool()], tool_choice="none")).body


@pytest.mark.parametrize("without", [{}, {"tools": []}, {"tools": [tool("w")], "tool_choice": "none"}])
def test_converse_is_told_of_calls_as_text_where_there_are_no_tools_any_more(without):
    body = to_converse(chat(TOOL_LOOP, **without)).body
    assert "toolConfig" not in body
    assert [block["text"] for block in body["messages"][1]["content"][-2:]] == [
        '[Called the tool w with {"city":"Paris"}]',
        '[Called the tool w with {"city":"Rome"}]',
    ]
    told = ["[The tool w answered]", "sun", "[The tool w answered]", "rain", "And?"]
    assert body["messages"][2]["content"] == [{"text": text} for text in told]


def test_a_result_that_is_told_keeps_its_image_its_failure_and_its_marker():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    results = [
        {"type": "tool_result", "tool_use_id": "t1", "content": [image], "is_error": True, "cache_control": {"type": "ephemeral"}},
        {"type": "tool_result", "tool_use_id": "t2"},
    ]
    calls = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in ("t1", "t2")]
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    body = to_converse({"model": "m", "max_tokens": 9, "messages": messages}, caller="anthropic_messages").body
    assert body["messages"][2]["content"] == [
        {"text": "[The tool f failed with]"},
        {"image": {"format": "png", "source": {"bytes": "aGk="}}},
        {"cachePoint": {"type": "default"}},
        {"text": "[The tool f answered nothing]"},
    ]


def test_allowed_tools_leaves_the_others_out():
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}}
    body = to_messages(chat(tools=[tool("f"), tool("g")], tool_choice=choice), CAN_BE_FORCED).body
    assert [each["name"] for each in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("choice", "kind"),
    [(None, "auto"), ("auto", "auto"), ("required", "any"), ({"type": "function", "function": {"name": "f"}}, "tool")],
)
def test_one_call_at_a_time(choice, kind):
    rendered = to_messages(chat(tools=[tool()], tool_choice=choice, parallel_tool_calls=False), CAN_BE_FORCED).body["tool_choice"]
    assert (rendered["type"], rendered["disable_parallel_tool_use"]) == (kind, True)


NAMED = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("choice", "in_converse", "beside"),
    [
        (None, None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", {"any": {}}, {"disable_parallel_tool_use": True}),
        (NAMED, {"tool": {"name": "f"}}, {"disable_parallel_tool_use": True}),
    ],
)
def test_one_call_at_a_time_of_claude_in_converse(choice, in_converse, beside):
    body = to_converse(chat(tools=[tool()], tool_choice=choice, parallel_tool_calls=False)).body
    assert (body["toolConfig"].get("toolChoice"), body["additionalModelRequestFields"]["tool_choice"]) == (in_converse, beside)


@pytest.mark.parametrize("choice", [None, "auto", "required", NAMED])
def test_one_call_at_a_time_of_another_model_in_converse(choice):
    rendered = to_converse(chat(tools=[tool(), tool("g")], tool_choice=choice, parallel_tool_calls=False), "amazon.nova-pro-v1:0")
    assert (rendered.dropped, rendered.enforced, rendered.one_call) == ((), ("parallel_tool_calls=first",), True)
    assert "additionalModelRequestFields" not in rendered.body
    assert not to_converse(chat(parallel_tool_calls=False), "amazon.nova-pro-v1:0").enforced


def test_tools_without_a_schema_get_an_empty_one():
    body = to_messages(chat(tools=[tool(description="d"), tool("g", parameters={"properties": {"a": {}}})])).body
    assert body["tools"][0] == {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
    assert body["tools"][1]["input_schema"] == {"type": "object", "properties": {"a": {}}}


@pytest.mark.parametrize(
    ("model", "is_strict"),
    [
        *((f"us.anthropic.claude-{name}", True) for name in ("haiku-4-5-20251001-v1:0", "opus-4-5-20251101-v1:0", "sonnet-4-6")),
        *((f"us.anthropic.claude-{name}", False) for name in ("sonnet-4-20250514-v1:0", "opus-4-7", "opus-4-8", "opus-5", "opus-5-5")),
        *((f"us.anthropic.claude-{name}", False) for name in ("sonnet-5", "sonnet-5-5", "haiku-5-5", "fable-5-1")),
        *((name, False) for name in ("amazon.nova-pro-v1:0", "us.amazon.nova-2-lite-v1:0", "openai.gpt-oss-120b-1:0", "meta.llama4-scout")),
        ("arn:aws:bedrock:eu-central-1:1:application-inference-profile/abc", False),
    ],
)
def test_strict_tools_are_dropped_on_converse_where_it_refuses_the_word(model, is_strict):
    result = to_converse(chat(tools=[tool(strict=True), tool("g", strict=False)]), model)
    first, second = (each["toolSpec"] for each in result.body["toolConfig"]["tools"])
    assert (first.get("strict"), "strict" in second) == (True if is_strict else None, False)
    assert result.dropped == (() if is_strict else ("tools[].strict",))


def test_strict_tools_are_dropped_for_models_without_them():
    strict = [tool(strict=True)]
    assert to_messages(chat(tools=strict)).body["tools"][0]["strict"] is True
    old = to_messages(chat(tools=strict), "claude-sonnet-4-20250514")
    assert ("strict" in old.body["tools"][0], old.dropped) == (False, ("tools[].strict",))


def test_custom_tools_are_refused():
    assert refusal(to_messages, chat(tools=[{"type": "custom", "custom": {"name": "f"}}])).details["param"] == "tools.0.type"


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ("Hi", "messages"),
        ([5], "messages.0"),
        ([{"role": "king", "content": "Hi"}], "messages.0.role"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "user", "content": [{"type": "video"}]}], "messages.0.content.0.type"),
        ([{"role": "assistant", "tool_calls": [call(arguments=7)]}], "messages.0.tool_calls.0.function.arguments"),
        ([{"role": "tool", "content": "ok"}], "messages.0.tool_call_id"),
    ],
)
def test_wrong_shapes_are_named(messages, where):
    error = refusal(to_messages, {"model": "m", "messages": messages})
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, where)
