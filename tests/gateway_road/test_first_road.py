"""The thinnest road: a chat completion, whole and streamed, through an OpenAI-shaped upstream."""

from tests.gateway_road import openai_api

QUESTION = [{"role": "user", "content": "What is new?"}]


def test_a_chat_completion_comes_back_as_the_upstream_gave_it(store, client, upstream):
    store()
    completion = client.chat.completions.create(model="gpt-5-mini", messages=QUESTION)
    assert completion.choices[0].message.content == "You said: What is new?"
    assert completion.id == "chatcmpl-1"
    assert completion.usage.total_tokens == 13
    assert completion._request_id == "req_of_the_upstream"
    [request] = upstream.requests
    assert request.line == b"POST /v1/chat/completions HTTP/1.1"
    assert request.header(b"authorization") == [f"Bearer {openai_api.KEY}".encode()]


def test_a_stream_comes_back_event_by_event(store, client):
    store()
    chunks = list(client.chat.completions.create(model="openai/gpt-5-mini", messages=QUESTION, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: What is new?"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.model for chunk in chunks} == {"gpt-5-mini"}
