"""Servers of OpenAI's shape at a project's own address that have not every endpoint: what they have is called instead."""

import itertools
import json

import openai
import pytest

from keyhouse.gateway.missing_paths import MissingPaths
from tests.gateway_road import anthropic_api, openai_api
from tests.gateway_road.conftest import openai_client
from tests.gateway_road.upstreams import json_answer

_NUMBERS = itertools.count()
FASTAPI = json_answer({"detail": "Not Found"}, b"404 Not Found")
NGINX = b"HTTP/1.1 405 Not Allowed\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
TOOLS = [{"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}, "strict": False}]


def _without(*paths, refusal=FASTAPI):
    def answer(request):
        path = request.line.split(b" ")[1].decode().partition("/v1")[2]
        return refusal if path in paths else openai_api.answer(request)

    return answer


@pytest.fixture
def base(road):
    """A base URL that no test had before: what a server lacks is remembered by address."""
    return f"{road.upstream.address}/{next(_NUMBERS)}/v1"


@pytest.fixture
def client(road):
    with openai_client(road.house.address, road.house.keys.project_key) as made:
        yield made


def _paths(road):
    return [request.line.split(b" ")[1].decode().partition("/v1")[2] for request in road.upstream.requests]


@pytest.mark.parametrize("refusal", [FASTAPI, NGINX], ids=["404", "405"])
@pytest.mark.parametrize(("provider", "prefix"), [("custom", "CUSTOM"), ("openai", "OPENAI"), ("vllm", "VLLM")])
def test_responses_are_answered_by_chat_where_a_server_has_none(road, base, client, provider, prefix, refusal):
    road.put(provider, {f"{prefix}_API_KEY": openai_api.KEY, f"{prefix}_BASE_URL": base})
    road.answers(_without("/responses", refusal=refusal))
    model = f"{provider}/gpt-5-mini"
    whole = client.responses.create(model=model, input="Hi")
    assert "You said: Hi" in whole.output_text
    with client.responses.stream(model=model, input="Hi") as stream:
        assert stream.get_final_response().output_text == whole.output_text
    [call] = client.responses.create(model=model, input="Hi", tools=TOOLS).output
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert _paths(road) == ["/responses", *["/chat/completions"] * 3], "that it has none is remembered"


def test_messages_are_answered_by_chat_where_a_server_has_neither_them_nor_responses(road, base):
    road.put("openai", {"OPENAI_API_KEY": openai_api.KEY, "OPENAI_BASE_URL": base})
    road.put("vllm", {"VLLM_API_KEY": openai_api.KEY, "VLLM_BASE_URL": base})
    road.answers(_without("/responses", "/messages"))
    for model in ("openai/gpt-5.2", "vllm/qwen"):
        answer = road.post("/v1/messages", {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["content"][0]["text"].startswith("You said: ")
    assert _paths(road) == ["/responses", "/chat/completions", "/messages", "/chat/completions"]


def test_a_model_that_is_missing_is_told_of_as_the_server_does(road, base, client):
    road.put("custom", {"CUSTOM_API_KEY": openai_api.KEY, "CUSTOM_BASE_URL": base})
    missing = {"error": {"message": "The model `no` does not exist", "type": "not_found", "param": None, "code": "model_not_found"}}
    road.answers(json_answer(missing, b"404 Not Found"))
    with pytest.raises(openai.NotFoundError) as raised:
        client.responses.create(model="custom/no", input="Hi")
    assert raised.value.code == "model_not_found"
    assert json.loads(raised.value.response.content) == missing
    road.answers(openai_api.answer)
    client.responses.create(model="custom/gpt-5-mini", input="Hi")
    assert _paths(road)[-1] == "/responses", "nothing was learned from it"


def test_what_chat_cannot_do_is_answered_by_the_server_itself(road, base, client):
    road.put("custom", {"CUSTOM_API_KEY": openai_api.KEY, "CUSTOM_BASE_URL": base})
    road.answers(json_answer({"error": {"message": "No response resp_1."}}, b"404 Not Found"))
    with pytest.raises(openai.NotFoundError, match="No response resp_1"):
        client.responses.create(model="custom/gpt-5-mini", input="Hi", previous_response_id="resp_1")
    assert _paths(road) == ["/responses"]


def test_an_error_of_the_chat_is_the_answer(road, base, client):
    road.put("custom", {"CUSTOM_API_KEY": openai_api.KEY, "CUSTOM_BASE_URL": base})
    road.answers(_without("/responses"))
    with pytest.raises(openai.RateLimitError) as raised:
        client.responses.create(model="custom/error-429", input="Hi")
    assert raised.value.response.headers["retry-after"] == "30"
    road.answers(openai_api.answer)
    client.responses.create(model="custom/gpt-5-mini", input="Hi")
    assert _paths(road)[-1] == "/responses", "nothing was learned from it"


def test_a_server_with_one_endpoint_for_a_callers_is_asked_once(road, client):
    road.put("anthropic", {"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": road.upstream.address})
    road.answers(FASTAPI)
    assert road.post("/v1/messages", {"model": "claude-opus-5-5", "max_tokens": 9, "messages": []}).status_code == 404
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="claude-opus-5-5", input="Hi")
    assert len(road.upstream.requests) == 2


def test_what_is_missing_is_asked_for_again_after_a_while():
    now = [1000.0]
    missing = MissingPaths(lambda: now[0])
    assert not missing.knows("http://a/responses")
    missing.note("http://a/responses")
    now[0] += 599
    assert (missing.knows("http://a/responses"), missing.knows("http://b/responses")) == (True, False)
    now[0] += 2
    assert not missing.knows("http://a/responses")
