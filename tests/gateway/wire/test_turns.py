"""Conversations that are legal elsewhere, and that Messages and Converse want otherwise: who begins, and what stands beside a file."""

import pytest

from tests.gateway.wire.rendered_requests import call, chat, to_converse, to_messages, tool

GREETING, ANSWER = {"role": "assistant", "content": "How can I help?"}, {"role": "user", "content": "Hi"}
PDF = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}}
BLANK = {"role": "user", "content": " "}


def system(text):
    return {"role": "system", "content": text}


@pytest.mark.parametrize("behind", [[], [BLANK]])
def test_who_sends_instructions_alone_says_them_as_the_user(behind):
    alone, several = chat([system("Tell a joke."), *behind]), chat([system("Be brief."), system("Tell a joke."), *behind])

    assert to_messages(alone).body["messages"] == [{"role": "user", "content": "Tell a joke."}]
    assert "system" not in to_messages(alone).body
    assert to_messages(several).body["system"] == "Be brief."
    assert to_messages(several).body["messages"] == [{"role": "user", "content": "Tell a joke."}]
    assert to_converse(several).body["system"] == [{"text": "Be brief."}]
    assert to_converse(several).body["messages"] == [{"role": "user", "content": [{"text": "Tell a joke."}]}]


def test_nothing_said_at_all_is_left_to_the_provider_to_refuse():
    assert to_messages(chat([BLANK])).body["messages"] == to_converse(chat([BLANK])).body["messages"] == []


def test_converse_hears_the_user_first_where_the_assistant_began():
    messages = to_converse(chat([system("Be brief."), GREETING, ANSWER])).body["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"][0]["text"].strip()
    assert messages[1:] == to_converse(chat([ANSWER, GREETING, ANSWER])).body["messages"][1:]
    assert [message["role"] for message in to_messages(chat([GREETING, ANSWER])).body["messages"]] == ["assistant", "user"]


@pytest.mark.parametrize("beside", [[], [{"type": "text", "text": " "}]])
def test_a_document_without_words_has_some_on_converse(beside):
    [message] = to_converse(chat([{"role": "user", "content": [PDF, *beside]}])).body["messages"]
    document, words = message["content"]

    assert document.keys() == {"document"}
    assert words["text"].strip()
    with_words = [PDF, {"type": "text", "text": "What is it?"}]
    assert len(to_converse(chat([{"role": "user", "content": with_words}])).body["messages"][0]["content"]) == 2
    assert len(to_messages(chat([{"role": "user", "content": [PDF, *beside]}])).body["messages"][0]["content"]) == 1


def test_a_document_beside_the_result_of_a_tool_has_words_on_converse():
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {}}]}
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "It follows."}
    messages = [ANSWER, call, {"role": "user", "content": [result, document]}]
    body = {"model": "m", "max_tokens": 9, "messages": messages, "tools": [{"name": "read", "input_schema": {"type": "object"}}]}

    kinds = [next(iter(block)) for block in to_converse(body, caller="anthropic_messages").body["messages"][2]["content"]]
    assert kinds == ["toolResult", "document", "text"]


THOUGHTS = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-opus-5"])
def test_a_thought_that_nothing_follows_is_left_out(model):
    thought = {"role": "assistant", "content": None, "thinking_blocks": THOUGHTS}
    go_on = {"role": "user", "content": "Go on"}

    assert to_messages(chat([ANSWER, thought, go_on]), model).body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "Go on"}]}
    ]
    assert to_converse(chat([ANSWER, thought, go_on]), f"anthropic.{model}").body["messages"] == [
        {"role": "user", "content": [{"text": "Hi"}, {"text": "Go on"}]}
    ]
    assert to_messages(chat([ANSWER, thought]), model).body["messages"] == [ANSWER]
    followed = to_messages(chat([ANSWER, thought, {"role": "assistant", "content": "Yes"}, go_on]), model).body["messages"]
    assert followed[1]["content"] == [*THOUGHTS, {"type": "text", "text": "Yes"}]


@pytest.mark.parametrize(
    ("model", "status", "dropped"),
    [
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "error", ()),
        ("us.amazon.nova-2-lite-v1:0", "error", ()),
        ("arn:aws:bedrock:eu-central-1:1:application-inference-profile/abc", "error", ()),
        ("openai.gpt-oss-120b-1:0", None, ("messages[].content[].is_error",)),
        ("mistral.mistral-large-3-675b-instruct", None, ("messages[].content[].is_error",)),
    ],
)
@pytest.mark.parametrize(("content", "text"), [("no", "no"), ("", "Failed."), (" ", "Failed."), ([], "Failed.")])
def test_a_failed_tool_is_told_as_the_model_takes_it(model, status, dropped, content, text):
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {}}]}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": content, "is_error": True}
    messages = [ANSWER, call, {"role": "user", "content": [result]}]
    body = {"model": "m", "max_tokens": 9, "messages": messages, "tools": [{"name": "read", "input_schema": {"type": "object"}}]}

    rendered = to_converse(body, model, "anthropic_messages")
    [block] = rendered.body["messages"][2]["content"]
    assert (block["toolResult"]["content"], block["toolResult"].get("status")) == ([{"text": text}], status)
    assert rendered.dropped == dropped


def test_words_that_follow_calls_stand_before_them():
    call = {"type": "function_call", "call_id": "c1", "name": "read", "arguments": "{}"}
    items = [
        {"role": "user", "content": "Hi"},
        call,
        {"role": "assistant", "content": "I read it."},
        {**call, "call_id": "c2"},
        *({"type": "function_call_output", "call_id": number, "output": "ok"} for number in ("c1", "c2")),
    ]
    body = {"model": "m", "input": items, "tools": [{"type": "function", "name": "read", "parameters": {"type": "object"}}]}

    said = to_converse(body, caller="openai_responses").body["messages"][1]["content"]
    assert [next(iter(block)) for block in said] == ["text", "toolUse", "toolUse"]
    assert [block["toolUse"]["toolUseId"] for block in said[1:]] == ["c1", "c2"]


def test_a_thought_between_calls_keeps_everything_in_its_place():
    call = {"type": "tool_use", "id": "t1", "name": "read", "input": {}}
    content = [call, THOUGHTS[0], {"type": "text", "text": "Hm."}, {**call, "id": "t2"}]
    results = [{"type": "tool_result", "tool_use_id": number, "content": "ok"} for number in ("t1", "t2")]
    messages = [ANSWER, {"role": "assistant", "content": content}, {"role": "user", "content": results}]
    body = {"model": "m", "max_tokens": 9, "messages": messages, "tools": [{"name": "read", "input_schema": {"type": "object"}}]}

    said = to_converse(body, "anthropic.claude-opus-5", "anthropic_messages").body["messages"][1]["content"]
    assert [next(iter(block)) for block in said] == ["toolUse", "reasoningContent", "text", "toolUse"]


@pytest.mark.parametrize(
    ("model", "members", "is_added"),
    [
        ("claude-opus-5-5", {}, True),
        ("claude-sonnet-4-6", {}, True),
        ("claude-sonnet-4-5", {}, False),
        ("claude-sonnet-4-5", {"reasoning_effort": "low", "max_tokens": 5000}, True),
        ("claude-3-haiku-20240307", {}, False),
        ("our-model", {}, False),
    ],
)
def test_the_user_speaks_last_where_the_model_wants_it(model, members, is_added):
    messages = [ANSWER, GREETING, system("Be brief.")]

    for sent in (to_messages(chat(messages, **members), model), to_converse(chat(messages, **members), f"anthropic.{model}")):
        assert [message["role"] for message in sent.body["messages"]] == ["user", "assistant", *(["user"] if is_added else [])]
    called = {"role": "assistant", "content": None, "tool_calls": [call()]}
    assert to_messages(chat([ANSWER, called], tools=[tool()]), "claude-opus-5-5").body["messages"][-1]["role"] == "assistant"


def test_the_beginning_of_an_answer_stays_the_last_word():
    body = {"model": "m", "max_tokens": 9, "messages": [ANSWER, GREETING]}
    assert to_converse(body, "anthropic.claude-opus-5-5", "anthropic_messages").body["messages"][-1]["role"] == "assistant"


@pytest.mark.parametrize("written", ['{"city": "Os', "[]", "null", "city=Oslo", "[" * 5000])
def test_arguments_that_a_model_wrote_wrong_go_back_as_text(written):
    messages = [
        ANSWER,
        {"role": "assistant", "tool_calls": [call(arguments=written)]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
    ]
    rendered = to_messages(chat(messages, tools=[tool()]))
    assert rendered.body["messages"][1]["content"][0]["input"] == {"arguments": written}
    assert rendered.enforced == ("arguments=text",)

    called = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": written, "status": "incomplete"}
    items = [ANSWER, called, {"type": "function_call_output", "call_id": "c1", "output": "no"}]
    body = {"model": "m", "input": items, "tools": [{"type": "function", "name": "f"}]}
    [block] = to_converse(body, caller="openai_responses").body["messages"][1]["content"]
    assert block["toolUse"]["input"] == {"arguments": written}
