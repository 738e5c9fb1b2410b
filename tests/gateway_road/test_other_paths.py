"""Clients of Azure, of Groq and of Cohere's second API put the same endpoints under paths of their own, and are served there."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import NO_CERTIFICATES
from tests.gateway_road import anthropic_api
from tests.gateway_road.conftest import Road

QUESTION: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def azure(road: Road) -> Iterator[openai.AzureOpenAI]:
    """The official client of Azure, unmodified, pointed at the house."""
    with (
        httpx.Client(trust_env=False, verify=NO_CERTIFICATES) as http,
        openai.AzureOpenAI(
            azure_endpoint=road.house.address,
            api_key=road.house.keys.project_key,
            api_version="2024-10-21",
            max_retries=0,
            http_client=http,
        ) as client,
    ):
        yield client


def test_the_azure_client_chats(road: Road, azure: openai.AzureOpenAI) -> None:
    road.store()
    assert azure.chat.completions.create(model="openai/gpt-5-mini", messages=QUESTION).choices[0].message.content == "You said: Hi"
    assert (road.request.line, road.sent["model"]) == (b"POST /v1/chat/completions HTTP/1.1", "gpt-5-mini")


def test_the_azure_client_streams(road: Road, azure: openai.AzureOpenAI) -> None:
    road.store()
    chunks = azure.chat.completions.create(model="gpt-5-mini", messages=QUESTION, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: Hi"


def test_the_azure_client_has_the_other_endpoints(road: Road, azure: openai.AzureOpenAI) -> None:
    road.store()
    assert azure.embeddings.create(model="text-embedding-3-small", input="Hi").data[0].embedding == [0.25, -0.5]
    assert azure.responses.create(model="gpt-5-mini", input="Hi").output_text == "You said: Hi"
    assert azure.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF")).text == "True True False"
    assert "openai/gpt-5-mini" in {model.id for model in azure.models.list()}
    assert azure.models.retrieve("openai/gpt-5-mini").owned_by == "openai"


def test_the_deployment_decides_before_the_body(road: Road) -> None:
    road.store()
    client: Any = openai.AzureOpenAI(
        azure_endpoint=road.house.address,
        azure_deployment="gpt-5-mini",
        api_key=road.house.keys.project_key,
        api_version="2024-10-21",
        http_client=httpx.Client(trust_env=False, verify=NO_CERTIFICATES),
    )
    with client:
        client.chat.completions.create(model="whatever", messages=QUESTION)
    assert road.sent["model"] == "gpt-5-mini"


def test_a_deployment_needs_no_model_in_the_body(road: Road) -> None:
    road.store()
    answer = road.post("/openai/deployments/openai%2Fgpt-5-mini/chat/completions", {"messages": QUESTION})
    assert (answer.status_code, road.sent["model"]) == (200, "gpt-5-mini")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/deployments/claude-opus-4-8/chat/completions", {"messages": QUESTION}),
        ("/openai/deployments/claude-opus-4-8/chat/completions", {"messages": QUESTION, "model": None}),
        ("/openai/deployments/claude-opus-4-8/responses", {"input": "Hi"}),
    ],
)
def test_a_translated_deployment_needs_no_model_in_the_body_either(road: Road, path: str, body: dict[str, Any]) -> None:
    road.put("anthropic", {"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": road.upstream.address})
    road.answers(anthropic_api.answer)
    answer = road.post(path, body)
    assert (answer.status_code, road.sent["model"]) == (200, "claude-opus-4-8")


def test_an_unknown_deployment_is_told_by_its_name(road: Road, azure: openai.AzureOpenAI) -> None:
    road.store_custom(customModels=["own"])
    road.store()
    with pytest.raises(openai.BadRequestError) as caught:
        azure.chat.completions.create(model="no-such-model", messages=QUESTION)
    assert (caught.value.code, "no-such-model" in caught.value.message) == ("model_not_found", True)


@pytest.mark.parametrize("path", ["/openai/v1", "/openai"])
def test_an_openai_client_keeps_azures_or_groqs_path(road: Road, path: str) -> None:
    road.store()
    with (
        httpx.Client(trust_env=False, verify=NO_CERTIFICATES) as http,
        openai.OpenAI(base_url=road.house.address + path, api_key=road.house.keys.project_key, http_client=http) as client,
    ):
        assert client.chat.completions.create(model="gpt-5-mini", messages=QUESTION).choices[0].message.content == "You said: Hi"
        assert client.models.retrieve("gpt-5-mini").owned_by == "openai"


def test_the_second_rerank_path_of_cohere_is_the_first(road: Road) -> None:
    answer = road.post("/v2/rerank", {"model": "none", "query": "q", "documents": ["a"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model_not_found")


@pytest.mark.parametrize(
    "path", ["/openai/files", "/openai/deployments/gpt-5-mini/extensions", "/openai/deployments/gpt-5-mini", "/v2/chat"]
)
def test_what_is_not_there_is_told_in_json(road: Road, path: str) -> None:
    answer = road.post(path, {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")
