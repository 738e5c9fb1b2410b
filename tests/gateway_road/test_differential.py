"""The same calls straight to an upstream and through Keyhouse, by the official clients, sync and async: equal objects, equal events,
equal exceptions, ids and usage included."""

import asyncio
import inspect
import io

import anthropic
import httpx
import httpx2
import openai
import pydantic
import pytest

from tests.conftest import NO_CERTIFICATES
from tests.gateway_road import anthropic_api, openai_api

QUESTION = [{"role": "user", "content": "What is new?"}]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
    for name in ("weather", "news")
]
CLAUDE_TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("weather", "news")]
MANY_TURNS = [
    *QUESTION,
    {"role": "assistant", "tool_calls": [openai_api.call(0, "weather")]},
    {"role": "tool", "tool_call_id": "call_0", "content": "Rain"},
]


class Person(pydantic.BaseModel):
    """What a structured answer is parsed into."""

    name: str
    age: int


def speech_in_pieces(client):
    with client.audio.speech.with_streaming_response.create(model="tts-1", input="Hi", voice="alloy") as answer:
        return [answer.headers["content-type"], b"".join(answer.iter_bytes())]


OPENAI_CALLS = {
    "chat": lambda c: c.chat.completions.create(model="gpt-5-mini", messages=QUESTION),
    "chat_turns": lambda c: c.chat.completions.create(model="gpt-5-mini", messages=MANY_TURNS, temperature=0.5, seed=1, user="ann"),
    "chat_stream": lambda c: c.chat.completions.create(model="gpt-5-mini", messages=QUESTION, stream=True),
    "chat_stream_usage": lambda c: c.chat.completions.create(
        model="gpt-5-mini", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    ),
    "tools": lambda c: c.chat.completions.create(model="gpt-5-mini", messages=QUESTION, tools=TOOLS),
    "tools_stream": lambda c: c.chat.completions.create(model="gpt-5-mini", messages=QUESTION, tools=TOOLS, stream=True),
    "structured": lambda c: c.chat.completions.parse(model="gpt-5-mini", messages=QUESTION, response_format=Person),
    "embeddings": lambda c: c.embeddings.create(model="text-embedding-3-small", input=["Hi"]),
    "embeddings_float": lambda c: c.embeddings.create(model="text-embedding-3-small", input="Hi", encoding_format="float"),
    "responses": lambda c: c.responses.create(model="gpt-5-mini", input="What is new?"),
    "responses_stream": lambda c: c.responses.create(model="gpt-5-mini", input="What is new?", stream=True),
    "completions": lambda c: c.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hello"),
    "completions_stream": lambda c: c.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hello", stream=True),
    "moderations": lambda c: c.moderations.create(model="omni-moderation-latest", input="Hi"),
    "images": lambda c: c.images.generate(model="gpt-image-1", prompt="A house", size="1024x1024"),
    "image_edits": lambda c: c.images.edit(model="gpt-image-2", prompt="A house", image=[("a.png", io.BytesIO(b"PNG" * 5000))]),
    "speech": lambda c: c.audio.speech.create(model="tts-1", input="Hi", voice="alloy"),
    "transcription": lambda c: c.audio.transcriptions.create(model="whisper-1", file=("a.wav", io.BytesIO(b"RIFF" * 5000)), language="en"),
    "stream_error": lambda c: c.chat.completions.create(model="broken-stream", messages=QUESTION, stream=True),
    "not_found": lambda c: c.chat.completions.create(model="error-404", messages=QUESTION),
    **{
        f"error_{status}": lambda c, status=status: c.chat.completions.create(model=f"error-{status}", messages=QUESTION)
        for status in (400, 401, 402, 403, 408, 409, 413, 422, 429, 500, 502, 503, 529)
    },
    "error_in_a_stream_request": lambda c: c.chat.completions.create(model="error-429", messages=QUESTION, stream=True),
    "error_of_embeddings": lambda c: c.embeddings.create(model="error-400", input="Hi"),
}

ANTHROPIC_CALLS = {
    "messages": lambda c: c.messages.create(model="claude-opus-4-8", max_tokens=10, messages=QUESTION),
    "cached": lambda c: c.messages.create(
        model="claude-opus-4-8",
        max_tokens=10,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}],
    ),
    "stream": lambda c: c.messages.create(model="claude-opus-4-8", max_tokens=10, messages=QUESTION, stream=True),
    "tools": lambda c: c.messages.create(model="claude-opus-4-8", max_tokens=10, messages=QUESTION, tools=CLAUDE_TOOLS),
    "tools_stream": lambda c: c.messages.create(model="claude-opus-4-8", max_tokens=10, messages=QUESTION, tools=CLAUDE_TOOLS, stream=True),
    "thinking_stream": lambda c: c.messages.create(
        model="claude-opus-4-8", max_tokens=4000, messages=QUESTION, thinking={"type": "adaptive"}, stream=True
    ),
    "beta": lambda c: c.beta.messages.create(model="claude-opus-4-8", max_tokens=10, messages=QUESTION, betas=["a-2025-01-01", "b"]),
    "count_tokens": lambda c: c.messages.count_tokens(model="claude-opus-4-8", messages=QUESTION),
    "stream_error": lambda c: c.messages.create(model="broken-stream", max_tokens=10, messages=QUESTION, stream=True),
    **{
        f"error_{status}": lambda c, status=status: c.messages.create(model=f"error-{status}", max_tokens=10, messages=QUESTION)
        for status in (400, 401, 403, 404, 413, 429, 500, 503, 529)
    },
}


def noted(value):
    """What a call yielded, so that two of them compare: every member, the request's id, and each event of a stream."""
    if isinstance(value, pydantic.BaseModel):
        return type(value).__name__, value.model_dump(warnings=False), getattr(value, "_request_id", None)
    if isinstance(value, list):
        return [noted(one) for one in value]
    return value.content if hasattr(value, "content") else value


def failed(error):
    """What a client raised, so that two of them compare."""
    status = getattr(error, "status_code", None)
    return type(error), str(error), status, getattr(error, "request_id", None), getattr(error, "body", None)


def outcome(call, client):
    seen = []
    try:
        result = call(client)
        if not hasattr(result, "__next__"):
            return noted(result)
        seen.extend(noted(event) for event in result)
        return seen
    except (openai.APIError, anthropic.APIError) as error:
        return seen, failed(error)


async def outcome_async(call, client):
    seen = []
    try:
        result = call(client)
        result = await result if inspect.isawaitable(result) else result
        if not hasattr(result, "__anext__"):
            return noted(result)
        async for event in result:
            seen += [noted(event)]
        return seen
    except (openai.APIError, anthropic.APIError) as error:
        return seen, failed(error)


def clients(kind, options, address, key):
    """A client, sync or async."""
    library = httpx2 if kind in (anthropic.Anthropic, anthropic.AsyncAnthropic) else httpx
    is_async = kind in (openai.AsyncOpenAI, anthropic.AsyncAnthropic)
    transport = (library.AsyncClient if is_async else library.Client)(trust_env=False, verify=NO_CERTIFICATES)
    return kind(base_url=address, api_key=key, max_retries=0, http_client=transport, **options)


def in_loop(call, kind, address, key):
    async def run():
        async with clients(kind, {}, address, key) as client:
            return await outcome_async(call, client)

    return asyncio.run(run())


@pytest.fixture
def openai_road(road):
    road.store()
    return road


@pytest.mark.parametrize("call", OPENAI_CALLS.values(), ids=OPENAI_CALLS.keys())
def test_openais_client_sees_no_difference(openai_road, call):
    road = openai_road
    with clients(openai.OpenAI, {}, f"{road.upstream.address}/v1", openai_api.KEY) as client:
        direct = outcome(call, client)
    with clients(openai.OpenAI, {}, f"{road.house.address}/v1", road.house.keys.project_key) as client:
        through = outcome(call, client)
    assert through == direct
    assert in_loop(call, openai.AsyncOpenAI, f"{road.house.address}/v1", road.house.keys.project_key) == direct


def test_openais_client_streams_sound_without_a_difference(openai_road):
    road = openai_road
    with clients(openai.OpenAI, {}, f"{road.upstream.address}/v1", openai_api.KEY) as client:
        direct = speech_in_pieces(client)
    with clients(openai.OpenAI, {}, f"{road.house.address}/v1", road.house.keys.project_key) as client:
        assert speech_in_pieces(client) == direct == ["audio/mpeg", openai_api.SOUND]


def test_openais_client_raises_the_same_for_a_wrong_stored_key_as_for_a_wrong_key(road):
    road.put("openai", {"OPENAI_API_KEY": "sk-wrong-at-the-provider", "OPENAI_BASE_URL": f"{road.upstream.address}/v1"})
    call = OPENAI_CALLS["chat"]
    with clients(openai.OpenAI, {}, f"{road.upstream.address}/v1", "sk-wrong-at-the-provider") as client:
        direct = outcome(call, client)
    with clients(openai.OpenAI, {}, f"{road.house.address}/v1", road.house.keys.project_key) as client:
        assert outcome(call, client) == direct
    assert direct[1][0] is openai.AuthenticationError


@pytest.fixture
def anthropic_road(road):
    road.answers(anthropic_api.answer)
    road.put("anthropic", {"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": road.upstream.address})
    return road


@pytest.mark.parametrize("call", ANTHROPIC_CALLS.values(), ids=ANTHROPIC_CALLS.keys())
def test_anthropics_client_sees_no_difference(anthropic_road, call):
    road = anthropic_road
    with clients(anthropic.Anthropic, {}, road.upstream.address, anthropic_api.KEY) as client:
        direct = outcome(call, client)
    with clients(anthropic.Anthropic, {}, road.house.address, road.house.keys.project_key) as client:
        through = outcome(call, client)
    assert through == direct
    assert in_loop(call, anthropic.AsyncAnthropic, road.house.address, road.house.keys.project_key) == direct


def test_anthropics_body_passes_byte_for_byte(anthropic_road):
    road = anthropic_road
    body = b'{ "model":"claude-opus-4-8", "max_tokens":5,"messages":[{"role":"user","content":"\\u00e9"}] , "x":1.0}'
    road.post("/v1/messages", body, anthropic_version="2026-10-21", anthropic_beta="b-1")
    assert road.request.body == body
    assert road.request.header(b"anthropic-version") == [b"2026-10-21"]
    assert road.request.header(b"anthropic-beta") == [b"b-1"]


def test_a_caller_that_states_no_version_gets_the_oldest_and_one_of_the_project_replaces_any(anthropic_road):
    road = anthropic_road
    body = {"model": "claude-opus-4-8", "max_tokens": 5, "messages": QUESTION}
    road.post("/v1/messages", body)
    road.post("/v1/chat/completions", body, anthropic_version="2026-10-21")
    road.http.put("/api/model-providers/anthropic", json={"enabled": True, "extraHeaders": [{"key": "Anthropic-Version", "value": "v-1"}]})
    road.post("/v1/messages", body, anthropic_version="2026-10-21")
    assert [request.header(b"anthropic-version") for request in road.upstream.requests] == [[b"2023-06-01"], [b"2023-06-01"], [b"v-1"]]


def test_of_a_query_only_anthropics_beta_goes_on(anthropic_road):
    road = anthropic_road
    body = {"model": "claude-opus-4-8", "max_tokens": 5, "messages": QUESTION}
    for query in ("beta=true", "beta=true&key=1", "key=1"):
        assert road.post(f"/v1/messages?{query}", body).status_code == 200
    assert [request.line.split(b" ")[1] for request in road.upstream.requests] == [
        b"/v1/messages?beta=true",
        b"/v1/messages",
        b"/v1/messages",
    ]
