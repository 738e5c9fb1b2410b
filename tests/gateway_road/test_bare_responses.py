"""Callers of chat completions and of messages on Perplexity, which has Responses alone, and fewer members than OpenAI's."""

import json
from collections.abc import Iterator

import anthropic
import httpx2
import pytest

from tests.conftest import NO_CERTIFICATES, ServedHouse
from tests.gateway.conftest import Authority, authority  # noqa: F401 - a fixture
from tests.gateway_road import strict_responses
from tests.gateway_road.conftest import openai_client
from tests.gateway_road.internet import Internet, house_in
from tests.gateway_road.strict_responses import PAGES
from tests.gateway_road.upstreams import data_event, json_answer, stream_answer

QUESTION = [{"role": "user", "content": "Who won?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
MODEL = "perplexity/sonar"


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[tuple[ServedHouse, Internet]]:  # noqa: F811
    """A house whose way out leads to that upstream."""
    internet = Internet(lambda host, request: strict_responses.answer(request), authority.server_context)
    with house_in(internet, tmp_path_factory.mktemp("connected"), authority) as house:
        given = {"enabled": True, "customKeys": {"PERPLEXITY_API_KEY": "pplx-1234567890"}}
        assert house.client().put("/api/model-providers/perplexity", json=given).status_code == 200
        yield house, internet


@pytest.fixture
def internet(connected):
    internet = connected[1]
    internet.answering = lambda host, request: strict_responses.answer(request)
    internet.asked.clear()
    return internet


@pytest.fixture
def openai(connected, internet):
    with openai_client(connected[0].address, connected[0].keys.project_key) as made:
        yield made


@pytest.fixture
def claude(connected, internet):
    house = connected[0]
    transport = httpx2.Client(trust_env=False, verify=NO_CERTIFICATES)
    with anthropic.Anthropic(base_url=house.address, api_key=house.keys.project_key, max_retries=0, http_client=transport) as made:
        yield made


def sent(internet):
    return json.loads(internet.asked[-1][1].body)


def chat(openai, *, streamed=False, model=MODEL, messages=QUESTION, **given):
    if not streamed:
        return openai.chat.completions.create(model=model, messages=messages, **given)
    with openai.chat.completions.stream(model=model, messages=messages, stream_options={"include_usage": True}, **given) as stream:
        return stream.get_final_completion()


def message(claude, *, streamed=False, model=MODEL, messages=QUESTION, **given):
    given = {"model": model, "max_tokens": 100, "messages": messages, **given}
    if not streamed:
        return claude.messages.create(**given)
    with claude.messages.stream(**given) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("streamed", [False, True])
def test_a_chat_is_answered(internet, openai, streamed):
    system = {"role": "system", "content": "Be brief."}
    given = {"max_tokens": 50, "temperature": 0.2, "top_p": 0.9, "reasoning_effort": "low"}
    answer = chat(openai, streamed=streamed, messages=[*QUESTION, system], **given)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("You said: Who won?", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 5)
    assert (answer.usage.prompt_tokens_details.cached_tokens, answer.usage.completion_tokens_details.reasoning_tokens) == (4, 2)
    body = sent(internet)
    assert internet.asked[-1][1].line == b"POST /v1/responses HTTP/1.1"
    assert body.pop("stream", False) is streamed
    assert body == {
        "model": "perplexity/sonar",
        "input": [
            {"type": "message", "role": "system", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Who won?"}]},
        ],
        "max_output_tokens": 50,
        "temperature": 0.2,
        "top_p": 0.9,
        "reasoning": {"effort": "low"},
    }


@pytest.mark.parametrize("streamed", [False, True])
def test_a_message_is_answered(internet, claude, streamed):
    given = {"system": "Be brief.", "metadata": {"user_id": "u"}, "extra_body": {"top_k": 5}, "thinking": {"type": "disabled"}}
    answer = message(claude, streamed=streamed, **given)
    assert (answer.content[0].text, answer.stop_reason) == ("You said: Who won?", "end_turn")
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (8, 4, 5)
    assert sorted(sent(internet)) == sorted(["model", "input", "max_output_tokens", *(["stream"] if streamed else [])])


def test_what_it_does_not_know_is_named(openai):
    given = {"user": "u", "seed": 1, "store": True, "prompt_cache_key": "k", "service_tier": "flex", "presence_penalty": 1}
    raw = openai.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION, **given)
    assert set(raw.headers["x-keyhouse-params-dropped"].split(", ")) == set(given)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", ["get_weather", "fetch_url"])
def test_a_tool_is_called_and_answered(internet, openai, streamed, name):
    tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}}]
    choice = {"type": "function", "function": {"name": name}}
    first = chat(openai, streamed=streamed, tools=tools, tool_choice=choice, parallel_tool_calls=False).choices[0]
    [call] = first.message.tool_calls
    assert (first.finish_reason, call.function.name, call.function.arguments) == ("tool_calls", name, '{"city":"Oslo"}')
    told = sent(internet)["tools"][0]["name"]
    assert (sent(internet)["tool_choice"], told == name) == ({"name": told}, name == "get_weather")

    turns = [*QUESTION, first.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    assert chat(openai, streamed=streamed, tools=tools, messages=turns).choices[0].message.content == "You said: fine"
    assert sent(internet)["input"][1:] == [
        {"type": "function_call", "call_id": "call_1", "name": told, "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny", "name": told},
    ]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_that_is_signed_goes_back_with_its_signature(internet, claude, openai, streamed):
    model = "perplexity/google/gemini-3-flash-preview"
    given = {"model": model, "streamed": streamed, "tools": [{"name": "get_weather", "input_schema": SCHEMA}]}
    content = message(claude, **given).model_dump(exclude_none=True)["content"]
    result = {"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "sunny"}
    message(claude, messages=[*QUESTION, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}], **given)
    assert [item.get("thought_signature") for item in sent(internet)["input"]] == [None, "c2ln", "c2ln"]


def test_instructions_alone_are_the_users(internet, openai):
    chat(openai, messages=[{"role": "system", "content": "Be brief."}, {"role": "system", "content": "Greet."}])
    assert [item["role"] for item in sent(internet)["input"]] == ["system", "user"]


def test_words_that_come_at_the_end_alone_are_told_once(internet, openai, claude):
    def late(host, request):
        told = json.loads(request.body)
        output = list(strict_responses.items(told))
        whole = {"id": "resp_1", "created_at": 1, "model": told["model"], "status": "completed", "output": output}
        return stream_answer(*(data_event(event) for event in strict_responses.events(whole) if "delta" not in event))

    internet.answering = late
    assert chat(openai, streamed=True).choices[0].message.content == "You said: Who won?"
    assert message(claude, streamed=True).content[0].text == "You said: Who won?"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_for_claudes_callers(claude, streamed):
    tools = [{"name": "get_weather", "input_schema": SCHEMA}]
    answer = message(claude, streamed=streamed, tools=tools, tool_choice={"type": "any"})
    assert [(block.type, block.name, block.input) for block in answer.content] == [("tool_use", "get_weather", {"city": "Oslo"})]
    assert answer.stop_reason == "tool_use"


@pytest.mark.parametrize("streamed", [False, True])
def test_the_web_is_searched(internet, claude, streamed):
    place = {"type": "approximate", "country": "NO", "timezone": "Europe/Oslo"}
    tool = {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.no"], "user_location": place}
    answer = message(claude, streamed=streamed, tools=[tool])
    assert [block.type for block in answer.content] == ["server_tool_use", "web_search_tool_result", "text"]
    assert (answer.content[0].input, answer.stop_reason) == ({"query": "who won"}, "end_turn")
    assert [page.url for page in answer.content[1].content] == PAGES
    assert answer.usage.server_tool_use.web_search_requests == 1
    filters = {"search_domain_filter": ["a.no"]}
    assert sent(internet)["tools"] == [{"type": "web_search", "filters": filters, "user_location": {"country": "NO"}}]


@pytest.mark.parametrize("streamed", [False, True])
def test_the_web_is_searched_for_a_chat(internet, openai, streamed):
    asked = [{"role": "user", "content": "Norway[2], or [3]?"}]
    answer = chat(openai, streamed=streamed, web_search_options={}, messages=asked).choices[0]
    text = "You said: Norway[2], or [3]?"
    assert (answer.message.content, answer.message.tool_calls, answer.finish_reason) == (text, None, "stop")
    assert sent(internet)["tools"] == [{"type": "web_search"}]
    cited = {"url": PAGES[1], "title": "Page 2", "start_index": 0, "end_index": len(text)}
    told = [each if isinstance(each, dict) else each.model_dump() for each in answer.message.annotations]
    assert told == [{"type": "url_citation", "url_citation": cited}]


def test_an_answer_follows_a_schema(internet, openai):
    wanted = {"type": "json_schema", "json_schema": {"name": "who", "schema": SCHEMA, "strict": False}}
    assert chat(openai, response_format=wanted).choices[0].message.content == '{"name":"Ann"}'
    assert sent(internet)["response_format"] == wanted


def test_an_image_is_seen_and_a_file_is_not(internet, openai):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}}
    chat(openai, messages=[{"role": "user", "content": [image, {"type": "text", "text": "What?"}]}])
    assert sent(internet)["input"][0]["content"][0] == {"type": "input_image", "image_url": image["image_url"]["url"]}
    with pytest.raises(Exception, match="takes no files") as raised:
        chat(openai, messages=[{"role": "user", "content": [file]}])
    assert raised.value.code == "unsupported_parameter"


def test_a_claude_model_gets_a_limit_and_one_of_openais_no_temperature(internet, openai):
    chat(openai, model="perplexity/anthropic/claude-sonnet-4-6", temperature=0.5)
    assert (sent(internet)["model"], sent(internet)["max_output_tokens"]) == ("anthropic/claude-sonnet-4-6", 128000)
    assert sent(internet)["temperature"] == 0.5
    chat(openai, model="perplexity/openai/gpt-6-sol", temperature=0.5)
    assert sorted(sent(internet)) == ["input", "model"]


def test_a_caller_of_responses_names_its_model_in_the_same_way(internet, openai):
    openai.responses.create(model=MODEL, input=[{"type": "message", "role": "user", "content": "Hi"}])
    assert sent(internet)["model"] == "perplexity/sonar"


FAILURE = {"message": "Its model is down.", "type": "internal_error", "code": 500}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_answer_that_failed_is_an_error(internet, openai, claude, status):
    failed = {"id": "resp_1", "model": "m", "status": status, "output": [], "error": FAILURE}
    internet.answering = lambda host, request: json_answer(failed)
    with pytest.raises(Exception, match="Its model is down") as raised:
        chat(openai)
    assert raised.value.status_code == 502
    with pytest.raises(Exception, match="Its model is down"):
        message(claude)


@pytest.mark.parametrize(
    "end", [{"type": "response.failed", "error": FAILURE}, {"type": "response.cancelled", "response": {"error": FAILURE}}]
)
def test_a_stream_that_fails_ends_in_an_error(internet, openai, claude, end):
    begun = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress", "output": []}}
    internet.answering = lambda host, request: stream_answer(data_event(begun), data_event(end))
    with pytest.raises(Exception, match="Its model is down"):
        chat(openai, streamed=True)
    with pytest.raises(Exception, match="Its model is down"):
        message(claude, streamed=True)


def test_its_errors_are_the_callers(internet, openai, claude):
    body = {"error": {"message": "Too many.", "type": "request_rate_limit_exceeded", "code": 429}}
    internet.answering = lambda host, request: json_answer(body, b"429 Too Many Requests")
    for ask, client in ((chat, openai), (message, claude)):
        with pytest.raises(Exception, match="Too many") as raised:
            ask(client)
        assert raised.value.status_code == 429
