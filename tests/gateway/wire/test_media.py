"""Images, files and sound, each where a format can state it: sent on as the other format states it, or refused by name."""

import base64

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request

CHAT, MESSAGES, RESPONSES, CONVERSE = "openai_chat", "anthropic_messages", "openai_responses", "bedrock_converse"
MODELS = {MESSAGES: "claude-opus-5-5", CONVERSE: "anthropic.claude-sonnet-4-5-20250929-v1:0"}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
PLAIN = base64.b64encode(b"hello").decode()


def rendered(caller, upstream, part):
    """The content of a message that holds one part and a word."""
    if caller == RESPONSES:
        body = {"model": "m", "input": [{"role": "user", "content": [part, {"type": "input_text", "text": "And?"}]}]}
    else:
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [part, {"type": "text", "text": "And?"}]}]}
    sent = render_upstream_request(body, caller, upstream, UpstreamModel(MODELS.get(upstream, "gpt-5.2"))).body
    return sent["input" if upstream == RESPONSES else "messages"][0]["content"]


def file_of_chat(data):
    return {"type": "file", "file": {"file_data": data}}


def document(**source):
    return {"type": "document", "source": source}


def image(**source):
    return {"type": "image", "source": source}


@pytest.mark.parametrize(
    ("caller", "upstream", "part", "sent"),
    [
        (MESSAGES, CHAT, document(type="file", file_id="f_1"), {"type": "file", "file": {"file_id": "f_1"}}),
        (MESSAGES, CHAT, image(type="url", url="https://e/a"), {"type": "image_url", "image_url": {"url": "https://e/a"}}),
        (
            MESSAGES,
            RESPONSES,
            image(type="url", url="https://e/a"),
            {"type": "input_image", "detail": "auto", "image_url": "https://e/a"},
        ),
        (MESSAGES, RESPONSES, image(type="file", file_id="f_1"), {"type": "input_image", "detail": "auto", "file_id": "f_1"}),
        (
            MESSAGES,
            RESPONSES,
            document(type="text", media_type="text/plain", data="hello"),
            {"type": "input_text", "text": "hello"},
        ),
        (
            MESSAGES,
            CONVERSE,
            document(type="text", media_type="text/plain", data="hello"),
            {"document": {"format": "txt", "name": "document", "source": {"bytes": PLAIN}}},
        ),
        (CHAT, CONVERSE, SOUND, {"audio": {"format": "wav", "source": {"bytes": "aGk="}}}),
        (CHAT, MESSAGES, {"type": "file", "file": {"file_id": "f_1"}}, document(type="file", file_id="f_1")),
    ],
)
def test_what_the_other_format_can_state_is_sent(caller, upstream, part, sent):
    assert rendered(caller, upstream, part)[0] == sent


@pytest.mark.parametrize(
    ("caller", "upstream", "part", "said"),
    [
        (CHAT, MESSAGES, file_of_chat("data:application/zip;base64,aGk="), "application/pdf and text/plain"),
        (CHAT, MESSAGES, file_of_chat("data:text/plain;base64,/w=="), "must be UTF-8 in base64"),
        (CHAT, MESSAGES, file_of_chat("data:text/plain;base64,!!!"), "must be UTF-8 in base64"),
        (CHAT, CONVERSE, file_of_chat("data:application/zip;base64,aGk="), "takes files of the types"),
        (CHAT, CONVERSE, {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,aGk="}}, "takes images of the types"),
        (MESSAGES, CONVERSE, document(type="url", url="https://e/a.pdf"), "files as data only"),
        (MESSAGES, CHAT, document(type="url", url="https://e/a.pdf"), "takes no file by URL"),
        (MESSAGES, CHAT, image(type="file", file_id="f_1"), "images by URL and as data only"),
        (CHAT, MESSAGES, SOUND, "takes no sound"),
    ],
)
def test_what_it_can_not_is_refused_by_name(caller, upstream, part, said):
    with pytest.raises(Error, match=said) as raised:
        rendered(caller, upstream, part)
    assert raised.value.code is Code.UNSUPPORTED_PARAMETER


@pytest.mark.parametrize("member", ["audio", "function_call"])
def test_what_an_earlier_answer_can_hold_in_chat_alone_is_refused(member):
    said = {"role": "assistant", "content": "a", member: {"id": "x", "name": "f", "arguments": "{}"}}
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}, said]}
    with pytest.raises(Error) as raised:
        render_upstream_request(body, CHAT, MESSAGES, UpstreamModel(MODELS[MESSAGES]))
    assert (raised.value.code, raised.value.details["param"]) == (Code.UNSUPPORTED_PARAMETER, f"messages.1.{member}")


@pytest.mark.parametrize(
    ("upstream", "source", "told"),
    [
        (CHAT, {"type": "base64", "media_type": "application/pdf", "data": "aGk="}, "C"),
        (RESPONSES, {"type": "base64", "media_type": "application/pdf", "data": "aGk="}, "C"),
        (CHAT, {"type": "file", "file_id": "f_1"}, "T\nC"),
        (RESPONSES, {"type": "url", "url": "https://e/a.pdf"}, "T\nC"),
    ],
)
def test_what_a_document_says_of_itself_is_told_before_it(upstream, source, told):
    described, bare = {**document(**source), "title": "T", "context": "C"}, {**document(**source), "title": "T"}
    text = {"type": "text" if upstream == CHAT else "input_text"}
    assert rendered(MESSAGES, upstream, described)[0] == {**text, "text": told}
    assert rendered(MESSAGES, upstream, described)[1]["type"] == ("file" if upstream == CHAT else "input_file")
    assert len(rendered(MESSAGES, upstream, {**bare, "title": None})) == 2


def test_what_a_document_in_a_result_says_of_itself_is_told_too():
    pdf = {**document(type="base64", media_type="application/pdf", data="aGk="), "context": "C"}
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [pdf]}
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}],
    }
    chat = render_upstream_request(body, MESSAGES, CHAT, UpstreamModel("gpt-5.2")).body["messages"]
    assert chat[-1]["content"][0] == {"type": "text", "text": "C"}
    responses = render_upstream_request(body, MESSAGES, RESPONSES, UpstreamModel("gpt-5.2")).body["input"]
    assert responses[-1]["output"][0] == {"type": "input_text", "text": "C"}


def test_a_marker_on_sound_is_dropped_and_named():
    def result(**members):
        body = {"model": "m", "messages": [{"role": "user", "content": [{**SOUND, **members}, {"type": "text", "text": "And?"}]}]}
        return render_upstream_request(body, CHAT, CONVERSE, UpstreamModel("amazon.nova-2-sonic-v1:0"))

    for marker in ({"prompt_cache_breakpoint": {"mode": "explicit"}}, {"cache_control": {"type": "ephemeral"}}):
        assert (result(**marker).body, result(**marker).dropped) == (result().body, ("messages[].content[].cache_control",))
