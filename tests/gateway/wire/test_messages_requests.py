"""Requests in the Messages format, rendered in others."""

import hashlib

import pytest

from keyhouse.domain.errors import Code
from keyhouse.gateway.wire import anthropic_messages
from tests.gateway.wire.rendered_requests import PNG, chat, refusal, to_chat, to_converse, to_messages


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
        "model": "gpt-5.2",
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


def test_what_is_null_in_output_config_is_not_given():
    config = {"effort": "low", "format": None, "task_budget": None}
    assert to_chat({"model": "m", "messages": [], "output_config": config}).body["reasoning_effort"] == "low"


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
    body = {"model": "m", "messages": [], "thinking": thinking, "output_config": config}
    assert to_chat(body, id="of-our-own").body["reasoning_effort"] == effort


@pytest.mark.parametrize(
    ("model", "asked", "sent"),
    [
        ("gpt-5.1", "max", "high"),
        ("gpt-5.2-codex", "max", "xhigh"),
        ("gpt-5.5", "max", "xhigh"),
        ("openai/gpt-5.6-sol", "max", "max"),
        ("gpt-6.2-astra", "max", "max"),
        ("gpt-5.1-codex-max", "max", "xhigh"),
        ("gpt-5-pro", "low", "high"),
        ("gpt-5-chat-latest", "low", None),
        ("o3-mini", "xhigh", "high"),
        ("openai/gpt-oss-120b", "max", "high"),
        ("grok-4.5", "max", "high"),
        ("grok-3-mini", "medium", "low"),
        ("grok-4", "medium", None),
        ("grok-4-fast-reasoning", "medium", None),
        ("mistral-medium-latest", "low", "high"),
        ("magistral-medium", "low", None),
        ("of-our-own", "max", "max"),
    ],
)
def test_effort_is_one_that_the_model_takes(model, asked, sent):
    result = to_chat({"model": "m", "messages": [], "output_config": {"effort": asked}}, id=model)
    assert result.body.get("reasoning_effort") == sent
    assert result.dropped == (() if sent else ("output_config.effort",))
    assert result.enforced == (() if sent in (asked, None) else (f"output_config.effort={sent}",))


@pytest.mark.parametrize(
    ("model", "takes"),
    [("o3-mini", False), ("gpt-5-mini", False), ("gpt-5-chat-latest", True), ("gpt-5.2", True), ("gpt-4o", True), ("m", True)],
)
def test_sampling_is_asked_of_models_that_take_it(model, takes):
    sampled = {"temperature": 0.5, "top_p": 0.9}
    result = to_chat({"model": "m", "messages": [], **sampled}, id=model)
    assert {name: result.body[name] for name in sampled if name in result.body} == (sampled if takes else {})
    assert result.dropped == (() if takes else ("temperature", "top_p"))
    assert to_chat({"model": "m", "messages": [], "temperature": 1}, id=model).dropped == ()


def test_upstreams_without_reasoning_effort_or_the_newer_limit():
    body = {"model": "m", "messages": [], "thinking": {"type": "adaptive"}, "stream": True}
    result = to_chat(body, refuses=("reasoning_effort", "stream_options"), output_limit_name="max_tokens")
    assert result.body == {"model": "gpt-5.2", "messages": [], "max_tokens": 10, "stream": True}
    assert result.dropped == ("thinking",)


@pytest.mark.parametrize(("user", "sent"), [("u" * 64, "u" * 64), ("u" * 65, hashlib.sha256(b"u" * 65).hexdigest())])
def test_a_long_user_is_told_by_a_digest(user, sent):
    result = to_chat({"model": "m", "messages": [], "metadata": {"user_id": user}})
    assert result.body["user"] == sent
    assert result.enforced == (() if sent == user else ("metadata.user_id=sha256",))


def called(*blocks):
    """A conversation in which the assistant said these blocks and called a tool after them."""
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c", "content": "ok"}
    return {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [*blocks, call]},
            {"role": "user", "content": [result]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }


@pytest.mark.parametrize(
    ("given", "known", "length"),
    [
        ("c" * 41, {}, 40),
        ("toolu_01", {"quirks": ("short_call_ids",)}, 9),
        ("c" * 40, {}, 0),
        ("aB3dE6gH9", {"quirks": ("short_call_ids",)}, 0),
    ],
)
def test_ids_of_calls_are_what_the_upstream_takes(given, known, length):
    body = called()
    body["messages"][1]["content"][0]["id"] = body["messages"][2]["content"][0]["tool_use_id"] = given
    _, said, result = to_chat(body, **known).body["messages"]
    sent = said["tool_calls"][0]["id"]
    assert result["tool_call_id"] == sent
    assert (sent == given) if not length else (len(sent) == length and sent.isalnum())


@pytest.mark.parametrize("quirks", [(), ("assistant_after_tools",)])
def test_the_assistant_speaks_between_tools_and_user_where_that_is_wanted(quirks):
    body = called()
    roles = ["user", "assistant", "tool"]
    assert [message["role"] for message in to_chat(body, quirks=quirks).body["messages"]] == roles
    body["messages"][2]["content"].append({"type": "text", "text": "Go on"})
    sent = to_chat(body, quirks=quirks).body["messages"]
    assert [message["role"] for message in sent] == [*roles, *(["assistant"] if quirks else []), "user"]
    body["messages"][2:] = [{"role": "user", "content": [part]} for part in body["messages"][2]["content"]]
    assert to_chat(body, quirks=quirks).body["messages"] == sent


def test_signature_of_a_call_goes_back_to_the_upstream_that_signs():
    body = called({"type": "redacted_thinking", "data": "google:c2ln"})
    [call] = to_chat(body, quirks=("signed_calls",)).body["messages"][1]["tool_calls"]
    assert call["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert "c2ln" not in str(to_chat(body).body)
    assert "c2ln" not in str(to_converse({**body, "max_tokens": 9}, caller="anthropic_messages").body)


@pytest.mark.parametrize(
    "block", [{"type": "redacted_thinking", "data": "of-claude"}, {"type": "thinking", "thinking": "t", "signature": "google:x"}]
)
def test_thoughts_of_another_model_sign_no_call(block):
    assert "extra_content" not in to_chat(called(block), quirks=("signed_calls",)).body["messages"][1]["tool_calls"][0]


def test_switched_off_thinking_is_dropped_in_chat():
    assert to_chat({"model": "m", "messages": [], "thinking": {"type": "disabled"}}).dropped == ("thinking",)


@pytest.mark.parametrize(
    ("member", "value", "where"),
    [
        ("tools", [{"type": "web_search_20250305", "name": "web_search"}], "tools.0.type"),
        ("messages", [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}], "messages.0.content.0.type"),
        ("output_config", {"magic": {}}, "output_config.magic"),
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


def test_a_marker_is_kept_whatever_its_block_becomes():
    marked = {"cache_control": {"type": "ephemeral"}}
    text = {"type": "text", "text": "found"}
    blocks = [
        {"type": "search_result", "title": "S", "source": "https://e", "content": [text], **marked},
        {"type": "document", "title": "T", "context": "C", "source": {"type": "content", "content": [text]}, **marked},
        {"type": "document", "source": {"type": "content", "content": "whole"}, **marked},
    ]
    for block in blocks:
        for content in ([block], [{"type": "tool_result", "tool_use_id": "t", "content": [block]}]):
            assert to_chat({"model": "m", "messages": [{"role": "user", "content": content}]}).dropped == (
                "messages[].content[].cache_control",
            )
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": blocks[:2]}]}
    content = to_converse(body, "anthropic.claude-sonnet-4-5-20250929-v1:0", caller="anthropic_messages").body["messages"][0]["content"]
    point = {"cachePoint": {"type": "default"}}
    assert content == [{"text": "S\nhttps://e"}, {"text": "found"}, point, {"text": "T\nC"}, {"text": "found"}, point]
    body["messages"][0]["content"] = [{"type": "tool_result", "tool_use_id": "t", "content": [{**text, **marked}]}]
    body["tools"] = [{"name": "f", "input_schema": {"type": "object"}}]
    content = to_converse(body, caller="anthropic_messages").body["messages"][0]["content"]
    assert content[1] == point


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
    vertex = anthropic_messages.render_vertex_request(body)
    assert vertex == {"anthropic_version": "vertex-2023-10-16", "max_tokens": 128_000, "messages": [{"role": "user", "content": "Hi"}]}


MARK = {"type": "ephemeral", "ttl": "1h"}


@pytest.mark.parametrize(
    ("content", "ends"),
    [
        ("Hi", [{"type": "text", "text": "Hi", "cache_control": MARK}]),
        ([{"type": "tool_result", "tool_use_id": "t"}], [{"type": "tool_result", "tool_use_id": "t", "cache_control": MARK}]),
        ([{"type": "text", "text": " "}], [{"type": "text", "text": " "}]),
        ([{"type": "thinking", "thinking": "Hm"}], [{"type": "thinking", "thinking": "Hm"}]),
        (
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
        ),
        ([], []),
        (7, 7),
        (["odd"], ["odd"]),
    ],
)
def test_vertex_is_told_where_what_shall_be_cached_ends(content, ends):
    messages = [{"role": "user", "content": "First"}, {"role": "user", "content": content}]
    vertex = anthropic_messages.render_vertex_request({"model": "m", "messages": messages, "cache_control": MARK})
    assert vertex == {"anthropic_version": "vertex-2023-10-16", "messages": [messages[0], {"role": "user", "content": ends}]}


@pytest.mark.parametrize("messages", [[], "odd", ["odd"], None])
def test_vertex_gets_odd_messages_as_they_are(messages):
    assert anthropic_messages.render_vertex_request({"messages": messages, "cache_control": MARK})["messages"] == messages


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "url", "url": "https://e/a.png"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
        {"type": "tool_result", "tool_use_id": "t1", "content": "ok"},
    ],
)
def test_what_only_users_send_is_refused_of_the_assistant(block):
    said = {"role": "assistant", "content": [{"type": "text", "text": "Look."}, block]}
    error = refusal(to_chat, {"model": "m", "messages": [{"role": "user", "content": "Hi"}, said]})
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "messages.1.content.1.type")
