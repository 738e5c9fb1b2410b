"""What the data files say of calling: which address each request goes to, and how it is signed."""

import pytest

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.calling import EndpointName, Route
from keyhouse.domain.provider_spec import ProviderSpec

CATALOG = load_catalog()
CALLED = [spec for spec in CATALOG.providers.values() if spec.calling is not None]
ENDPOINT_OF_MODE: dict[str, EndpointName] = {
    "chat": "chat",
    "embedding": "embeddings",
    "completion": "completions",
    "speech": "speech",
    "transcription": "transcription",
    "image": "images",
    "moderation": "moderations",
    "rerank": "rerank",
}


def route_of(spec: ProviderSpec, stored: dict[str, str]) -> tuple[Route, dict[str, str], str | None]:
    assert spec.calling is not None
    values = spec.calling.values(stored)
    route = spec.calling.route(values)
    assert route is not None
    return route, values, next((stored[name] for name in spec.address_fields if stored.get(name)), spec.base_url)


def url(provider: str, name: EndpointName, model: str, **stored: str) -> str:
    route, values, address = route_of(CATALOG.providers[provider], stored)
    endpoint = route.endpoint(name, model)
    assert endpoint is not None
    return route.url(endpoint.path, values, address, model)


def stream_url(provider: str, name: EndpointName, model: str, **stored: str) -> str:
    route, values, address = route_of(CATALOG.providers[provider], stored)
    endpoint = route.endpoint(name, model)
    assert endpoint is not None
    assert endpoint.stream_path is not None
    return route.url(endpoint.stream_path, values, address, model)


def checked_url(provider: str, **stored: str) -> str | None:
    route, values, address = route_of(CATALOG.providers[provider], stored)
    return route.url(route.check.path, values, address) if route.check else None


def signatures(provider: str, name: EndpointName, model: str = "m", **stored: str) -> list[tuple[str, str | None]]:
    route, values, _ = route_of(CATALOG.providers[provider], stored)
    endpoint = route.endpoint(name, model)
    assert endpoint is not None
    return [(signing.way, signing.header) for signing in endpoint.signings if signing.is_possible(values)]


OPENAI_SHAPED = {
    "openai": "https://api.openai.com/v1",
    "deepseek": "https://api.deepseek.com",
    "xai": "https://api.x.ai/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "together": "https://api.together.ai/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "moonshot": "https://api.moonshot.ai/v1",
}


@pytest.mark.parametrize(("provider", "base"), OPENAI_SHAPED.items())
def test_openai_shaped_providers_are_asked_for_chat_and_for_their_models_by_bearer(provider: str, base: str) -> None:
    key = {CATALOG.providers[provider].fields[0].name: "k"}

    assert url(provider, "chat", "m", **key) == f"{base}/chat/completions"
    assert checked_url(provider, **key) == f"{base}/models"
    assert signatures(provider, "chat", **key) == [("bearer", None)]


@pytest.mark.parametrize(
    ("provider", "field"),
    [("custom", "CUSTOM_BASE_URL"), ("openai", "OPENAI_BASE_URL"), ("ollama", "OLLAMA_BASE_URL"), ("vllm", "VLLM_BASE_URL")],
)
def test_a_stored_base_url_is_used_and_without_a_key_nothing_is_signed(provider: str, field: str) -> None:
    assert url(provider, "chat", "m", **{field: "http://127.0.0.1:11434/v1/"}) == "http://127.0.0.1:11434/v1/chat/completions"
    assert checked_url(provider, **{field: "http://127.0.0.1:11434/v1/"}) == "http://127.0.0.1:11434/v1/models"
    assert signatures(provider, "chat", **{field: "http://127.0.0.1:11434/v1/"}) == []


def test_connection_tests_of_the_others_are_the_contracts() -> None:
    assert checked_url("anthropic", ANTHROPIC_BASE_URL="https://proxy.example") == "https://proxy.example/v1/models"
    assert checked_url("gemini", GEMINI_API_KEY="k") == "https://generativelanguage.googleapis.com/v1beta/models"
    assert checked_url("elevenlabs", ELEVENLABS_API_KEY="k") == "https://api.elevenlabs.io/v1/models"
    assert checked_url("azure", AZURE_OPENAI_ENDPOINT="https://a.example", AZURE_OPENAI_API_VERSION="2024-10-21") == (
        "https://a.example/openai/models?api-version=2024-10-21"
    )
    assert checked_url("bedrock", AWS_REGION_NAME="eu-west-1") == "https://bedrock.eu-west-1.amazonaws.com/foundation-models"
    assert checked_url("vertex_ai", VERTEXAI_PROJECT="p", VERTEXAI_LOCATION="europe-west4") == (
        "https://europe-west4-aiplatform.googleapis.com/v1beta1/publishers/google/models"
    )


@pytest.mark.parametrize("provider", ["voyage", "openai_codex", "perplexity"])
def test_providers_without_a_free_authenticated_call_stay_unchecked(provider: str) -> None:
    assert checked_url(provider) is None


@pytest.mark.parametrize("spec", CALLED, ids=lambda spec: spec.id)
def test_every_check_knows_its_answer(spec: ProviderSpec) -> None:
    assert spec.calling is not None
    checks = [route.check for route in spec.calling.routes if route.check is not None]
    assert [check.path for check in checks if check.answer is None] == []


def test_openrouters_public_model_list_is_not_taken_for_a_proof() -> None:
    assert checked_url("openrouter") == "https://openrouter.ai/api/v1/key"


@pytest.mark.parametrize("name", ["chat", "messages", "responses"])
def test_perplexity_is_called_by_responses_since_its_chat_completions_ended(name: EndpointName) -> None:
    route, _, _ = route_of(CATALOG.providers["perplexity"], {"PERPLEXITY_API_KEY": "k"})
    endpoint = route.endpoint(name, "sonar")
    assert endpoint is not None
    assert (endpoint.wire, endpoint.upstream_model("sonar")) == ("openai_responses", "perplexity/sonar")
    assert endpoint.upstream_model("openai/gpt-6-sol") == "openai/gpt-6-sol"
    assert url("perplexity", name, "sonar", PERPLEXITY_API_KEY="k") == "https://api.perplexity.ai/v1/responses"


@pytest.mark.parametrize(("name", "path"), [("speech", "audio/speech"), ("rerank", "rerank")])
def test_openrouter_speaks_and_reranks(name: EndpointName, path: str) -> None:
    assert url("openrouter", name, "m", OPENROUTER_API_KEY="k") == f"https://openrouter.ai/api/v1/{path}"


def test_geminis_list_is_asked_with_its_own_header_and_chat_by_bearer() -> None:
    route, _, _ = route_of(CATALOG.providers["gemini"], {"GEMINI_API_KEY": "k"})
    assert route.check is not None

    assert [(signing.way, signing.header) for signing in route.check.signings] == [("header", "x-goog-api-key")]
    assert (route.check.items, route.check.id, route.check.id_prefix, route.check.more) == ("models", "name", "models/", "nextPageToken")
    assert signatures("gemini", "chat", GEMINI_API_KEY="k") == [("bearer", None)]


def test_gemini_without_a_location_is_the_gemini_api() -> None:
    assert url("gemini", "chat", "m", GEMINI_API_KEY="k") == "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"
    assert url("gemini", "embeddings", "m", GEMINI_API_KEY="k") == "https://generativelanguage.googleapis.com/v1beta/openai/embeddings"


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
    ],
)
def test_google_locations_have_their_hosts(location: str, host: str) -> None:
    path = f"/v1/projects/p/locations/{location}/endpoints/openapi/chat/completions"

    assert url("gemini", "chat", "m", GEMINI_API_KEY="k", GEMINI_PROJECT="p", GEMINI_LOCATION=location) == f"https://{host}{path}"
    assert url("vertex_ai", "chat", "m", VERTEXAI_PROJECT="p", VERTEXAI_LOCATION=location) == f"https://{host}{path}"


def test_claude_on_vertex_is_asked_raw_at_its_publisher() -> None:
    place = {"VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "global", "GOOGLE_APPLICATION_CREDENTIALS": "{}"}
    base = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/claude-opus-4-5%4020251101"

    for name in ("chat", "messages"):
        assert url("vertex_ai", name, "claude-opus-4-5@20251101", **place) == f"{base}:rawPredict"
        assert stream_url("vertex_ai", name, "claude-opus-4-5@20251101", **place) == f"{base}:streamRawPredict"
        assert signatures("vertex_ai", name, "claude-opus-4-5@20251101", **place) == [("google_token", None)]


AZURE = {"AZURE_OPENAI_ENDPOINT": "https://a.example/", "AZURE_OPENAI_API_KEY": "k"}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({}, "https://a.example/openai/v1/chat/completions"),
        ({"AZURE_OPENAI_API_VERSION": "v1"}, "https://a.example/openai/v1/chat/completions?api-version=v1"),
        ({"AZURE_OPENAI_API_VERSION": "preview"}, "https://a.example/openai/v1/chat/completions?api-version=preview"),
        ({"AZURE_OPENAI_API_VERSION": "2024-10-21"}, "https://a.example/openai/deployments/..%2Fd/chat/completions?api-version=2024-10-21"),
        (
            {"AZURE_API_GATEWAY_BASE_URL": "https://g.example/llm"},
            "https://g.example/llm/openai/deployments/..%2Fd/chat/completions?api-version=2024-05-01-preview",
        ),
        (
            {"AZURE_API_GATEWAY_BASE_URL": "https://g.example", "AZURE_API_GATEWAY_VERSION": "7", "AZURE_OPENAI_API_VERSION": "v1"},
            "https://g.example/openai/deployments/..%2Fd/chat/completions?api-version=7",
        ),
    ],
)
def test_azure_has_three_modes_and_the_gateway_wins(stored: dict[str, str], expected: str) -> None:
    assert url("azure", "chat", "../d", **AZURE, **stored) == expected
    assert signatures("azure", "chat", **AZURE, **stored) == [("header", "api-key")]


def test_azures_gateway_is_not_checked() -> None:
    assert checked_url("azure", **AZURE, AZURE_API_GATEWAY_BASE_URL="https://g.example") is None


def test_bedrock_serves_openais_models_in_openais_shape_and_all_others_by_converse() -> None:
    host = "https://bedrock-runtime.us-east-1.amazonaws.com"

    assert url("bedrock", "chat", "openai.gpt-oss-120b-1:0") == f"{host}/openai/v1/chat/completions"
    assert url("bedrock", "responses", "global.openai.gpt-6-sol") == f"{host}/openai/v1/responses"
    assert url("bedrock", "chat", "amazon.nova-pro-v1:0") == f"{host}/model/amazon.nova-pro-v1%3A0/converse"
    assert stream_url("bedrock", "chat", "amazon.nova-pro-v1:0") == f"{host}/model/amazon.nova-pro-v1%3A0/converse-stream"


def test_bedrocks_api_key_goes_before_an_access_key() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

    assert signatures("bedrock", "chat", **keys) == [("aws_sigv4", None)]
    assert signatures("bedrock", "chat", **keys, AWS_BEARER_TOKEN_BEDROCK="t")[0] == ("bearer", None)


def test_anthropic_answers_messages_natively_and_chat_by_translation() -> None:
    route, values, _ = route_of(CATALOG.providers["anthropic"], {"ANTHROPIC_API_KEY": "k"})

    assert {name: endpoint.wire for name, (endpoint,) in route.endpoints.items()} == {
        "chat": "anthropic_messages",
        "messages": "anthropic_messages",
        "count_tokens": "anthropic_count_tokens",
    }
    assert route.rendered_headers(values) == {"anthropic-version": "2023-06-01"}
    assert signatures("anthropic", "messages", ANTHROPIC_API_KEY="k") == [("header", "x-api-key")]


def test_codex_sends_the_account_only_where_one_is_stored() -> None:
    for stored, headers in (({"CODEX_ACCOUNT_ID": ""}, {}), ({"CODEX_ACCOUNT_ID": "a"}, {"chatgpt-account-id": "a"})):
        route, values, _ = route_of(CATALOG.providers["openai_codex"], stored)
        assert route.rendered_headers(values) == headers


@pytest.mark.parametrize("spec", CALLED, ids=lambda spec: spec.id)
def test_every_endpoint_of_every_route_has_an_address(spec: ProviderSpec) -> None:
    assert spec.calling is not None
    stored = {field.name: "https://one.example" if field.format == "url" else "value" for field in spec.fields}
    values = {**spec.calling.values(stored), "voice": "v"}
    for route in spec.calling.routes:
        assert route.endpoints
        for endpoint in (endpoint for endpoints in route.endpoints.values() for endpoint in endpoints):
            for path in filter(None, (endpoint.path, endpoint.stream_path)):
                rendered = route.url(path, values, spec.base_url or "https://one.example", "m")
                assert rendered.startswith("https://")
                assert not set("{}") & set(rendered)


@pytest.mark.parametrize("spec", CALLED, ids=lambda spec: spec.id)
def test_last_route_of_every_provider_serves_whatever_is_stored(spec: ProviderSpec) -> None:
    assert spec.calling is not None
    assert not spec.calling.routes[-1].when


@pytest.mark.parametrize("spec", CALLED, ids=lambda spec: spec.id)
def test_every_secret_is_signed_with_as_a_secret(spec: ProviderSpec) -> None:
    assert spec.calling is not None
    signed = {
        name
        for route in spec.calling.routes
        for endpoints in route.endpoints.values()
        for endpoint in endpoints
        for signing in endpoint.signings
        for part, name in signing.parts.items()
        if part != "region"
    }

    assert signed
    assert not {name for name in signed if spec.is_public(name)}


@pytest.mark.parametrize("spec", CATALOG.providers.values(), ids=lambda spec: spec.id)
def test_catalogue_lists_only_models_that_the_provider_has_an_endpoint_for(spec: ProviderSpec) -> None:
    for mode, name in ENDPOINT_OF_MODE.items():
        for model in CATALOG.models(spec.id, mode):  # type: ignore[arg-type]
            assert spec.calling is not None
            assert any(route.endpoint(name, model) for route in spec.calling.routes), model


def test_an_address_may_have_a_query() -> None:
    stored = {"AZURE_OPENAI_ENDPOINT": "https://r.example/base/?tenant=a#x", "AZURE_OPENAI_API_VERSION": " 2024-10-21\n"}
    assert url("azure", "chat", "d", **stored) == (
        "https://r.example/base/openai/deployments/d/chat/completions?tenant=a&api-version=2024-10-21"
    )
    assert url("custom", "chat", "m", CUSTOM_BASE_URL="https://r.example/v1?k=1") == "https://r.example/v1/chat/completions?k=1"
