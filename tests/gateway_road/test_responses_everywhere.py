"""The official client's Responses on providers that have none: whole and streamed, with tools over several turns, and where it fails."""

import json

import openai
import pytest

from tests.gateway_road import anthropic_api, openai_api
from tests.gateway_road.conftest import openai_client
from tests.gateway_road.upstreams import named_event, stream_answer

TOOLS = [{"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}, "strict": False}]


@pytest.fixture
def client(road):
    road.put("anthropic", {"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": road.upstream.address})
    road.answers(lambda request: (anthropic_api if b"/v1/messages" in request.line else openai_api).answer(request))
    with openai_client(road.house.address, road.house.keys.project_key) as made:
        yield made


MODEL = "claude-opus-5-5"


def test_an_answer_is_read_whole_and_streamed(client):
    whole = client.responses.create(model=MODEL, input="Hi", instructions="Be brief.", max_output_tokens=50)
    assert "You said: " in whole.output_text
    assert (whole.status, whole.object, whole.instructions, whole.max_output_tokens) == ("completed", "response", "Be brief.", 50)
    with client.responses.stream(model=MODEL, input="Hi", instructions="Be brief.") as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert len(pieces) > 1
    assert "".join(pieces) == final.output_text == whole.output_text
    assert final.usage == whole.usage
    assert whole.id.startswith("resp_")


def test_a_conversation_with_a_key_is_cached(road, client):
    raw = client.responses.with_raw_response.create(model=MODEL, input="Hi", prompt_cache_key="thread_1")
    assert road.sent["cache_control"] == {"type": "ephemeral"}
    assert "x-keyhouse-params-dropped" not in raw.headers


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_are_called_and_answered(road, client, streamed):
    question = {"role": "user", "content": "Oslo?"}
    if streamed:
        with client.responses.stream(model=MODEL, input=[question], tools=TOOLS) as stream:
            response = stream.get_final_response()
    else:
        response = client.responses.create(model=MODEL, input=[question], tools=TOOLS)
    [call] = response.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "Oslo"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    items = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in response.output]
    client.responses.create(model=MODEL, input=[question, *items, result], tools=TOOLS)
    last = road.upstream.bodies()[-1]["messages"]
    assert [message["role"] for message in last] == ["user", "assistant", "user"]
    assert call.call_id in str(last[1])
    assert call.call_id in str(last[2])


def test_what_a_model_thought_goes_back_to_it(road, client):
    response = client.responses.create(model=MODEL, input="Hi", reasoning={"effort": "low"})
    assert [item.type for item in response.output] == ["reasoning", "message"]
    items = [item.model_dump(exclude_none=True) for item in response.output]
    client.responses.create(model=MODEL, input=[{"role": "user", "content": "Hi"}, *items, {"role": "user", "content": "And?"}])
    first, second = road.upstream.bodies()
    assert first["thinking"] == {"type": "adaptive"}
    assert second["messages"][1]["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}


@pytest.mark.parametrize(
    ("extra", "sent"),
    [
        ([], [b"of-the-caller,thinking-binding-controls-2026-08-01"]),
        ([{"key": "Anthropic-Beta", "value": "of-the-project"}], [b"of-the-project"]),
    ],
    ids=["asked for beside the caller's", "the project's alone"],
)
def test_what_a_model_thought_may_be_left_out(road, client, extra, sent):
    road.http.put("/api/model-providers/anthropic", json={"enabled": True, "extraHeaders": extra}).raise_for_status()
    response = client.responses.create(model=MODEL, input="Hi", reasoning={"effort": "low"})
    items = [item.model_dump(exclude_none=True) for item in response.output]
    asked = [{"role": "user", "content": "Hi"}, *items, {"role": "user", "content": "And?"}]
    client.responses.create(model=MODEL, input=asked, extra_headers={"anthropic-beta": "of-the-caller"})
    request = road.upstream.requests[-1]
    assert request.header(b"anthropic-beta") == sent
    assert ("thinking" in json.loads(request.body)) == (not extra)


@pytest.mark.parametrize(
    ("status", "kind"), [(400, openai.BadRequestError), (429, openai.RateLimitError), (529, openai.InternalServerError)]
)
def test_errors_are_openais(client, status, kind):
    with pytest.raises(kind, match=f"This is the error {status}") as raised:
        client.responses.create(model=f"anthropic/error-{status}", input="Hi")
    assert raised.value.request_id == "req_of_anthropic"


def test_what_a_model_can_not_do_is_refused_before_it_is_called(road, client):
    with pytest.raises(openai.BadRequestError, match="previous_response_id") as raised:
        client.responses.create(model=MODEL, input="Hi", previous_response_id="resp_1")
    assert raised.value.code == "unsupported_parameter"
    assert road.upstream.requests == []


def test_a_stream_that_breaks_off_raises(road, client):
    begun = {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 1, "output_tokens": 1}}}
    road.answers(stream_answer(named_event("message_start", begun)))
    stream = client.responses.create(model=MODEL, input="Hi", stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_a_provider_that_has_responses_is_called_by_them(road, client):
    road.store()
    client.responses.create(model="openai/gpt-5-mini", input="Hi")
    assert road.request.line.split(b" ")[1] == b"/v1/responses"


@pytest.mark.parametrize("thinks", [True, False])
def test_a_model_of_openai_goes_on_without_the_thoughts_of_another(road, client, thinks):
    road.store()
    response = client.responses.create(model=MODEL, input="Hi", reasoning={"effort": "low"})
    items = [item.model_dump(exclude_none=True) for item in response.output]
    assert [item["type"] for item in items] == ["reasoning", "message"]
    if not thinks:
        # Some models' thoughts come without anything that they want back.
        del items[0]["encrypted_content"]
    of_openai = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    answer = client.responses.with_raw_response.create(
        model="gpt-5-mini", input=[{"role": "user", "content": "Hi"}, *items, of_openai, {"role": "user", "content": "And?"}]
    )
    sent = road.upstream.bodies()[-1]["input"]
    assert [item.get("type") or item["role"] for item in sent] == ["user", "message", "reasoning", "user"]
    assert sent[2] == of_openai
    assert answer.headers["x-keyhouse-params-dropped"] == "input[].reasoning"
