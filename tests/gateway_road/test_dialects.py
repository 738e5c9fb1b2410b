"""OpenAI's client, with what it and its like send by themselves, reaches servers that refuse what they do not know."""

import json
from typing import Any

import pytest

from tests.conftest import ServedHouse
from tests.gateway.conftest import authority  # noqa: F401 - a fixture
from tests.gateway_road.conftest import Road, openai_client
from tests.gateway_road.internet import Internet
from tests.gateway_road.test_providers import connected, house, internet, store  # noqa: F401 - fixtures

QUESTION: Any = [{"role": "user", "content": "What is new?"}]


@pytest.mark.parametrize(
    ("provider", "given", "sent", "dropped"),
    [
        ("mistral", {"max_completion_tokens": 9, "seed": 3}, {"max_tokens": 9, "random_seed": 3}, None),
        ("mistral", {"stream_options": {"include_usage": True}, "user": "u", "store": False}, {}, "store, stream_options, user"),
        ("gemini", {"store": False, "metadata": {"a": "b"}, "seed": 3}, {"seed": 3}, "metadata, store"),
        ("groq", {"user": "u", "max_completion_tokens": 9}, {"user": "u", "max_completion_tokens": 9}, None),
    ],
)
def test_what_a_server_refuses_is_left_out_or_renamed(
    house: ServedHouse,  # noqa: F811
    internet: Internet,  # noqa: F811
    provider: str,
    given: dict[str, Any],
    sent: dict[str, Any],
    dropped: str | None,
) -> None:
    store(house, provider)
    with openai_client(house.address, house.keys.project_key) as client:
        raw = client.chat.completions.with_raw_response.create(model=f"{provider}/m", messages=QUESTION, stream=True, **given)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)
    assert text.startswith("You said: ")
    [(_, request)] = internet.asked
    assert json.loads(request.body) == {"model": "m", "messages": QUESTION, "stream": True, **sent}
    assert raw.headers.get("x-keyhouse-params-dropped") == dropped


def test_what_need_not_change_passes_byte_for_byte(house: ServedHouse, internet: Internet) -> None:  # noqa: F811
    store(house, "mistral")
    body = b'{"messages":[{"role":"user","content":"my user"}] ,"model":"mistral/m"}'
    headers = {"content-type": "application/json"}
    assert house.client().post("/v1/chat/completions", content=body, headers=headers).status_code == 200
    [(_, request)] = internet.asked
    assert request.body == body.replace(b"mistral/m", b"m")


def test_a_caller_who_wants_nothing_dropped_hears_of_it(house: ServedHouse, internet: Internet) -> None:  # noqa: F811
    store(house, "mistral")
    body = {"model": "mistral/m", "messages": QUESTION, "user": "u", "drop_tuning_params": False}
    answer = house.client().post("/v1/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"]) == (400, "unsupported_parameter", "user")
    assert not internet.asked


def test_an_old_azure_gateway_gets_the_limit_under_its_own_name(road: Road) -> None:
    road.put("azure", {"AZURE_OPENAI_API_KEY": "azure-own-key", "AZURE_API_GATEWAY_BASE_URL": f"{road.upstream.address}/gate"})
    answer = road.chat("azure/d", max_completion_tokens=9, stream_options={"include_usage": True}, stream=True)
    assert ("max_completion_tokens" in road.sent, road.sent["max_tokens"], "stream_options" in road.sent) == (False, 9, False)
    assert answer.headers["x-keyhouse-params-dropped"] == "stream_options"
