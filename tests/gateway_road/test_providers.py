"""Every provider that can be called, at its own address: what is asked of which host, and that both clients understand the answer."""

import json
import re
from collections.abc import Iterator

import anthropic
import httpx2
import openai
import pytest

from keyhouse.catalog.catalog import load_catalog
from tests.conftest import NO_CERTIFICATES, ServedHouse
from tests.gateway.conftest import Authority, authority  # noqa: F401 - a fixture
from tests.gateway.fault_upstream import ReceivedRequest, response
from tests.gateway_road import anthropic_api, converse_api, openai_api, strict_responses
from tests.gateway_road.conftest import openai_client
from tests.gateway_road.internet import Internet, house_in
from tests.gateway_road.upstreams import json_answer, running_upstream

QUESTION = [{"role": "user", "content": "What is new?"}]
SECRET = "a-secret-of-the-provider-12345"
CATALOG = load_catalog()


def answered(host: str, request: ReceivedRequest) -> bytes:
    """Each path answers in the format that it is documented to have."""
    path = request.line.split(b" ")[1].decode().partition("?")[0]
    for part, answering in ANSWERS.items():
        if part in path:
            return answering(request)
    return json_answer({"detail": {"status": "odd", "message": "Nothing here."}}, b"404 Not Found")


def messages(request: ReceivedRequest) -> bytes:
    body = {"model": "claude", **json.loads(request.body)}
    return anthropic_api.streamed(body, request) if body.get("stream") else json_answer(anthropic_api.message(body, request))


RANKED = [{"index": 1, "relevance_score": 0.9, "document": "b"}]
EMBEDDED = [{"object": "embedding", "embedding": "AACAPgAAAL8=", "index": 0}]
ANSWERS = {
    "/converse": converse_api.answer,
    "/messages": messages,
    "/v1/responses": strict_responses.answer,
    "/chat/completions": lambda request: openai_api.chat(json.loads(request.body)),
    "/embeddings": lambda request: json_answer({"object": "list", "data": EMBEDDED, "model": "m", "usage": {"total_tokens": 6}}),
    "/v2/rerank": lambda request: json_answer({"results": RANKED}),
    "/rerank": lambda request: json_answer({"object": "list", "data": RANKED, "model": "m", "usage": {"total_tokens": 6}}),
    "/text-to-speech": lambda request: response(openai_api.SOUND, headers=b"content-type: audio/mpeg\r\n"),
    "/speech-to-text": lambda request: json_answer({"language_code": "en", "text": "Hello", "words": []}),
}


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[tuple[ServedHouse, Internet]]:  # noqa: F811
    """A house whose way out leads to that proxy."""
    internet = Internet(answered, authority.server_context)
    with house_in(internet, tmp_path_factory.mktemp("connected"), authority) as house:
        yield house, internet


@pytest.fixture
def house(connected: tuple[ServedHouse, Internet]) -> ServedHouse:
    return connected[0]


@pytest.fixture
def internet(connected: tuple[ServedHouse, Internet]) -> Internet:
    connected[1].asked.clear()
    return connected[1]


# Host, path and credential header of a chat call; those of providers without an address of their own are given one.
CHAT = {
    "custom": ("api.house.example", "/v1/chat/completions", "authorization"),
    "openai": ("api.openai.com", "/v1/chat/completions", "authorization"),
    "anthropic": ("api.anthropic.com", "/v1/messages", "x-api-key"),
    "gemini": ("generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", "authorization"),
    "azure": ("api.house.example", "/v1/openai/v1/chat/completions", "api-key"),
    "bedrock": ("bedrock-runtime.us-east-1.amazonaws.com", "/model/m/converse", "authorization"),
    "deepseek": ("api.deepseek.com", "/chat/completions", "authorization"),
    "xai": ("api.x.ai", "/v1/chat/completions", "authorization"),
    "cerebras": ("api.cerebras.ai", "/v1/chat/completions", "authorization"),
    "groq": ("api.groq.com", "/openai/v1/chat/completions", "authorization"),
    "mistral": ("api.mistral.ai", "/v1/chat/completions", "authorization"),
    "cohere": ("api.cohere.ai", "/compatibility/v1/chat/completions", "authorization"),
    "openrouter": ("openrouter.ai", "/api/v1/chat/completions", "authorization"),
    "together": ("api.together.ai", "/v1/chat/completions", "authorization"),
    "fireworks": ("api.fireworks.ai", "/inference/v1/chat/completions", "authorization"),
    "perplexity": ("api.perplexity.ai", "/v1/responses", "authorization"),
    "moonshot": ("api.moonshot.ai", "/v1/chat/completions", "authorization"),
    "ollama": ("api.house.example", "/v1/chat/completions", "authorization"),
    "vllm": ("api.house.example", "/v1/chat/completions", "authorization"),
}


def store(house: ServedHouse, provider: str, **update: object) -> None:
    """Store a provider with every secret it knows of one kind, and an address where it has none of its own."""
    spec = CATALOG.providers[provider]
    keys = {field.name: SECRET for field in spec.fields if not field.public and "KEY" in field.name and "AWS" not in field.name}
    keys |= {name: "https://api.house.example/v1" for name in spec.address_fields if spec.base_url is None and "GATEWAY" not in name}
    if provider == "bedrock":
        keys = {"AWS_BEARER_TOKEN_BEDROCK": SECRET}
    answer = house.client().put(f"/api/model-providers/{provider}", json={"enabled": True, "customKeys": keys, **update})
    assert answer.status_code == 200, answer.text


def test_every_provider_with_chat_is_here_or_needs_a_library():
    having = {
        spec.id for spec in CATALOG.providers.values() if spec.calling and any("chat" in route.endpoints for route in spec.calling.routes)
    }
    assert having - set(CHAT) == {"vertex_ai"}


@pytest.mark.parametrize("provider", CHAT)
def test_a_chat_goes_where_the_provider_is_and_comes_back(house, internet, provider):
    store(house, provider)
    host, path, header = CHAT[provider]
    with openai_client(house.address, house.keys.project_key) as client:
        whole = client.chat.completions.create(model=f"{provider}/m", messages=QUESTION)
        chunks = list(client.chat.completions.create(model=f"{provider}/m", messages=QUESTION, stream=True))
    assert whole.choices[0].message.content.startswith("You said: ")
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.total_tokens > 0
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).startswith("You said: ")
    (called, request), (_, streamed) = internet.asked
    assert called == host
    assert request.line.split(b" ")[1].decode() == path
    assert streamed.line.split(b" ")[1].decode().startswith(path)
    assert request.header(b"host") == [host.encode()]
    assert request.header(header.encode()) == [SECRET.encode() if header != "authorization" else f"Bearer {SECRET}".encode()]
    assert house.keys.project_key.encode() not in request.head + request.body


@pytest.mark.parametrize("provider", CHAT)
def test_an_anthropic_client_can_use_any_model(house, internet, provider):
    store(house, provider)
    transport = httpx2.Client(trust_env=False, verify=NO_CERTIFICATES)
    with anthropic.Anthropic(base_url=house.address, api_key=house.keys.project_key, max_retries=0, http_client=transport) as client:
        whole = client.messages.create(model=f"{provider}/m", max_tokens=100, messages=QUESTION)
        with client.messages.stream(model=f"{provider}/m", max_tokens=100, messages=QUESTION) as stream:
            streamed = stream.get_final_message()
    assert whole.content[0].text.startswith("You said: ")
    assert streamed.content[0].text.startswith("You said: ")
    assert (whole.stop_reason, streamed.stop_reason) == ("end_turn", "end_turn")
    assert whole.usage.output_tokens > 0


@pytest.mark.parametrize("provider", ["anthropic", "bedrock", "cohere", "gemini", "mistral", "together"])
def test_a_client_of_responses_can_use_any_model(house, internet, provider):
    store(house, provider)
    host, path, _ = CHAT[provider]
    with openai_client(house.address, house.keys.project_key) as client:
        whole = client.responses.create(model=f"{provider}/m", input="What is new?", max_output_tokens=100)
        with client.responses.stream(model=f"{provider}/m", input="What is new?") as stream:
            streamed = stream.get_final_response()
    assert whole.output_text == streamed.output_text
    assert whole.output_text.startswith("You said: ")
    assert (whole.status, whole.usage.output_tokens > 0) == ("completed", True)
    assert (internet.asked[0][0], internet.asked[0][1].line.split(b" ")[1].decode()) == (host, path)


def test_claude_on_azure_answers_every_kind_of_client(house, internet):
    store(house, "azure")
    model = "azure/claude-opus-5-5"
    with openai_client(house.address, house.keys.project_key) as client:
        chat = client.chat.completions.create(model=model, messages=QUESTION).choices[0].message.content
        response = client.responses.create(model=model, input="What is new?").output_text
    body = {"model": model, "max_tokens": 9, "messages": QUESTION}
    message = house.client().post("/v1/messages", json=body).json()["content"][0]["text"]
    assert all(text.startswith("You said") for text in (chat, response, message))
    for host, request in internet.asked:
        assert (host, request.line) == ("api.house.example", b"POST /v1/anthropic/v1/messages HTTP/1.1")
        assert request.header(b"x-api-key") == [SECRET.encode()]
        assert (request.header(b"api-key"), request.header(b"anthropic-version")) == ([], [b"2023-06-01"])
        assert json.loads(request.body)["model"] == "claude-opus-5-5"
    assert len(internet.asked) == 3
    house.client().post("/v1/messages/count_tokens", json=body)
    assert internet.asked[-1][1].line == b"POST /v1/anthropic/v1/messages/count_tokens HTTP/1.1"


BETAS = [
    ("claude-code-20250219, advisor-tool-2026-03-01,effort-2025-11-24", [b"claude-code-20250219,effort-2025-11-24"]),
    ("advisor-tool-2026-03-01", []),
    ("claude-code-20250219, effort-2025-11-24", [b"claude-code-20250219, effort-2025-11-24"]),
    ("advisor-tool-2026-03-01, ,", []),
    (",advisor-tool-2026-03-01,effort-2025-11-24,", [b"effort-2025-11-24"]),
    ("advisor-tool-2026-03-01,advisor-tool-2026-03-01", []),
]


@pytest.mark.parametrize(("stated", "sent"), BETAS)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_claude_on_azure_is_not_asked_for_an_advisor_that_it_lacks(house, internet, path, stated, sent):
    store(house, "azure")
    body = {"model": "azure/claude-opus-5-5", "max_tokens": 9, "messages": QUESTION}
    answer = house.client().post(path, json=body, headers={"anthropic-beta": stated})
    [(_, request)] = internet.asked
    assert request.header(b"anthropic-beta") == sent
    named = "anthropic-beta: advisor-tool-2026-03-01" if "advisor" in stated else None
    assert (answer.status_code, answer.headers.get("x-keyhouse-params-dropped")) == (200, named)


def test_nothing_is_asked_of_claude_on_azure_without_an_advisor_where_nothing_may_be_dropped(house, internet):
    store(house, "azure")
    body = {"model": "azure/claude-opus-5-5", "max_tokens": 9, "messages": QUESTION}
    headers = {"anthropic-beta": "advisor-tool-2026-03-01"}
    answer = house.client().post("/v1/messages", json={**body, "drop_tuning_params": False}, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("anthropic-beta: advisor-tool-2026-03-01: ")
    assert internet.asked == []
    assert house.client().post("/v1/messages", json={**body, "drop_tuning_params": True}, headers=headers).status_code == 200


def test_a_tool_runner_of_anthropics_client_goes_on_without_a_thread(house, internet):
    store(house, "groq")

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """The weather."""
        return f"Rain in {city}"

    transport = httpx2.Client(trust_env=False, verify=NO_CERTIFICATES)
    with anthropic.Anthropic(base_url=house.address, api_key=house.keys.project_key, max_retries=0, http_client=transport) as client:
        runner = client.beta.messages.tool_runner(model="groq/m", max_tokens=99, tools=[weather], messages=QUESTION, max_iterations=2)
        answers = list(runner)
    assert [answer.content[0].type for answer in answers] == ["tool_use", "tool_use"]
    assert json.loads(internet.asked[1][1].body)["messages"][2]["content"] == "Rain in Oslo"


@pytest.mark.parametrize(("provider", "limit"), [("openai", "max_completion_tokens"), ("mistral", "max_tokens"), ("groq", "max_tokens")])
def test_each_server_gets_the_limit_under_the_name_it_knows(house, internet, provider, limit):
    store(house, provider)
    body = {"model": f"{provider}/m", "max_tokens": 100, "messages": QUESTION, "stream": True}
    house.client().post("/v1/messages", json=body)
    sent = json.loads(internet.asked[0][1].body)
    assert sent[limit] == 100
    assert {"max_tokens", "max_completion_tokens"} & set(sent) == {limit}
    assert ("stream_options" in sent) == (provider != "mistral")


@pytest.mark.parametrize(("provider", "user"), [("openai", "u-1"), ("mistral", None)])
def test_each_server_is_told_of_the_user_if_it_takes_one(house, internet, provider, user):
    store(house, provider)
    body = {"model": f"{provider}/m", "max_tokens": 100, "messages": QUESTION, "metadata": {"user_id": "u-1"}}
    answer = house.client().post("/v1/messages", json=body)
    assert json.loads(internet.asked[0][1].body).get("user") == user
    assert answer.headers.get("x-keyhouse-params-dropped") == (None if user else "metadata")


@pytest.mark.parametrize(("model", "effort"), [("gpt-4o", None), ("o3-mini", "high"), ("unheard-of", "high")])
def test_thinking_is_asked_of_models_that_may_reason(house, internet, model, effort):
    store(house, "openai")
    body = {"model": f"openai/{model}", "max_tokens": 30000, "messages": QUESTION, "thinking": {"type": "enabled", "budget_tokens": 20000}}
    answer = house.client().post("/v1/messages", json=body)
    assert json.loads(internet.asked[0][1].body).get("reasoning_effort") == effort
    assert answer.headers.get("x-keyhouse-params-dropped") == (None if effort else "thinking")


@pytest.mark.parametrize(("version", "limit"), [("", "max_tokens"), ("2024-10-21", "max_completion_tokens")])
def test_an_azure_gateway_gets_the_limit_under_the_name_its_version_knows(house, internet, version, limit):
    keys = {"AZURE_OPENAI_API_KEY": SECRET, "AZURE_API_GATEWAY_BASE_URL": "https://api.house.example"}
    store(house, "azure", customKeys={**keys, **({"AZURE_API_GATEWAY_VERSION": version} if version else {})})
    house.client().post("/v1/messages", json={"model": "azure/m", "max_tokens": 100, "messages": QUESTION, "stream": True})
    sent = json.loads(internet.asked[0][1].body)
    assert {"max_tokens", "max_completion_tokens"} & set(sent) == {limit}
    assert ("stream_options" in sent) == bool(version)


def test_a_bedrock_error_keeps_its_status_and_the_client_raises_as_for_any_other(house, internet):
    store(house, "bedrock")
    with openai_client(house.address, house.keys.project_key) as client, pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="bedrock/error", messages=QUESTION)
    assert raised.value.body["message"] == "Slow down."
    assert len(internet.asked) == 1


def test_parameters_without_an_equivalent_are_dropped_and_named_or_refused(house, internet):
    store(house, "anthropic")
    body = {"model": "anthropic/claude-haiku-4-5", "messages": QUESTION, "seed": 1, "temperature": 1.7}
    http = house.client()
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.headers["x-keyhouse-params-dropped"] == "seed"
    assert answer.headers["x-keyhouse-enforced"] == "temperature=1"
    sent = json.loads(internet.asked[0][1].body)
    assert "seed" not in sent
    assert sent["temperature"] == 1
    for refused in ({**body, "drop_tuning_params": False}, {**body, "n": 3}):
        answer = http.post("/v1/chat/completions", json=refused)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_parameter")
    assert len(internet.asked) == 1


def test_an_anthropic_client_gives_gemini_its_signatures_back(house, internet):
    store(house, "gemini")
    extra = {"google": {"thought_signature": "c2ln"}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": extra}
    answer = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    internet.answering = lambda host, request: json_answer({"id": "x", "model": "g", "choices": [answer]})
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    transport = httpx2.Client(trust_env=False, verify=NO_CERTIFICATES)
    with anthropic.Anthropic(base_url=house.address, api_key=house.keys.project_key, max_retries=0, http_client=transport) as client:
        first = client.messages.create(model="gemini/gemini-3-pro", max_tokens=9, messages=QUESTION, tools=tools)
        said = {"role": "assistant", "content": first.content}
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "ok"}]}
        client.messages.create(model="gemini/gemini-3-pro", max_tokens=9, messages=[*QUESTION, said, result], tools=tools)
    internet.answering = answered
    assert json.loads(internet.asked[1][1].body)["messages"][1] == {"role": "assistant", "tool_calls": [call]}


def test_embeddings_of_voyage_come_in_openais_shape(house, internet):
    store(house, "voyage")
    with openai_client(house.address, house.keys.project_key) as client:
        made = client.embeddings.create(model="voyage/voyage-3", input=["Hi"], dimensions=256)
    assert made.data[0].embedding == [0.25, -0.5]
    assert (made.usage.prompt_tokens, made.usage.total_tokens) == (6, 6)
    [(host, request)] = internet.asked
    assert (host, json.loads(request.body)) == (
        "api.voyageai.com",
        {"input": ["Hi"], "output_dimension": 256, "encoding_format": "base64", "model": "voyage-3"},
    )


def test_reranking_has_one_shape(house, internet):
    store(house, "voyage")
    store(house, "cohere")
    body = {"query": "q", "documents": ["a", "b"], "top_n": 1, "return_documents": True}
    voyage = house.client().post("/v1/rerank", json={**body, "model": "voyage/rerank-2"}).json()
    cohere = house.client().post("/v1/rerank", json={**body, "model": "cohere/rerank-v4.0"}).json()
    assert voyage["results"] == [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]
    assert voyage["meta"]["tokens"]["input_tokens"] == 6
    assert cohere["results"][0]["index"] == 1
    sent = [(host, json.loads(request.body)) for host, request in internet.asked]
    assert sent[0] == (
        "api.voyageai.com",
        {"model": "rerank-2", "query": "q", "documents": ["a", "b"], "top_k": 1, "return_documents": True},
    )
    assert sent[1] == ("api.cohere.com", {**body, "model": "rerank-v4.0"})


def test_speech_of_elevenlabs_by_openais_client(house, internet):
    store(house, "elevenlabs")
    with openai_client(house.address, house.keys.project_key) as client:
        spoken = client.audio.speech.create(model="eleven_v3", input="Hi", voice="voice/1", response_format="opus", speed=1.1)
        with pytest.raises(openai.BadRequestError, match="response_format"):
            client.audio.speech.create(model="eleven_v3", input="Hi", voice="v", response_format="flac")
    assert spoken.content == openai_api.SOUND
    [(host, request)] = internet.asked
    assert host == "api.elevenlabs.io"
    assert request.line == b"POST /v1/text-to-speech/voice%2F1/stream?output_format=opus_48000_128 HTTP/1.1"
    assert request.header(b"xi-api-key") == [SECRET.encode()]
    assert json.loads(request.body) == {"text": "Hi", "model_id": "eleven_v3", "voice_settings": {"speed": 1.1}}


@pytest.mark.parametrize(("asked", "sent"), [(4.0, 1.2), (0.25, 0.7), (1.2, 1.2), (0.7, 0.7)])
def test_speech_of_elevenlabs_is_as_fast_as_it_can_be(house, internet, asked, sent):
    store(house, "elevenlabs")
    answer = house.client().post("/v1/audio/speech", json={"model": "eleven_v3", "input": "Hi", "voice": "v", "speed": asked})
    assert json.loads(internet.asked[0][1].body)["voice_settings"] == {"speed": sent}
    assert answer.headers.get("x-keyhouse-enforced") == (None if asked == sent else f"speed={sent}")


@pytest.mark.parametrize(
    ("provider", "path", "body"),
    [
        ("voyage", "/v1/embeddings", {"model": "voyage/m", "input": "Hi"}),
        ("voyage", "/v1/rerank", {"model": "voyage/m", "query": "q", "documents": ["a", "b"]}),
        ("elevenlabs", "/v1/audio/speech", {"model": "eleven_v3", "input": "Hi", "voice": "v"}),
    ],
)
def test_a_member_that_is_null_is_not_given(house, internet, provider, path, body):
    store(house, provider)
    nothing = dict.fromkeys(("user", "top_n", "speed", "instructions", "drop_tuning_params", "metadata", "guardrails"))
    for given in (body, {**nothing, **body}):
        answer = house.client().post(path, json=given)
        assert (answer.status_code, answer.headers.get("x-keyhouse-params-dropped")) == (200, None)
    [without, with_nulls] = [request.body for _, request in internet.asked]
    assert with_nulls == without


def test_transcription_of_elevenlabs_by_openais_client(house, internet):
    store(house, "elevenlabs")
    with openai_client(house.address, house.keys.project_key) as client:
        heard = client.audio.transcriptions.create(
            model="elevenlabs/scribe_v2", file=("a.wav", b"RIFF\r\n--x" * 99), language="en", prompt="p"
        )
        text = client.audio.transcriptions.create(model="scribe_v2", file=("a.wav", b"RIFF"), response_format="text")
    assert heard.text == "Hello"
    assert text == "Hello\n"
    request = internet.asked[0][1]
    assert request.line == b"POST /v1/speech-to-text HTTP/1.1"
    assert b'name="model_id"\r\n\r\nscribe_v2\r\n' in request.body
    assert b'name="language_code"\r\n\r\nen\r\n' in request.body
    assert b"RIFF\r\n--x" * 99 in request.body
    assert b"prompt" not in request.body


@pytest.mark.parametrize(
    ("members", "sent", "dropped"),
    [
        ({"keywords": ["Keyhouse", "sealed box"]}, [(b"keyterms", b"Keyhouse"), (b"keyterms", b"sealed box")], None),
        ({"languages": ["no"]}, [(b"language_code", b"no")], None),
        ({"languages": ["no", "sv"]}, [], "languages[]"),
        ({"language": "da", "languages": ["no"]}, [(b"language_code", b"da")], "languages[]"),
        (
            {"known_speaker_names": ["Ann"], "known_speaker_references": ["data:audio/wav;base64,aGk="]},
            [],
            "known_speaker_names[], known_speaker_references[]",
        ),
    ],
)
def test_what_openais_newest_transcription_is_told_reaches_elevenlabs(house, internet, members, sent, dropped):
    store(house, "elevenlabs")
    with openai_client(house.address, house.keys.project_key) as client:
        answer = client.audio.transcriptions.with_raw_response.create(model="scribe_v2", file=("a.wav", b"RIFF"), **members)
    assert answer.headers.get("x-keyhouse-params-dropped") == dropped
    found = re.findall(rb'name="(keyterms|language_code)"\r\n\r\n([^\r]*)\r\n', internet.asked[0][1].body)
    assert found == sent
    assert b"speaker" not in internet.asked[0][1].body


def test_text_that_is_no_utf_8_is_told_of_by_whoever_reads_it(house, internet):
    store(house, "elevenlabs")
    spoken = house.client().post("/v1/audio/speech", content=b'{"model":"eleven_v3","input":"Hi","voice":"\xff"}')
    assert (spoken.status_code, spoken.json()["error"]["code"]) == (400, "bad_request")
    internet.answering = lambda host, request: response(b'{"text":"\xff"}')
    heard = house.client().post("/v1/audio/transcriptions", data={"model": "scribe_v2"}, files={"file": b"RIFF"})
    internet.answering = answered
    assert (heard.status_code, heard.json()["error"]["code"]) == (502, "upstream_invalid_answer")


def test_an_error_stated_in_detail_comes_back_in_the_envelope(house, internet):
    store(house, "voyage")
    answer = house.client().post("/v1/embeddings", json={"model": "voyage/m", "input": [1]})
    assert answer.json()["error"]["code"] == "unsupported_parameter"
    internet.answering = lambda host, request: json_answer({"detail": "No such model."}, b"400 Bad Request")
    answer = house.client().post("/v1/embeddings", json={"model": "voyage/m", "input": "Hi"})
    internet.answering = answered
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "No such model.")


def test_a_tunnel_that_is_refused_is_tried_again(serve, authority):  # noqa: F811
    internet = Internet(answered, authority.server_context, refusals=2)
    with running_upstream(internet.script) as proxy:
        house = serve(https_proxy=proxy.address, ca_file=authority.ca_file)
        store(house, "openai")
        assert house.client().post("/v1/chat/completions", json={"model": "gpt-5", "messages": QUESTION}).status_code == 200
        assert internet.tunnels == 3


def test_retries_can_be_turned_off_for_the_house(serve, authority):  # noqa: F811
    internet = Internet(answered, authority.server_context, refusals=1)
    with running_upstream(internet.script) as proxy:
        house = serve(https_proxy=proxy.address, ca_file=authority.ca_file, upstream_retries=0)
        store(house, "openai")
        answer = house.client().post("/v1/chat/completions", json={"model": "gpt-5", "messages": QUESTION})
        assert answer.json()["error"]["code"] == "upstream_unreachable"
        assert internet.tunnels == 1


def test_a_certificate_of_an_unknown_authority_is_an_error_of_its_own(serve, authority):  # noqa: F811
    internet = Internet(answered, authority.server_context)
    with running_upstream(internet.script) as proxy:
        house = serve(https_proxy=proxy.address)
        store(house, "openai")
        answer = house.client().post("/v1/chat/completions", json={"model": "gpt-5", "messages": QUESTION})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_tls_error")
    assert internet.tunnels == 1
