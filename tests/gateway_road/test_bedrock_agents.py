"""Agents with the official clients on models of Bedrock that are no Claude, which refuse each something else."""

import json
from collections.abc import Iterator

import anthropic
import httpx2
import pytest

from tests.conftest import NO_CERTIFICATES, ServedHouse
from tests.gateway.conftest import Authority, authority  # noqa: F401 - a fixture
from tests.gateway_road import strict_bedrock
from tests.gateway_road.conftest import openai_client
from tests.gateway_road.internet import Internet, house_in

MODELS = [
    "us.amazon.nova-pro-v1:0",
    "us.meta.llama4-maverick-17b-instruct-v1:0",
    "mistral.mistral-large-3-675b-instruct",
    "mistral.pixtral-large-2502-v1:0",
    "qwen.qwen3-32b-v1:0",
    "global.moonshotai.kimi-k3",
]
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/City"}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"City": {"type": "string"}},
}
CITIES = [{"city": "Oslo"}, {"city": "Ålesund"}]


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[tuple[ServedHouse, Internet]]:  # noqa: F811
    internet = Internet(lambda host, request: strict_bedrock.answer(request), authority.server_context)
    with house_in(internet, tmp_path_factory.mktemp("bedrock"), authority) as house:
        given = {"enabled": True, "customKeys": {"AWS_BEARER_TOKEN_BEDROCK": "a-secret-of-bedrock-123"}}
        assert house.client().put("/api/model-providers/bedrock", json=given).status_code == 200
        yield house, internet


@pytest.fixture
def house(connected: tuple[ServedHouse, Internet]) -> ServedHouse:
    connected[1].asked.clear()
    return connected[0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streams", [False, True])
def test_an_agent_of_chat_completions(house, model, streams):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How is it there?"}]
    with openai_client(house.address, house.keys.project_key) as client:

        def asked(**members):
            members = {"model": f"bedrock/{model}", "messages": messages, "tools": tools, **members}
            if not streams:
                return client.chat.completions.create(**members)
            with client.chat.completions.stream(**members, stream_options={"include_usage": True}) as stream:
                return stream.get_final_completion()

        first = asked(tool_choice="required", temperature=0.2, max_completion_tokens=1, reasoning_effort="low")
        message = first.choices[0].message
        assert (message.content, first.choices[0].finish_reason) == (strict_bedrock.SAID, "tool_calls")
        assert [json.loads(call.function.arguments) for call in message.tool_calls] == CITIES
        assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (7, 3)
        messages += [message.model_dump(exclude_none=True, exclude={"parsed"})]
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "sun"} for call in message.tool_calls]
        messages.append({"role": "user", "content": "And in a word?"})
        second = asked()
    assert (second.choices[0].message.content, second.choices[0].finish_reason) == (strict_bedrock.ANSWERED, "stop")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streams", [False, True])
def test_an_agent_of_responses(house, model, streams):
    tools = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]
    items = [{"role": "user", "content": "How is it there?"}]
    with openai_client(house.address, house.keys.project_key) as client:

        def asked():
            members = {"model": f"bedrock/{model}", "input": items, "tools": tools, "store": False, "instructions": "Be brief."}
            if not streams:
                return client.responses.create(**members)
            with client.responses.stream(**members) as stream:
                return stream.get_final_response()

        first = asked()
        assert (first.status, first.output_text, first.usage.total_tokens) == ("completed", strict_bedrock.SAID, 10)
        calls = [item for item in first.output if item.type == "function_call"]
        assert [json.loads(call.arguments) for call in calls] == CITIES
        items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "sun"} for call in calls]
        items.append({"role": "user", "content": "And in a word?"})
        second = asked()
    assert (second.status, second.output_text) == ("completed", strict_bedrock.ANSWERED)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streams", [False, True])
def test_an_agent_of_messages(house, model, streams):
    marker = {"cache_control": {"type": "ephemeral"}}
    tools = [{"name": "weather", "input_schema": SCHEMA, **marker}]
    messages = [{"role": "user", "content": [{"type": "text", "text": "How is it there?", **marker}]}]
    transport = httpx2.Client(trust_env=False, verify=NO_CERTIFICATES)
    with anthropic.Anthropic(base_url=house.address, api_key=house.keys.project_key, max_retries=0, http_client=transport) as client:

        def asked():
            members = {"model": f"bedrock/{model}", "max_tokens": 100, "system": "Be brief.", "messages": messages, "tools": tools}
            if not streams:
                return client.messages.create(**members)
            with client.messages.stream(**members) as stream:
                return stream.get_final_message()

        first = asked()
        assert (first.content[0].text, first.stop_reason, first.usage.output_tokens) == (strict_bedrock.SAID, "tool_use", 3)
        calls = first.content[1:]
        assert [call.input for call in calls] == CITIES
        messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]})
        seen = [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": seen, "is_error": True, **marker} for call in calls]
        messages.append({"role": "user", "content": [*results, {"type": "text", "text": "And in a word?", **marker}]})
        second = asked()
    assert (second.content[0].text, second.stop_reason) == (strict_bedrock.ANSWERED, "end_turn")


def test_an_answer_that_can_not_be_streamed_comes_at_once_and_says_so(house, connected):
    tools = [{"type": "function", "function": {"name": "weather"}}]
    body = {"model": "bedrock/meta.llama3-3-70b-instruct-v1:0", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    called = house.client().post("/v1/chat/completions", json={**body, "tools": tools})
    plain = house.client().post("/v1/chat/completions", json=body)

    assert [request.line.split(b" ")[1].rpartition(b"/")[2] for _, request in connected[1].asked] == [b"converse", b"converse-stream"]
    assert called.headers["content-type"] == plain.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (called.headers.get("x-keyhouse-enforced"), plain.headers.get("x-keyhouse-enforced")) == ("stream=whole", None)
    assert called.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("model", ["us.amazon.nova-pro-v1:0", "us.meta.llama4-maverick-17b-instruct-v1:0"])
def test_who_wants_one_call_at_a_time_gets_the_first(house, model, streams):
    function = {"name": "weather", "parameters": SCHEMA}
    given = {"model": f"bedrock/{model}", "tools": [{"type": "function", **function}], "parallel_tool_calls": False}
    with openai_client(house.address, house.keys.project_key) as client:
        if streams:
            with client.responses.stream(**given, input="Hi") as stream:
                response = stream.get_final_response()
        else:
            response = client.responses.create(**given, input="Hi")
        calls = [item for item in response.output if item.type == "function_call"]
        assert [json.loads(call.arguments) for call in calls] == CITIES[:1]
        items = [{"role": "user", "content": "Hi"}, *(item.model_dump(exclude_none=True) for item in response.output)]
        for item in items:
            item.pop("parsed_arguments", None)
        answered = [*items, {"type": "function_call_output", "call_id": calls[0].call_id, "output": "sun"}]
        assert client.responses.create(**given, input=answered).output_text == strict_bedrock.ANSWERED
