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
        ("gemini", {"store": False, "metadata": {"a": "b"}, "top_p": 1}, {"top_p": 1}, "metadata, store"),
        ("gemini", {"frequency_penalty": 0.5, "seed": 3, "prompt_cache_key": "k"}, {}, "frequency_penalty, prompt_cache_key, seed"),
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


def _call(given: str, **further: Any) -> dict[str, Any]:
    return {"id": given, "type": "function", "function": {"name": "look", "arguments": "{}"}, **further}


def _signed(signature: str) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}}


def _sent_messages(house: ServedHouse, internet: Internet, model: str, *said: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: F811
    store(house, model.partition("/")[0])
    answer = house.client().post("/v1/chat/completions", json={"model": model, "messages": [*QUESTION, *said]})
    assert answer.status_code == 200, answer.text
    [(_, request)] = internet.asked
    sent: list[dict[str, Any]] = json.loads(request.body)["messages"][1:]
    return sent


@pytest.mark.parametrize(
    ("model", "calls", "signature"),
    [
        ("gemini-3.1-pro-preview", [_call("a"), _call("b")], _signed("skip_thought_signature_validator")),
        ("gemini-3.1-pro-preview", [_call("a", extra_content=None)], _signed("skip_thought_signature_validator")),
        ("gemini-3.1-pro-preview", [_call("a", **_signed("c2ln")), _call("b")], _signed("c2ln")),
        ("gemini-2.5-flash", [_call("a")], {}),
    ],
)
def test_gemini_gets_calls_back_that_a_client_of_chat_completions_left_unsigned(
    house: ServedHouse,  # noqa: F811
    internet: Internet,  # noqa: F811
    model: str,
    calls: list[dict[str, Any]],
    signature: dict[str, Any],
) -> None:
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "Snow."} for call in calls]
    said = _sent_messages(house, internet, f"gemini/{model}", {"role": "assistant", "content": None, "tool_calls": calls}, *results)
    first = {name: value for name, value in calls[0].items() if name != "extra_content"}
    assert said == [{"role": "assistant", "content": None, "tool_calls": [{**first, **signature}, *calls[1:]]}, *results]


def test_mistral_gets_the_calls_of_another_model_as_it_wants_them(house: ServedHouse, internet: Internet) -> None:  # noqa: F811
    result = {"role": "tool", "tool_call_id": "toolu_0123456789", "content": "Snow."}
    own = {"role": "tool", "tool_call_id": "aB3dE6gH9", "content": "Wind."}
    calls = {"role": "assistant", "content": "", "tool_calls": [_call("toolu_0123456789"), _call("aB3dE6gH9")]}
    asked = {"role": "user", "content": "So?"}
    made, first, second, bridge, last = _sent_messages(house, internet, "mistral/mistral-large-latest", calls, result, own, asked)
    assert [call["id"] for call in made["tool_calls"]] == [first["tool_call_id"], "aB3dE6gH9"]
    assert len(first["tool_call_id"]) == 9
    assert first["tool_call_id"].isalnum()
    assert (second, bridge["role"], last) == (own, "assistant", asked)


@pytest.mark.parametrize("provider", ["gemini/gemini-3.1-pro-preview", "mistral/m"])
def test_odd_calls_pass_as_they_are(house: ServedHouse, internet: Internet, provider: str) -> None:  # noqa: F811
    odd: Any = ["x", {"role": "assistant", "tool_calls": "x"}, {"role": "assistant", "tool_calls": ["x"]}, {"tool_call_id": 3}]
    assert _sent_messages(house, internet, provider, *odd, QUESTION[0]) == [*odd, QUESTION[0]]


def test_mistral_gets_no_names_of_speakers_which_it_refuses(house: ServedHouse, internet: Internet) -> None:  # noqa: F811
    store(house, "mistral")
    result = {"role": "tool", "name": "look", "tool_call_id": "aB3dE6gH9", "content": "Snow."}
    named: Any = [
        {"role": "system", "name": "host", "content": "Be brief."},
        {"role": "user", "name": "Ann", "content": "Hi"},
        {"role": "assistant", "name": "host", "content": "", "tool_calls": [_call("aB3dE6gH9")]},
        result,
    ]
    body = {"model": "mistral/m", "messages": named}
    answer = house.client().post("/v1/chat/completions", json=body)
    assert (answer.status_code, answer.headers["x-keyhouse-params-dropped"]) == (200, "messages[].name")
    [(_, request)] = internet.asked
    without = [{name: value for name, value in message.items() if name != "name"} for message in named[:3]]
    assert json.loads(request.body)["messages"] == [*without, result]
    refused = house.client().post("/v1/chat/completions", json={**body, "drop_tuning_params": False})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages[].name")


@pytest.mark.parametrize("provider", ["fireworks", "together", "mistral", "groq", "cerebras", "xai"])
def test_thoughts_of_claude_reach_no_server_that_refuses_the_member(house: ServedHouse, internet: Internet, provider: str) -> None:  # noqa: F811
    store(house, provider)
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    said = [{"role": "assistant", "content": text, "thinking_blocks": blocks} for text in ("Yes", None)]
    body = {"model": f"{provider}/m", "messages": [*QUESTION, *said, *QUESTION]}
    answer = house.client().post("/v1/chat/completions", json=body)

    assert answer.status_code == 200, answer.text
    [(_, request)] = internet.asked
    is_taken = provider == "xai"
    plain = [*QUESTION, {"role": "assistant", "content": "Yes"}, *QUESTION]
    assert json.loads(request.body)["messages"] == (body["messages"] if is_taken else plain)
    assert answer.headers.get("x-keyhouse-params-dropped") == (None if is_taken else "messages[].thinking_blocks")
