"""The connection test of every provider at its own address, through a proxy and a private authority: what is asked of whom, and judged."""

import json
import secrets
from collections.abc import Iterator

import pytest

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.calling import ConnectionCheck
from tests.conftest import ADMIN_KEY, ServedHouse
from tests.gateway.conftest import Authority, authority  # noqa: F401 - a fixture
from tests.gateway.fault_upstream import ReceivedRequest, response
from tests.gateway.test_google_token import key_file
from tests.gateway_road.internet import Internet, house_in
from tests.gateway_road.upstreams import json_answer

CATALOG = load_catalog()
SECRET = "a-secret-of-the-provider-12345"
HOUSE = "https://api.house.example/v1"
ACCOUNT = key_file("https://oauth2.googleapis.com/token")
BEARER = f"Bearer {SECRET}"

# What is stored; the host and target that are asked; the header that bears the credentials, and what it begins with.
ASKED = {
    "custom": ({"CUSTOM_BASE_URL": HOUSE, "CUSTOM_API_KEY": SECRET}, "api.house.example", "/v1/models", "authorization", BEARER),
    "openai": ({"OPENAI_API_KEY": SECRET}, "api.openai.com", "/v1/models", "authorization", BEARER),
    "anthropic": ({"ANTHROPIC_API_KEY": SECRET}, "api.anthropic.com", "/v1/models", "x-api-key", SECRET),
    "gemini": ({"GEMINI_API_KEY": SECRET}, "generativelanguage.googleapis.com", "/v1beta/models", "x-goog-api-key", SECRET),
    "elevenlabs": ({"ELEVENLABS_API_KEY": SECRET}, "api.elevenlabs.io", "/v1/models", "xi-api-key", SECRET),
    "azure": (
        {"AZURE_OPENAI_API_KEY": SECRET, "AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com", "AZURE_OPENAI_API_VERSION": "2024-10-21"},
        "a.openai.azure.com",
        "/openai/models?api-version=2024-10-21",
        "api-key",
        SECRET,
    ),
    "azure, v1": (
        {"AZURE_OPENAI_API_KEY": SECRET, "AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com"},
        "a.openai.azure.com",
        "/openai/v1/models",
        "api-key",
        SECRET,
    ),
    "bedrock": ({"AWS_BEARER_TOKEN_BEDROCK": SECRET}, "bedrock.us-east-1.amazonaws.com", "/foundation-models", "authorization", BEARER),
    "bedrock, signed": (
        {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION_NAME": "eu-central-1"},
        "bedrock.eu-central-1.amazonaws.com",
        "/foundation-models",
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/",
    ),
    "vertex_ai": (
        {"GOOGLE_APPLICATION_CREDENTIALS": ACCOUNT, "VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "europe-west4"},
        "europe-west4-aiplatform.googleapis.com",
        "/v1beta1/publishers/google/models",
        "authorization",
        "Bearer a-google-token",
    ),
    "deepseek": ({"DEEPSEEK_API_KEY": SECRET}, "api.deepseek.com", "/models", "authorization", BEARER),
    "xai": ({"XAI_API_KEY": SECRET}, "api.x.ai", "/v1/models", "authorization", BEARER),
    "cerebras": ({"CEREBRAS_API_KEY": SECRET}, "api.cerebras.ai", "/v1/models", "authorization", BEARER),
    "groq": ({"GROQ_API_KEY": SECRET}, "api.groq.com", "/openai/v1/models", "authorization", BEARER),
    "mistral": ({"MISTRAL_API_KEY": SECRET}, "api.mistral.ai", "/v1/models", "authorization", BEARER),
    "cohere": ({"COHERE_API_KEY": SECRET}, "api.cohere.com", "/v1/models", "authorization", BEARER),
    "openrouter": ({"OPENROUTER_API_KEY": SECRET}, "openrouter.ai", "/api/v1/key", "authorization", BEARER),
    "together": ({"TOGETHER_API_KEY": SECRET}, "api.together.ai", "/v1/models", "authorization", BEARER),
    "fireworks": ({"FIREWORKS_API_KEY": SECRET}, "api.fireworks.ai", "/inference/v1/models", "authorization", BEARER),
    "moonshot": ({"MOONSHOT_API_KEY": SECRET}, "api.moonshot.ai", "/v1/models", "authorization", BEARER),
    "ollama": ({"OLLAMA_BASE_URL": HOUSE, "OLLAMA_API_KEY": SECRET}, "api.house.example", "/v1/models", "authorization", BEARER),
    "vllm": ({"VLLM_BASE_URL": HOUSE, "VLLM_API_KEY": SECRET}, "api.house.example", "/v1/models", "authorization", BEARER),
}
UNCHECKED = {"voyage", "perplexity", "openai_codex", "azure_safety", "google_agent_platform"}


def answer_of(check: ConnectionCheck) -> object:
    """An answer as a check expects it, of one model."""
    if check.items is not None:
        models = [{check.id: f"{check.id_prefix}m"}]
        return models if check.items == "" else {check.items: models}
    return [] if check.answer == "" else {check.answer: []}


def check_of(provider: str, stored: dict[str, str]) -> ConnectionCheck:
    calling = CATALOG.providers[provider].calling
    assert calling is not None
    route = calling.route(calling.values(stored))
    assert route is not None
    assert route.check is not None
    return route.check


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[tuple[ServedHouse, Internet]]:  # noqa: F811
    """A house whose way out leads to that proxy."""
    internet = Internet(lambda host, request: b"", authority.server_context)
    with house_in(internet, tmp_path_factory.mktemp("world"), authority) as house:
        yield house, internet


def verdict_on(house: ServedHouse, provider: str, stored: dict[str, str], **update: object) -> dict[str, object]:
    """The verdict on a provider, in a new organization: the limit of tests is one's own."""
    with house.client(Authorization=f"Bearer {ADMIN_KEY}") as instance:
        made = instance.post("/api/organizations", json={"name": secrets.token_hex(8)}).json()
    wanted = {"name": "p", "language": "python", "framework": "none", "teamId": made["team"]["id"]}
    with house.client(made["adminApiKey"]["token"]) as admin:
        key = admin.post("/api/projects", json=wanted).json()["serviceApiKey"]
    with house.client(key) as client:
        put = client.put(f"/api/model-providers/{provider}", json={"enabled": True, "customKeys": stored, **update})
        assert put.status_code == 200, put.text
        verdict: dict[str, object] = client.post(f"/api/model-providers/{provider}/test").json()
        return verdict


def token_or(answering: bytes, request: ReceivedRequest) -> bytes:
    if request.line.startswith(b"POST /token "):
        return json_answer({"access_token": "a-google-token", "expires_in": 3600})
    return answering


def test_every_provider_is_here() -> None:
    called = {name.partition(",")[0] for name in ASKED}
    assert called | UNCHECKED == set(CATALOG.providers)


@pytest.mark.parametrize("name", ASKED)
def test_good_credentials_are_verified_at_the_providers_own_address(world: tuple[ServedHouse, Internet], name: str) -> None:
    house, internet = world
    provider = name.partition(",")[0]
    stored, host, target, header, value = ASKED[name]
    good = json_answer(answer_of(check_of(provider, stored)))
    internet.asked.clear()
    internet.answering = lambda host, request: token_or(good, request)
    assert verdict_on(house, provider, stored)["verdict"] == "verified"
    asked_host, request = internet.asked[-1]
    assert (asked_host, request.line) == (host, f"GET {target} HTTP/1.1".encode())
    assert request.header(header.encode())[0].startswith(value.encode())
    assert request.body == b""


@pytest.mark.parametrize("name", ASKED)
def test_a_page_at_the_same_address_never_is(world: tuple[ServedHouse, Internet], name: str) -> None:
    house, internet = world
    provider = name.partition(",")[0]
    for body in (b"<html>Sign in</html>", b'{"status":"ok"}', b'"ok"', json.dumps({"error": {"message": "no"}, "data": []}).encode()):
        internet.answering = lambda host, request, body=body: token_or(response(body), request)  # type: ignore[misc]
        assert verdict_on(house, provider, ASKED[name][0])["verdict"] == "wrong_endpoint"


@pytest.mark.parametrize("name", ASKED)
def test_a_refused_key_is_told(world: tuple[ServedHouse, Internet], name: str) -> None:
    house, internet = world
    provider = name.partition(",")[0]
    stored = ASKED[name][0]
    for status in (401, *check_of(provider, stored).refusals):
        internet.answering = lambda host, request, status=status: token_or(json_answer({}, b"%d No" % status), request)  # type: ignore[misc]
        assert verdict_on(house, provider, stored) == {
            "verdict": "key_refused",
            "message": "The provider refused the stored credentials.",
            "status": status,
        }


@pytest.mark.parametrize("name", [name for name in ASKED if check_of(name.partition(",")[0], ASKED[name][0]).items is not None])
def test_a_model_that_is_not_listed_is_told(world: tuple[ServedHouse, Internet], name: str) -> None:
    house, internet = world
    provider = name.partition(",")[0]
    stored = ASKED[name][0]
    good = json_answer(answer_of(check_of(provider, stored)))
    internet.answering = lambda host, request: token_or(good, request)
    assert verdict_on(house, provider, stored, customModels=["m"])["verdict"] == "verified"
    assert verdict_on(house, provider, stored, customModels=["m", "n"])["verdict"] == "model_missing"


@pytest.mark.parametrize("provider", [spec.id for spec in CATALOG.providers.values() if spec.calling is not None])
def test_no_check_is_a_generation(provider: str) -> None:
    calling = CATALOG.providers[provider].calling
    assert calling is not None
    for route in calling.routes:
        generating = {endpoint.path for endpoints in route.endpoints.values() for endpoint in endpoints}
        assert route.check is None or route.check.path not in generating
