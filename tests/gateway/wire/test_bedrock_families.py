"""What families of models on Bedrock refuse, though Converse has it: words beside calls, choices of tools, schemas with more at the top."""

import msgspec
import pytest

from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_response, render_upstream_request
from tests.gateway.wire.rendered_requests import TOOL_LOOP, chat, refusal, to_converse, tool

CLAUDE, NOVA = "anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-pro-v1:0"
LLAMA, MISTRAL, UNKNOWN = "us.meta.llama4-maverick-17b-instruct-v1:0", "mistral.mistral-large-3-675b-instruct", "qwen.qwen3-32b-v1:0"
TOOLS = [tool("w", parameters={"type": "object", "properties": {"city": {"type": "string"}}})]


def kinds(message):
    return [next(iter(block)) for block in message["content"]]


@pytest.mark.parametrize("model", [LLAMA, MISTRAL])
def test_words_stand_apart_from_calls_and_results_where_both_are_refused_in_one_message(model):
    messages = to_converse(chat(TOOL_LOOP, tools=TOOLS), model).body["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant"] * 3 + ["user"]
    assert [kinds(message) for message in messages] == [
        *(["text"], ["text"], ["text"]),
        *(["toolUse", "toolUse"], ["toolResult", "toolResult"], ["text"], ["text"]),
    ]
    assert messages[1]["content"] == [{"text": "I will look."}]
    assert messages[6]["content"] == [{"text": "And?"}]
    assert all(block["text"].strip() for message in (messages[2], messages[5]) for block in message["content"])


@pytest.mark.parametrize("model", [CLAUDE, NOVA, UNKNOWN])
def test_words_stay_with_calls_and_results_where_they_may(model):
    messages = to_converse(chat(TOOL_LOOP, tools=TOOLS), model).body["messages"]

    assert [kinds(message) for message in messages] == [
        ["text"],
        ["text", "toolUse", "toolUse"],
        ["toolResult", "toolResult", "text"],
    ]


def test_a_document_that_is_parted_from_results_has_words_of_its_own():
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "w", "input": {}}]}
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "It follows."}
    said = [{"role": "user", "content": "Hi"}, call, {"role": "user", "content": [result, document]}]
    body = {"model": "m", "max_tokens": 9, "messages": said, "tools": [{"name": "w", "input_schema": {"type": "object"}}]}

    messages = to_converse(body, LLAMA, "anthropic_messages").body["messages"]
    assert [kinds(message) for message in messages[2:]] == [["toolResult"], ["text"], ["document", "text"]]


SEEN = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


def looked(*, content, **members):
    """A conversation in which a tool answered with pictures, in Claude's format."""
    calls = [{"type": "tool_use", "id": name, "name": "w", "input": {}} for name in content]
    results = [{"type": "tool_result", "tool_use_id": name, "content": what, **members} for name, what in content.items()]
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    return {"model": "m", "max_tokens": 9, "messages": said, "tools": [{"name": "w", "input_schema": {"type": "object"}}]}


@pytest.mark.parametrize("model", [UNKNOWN, "openai.gpt-6-astra", "writer.palmyra-x5-v1:0"])
def test_images_in_results_of_tools_stand_behind_them_where_the_model_takes_none_there(model):
    body = looked(content={"t1": [{"type": "text", "text": "Two."}, SEEN], "t2": [SEEN], "t3": "none"})

    last = to_converse(body, model, "anthropic_messages").body["messages"][-1]["content"]
    image = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
    assert [block.get("toolResult", {}).get("toolUseId", block) for block in last] == ["t1", "t2", "t3", image, image]
    contents = [block["toolResult"]["content"] for block in last[:3]]
    assert [[next(iter(inner)) for inner in content] for content in contents] == [["text"], ["text"], ["text"]]
    assert (contents[0], contents[2]) == ([{"text": "Two."}], [{"text": "none"}])


def test_a_failed_result_of_an_image_alone_says_so_where_the_image_stands_behind_it():
    rendered = to_converse(looked(content={"t1": [SEEN]}, is_error=True), UNKNOWN, "anthropic_messages")
    assert kinds(rendered.body["messages"][-1]) == ["toolResult", "image"]
    assert "messages[].content[].is_error" in rendered.dropped


def test_images_behind_results_are_parted_from_them_where_both_are_refused_in_one_message():
    messages = to_converse(looked(content={"t1": [SEEN]}), MISTRAL, "anthropic_messages").body["messages"]
    assert [kinds(message) for message in messages[2:]] == [["toolResult"], ["text"], ["image"]]


@pytest.mark.parametrize("model", [CLAUDE, NOVA, LLAMA])
def test_images_stay_in_results_of_tools_where_they_may(model):
    last = to_converse(looked(content={"t1": [SEEN]}), model, "anthropic_messages").body["messages"][-1]
    assert [kinds(message["toolResult"]) for message in last["content"]] == [["image"]]


FORCED, NAMED = "required", {"type": "function", "function": {"name": "b"}}


@pytest.mark.parametrize(
    ("model", "choice", "sent", "offered", "dropped"),
    [
        (CLAUDE, FORCED, {"any": {}}, ["a", "b"], ()),
        (CLAUDE, NAMED, {"tool": {"name": "b"}}, ["a", "b"], ()),
        (NOVA, NAMED, {"tool": {"name": "b"}}, ["a", "b"], ()),
        (MISTRAL, FORCED, {"any": {}}, ["a", "b"], ()),
        (MISTRAL, NAMED, {"any": {}}, ["b"], ()),
        (UNKNOWN, NAMED, {"any": {}}, ["b"], ()),
        (LLAMA, FORCED, {"auto": {}}, ["a", "b"], ("tool_choice",)),
        (LLAMA, NAMED, {"auto": {}}, ["a", "b"], ("tool_choice",)),
        (LLAMA, "auto", {"auto": {}}, ["a", "b"], ()),
    ],
)
def test_a_tool_is_forced_as_the_model_takes_it(model, choice, sent, offered, dropped):
    rendered = to_converse(chat(tools=[tool("a"), tool("b")], tool_choice=choice), model)

    config = rendered.body["toolConfig"]
    assert (config["toolChoice"], rendered.dropped) == (sent, dropped)
    assert [each["toolSpec"]["name"] for each in config["tools"]] == offered
    assert ("calling" in str(rendered.body.get("system"))) == bool(dropped)


def test_one_call_at_a_time_may_be_asked_of_a_tool_that_is_forced_in_words():
    rendered = to_converse(chat(tools=[tool("a")], tool_choice=FORCED, parallel_tool_calls=False), LLAMA)

    assert (rendered.dropped, rendered.enforced, rendered.one_call) == (("tool_choice",), ("parallel_tool_calls=first",), True)


def test_a_tool_that_is_forced_and_not_offered_is_left_to_the_provider_to_refuse():
    rendered = to_converse(chat(tools=[tool("a")], tool_choice=NAMED), MISTRAL)

    assert rendered.body["toolConfig"]["toolChoice"] == {"tool": {"name": "b"}}


NESTED = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Order",
    "type": "object",
    "properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}}},
    "required": ["lines"],
    "additionalProperties": False,
    "$defs": {
        "Line": {"type": "object", "properties": {"size": {"$ref": "#/$defs/Size", "description": "d"}}},
        "Size": {"enum": ["s", "l"]},
    },
}


def parameters(schema, model=NOVA, **function):
    rendered = to_converse(chat(tools=[tool("a", parameters=schema, **function)]), model)
    return rendered.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"], rendered.enforced


@pytest.mark.parametrize("model", [NOVA, "global.amazon.nova-2-lite-v1:0"])
def test_a_schema_for_nova_has_its_properties_alone_at_the_top(model):
    schema, enforced = parameters(NESTED, model)

    line = {"type": "object", "properties": {"size": {"enum": ["s", "l"], "description": "d"}}}
    assert schema == {"type": "object", "properties": {"lines": {"type": "array", "items": line}}, "required": ["lines"]}
    assert enforced == ("schema.top=properties",)
    assert parameters(NESTED, MISTRAL)[0] == NESTED


def test_a_schema_for_nova_that_is_as_it_wants_it_is_not_named():
    plain = {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": False}}}

    assert parameters(plain) == (plain, ())
    assert parameters({**plain, "$schema": "s", "$defs": {"a": {}}}) == (plain, ())
    assert parameters(None) == ({"type": "object", "properties": {}}, ())


def test_a_schema_for_nova_that_holds_itself_ends_where_it_begins_again():
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}
    schema, enforced = parameters({**tree, "$defs": {"Tree": tree}})

    inner = {"type": "object", "properties": {"children": {"type": "array", "items": {}}}}
    assert schema == {"type": "object", "properties": {"children": {"type": "array", "items": inner}}}
    assert enforced == ("schema.$ref=any",)


GROWING = {f"D{n}": {"properties": {side: {"$ref": f"#/$defs/D{n + 1}"} for side in "ab"}} for n in range(40)}
LARGE = {"D0": {"enum": [str(number) for number in range(1000)]}}


@pytest.mark.parametrize(("definitions", "references"), [(GROWING, 1), (LARGE, 9)])
def test_a_schema_for_nova_that_would_be_far_larger_without_references_is_refused(definitions, references):
    properties = {f"p{number}": {"$ref": "#/$defs/D0"} for number in range(references)}
    body = chat(tools=[tool("a", parameters={"type": "object", "properties": properties, "$defs": definitions})])

    assert refusal(to_converse, body, NOVA).code == "unsupported_parameter"


MARKED = {"cache_control": {"type": "ephemeral"}}


def test_nova_is_asked_to_cache_no_message_with_calls_or_results():
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "w", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "sun", **MARKED}]}
    said = [{"role": "user", "content": [{"type": "text", "text": "Hi", **MARKED}]}, call, result]
    tools = [{"name": "w", "input_schema": {"type": "object"}}]
    body = {"model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "S", **MARKED}], "messages": said, "tools": tools}

    rendered = to_converse(body, NOVA, "anthropic_messages")
    assert rendered.body["system"][1] == rendered.body["messages"][0]["content"][1] == {"cachePoint": {"type": "default"}}
    assert kinds(rendered.body["messages"][2]) == ["toolResult"]
    assert rendered.dropped == ("messages[].content[].cache_control",)
    claude = to_converse(body, CLAUDE, "anthropic_messages")
    assert (kinds(claude.body["messages"][2]), claude.dropped) == (["toolResult", "cachePoint"], ())


CALL = {"toolUse": {"toolUseId": "t1", "name": "w", "input": {}}}


@pytest.mark.parametrize(("blocks", "said"), [([{"text": "Hm."}, CALL], "tool_calls"), ([CALL], "tool_calls"), ([{"text": "Hm."}], "stop")])
@pytest.mark.parametrize("reason", ["end_turn", "tool_use"])
def test_what_a_model_did_counts_where_it_says_another_reason(defaults, replayed, blocks, said, reason):
    answer = {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": reason}
    whole = render_caller_response(msgspec.json.encode(answer), "openai_chat", "bedrock_converse", defaults)
    assert whole["choices"][0]["finish_reason"] == said

    stream = replayed("openai_chat", "bedrock_converse", [(name, msgspec.json.encode(data)) for name, data in events_of(blocks, reason)])
    assert f'"finish_reason":"{said}"'.encode() in stream
    assert b"error" not in stream


def events_of(blocks, reason="tool_use"):
    """The events of a stream of ConverseStream."""
    events = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(blocks):
        if "toolUse" in block:
            start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            events.append(("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": start}}))
            arguments = msgspec.json.encode(block["toolUse"]["input"]).decode()
            events.append(("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": arguments}}}))
        else:
            events.append(("contentBlockDelta", {"contentBlockIndex": index, "delta": block}))
        events.append(("contentBlockStop", {"contentBlockIndex": index}))
    return [*events, ("messageStop", {"stopReason": reason}), ("metadata", {})]


OTHERS = [{"text": "Hm."}, CALL, {"text": "And."}, {"toolUse": {"toolUseId": "t2", "name": "v", "input": {"a": 1}}}, {"text": "So."}]


@pytest.mark.parametrize("caller", ["openai_chat", "openai_responses", "anthropic_messages"])
def test_of_calls_at_once_the_first_alone_is_told_where_one_was_asked_for(defaults, caller):
    defaults = msgspec.structs.replace(defaults, one_call=True)
    answer = msgspec.json.encode({"output": {"message": {"role": "assistant", "content": OTHERS}}, "stopReason": "tool_use"})
    told = [msgspec.json.encode(render_caller_response(answer, caller, "bedrock_converse", defaults))]
    for is_whole in (True, False):
        stream = StreamTranslation(caller, "bedrock_converse", defaults, is_whole=is_whole)
        events = [(None, answer)] if is_whole else [(name, msgspec.json.encode(data)) for name, data in events_of(OTHERS)]
        told.append(b"".join(stream.feed(name, data) for name, data in events))
        assert (stream.has_ended, stream.error, stream.stop) == (True, None, "tool_calls")

    assert all(b"t1" in each and b"t2" not in each and b'"a"' not in each for each in told)
    assert all(words in each for each in told for words in (b"Hm.", b"And.", b"So."))


def test_an_answer_that_broke_off_keeps_its_reason_beside_calls(defaults):
    answer = {"output": {"message": {"role": "assistant", "content": [CALL]}}, "stopReason": "max_tokens"}
    whole = render_caller_response(msgspec.json.encode(answer), "openai_chat", "bedrock_converse", defaults)

    assert whole["choices"][0]["finish_reason"] == "length"


def test_a_model_of_which_nothing_is_known_may_be_asked_in_every_format():
    body = {"model": "m", "input": "Hi", "tools": [{"type": "function", "name": "b"}], "tool_choice": {"type": "function", "name": "b"}}
    rendered = render_upstream_request(body, "openai_responses", "bedrock_converse", UpstreamModel(UNKNOWN))

    assert rendered.body["toolConfig"]["toolChoice"] == {"any": {}}


KIMI, GROK = "global.moonshotai.kimi-k3.1", "us.xai.grok-4.6"


@pytest.mark.parametrize(
    ("model", "effort", "sent", "dropped"),
    [
        (KIMI, "high", {"reasoning": {"effort": "high"}}, ()),
        (KIMI, "max", {"reasoning": {"effort": "max"}}, ()),
        (KIMI, "minimal", {"reasoning": {"effort": "low"}}, ()),
        (KIMI, "none", {"reasoning": {"effort": "none"}}, ()),
        (GROK, "none", None, ("reasoning_effort",)),
        (GROK, "high", None, ("reasoning_effort",)),
        ("moonshotai.kimi-k2.5", "high", None, ("reasoning_effort",)),
    ],
)
def test_kimi_reasons_as_openais_models_do_and_grok_as_it_sees_fit(model, effort, sent, dropped):
    rendered = to_converse(chat(reasoning_effort=effort), model)
    assert (rendered.body.get("additionalModelRequestFields"), rendered.dropped) == (sent, dropped)


@pytest.mark.parametrize("model", [KIMI, GROK])
def test_models_that_take_no_sampling_get_none_and_it_is_named(model):
    rendered = to_converse(chat(temperature=0.5, top_p=0.9, max_tokens=20), model)
    assert (rendered.body["inferenceConfig"], rendered.dropped) == ({"maxTokens": 20}, ("temperature", "top_p"))


@pytest.mark.parametrize(("model", "choice"), [(KIMI, {"any": {}}), (GROK, {"tool": {"name": "w"}})])
def test_grok_may_be_told_which_tool_to_call(model, choice):
    rendered = to_converse(chat(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "w"}}), model)
    assert rendered.body["toolConfig"]["toolChoice"] == choice


def test_what_kimi_thought_is_not_sent_back():
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [thought, {"type": "text", "text": "Yes"}]}]
    body = {"model": "m", "max_tokens": 99, "messages": [*said, {"role": "user", "content": "And?"}], "thinking": {"type": "adaptive"}}
    messages = to_converse(body, KIMI, "anthropic_messages").body["messages"]
    assert [kinds(message) for message in messages] == [["text"], ["text"], ["text"]]
