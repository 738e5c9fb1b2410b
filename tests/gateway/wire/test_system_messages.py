"""What Claude Code says in system messages inside a conversation, and what it sends beside them, to models of other formats."""

import pytest

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.errors import Code
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request
from tests.gateway.wire.rendered_requests import refusal, to_chat, to_converse

USER, GO_ON, SAID = {"role": "user", "content": "Hi"}, {"role": "user", "content": "Go on"}, {"role": "assistant", "content": "Yes?"}
READ, WRITE = ({"name": name, "input_schema": {"type": "object", "properties": {}}} for name in ("read", "write"))
CLAUDE = "global.anthropic.claude-opus-5-5"


def system(content, **members):
    return {"role": "system", "content": content, **members}


def change(kind, name):
    return {"type": f"tool_{kind}", "tool": {"type": "tool_reference", "name": name}}


def addition(definition):
    return {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": definition}}


def in_chat(*messages, **members):
    return to_chat({"model": "m", "messages": list(messages), **members})


def names_of(result):
    return [tool["function"]["name"] for tool in result.body.get("tools", [])]


@pytest.mark.parametrize("later", [[], [SAID, GO_ON]])
@pytest.mark.parametrize("clear_at", ["tomorrow", 1])
def test_what_clear_at_can_not_say_is_refused_from_the_first_turn_on(clear_at, later):
    error = refusal(in_chat, USER, system("Check the inbox.", clear_at=clear_at), *later)
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, "messages.1.clear_at")


@pytest.mark.parametrize(
    ("clear_at", "later", "stays"),
    [
        ("next_user_message", [], True),
        ("next_user_message", [SAID], True),
        ("next_user_message", [SAID, GO_ON], False),
        ("never", [SAID, GO_ON], True),
        (None, [SAID, GO_ON], True),
    ],
)
def test_what_is_said_for_one_turn_goes_when_the_user_speaks_again(clear_at, later, stays):
    messages = in_chat(USER, system("Check the inbox.", clear_at=clear_at), *later).body["messages"]

    assert ({"role": "system", "content": "Check the inbox."} in messages) is stays
    assert len(messages) == 1 + stays + len(later)


def test_only_system_messages_are_cleared():
    assert len(in_chat({**USER, "clear_at": "next_user_message"}, SAID, GO_ON).body["messages"]) == 3


def test_the_effort_that_was_stated_last_counts():
    low, high = system([], output_config={"effort": "low"}), system("Think.", output_config={"effort": "high"})

    result = in_chat(USER, high, SAID, GO_ON, low, output_config={"effort": "medium"})
    assert result.body["reasoning_effort"] == "low"
    assert [message["role"] for message in result.body["messages"]] == ["user", "system", "assistant", "user"]
    assert in_chat(USER, low, high).body["reasoning_effort"] == "high"
    assert in_chat(USER, system("Hm.", output_config={}), output_config={"effort": "medium"}).body["reasoning_effort"] == "medium"


@pytest.mark.parametrize(
    ("blocks", "names"),
    [
        ([change("removal", "read")], ["write"]),
        ([change("removal", "read"), change("addition", "read")], ["write", "read"]),
        ([change("addition", "write")], ["read", "write"]),
        ([addition({**READ, "name": "grep"})], ["read", "write", "grep"]),
        ([addition({**READ, "name": "grep"}), change("removal", "grep")], ["read", "write"]),
        ([change("removal", "read"), change("removal", "write")], []),
    ],
)
def test_tools_come_and_go_inside_a_conversation(blocks, names):
    together = in_chat(USER, system([{"type": "text", "text": "Tools changed."}, *blocks]), SAID, GO_ON, tools=[READ, WRITE])
    one_by_one = in_chat(USER, *[system([block]) for block in blocks], SAID, GO_ON, tools=[READ, WRITE])

    assert names_of(together) == names_of(one_by_one) == names
    assert [message["role"] for message in together.body["messages"]] == ["user", "system", "assistant", "user"]
    assert [message["role"] for message in one_by_one.body["messages"]] == ["user", "assistant", "user"]


def test_a_tool_defined_anew_stands_in_for_the_old_one():
    [tool] = in_chat(USER, system([addition({**READ, "description": "new"})]), tools=[READ]).body["tools"]
    assert tool["function"]["description"] == "new"


@pytest.mark.parametrize(
    ("block", "code", "where"),
    [
        (change("addition", "nothing"), Code.BAD_REQUEST, "messages.1.content.0.tool.name"),
        (change("removal", "nothing"), Code.BAD_REQUEST, "messages.1.content.0.tool.name"),
        (
            {"type": "tool_addition", "tool": {"type": "mcp_tool_reference", "name": "f", "server_name": "s"}},
            Code.UNSUPPORTED_PARAMETER,
            "type",
        ),
        ({"type": "tool_removal", "tool": {"type": "tool_definition", "definition": READ}}, Code.UNSUPPORTED_PARAMETER, "type"),
        (addition({"type": "web_search_20260318", "name": "web_search"}), Code.UNSUPPORTED_PARAMETER, "definition.type"),
    ],
)
def test_changes_that_can_not_be_made_are_refused_by_name(block, code, where):
    error = refusal(in_chat, USER, system([block]), tools=[READ])
    assert (error.code, error.details["param"].endswith(where)) == (code, True)


@pytest.mark.parametrize("tools", [[READ], [READ, WRITE]])
def test_a_tool_that_was_removed_can_not_be_forced(tools):
    forced = {"type": "tool", "name": "read"}
    error = refusal(in_chat, USER, system([change("removal", "read")]), tools=tools, tool_choice=forced)
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, "tool_choice.name")
    back = in_chat(USER, system([change("removal", "read")]), system([change("addition", "read")]), tools=tools, tool_choice=forced)
    assert back.body["tool_choice"]["function"]["name"] == "read"


def test_a_marker_of_a_change_is_named_as_dropped():
    result = in_chat(USER, system([{**change("removal", "read"), "cache_control": {"type": "ephemeral"}}]), tools=[READ, WRITE])
    assert result.dropped == ("messages[].content[].cache_control",)


def test_tools_that_a_client_found_are_told_by_name():
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "ToolSearch", "input": {"query": "read"}}]}
    found = [{"type": "tool_reference", "tool_name": name} for name in ("read", "write")]
    answer = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": found}]}
    deferred = [{**tool, "defer_loading": True} for tool in (READ, WRITE)]

    result = in_chat(USER, call, answer, tools=[{**READ, "name": "ToolSearch"}, *deferred])
    assert result.body["messages"][2] == {
        "role": "tool",
        "tool_call_id": "t1",
        "content": "The tool read can be called.\nThe tool write can be called.",
    }
    assert names_of(result) == ["ToolSearch", "read", "write"]


QWEN = ("qwen3.8:27b", "Qwen/Qwen3.5-9B", "qwen/qwen3-32b")
MISTRALS = ("mistral-large-latest", "mistral-medium-3-5", "magistral-small-2509", "devstral-2-123b", "Mixtral-8x22B")
LAST_RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}


@pytest.mark.parametrize("model", [*QWEN, *MISTRALS])
def test_models_that_take_system_messages_in_front_alone_get_them_as_the_users_words(model):
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {}}]}
    messages = [system("Be kind."), USER, system("In Oslo."), call, LAST_RESULT, system("9 tokens left"), system(" ")]

    body = to_chat({"model": "m", "messages": messages, "system": "Be brief.", "tools": [READ]}, id=model).body
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool", "user"]
    first, asked, _, _, late = (message.get("content") for message in body["messages"])
    assert (first, late) == ("Be brief.\nBe kind.", "<system>\n9 tokens left\n</system>")
    assert asked == [{"type": "text", "text": "Hi"}, {"type": "text", "text": "<system>\nIn Oslo.\n</system>"}]


UNKNOWN = ("local", "gemma-3-27b-it", "sonar-pro")
OPENAIS = ("gpt-5", "gpt-5-pro", "gpt-5-chat-latest", "gpt-5.1-codex-max", "gpt-5.4", "gpt-6-sol", "openai/gpt-6-sol", "o3")


@pytest.mark.parametrize(
    ("model", "quirks", "roles"),
    [
        *((model, ("strict_turns",), ["system", "user", "assistant", "user"]) for model in UNKNOWN),
        *((model, (), ["system", "user", "user", "system", "assistant", "user"]) for model in UNKNOWN),
        *((model, ("strict_turns",), ["system", "user", "user", "system", "assistant", "user"]) for model in OPENAIS),
    ],
)
def test_a_server_that_wants_strict_turns_gets_them_unless_the_model_is_known_to_take_more(model, quirks, roles):
    messages = [USER, USER, system("In Oslo."), {"role": "assistant", "content": "Yes?"}, GO_ON]

    sent = to_chat({"model": "m", "messages": messages, "system": "Be brief."}, id=model, quirks=quirks).body["messages"]
    assert [message["role"] for message in sent] == roles


def test_turns_alternate_where_the_assistant_said_nothing_or_spoke_twice():
    thought = {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": ""}]}
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {}}]}
    messages = [USER, thought, GO_ON, SAID, call, LAST_RESULT]

    sent = to_chat({"model": "m", "messages": messages, "tools": [READ]}, id="gemma-3-27b", quirks=("strict_turns",)).body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert (sent[1]["content"], len(sent[1]["tool_calls"])) == ("Yes?", 1)


@pytest.mark.parametrize("provider", ["cerebras", "custom", "groq", "ollama", "together", "vllm"])
def test_servers_of_models_with_strict_templates_want_strict_turns(provider):
    calling = load_catalog().providers[provider].calling
    assert calling is not None
    assert ["strict_turns" in endpoint.dialect.quirks for route in calling.routes for endpoint in route.endpoints["chat"]] == [True]


def test_mistral_gets_a_word_of_the_assistant_between_results_and_a_system_message():
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {}}]}

    body = to_chat(
        {"model": "m", "messages": [USER, call, LAST_RESULT, system("9 tokens left")], "tools": [READ]},
        id="mistral-large-latest",
        quirks=("assistant_after_tools",),
    ).body
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "assistant", "user"]


def test_what_a_client_of_responses_says_as_developer_moves_to_the_front_for_them():
    items = [{"role": role, "content": text} for role, text in (("user", "Hi"), ("developer", "Be kind."), ("user", "Go on"))]
    body = {"model": "m", "instructions": "Be brief.", "input": items}

    [first, *others] = render_upstream_request(body, "openai_responses", "openai_chat", UpstreamModel(QWEN[0])).body["messages"]
    assert first == {"role": "system", "content": "Be brief.\nBe kind."}
    assert others == [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "Go on"}]}]


def converse(*messages, **members):
    return to_converse({"model": "m", "max_tokens": 2000, "messages": list(messages), **members}, CLAUDE, "anthropic_messages")


def test_system_messages_leave_what_converse_has_cached_as_it_is():
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}
    left = [{"type": "text", "text": "100 tokens left", "cache_control": {"type": "ephemeral"}}]

    before = converse(USER, tools=[READ], system="Be brief.").body
    after = converse(USER, system("In Oslo."), call, result, system(left), tools=[READ], system="Be brief.").body
    assert (after["system"], after["toolConfig"]) == (before["system"], before["toolConfig"])
    assert [message["role"] for message in after["messages"]] == ["user", "assistant", "user"]
    assert after["messages"][0]["content"] == [{"text": "Hi"}, {"text": "<system>\nIn Oslo.\n</system>"}]
    assert after["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "t1", "content": [{"text": "ok"}]}},
        {"text": "<system>\n100 tokens left\n</system>"},
        {"cachePoint": {"type": "default"}},
    ]


THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "s"}


def thinking_call(number):
    return {"role": "assistant", "content": [THOUGHT, {"type": "tool_use", "id": f"t{number}", "name": "read", "input": {}}]}


def answer_of(number):
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{number}", "content": "ok"}]}


def thoughts_of(result):
    messages = [message["content"] for message in result.body["messages"] if message["role"] == "assistant"]
    return [any("reasoningContent" in block for block in content) for content in messages]


REMINDER = system("9 tokens left", clear_at="next_user_message")
DROPPING = {
    "thinking": {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
    "anthropic_beta": ["thinking-binding-controls-2026-08-01"],
}


@pytest.mark.parametrize("between", [[], [system("In Oslo.")], [REMINDER], [system([change("removal", "write")])]])
def test_converse_leaves_out_thoughts_for_what_has_changed_before_them_instead_of_refusing(between):
    messages = [USER, thinking_call(1), answer_of(1), *between, thinking_call(2), answer_of(2), REMINDER]
    body = {"model": "m", "max_tokens": 2000, "messages": messages, "tools": [READ, WRITE]}

    result = to_converse(body, CLAUDE, "anthropic_messages")
    assert thoughts_of(result) == [True, True]
    assert (result.body["additionalModelRequestFields"], result.dropped) == (DROPPING, ())
    unbound = to_converse(body, "global.anthropic.claude-opus-5", "anthropic_messages")
    assert (thoughts_of(unbound), "additionalModelRequestFields" in unbound.body) == ([True, True], False)


@pytest.mark.parametrize(("model", "dropped"), [("claude-haiku-5-5", ()), ("claude-sonnet-5-5", ("messages[].content[].thinking",))])
def test_thoughts_that_converse_can_not_be_asked_to_leave_out_stay_behind(model, dropped):
    messages = [USER, thinking_call(1), answer_of(1)]
    off = {"model": "m", "max_tokens": 2000, "messages": messages, "tools": [READ], "thinking": {"type": "disabled"}}

    result = to_converse(off, f"global.anthropic.{model}", "anthropic_messages")
    assert (thoughts_of(result), result.dropped) == ([False], dropped)
    assert "anthropic_beta" not in result.body["additionalModelRequestFields"]


def test_system_messages_before_the_first_turn_go_to_the_front_on_converse():
    assert converse(system("Be kind."), USER, system="Be brief.").body["system"] == [{"text": "Be brief."}, {"text": "Be kind."}]


@pytest.mark.parametrize(
    ("display", "sent", "enforced"), [("updates", "omitted", ("thinking.display=omitted",)), ("summarized", "summarized", ())]
)
def test_notes_of_thinking_that_want_a_beta_are_left_out_on_converse(display, sent, enforced):
    result = converse(USER, thinking={"type": "adaptive", "display": display})

    assert result.body["additionalModelRequestFields"]["thinking"] == {"type": "adaptive", "display": sent}
    assert result.enforced == enforced
