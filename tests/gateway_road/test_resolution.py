"""Which provider and model a request means: the documented order, and what is said where nothing fits."""

import pytest

from tests.gateway_road import anthropic_api

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def meant(road, model):
    """Provider, model and rule, as `GET /v1/models/{id}` tells them."""
    answer = road.http.get(f"/v1/models/{model}")
    assert answer.status_code == 200, answer.text
    told = answer.json()["keyhouse"]
    return told["provider"], told["model_id"], told["rule"]


def put_anthropic(road, **update):
    road.put("anthropic", {"ANTHROPIC_API_KEY": "sk-ant-1", "ANTHROPIC_BASE_URL": road.upstream.address}, **update)


def put_azure(road, **update):
    road.put("azure", {"AZURE_OPENAI_API_KEY": "azure-key", "AZURE_OPENAI_ENDPOINT": road.upstream.address}, **update)


def test_the_name_before_the_first_slash_is_the_provider_and_the_rest_its_model(road):
    road.store()
    road.store_custom()
    assert meant(road, "openai/gpt-5") == ("openai", "gpt-5", "named")
    assert meant(road, "custom/meta-llama/llama-4/scout") == ("custom", "meta-llama/llama-4/scout", "named")


@pytest.mark.parametrize("spelling", ["azure", "azure_openai", "azure-openai"])
def test_other_spellings_of_a_provider_are_accepted(road, spelling):
    put_azure(road)
    road.store()
    assert meant(road, f"{spelling}/my-deployment") == ("azure", "my-deployment", "named")


def test_a_declared_model_comes_before_the_catalogue_and_the_prefix(road):
    road.store()
    put_azure(road, customModels=["gpt-5-mini", "gpt-house"])
    assert meant(road, "gpt-5-mini") == ("azure", "gpt-5-mini", "declared")
    assert meant(road, "gpt-house") == ("azure", "gpt-house", "declared")
    assert meant(road, "gpt-5") == ("openai", "gpt-5", "catalogue")


def test_the_catalogue_comes_before_the_prefix(road):
    road.store()
    put_anthropic(road)
    assert meant(road, "claude-opus-4-8")[::2] == ("anthropic", "catalogue")
    assert meant(road, "claude-of-tomorrow") == ("anthropic", "claude-of-tomorrow", "prefix")
    assert meant(road, "gpt-of-tomorrow") == ("openai", "gpt-of-tomorrow", "prefix")


def test_the_only_enabled_provider_takes_any_name(road):
    road.store_custom()
    put_anthropic(road, enabled=False)
    assert meant(road, "whatever") == ("custom", "whatever", "only_provider")
    assert meant(road, "meta/whatever") == ("custom", "meta/whatever", "only_provider")


def test_a_named_provider_that_is_not_enabled_never_falls_back_to_another(road):
    road.store()
    put_anthropic(road, enabled=False)
    answer = road.chat("anthropic/claude-opus-4-8")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "model_not_found", "model")
    assert "anthropic, which is disabled" in error["message"]
    assert road.upstream.requests == []


def test_a_whole_name_with_a_known_first_part_may_be_another_providers_model(road):
    road.store_custom(customModels=["openai/gpt-oss-120b"])
    put_anthropic(road)
    assert meant(road, "openai/gpt-oss-120b") == ("custom", "openai/gpt-oss-120b", "declared")


def test_of_two_that_declare_a_model_the_first_of_the_registry_that_has_the_endpoint_wins(road):
    put_anthropic(road, customModels=["shared"])
    put_azure(road, customEmbeddingsModels=["shared"])
    assert meant(road, "shared") == ("anthropic", "shared", "declared")
    assert "azure" in road.http.get("/v1/models/shared").json()["keyhouse"]["reason"]
    # The first has no embeddings: there the other one is asked.
    road.post("/v1/embeddings", {"model": "shared", "input": "Hi"})
    assert road.request.line.startswith(b"POST /openai/v1/embeddings")


def test_of_two_that_declare_a_model_the_one_that_declares_it_for_the_endpoint_wins(road):
    road.store_custom(customEmbeddingsModels=["shared"])
    put_azure(road, customModels=["shared"])
    assert meant(road, "shared") == ("azure", "shared", "declared")
    assert road.chat("shared").headers["x-keyhouse-provider"] == "azure"
    assert road.post("/v1/embeddings", {"model": "shared", "input": "Hi"}).headers["x-keyhouse-provider"] == "custom"


def test_without_a_model_the_default_is_taken(road):
    road.store(defaultModel="gpt-5-mini")
    for model in (None, "default", ""):
        answer = road.chat(model)
        assert (answer.status_code, answer.headers["x-keyhouse-model"]) == (200, "gpt-5-mini")
    assert {body["model"] for body in road.upstream.bodies()} == {"gpt-5-mini"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/responses", {"input": "Hi"}),
    ],
)
def test_without_a_model_the_default_is_taken_on_a_translated_call(road, path, body):
    keys = {"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": road.upstream.address}
    road.put("anthropic", keys, defaultModel="claude-opus-4-8")
    road.answers(anthropic_api.answer)
    for given in (body, {**body, "model": None}):
        assert road.post(path, given).status_code == 200
    assert [sent["model"] for sent in road.upstream.bodies()] == ["claude-opus-4-8"] * 2


def test_without_a_model_and_a_default_it_is_400_even_with_one_provider(road):
    road.store()
    answer = road.chat(None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "missing_model")
    assert "openai/gpt-5" in answer.json()["error"]["message"]


def test_what_is_not_found_lists_what_would_work(road):
    put_anthropic(road, customModels=["claude-house"])
    put_azure(road)
    error = road.chat("unheard-of").json()["error"]
    assert error["code"] == "model_not_found"
    assert "anthropic/claude-house" in error["message"]
    assert "azure/..." in error["message"]


@pytest.mark.parametrize("wanted", ["litellm_proxy/gpt-5-mini", "@openai-prod/gpt-5-mini", "azure_ai/global/gpt-5-mini"])
def test_the_same_model_under_another_gateways_name_comes_first_of_what_would_work(road, wanted):
    road.store_custom(customModels=["house"])
    road.store()
    assert "What works: openai/gpt-5-mini, custom/house, openai/" in road.chat(wanted).json()["error"]["message"]


@pytest.mark.parametrize("wanted", ["gpt", None])
def test_what_the_project_declares_comes_before_the_catalogue_in_what_would_work(road, wanted):
    road.store()
    put_azure(road, customModels=["gpt-4o-eu"])
    assert "What works: azure/gpt-4o-eu, openai/" in road.chat(wanted).json()["error"]["message"]


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("ollama_chat/llama3.3", "ollama"),
        ("openai_like/qwen3-32b", "custom"),
        ("custom_openai/qwen3-32b", "custom"),
        ("vertex_ai_beta/gemini-2.5-flash", "vertex_ai"),
        ("cohere_chat/command-a-03-2025", "cohere"),
    ],
)
def test_what_litellm_calls_providers_is_understood(road, model, provider):
    account = '{"type": "service_account"}'
    road.put("ollama", {"OLLAMA_BASE_URL": road.upstream.address})
    road.put("custom", {"CUSTOM_BASE_URL": road.upstream.address})
    road.put("vertex_ai", {"GOOGLE_APPLICATION_CREDENTIALS": account, "VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "us-central1"})
    road.put("cohere", {"COHERE_API_KEY": "cohere-key"})
    assert meant(road, model) == (provider, model.partition("/")[2], "named")


@pytest.mark.parametrize("prefix", ["", "custom/", "unknown/"])
def test_a_name_longer_than_any_models_is_refused_and_not_sent_anywhere(road, prefix):
    road.store_custom()
    longest = prefix + "m" * (2048 - len(prefix))
    assert road.http.post("/v1/chat/completions", json={"model": longest, **CHAT}).status_code == 200
    sent = len(road.upstream.requests)
    answer = road.http.post("/v1/chat/completions", json={"model": longest + "m", **CHAT})
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"]) == (400, "model_not_found", "model")
    assert len(answer.content) < 500
    assert len(road.upstream.requests) == sent


def test_a_voice_of_no_voices_length_is_refused(road):
    road.put("elevenlabs", {"ELEVENLABS_API_KEY": "eleven-key"})
    answer = road.http.post("/v1/audio/speech", json={"model": "elevenlabs/eleven_v3", "input": "Hi", "voice": "v" * 2049})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "voice")


def test_without_any_provider_it_says_so(road):
    assert "No provider is enabled" in road.chat("gpt-5").json()["error"]["message"]


def test_a_safety_provider_is_never_called(road):
    road.put("azure_safety", {"AZURE_CONTENT_SAFETY_ENDPOINT": road.upstream.address, "AZURE_CONTENT_SAFETY_KEY": "key-of-safety"})
    for model in ("azure_safety/any", "any"):
        assert road.chat(model).json()["error"]["code"] == "model_not_found"
    assert road.upstream.requests == []


def test_an_endpoint_that_the_provider_lacks_names_those_that_have_it(road):
    put_anthropic(road)
    road.store()
    answer = road.post("/v1/embeddings", {"model": "anthropic/claude-opus-4-8", "input": "Hi"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_endpoint")
    assert "openai can" in answer.json()["error"]["message"]
    assert (answer.headers["x-keyhouse-provider"], answer.headers["x-keyhouse-model"]) == ("anthropic", "claude-opus-4-8")


def test_the_list_has_every_model_of_the_enabled_providers_in_openais_shape(road):
    put_anthropic(road, customModels=["claude-house"])
    road.store(enabled=False)
    listed = road.http.get("/v1/models").json()
    assert listed["object"] == "list"
    assert listed["data"][0] == {"id": "anthropic/claude-house", "object": "model", "created": 0, "owned_by": "anthropic"}
    assert {model["owned_by"] for model in listed["data"]} == {"anthropic"}


def test_anthropics_clients_get_its_own_shape_page_by_page(road):
    put_anthropic(road, customModels=[f"m{number}" for number in range(5)])
    headers = {"anthropic-version": "2023-06-01"}
    first = road.http.get("/v1/models", params={"limit": 2}, headers=headers).json()
    assert [model["id"] for model in first["data"]] == ["anthropic/m0", "anthropic/m1"]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, "anthropic/m0", "anthropic/m1")
    after = road.http.get("/v1/models", params={"limit": 2, "after_id": "anthropic/m1"}, headers=headers).json()
    assert [model["id"] for model in after["data"]] == ["anthropic/m2", "anthropic/m3"]
    before = road.http.get("/v1/models", params={"limit": 1, "before_id": "anthropic/m2"}, headers=headers).json()
    assert [model["id"] for model in before["data"]] == ["anthropic/m1"]
    for limit in ("0", "1001", "9" * 5000):
        refused = road.http.get("/v1/models", params={"limit": limit}, headers=headers)
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    one = road.http.get("/v1/models/anthropic%2Fm3", headers=headers).json()
    assert (one["type"], one["id"], one["keyhouse"]["model_id"]) == ("model", "anthropic/m3", "m3")


def test_headers_tell_which_provider_and_model_a_name_in_the_path_means(road):
    road.store()
    answer = road.http.get("/v1/models/openai%2Forg%2Fmodel")
    assert (answer.headers["x-keyhouse-provider"], answer.headers["x-keyhouse-model"]) == ("openai", "org/model")
    assert "x-keyhouse-provider" not in road.http.get("/v1/models").headers


def test_an_unknown_model_is_404_where_its_name_is_the_path(road):
    put_anthropic(road)
    road.store()
    answer = road.http.get("/v1/models/unheard-of")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_provider_without_an_address_says_what_is_missing(road):
    road.put("custom", {"CUSTOM_API_KEY": "a-key-without-address"})
    answer = road.chat("custom/any")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "provider_incomplete")
    assert "no address is stored" in answer.json()["error"]["message"]
    assert (answer.headers["x-keyhouse-provider"], answer.headers["x-keyhouse-model"]) == ("custom", "any")
