"""Limits, sampling, reasoning and the form of the answer, of a request in one format, rendered in another."""

import msgspec
import pytest

from keyhouse.domain.errors import Code
from tests.gateway.wire.rendered_requests import (
    CAN_BE_FORCED,
    CURRENT,
    OLDER,
    TOOL_LOOP,
    call,
    chat,
    refusal,
    to_converse,
    to_messages,
    tool,
)


def test_structured_output():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": schema, "strict": True}}
    form = {"type": "json_schema", "schema": {**schema, "description": "d"}}
    assert to_messages(chat(response_format=wanted)).body["output_config"] == {"format": form}
    definition = to_converse(chat(response_format=wanted)).body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (msgspec.json.decode(definition["schema"]), definition["name"], definition["description"]) == (schema, "n", "d")
    wanted["json_schema"]["schema"] = {**schema, "description": "its own"}
    assert to_messages(chat(response_format=wanted)).body["output_config"]["format"]["schema"]["description"] == "its own"


def test_objects_of_a_schema_are_closed_where_nothing_is_lost_by_it():
    inner = {"type": "object", "properties": {"b": {"type": "integer"}}}
    kept = {"allOf": [inner], "properties": {"c": inner}}
    schema = {
        "type": "object",
        "properties": {
            "one": inner,
            "many": {"type": "array", "items": {"anyOf": [inner, {"$ref": "#/$defs/d"}]}},
            "open": {"type": "object"},
        },
        "$defs": {"d": inner, "map": {"type": "object", "properties": {}, "additionalProperties": True}, "both": kept},
    }
    given = msgspec.json.encode(schema)
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    shut = {**inner, "additionalProperties": False}
    sent = to_messages(chat(response_format=wanted)).body["output_config"]["format"]["schema"]
    assert sent == {
        "type": "object",
        "properties": {
            "one": shut,
            "many": {"type": "array", "items": {"anyOf": [shut, {"$ref": "#/$defs/d"}]}},
            "open": {"type": "object"},
        },
        "$defs": {"d": shut, "map": schema["$defs"]["map"], "both": {"allOf": [inner], "properties": {"c": shut}}},
        "additionalProperties": False,
    }
    definition = to_converse(chat(response_format=wanted)).body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert msgspec.json.decode(definition["schema"]) == sent
    assert msgspec.json.encode(schema) == given


def test_bounds_are_told_where_none_can_be_promised():
    inner = {"type": "string", "maxLength": 3, "pattern": "^a", "description": "A word."}
    schema = {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
            "words": {"type": "array", "minItems": 1, "maxItems": 4, "items": inner},
            "pairs": {"type": "array", "minItems": 2, "items": {"allOf": [inner, {"$ref": "#/$defs/d"}]}},
        },
        "required": ["minimum"],
        "additionalProperties": False,
        "$defs": {
            "d": {"type": "number", "multipleOf": 0.5},
            "e": {"type": "string", "format": "email"},
            "p": {"type": "string", "format": "path"},
        },
    }
    given = msgspec.json.encode(schema)
    word = {"type": "string", "pattern": "^a", "description": "A word.\n\n{maxLength: 3}"}
    told = {
        **schema,
        "properties": {
            "minimum": {"type": "integer", "description": "{minimum: 1, exclusiveMaximum: 9}"},
            "words": {"type": "array", "minItems": 1, "items": word, "description": "{maxItems: 4}"},
            "pairs": {"type": "array", "items": {"allOf": [word, {"$ref": "#/$defs/d"}]}, "description": "{minItems: 2}"},
        },
        "$defs": {
            "d": {"type": "number", "description": "{multipleOf: 0.5}"},
            "e": {"type": "string", "format": "email"},
            "p": {"type": "string", "description": '{format: "path"}'},
        },
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    result = to_messages(chat(response_format=wanted, tools=[tool(parameters=schema, strict=True), tool("g", parameters=schema)]))
    assert result.body["output_config"]["format"]["schema"] == told
    assert [each["input_schema"] for each in result.body["tools"]] == [told, schema]
    assert (result.enforced, result.dropped) == (("schema.bounds=described",), ())
    converse = to_converse(chat(response_format=wanted, tools=[tool(parameters=schema, strict=True)])).body
    assert converse["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == told
    assert msgspec.json.decode(converse["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]) == told
    assert msgspec.json.encode(schema) == given


def test_structured_output_and_effort_share_output_config():
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    config = to_messages(chat(response_format=wanted, reasoning_effort="low")).body["output_config"]
    assert config == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}


def test_json_without_a_schema_is_asked_for_in_words_and_not_promised():
    body = chat([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], response_format={"type": "json_object"})
    for render, members in ((to_messages, ("output_config",)), (to_converse, ("outputConfig",))):
        result = render(body)
        said = [block["text"] for block in result.body["system"]]
        assert said[0] == "Be brief."
        assert "one valid JSON object and nothing else" in said[1]
        assert (result.dropped, result.body.keys() & set(members)) == (("response_format",), set())
        error = refusal(render, {**body, "drop_tuning_params": False})
        assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "response_format")


def test_mistrals_words_are_understood():
    body = chat([{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,aGk="}]}], tools=[tool()])
    sent = to_messages({**body, "tool_choice": "any", "random_seed": 3}, CAN_BE_FORCED)
    assert sent.body["tool_choice"] == {"type": "any"}
    assert sent.body["messages"][0]["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert sent.dropped == ("random_seed",)


def test_an_image_that_has_no_address_is_told_where_it_stands():
    error = refusal(to_messages, chat([{"role": "user", "content": [{"type": "image_url", "image_url": "nowhere"}]}]))
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, "messages.0.content.0.image_url")


@pytest.mark.parametrize(
    ("given", "sent"),
    [({"max_tokens": 5}, 5), ({"max_completion_tokens": 7}, 7), ({"max_tokens": 5, "max_completion_tokens": 7}, 5)],
)
def test_token_limit(given, sent):
    assert to_messages(chat(**given)).body["max_tokens"] == sent


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        (CURRENT, 128_000),
        ("claude-haiku-5-5", 128_000),
        ("claude-sonnet-4-6", 128_000),
        ("claude-opus-4-5@20251101", 64_000),
        (OLDER, 32_000),
        ("claude-3-5-haiku-20241022", 8192),
        ("our-own-model", 8192),
    ],
)
def test_what_a_family_answers_at_most_stands_in_for_a_token_limit(model, sent):
    assert to_messages(chat(), model).body["max_tokens"] == sent


def test_known_maximum_stands_in_for_a_token_limit():
    assert to_messages(chat(), max_output_tokens=64_000).body["max_tokens"] == 64_000


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
        ("claude-opus-5", "none", {"thinking": {"type": "disabled"}}),
        ("claude-haiku-5-5", "none", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5-5", "none", {"thinking": {"type": "between_tools"}}),
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


@pytest.mark.parametrize("model", [CURRENT, "claude-fable-5", "claude-fable-5-2", "claude-mythos-preview", "claude-opus-7"])
def test_switching_off_is_dropped_for_models_that_always_think(model):
    assert to_messages(chat(reasoning_effort="none"), model).dropped == ("reasoning_effort",)


def test_thinking_between_tools_stands_in_where_it_can_not_be_switched_off():
    assert to_messages(chat(reasoning_effort="none"), "claude-sonnet-5-5").enforced == ("reasoning_effort=between_tools",)
    asked = {**chat(), "max_tokens": 5000, "thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}
    fields = to_converse(asked, "us.anthropic.claude-sonnet-5-5", caller="anthropic_messages").body["additionalModelRequestFields"]
    assert fields == {"thinking": {"type": "between_tools"}, "output_config": {"effort": "high"}}


def test_forced_tools_and_adaptive_thinking_go_together():
    body = chat(tools=[tool()], tool_choice="required", reasoning_effort="low")
    assert to_messages(body, CAN_BE_FORCED).body["thinking"] == {"type": "adaptive"}


@pytest.mark.parametrize(
    "model", [CURRENT, "claude-sonnet-5-5", "claude-fable-5-1", "claude-fable-5-2", "claude-mythos-5-1", "claude-opus-7"]
)
@pytest.mark.parametrize(
    ("choice", "told"),
    [("required", "one of the tools"), ({"type": "function", "function": {"name": "g"}}, "the tool g")],
    ids=["any", "one"],
)
def test_a_forced_tool_is_asked_for_in_words_where_none_can_be(model, choice, told):
    asked = chat([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], tools=[tool("f"), tool("g")])
    for result, free in (
        (to_messages({**asked, "tool_choice": choice}, model), lambda body: body["tool_choice"] == {"type": "auto"}),
        (
            to_converse({**asked, "tool_choice": choice}, f"us.anthropic.{model}"),
            lambda body: body["toolConfig"]["toolChoice"] == {"auto": {}},
        ),
    ):
        assert free(result.body)
        said = [block["text"] for block in result.body["system"]]
        assert (said[0], told in said[1], result.dropped) == ("Be brief.", True, ("tool_choice",))
    error = refusal(to_messages, {**asked, "tool_choice": choice, "drop_tuning_params": False}, model)
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "tool_choice")


@pytest.mark.parametrize("model", [OLDER, CAN_BE_FORCED, "claude-opus-4-8", "claude-haiku-5-5", "claude-fable-5", "claude-sonnet-5"])
def test_a_tool_is_forced_where_it_can_be(model):
    result = to_messages(chat(tools=[tool()], tool_choice="required"), model)
    assert (result.body["tool_choice"], result.dropped, "system" in result.body) == ({"type": "any"}, (), False)


def test_free_choice_needs_no_words():
    for choice in ("auto", "none"):
        assert "system" not in to_messages(chat(tools=[tool()], tool_choice=choice)).body


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


THOUGHT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yes", "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]},
    {"role": "user", "content": "Go on"},
]
DROPPING = {"block_binding": {"prefix_mismatch_behavior": "drop_block"}}


@pytest.mark.parametrize("model", [CURRENT, "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-1", "claude-mythos-5-2"])
def test_thoughts_that_no_longer_fit_are_left_out_instead_of_refused(model):
    result = to_messages(chat(THOUGHT), model)
    assert (result.body["thinking"], result.betas) == ({"type": "adaptive", **DROPPING}, ("thinking-binding-controls-2026-08-01",))
    assert result.body["messages"][1]["content"][0] == THOUGHT[1]["thinking_blocks"][0]
    asked = {**chat(THOUGHT), "reasoning_effort": "low", "thinking": {"type": "adaptive", "display": "summarized"}}
    result = to_messages(asked, model)
    assert result.body["thinking"] == {"type": "adaptive", "display": "summarized", **DROPPING}
    assert result.body["output_config"] == {"effort": "low"}


@pytest.mark.parametrize(
    ("body", "model", "known"),
    [
        (chat(THOUGHT), "claude-opus-5", {}),
        (chat(THOUGHT), OLDER, {}),
        (chat(), CURRENT, {}),
        (chat([THOUGHT[0], {"role": "assistant", "content": "Yes"}, THOUGHT[2]]), CURRENT, {}),
        (chat(THOUGHT, reasoning_effort="none"), "claude-haiku-5-5", {}),
        (chat(THOUGHT, reasoning_effort="none"), "claude-sonnet-5-5", {}),
        (chat(THOUGHT), CURRENT, {"takes_betas": False}),
    ],
    ids=["unbound model", "older model", "first turn", "no thoughts", "off", "between tools", "header is taken"],
)
def test_nothing_is_said_of_thoughts_where_it_means_nothing(body, model, known):
    result = to_messages(body, model, **known)
    assert ("block_binding" in result.body.get("thinking", {}), result.betas) == (False, ())


@pytest.mark.parametrize(
    ("model", "members", "is_sent", "dropped"),
    [
        ("claude-haiku-5-5", {"reasoning_effort": "none"}, False, ()),
        ("claude-sonnet-5-5", {"reasoning_effort": "none"}, False, ("messages[].content[].thinking",)),
        ("claude-opus-5", {"reasoning_effort": "none"}, False, ()),
        ("claude-opus-5", {}, True, ()),
        *((f"claude-{name}", {}, False, ()) for name in ("opus-4-6", "sonnet-4-6", "opus-4-7", "opus-4-8")),
        ("claude-opus-4-8", {"reasoning_effort": "low"}, True, ()),
        (OLDER, {}, False, ()),
        (OLDER, {"reasoning_effort": "low", "max_tokens": 5000}, True, ()),
        (OLDER, {"reasoning_effort": "low", "max_tokens": 9}, False, ("reasoning_effort",)),
        ("claude-3-5-haiku-20241022", {}, False, ()),
    ],
)
def test_thoughts_are_sent_where_the_model_thinks_and_takes_them(model, members, is_sent, dropped):
    result = to_messages(chat(THOUGHT, **members), model)
    assert (result.body["messages"][1]["content"] != "Yes", result.dropped) == (is_sent, dropped)
    on_converse = to_converse(chat(THOUGHT, **members), f"us.anthropic.{model}").body["messages"][1]["content"]
    assert ("reasoningContent" in on_converse[0]) is is_sent


@pytest.mark.parametrize(("model", "effort"), [("claude-opus-5", "high"), ("claude-sonnet-5-5", "high"), ("claude-opus-4-8", "xhigh")])
def test_a_model_that_thinks_unasked_is_switched_off_at_a_high_effort_at_most(model, effort):
    result = to_messages(chat(thinking={"type": "disabled"}, reasoning_effort="xhigh"), model)
    assert result.body["output_config"] == {"effort": effort}


def test_converse_is_asked_to_leave_out_thoughts_that_no_longer_fit():
    asked = chat([*THOUGHT, {"role": "system", "content": "Be brief."}], tools=[tool()], tool_choice="required", reasoning_effort="low")
    fields = to_converse(asked, "global.anthropic.claude-fable-5-1").body["additionalModelRequestFields"]
    assert fields == {
        "thinking": {"type": "adaptive", **DROPPING},
        "output_config": {"effort": "low"},
        "anthropic_beta": ["thinking-binding-controls-2026-08-01"],
    }


def test_unsigned_thinking_is_not_sent():
    answer = {"role": "assistant", "content": "Yes", "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": ""}]}
    assert to_messages(chat([{"role": "user", "content": "Hi"}, answer])).body["messages"][1]["content"] == "Yes"
    assert to_converse(chat([{"role": "user", "content": "Hi"}, answer])).body["messages"][1]["content"] == [{"text": "Yes"}]


def test_white_space_alone_is_no_stop_sequence():
    assert refusal(to_messages, chat(stop=["\n\n"])).details["param"] == "stop"
    assert to_messages(chat(stop="END")).body["stop_sequences"] == ["END"]


@pytest.mark.parametrize(
    ("model", "points", "dropped", "enforced"),
    [
        ("us.anthropic.claude-opus-4-8", ["system", "messages", "tools"], (), ()),
        ("anthropic.claude-3-5-haiku-20241022-v1:0", ["system", "messages", "tools"], (), ()),
        ("arn:aws:bedrock:eu-central-1:1:application-inference-profile/abc", ["system", "messages", "tools"], (), ()),
        ("amazon.nova-pro-v1:0", ["system", "messages"], ("tools[].cache_control",), ("cache_control.ttl=5m",)),
        ("anthropic.claude-3-haiku-20240307-v1:0", [], ("messages[].content[].cache_control", "tools[].cache_control"), ()),
        ("meta.llama4-scout-17b", [], ("messages[].content[].cache_control", "tools[].cache_control"), ()),
    ],
)
def test_converse_is_asked_to_cache_only_what_the_model_can(model, points, dropped, enforced):
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    body = {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "a", **mark}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "b", **mark}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, **mark}],
    }
    result = to_converse(body, model, caller="anthropic_messages")
    places = {"system": result.body["system"], "messages": result.body["messages"], "tools": result.body["toolConfig"]}
    assert [name for name, place in places.items() if "cachePoint" in str(place)] == points
    assert (result.dropped, result.enforced) == (dropped, enforced)


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


@pytest.mark.parametrize("asked", [{"prompt_cache_key": "k"}, {"cache_control": {"type": "ephemeral"}}], ids=["key", "control"])
def test_a_whole_prompt_is_cached_where_a_caller_asks_for_that(asked):
    point = {"cachePoint": {"type": "default"}}
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "Go on"}]
    assert to_messages(chat(messages, **asked)).body["cache_control"] == {"type": "ephemeral"}
    on_claude = to_converse(chat(messages, **asked))
    assert [message["content"][1:] for message in on_claude.body["messages"]] == [[], [], [point]]
    assert on_claude.dropped == ()
    # Nova caches unasked, and the others not at all.
    for model in ("amazon.nova-pro-v1:0", "meta.llama4-scout-17b"):
        result = to_converse(chat(messages, **asked), model)
        assert "cachePoint" not in str(result.body)
        assert result.dropped == tuple(asked)


def test_markers_of_a_callers_own_stand_alone():
    parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    marked = chat([{"role": "user", "content": parts}], prompt_cache_key="k")
    assert "cache_control" not in to_messages(marked).body
    assert str(to_converse(marked).body).count("cachePoint") == 1
    at_the_end = chat([{"role": "user", "content": parts[:1]}], cache_control={"type": "ephemeral"})
    assert str(to_converse(at_the_end).body).count("cachePoint") == 1


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


@pytest.mark.parametrize("members", [{"max_tokens": 100}, {"temperature": 0.5}, {"top_p": 0.5}])
def test_the_highest_effort_of_nova_gives_way_to_what_it_excludes(members):
    result = to_converse(chat(reasoning_effort="high", **members), "us.amazon.nova-2-lite-v1:0")
    assert result.body["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"] == "medium"
    assert len(result.body["inferenceConfig"]) == 1
    assert result.enforced == ("reasoning_effort=medium",)


def test_converse_drops_reasoning_for_other_families():
    assert to_converse(chat(reasoning_effort="low"), "meta.llama4-scout").dropped == ("reasoning_effort",)


def test_converse_sends_the_limit_that_a_budget_was_measured_by():
    body = to_converse(chat(reasoning_effort="low")).body
    assert body["inferenceConfig"]["maxTokens"] > body["additionalModelRequestFields"]["thinking"]["budget_tokens"]


@pytest.mark.parametrize("members", [{"n": True}, {"logprobs": 0}, {"top_logprobs": False}])
def test_true_is_not_one(members):
    assert refusal(to_messages, chat(**members)).details["param"] in members


@pytest.mark.parametrize("user", ["jane.doe@example.com", "team:jane@example.co.uk;7", "+49 (30) 1234-567", "5551234567", "u" * 300])
def test_a_user_that_messages_refuses_is_told_by_a_digest(user):
    result = to_messages(chat(user=user))
    digest = result.body["metadata"]["user_id"]
    assert (len(digest), result.enforced) == (64, ("metadata.user_id=sha256",))
    assert digest == to_messages(chat(safety_identifier=user)).body["metadata"]["user_id"]
    assert user[:10] not in digest


@pytest.mark.parametrize("user", ["user_1", "a4f0c1d2-0000-4000-8000-123456789abc", "@jane", "42"])
def test_a_user_that_messages_takes_is_told_as_it_is(user):
    result = to_messages(chat(user=user))
    assert (result.body["metadata"], result.enforced) == ({"user_id": user}, ())
    assert "metadata" not in to_messages(chat(user="")).body


def test_a_choice_of_one_is_stated_as_claude_takes_it():
    choice = {"oneOf": [{"$ref": "#/$defs/Cat"}, {"type": "null"}], "discriminator": {"propertyName": "kind"}}
    cat = {"type": "object", "properties": {"kind": {"const": "cat"}, "of": {"type": "array", "items": choice}}}
    schema = {"type": "object", "properties": {"pet": choice}, "$defs": {"Cat": cat}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}

    result = to_messages(chat(response_format=wanted))
    sent = result.body["output_config"]["format"]["schema"]
    assert sent["properties"]["pet"] == sent["$defs"]["Cat"]["properties"]["of"]["items"] == {"anyOf": choice["oneOf"]}
    assert result.enforced == ("schema.oneOf=anyOf",)
    assert "oneOf" not in str(to_converse(chat(response_format=wanted)).body["outputConfig"])
    assert "oneOf" in str(to_messages(chat(tools=[tool(parameters=schema)])).body["tools"])
