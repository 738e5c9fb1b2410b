"""What a project declares of a model is enforced on the way, and the answer says what was done."""

import openai
import pytest

from tests.gateway_road import openai_api
from tests.gateway_road.conftest import openai_client

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


def declare(road, **declared):
    model = {"modelId": "m", "displayName": "M", "mode": "chat", **declared}
    road.store_custom(customModels=[model])


@pytest.mark.parametrize("spelling", ["max_tokens", "max_completion_tokens"])
def test_a_limit_is_clamped_in_each_spelling(road, spelling):
    declare(road, maxTokens=100)
    answer = road.chat("custom/m", **{spelling: 5000})
    assert road.sent[spelling] == 100
    assert answer.headers["x-keyhouse-enforced"] == f"{spelling}=100"


def test_a_limit_is_clamped_for_responses_too(road):
    declare(road, maxTokens=100)
    answer = road.post("/v1/responses", {"model": "custom/m", "input": "Hi", "max_output_tokens": 5000})
    assert (road.sent["max_output_tokens"], answer.headers["x-keyhouse-enforced"]) == (100, "max_output_tokens=100")


def test_what_is_within_the_limit_passes_byte_for_byte(road):
    declare(road, maxTokens=100)
    body = b'{"messages":[ ],"max_tokens":100 ,"model":"m"}'
    answer = road.post("/v1/chat/completions", body)
    assert road.request.body == body
    assert "x-keyhouse-enforced" not in answer.headers


def test_parameters_that_are_not_supported_are_dropped_and_named_or_refused(road):
    declare(road, supportedParameters=["max_tokens"])
    answer = road.chat("custom/m", temperature=0.5, seed=3)
    assert not {"temperature", "seed"} & set(road.sent)
    assert answer.headers["x-keyhouse-params-dropped"] == "temperature, seed"
    refused = road.chat("custom/m", temperature=0.5, drop_tuning_params=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")
    assert len(road.upstream.requests) == 1


@pytest.mark.parametrize(("declared", "status"), [(["file"], 400), ([], 400), (["image"], 200), (None, 200)])
def test_an_image_needs_a_model_that_is_declared_to_take_images(road, declared, status):
    declare(road, **({} if declared is None else {"multimodalInputs": declared}))
    answer = road.chat("custom/m", messages=[{"role": "user", "content": [{"type": "text", "text": "What?"}, IMAGE]}])
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["code"] == "unsupported_input"
        assert "image" in answer.json()["error"]["message"]
        assert road.upstream.requests == []


def test_a_model_of_another_mode_is_refused(road):
    road.store_custom(customEmbeddingsModels=["e"], customModels=["m"])
    for path, body in (
        ("/v1/chat/completions", {"model": "custom/e", "messages": []}),
        ("/v1/embeddings", {"model": "custom/m", "input": "Hi"}),
    ):
        answer = road.post(path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "wrong_model_mode")
    assert road.upstream.requests == []
    assert road.post("/v1/embeddings", {"model": "custom/e", "input": "Hi"}).status_code == 200


def test_a_model_of_the_catalogue_passes(road):
    road.store()
    answer = road.chat("gpt-5-mini", max_tokens=10**9, temperature=2)
    assert (road.sent["max_tokens"], road.sent["temperature"]) == (10**9, 2)
    assert "x-keyhouse-enforced" not in answer.headers


def test_a_providers_range_of_temperature_is_kept(road):
    road.put("anthropic", {"ANTHROPIC_API_KEY": "sk-ant-12345678", "ANTHROPIC_BASE_URL": road.upstream.address})
    answer = road.post("/v1/messages", {"model": "claude-opus-4-8", "max_tokens": 5, "messages": [], "temperature": 1.5})
    assert (road.sent["temperature"], answer.headers["x-keyhouse-enforced"]) == (1, "temperature=1")


def test_what_was_done_is_told_with_an_upstreams_error_too(road):
    declare(road, maxTokens=100)
    road.answers(openai_api.error(500, "Oops", "server_error", None))
    assert road.chat("custom/m", max_tokens=500).headers["x-keyhouse-enforced"] == "max_tokens=100"


def test_a_raw_call_of_the_client_finds_what_was_done(road):
    declare(road, maxTokens=100)
    with openai_client(road.house.address, road.house.keys.project_key) as client:
        raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": "Hi"}], max_tokens=500)
        assert raw.headers["x-keyhouse-enforced"] == "max_tokens=100"
        with pytest.raises(openai.BadRequestError) as refused:
            client.embeddings.create(model="custom/m", input="Hi")
    assert refused.value.code == "wrong_model_mode"
