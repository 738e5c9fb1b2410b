"""Anthropic's client in a conversation with tools, over several turns and models: OpenAI's that think, and a Claude model after them."""

import json
from pathlib import Path

import anthropic
import pytest

from tests.gateway.fault_upstream import ReceivedRequest, response
from tests.gateway_road import anthropic_api, openai_api
from tests.gateway_road.upstreams import json_answer, named_event, stream_answer

STREAM = Path(__file__).parents[1] / "gateway" / "wire" / "recorded" / "responses_reasoning_and_tools.sse"
TOOLS = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in ("get_weather", "get_time")]
THOUGHTS = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA-whole:=="}


def answer(request: ReceivedRequest) -> bytes:
    """OpenAI's Responses, whole and streamed, and Anthropic's Messages."""
    path = request.line.split(b" ")[1].partition(b"?")[0]
    if path in (b"/v1/messages", b"/v1/messages/count_tokens"):
        return anthropic_api.answer(request)
    assert path == b"/v1/responses", path
    events = STREAM.read_bytes()
    if json.loads(request.body).get("stream"):
        return stream_answer(*(event + b"\n\n" for event in events.split(b"\n\n") if event), headers=openai_api.IDS)
    last = events.rstrip().rpartition(b"data: ")[2]
    return json_answer(json.loads(last)["response"], headers=openai_api.IDS)


@pytest.fixture
def client(road):
    road.answers(answer)
    road.store()
    road.put("anthropic", {"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": road.upstream.address})
    with anthropic.Anthropic(base_url=road.house.address, api_key=road.house.keys.project_key, max_retries=0) as made:
        yield made


def asked(client, messages, *, streamed, model="gpt-6-sol"):
    given = {"model": model, "max_tokens": 2000, "messages": messages, "tools": TOOLS}
    if not streamed:
        return client.messages.create(**given)
    with client.messages.stream(**given) as stream:
        return stream.get_final_message()


def gone_on(message):
    """The conversation with an answer, as it came, and the results of its calls."""
    content = [block.model_dump(exclude_none=True) for block in message.content]
    results = [{"type": "tool_result", "tool_use_id": block["id"], "content": "fine"} for block in content if block["type"] == "tool_use"]
    return [{"role": "user", "content": "Paris?"}, {"role": "assistant", "content": content}, {"role": "user", "content": results}]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_model_that_thinks_gets_its_thoughts_back_with_its_calls(road, client, streamed):
    message = asked(client, [{"role": "user", "content": "Paris?"}], streamed=streamed)
    assert [block.type for block in message.content] == ["thinking", "redacted_thinking", "text", "tool_use", "tool_use"]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("tool_use", 25, 89)
    asked(client, gone_on(message), streamed=streamed)
    first, second = road.upstream.bodies()
    assert (first["store"], first["max_output_tokens"], "stream" in first) == (False, 2000, streamed)
    assert [item.get("type", item.get("role")) for item in second["input"]] == [
        *("user", "reasoning", "assistant", "function_call", "function_call", "function_call_output", "function_call_output")
    ]
    assert second["input"][1] == THOUGHTS


@pytest.mark.parametrize("called", ["messages", "count_tokens"])
def test_a_claude_model_goes_on_without_the_thoughts_of_another(road, client, called):
    messages = gone_on(asked(client, [{"role": "user", "content": "Paris?"}], streamed=True))
    road.upstream.requests.clear()
    if called == "messages":
        assert asked(client, messages, streamed=False, model="claude-opus-5-5").content
    else:
        assert client.messages.count_tokens(model="claude-opus-5-5", messages=messages, tools=TOOLS).input_tokens
    assert [block["type"] for block in road.sent["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]


def test_a_claude_models_own_thoughts_pass_byte_for_byte(road, client):
    blocks = (
        '[{"type":"thinking","thinking":"","signature":"s"},  {"type":"redacted_thinking","data":"d openai:"},{"type":"text","text":"a"}]'
    )
    body = f'{{"model":"claude-opus-5-5", "max_tokens":9,"messages":[{{"role":"assistant","content":{blocks}}}]}}'.encode()
    road.post("/v1/messages", body)
    assert road.request.body == body


SEARCHED = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "who won", "sources": [{"type": "url", "url": "https://a.no/1"}]},
}
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Norway.", "annotations": []}]}


def searching(request: ReceivedRequest) -> bytes:
    """Responses that search the web first, and Anthropic's Messages."""
    body = json.loads(request.body)
    if "input" not in body:
        return anthropic_api.answer(request)
    usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    whole = {"id": "resp_1", "status": "completed", "model": body["model"], "output": [SEARCHED, SAID], "usage": usage}
    if not body.get("stream"):
        return json_answer(whole)
    told = [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**SEARCHED, "status": "in_progress", "action": {"type": "search"}},
        },
        {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"},
        {"type": "response.output_item.done", "output_index": 0, "item": SEARCHED},
        {"type": "response.output_item.added", "output_index": 1, "item": {**SAID, "content": []}},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Norway."},
        {"type": "response.output_item.done", "output_index": 1, "item": SAID},
        {"type": "response.completed", "response": whole},
    ]
    return stream_answer(*(named_event(event["type"], event) for event in told))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_model_of_openais_searches_the_web_and_claude_goes_on(road, client, streamed):
    road.answers(searching)
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    given = {"max_tokens": 2000, "messages": [{"role": "user", "content": "Who won?"}], "tools": [search]}
    if streamed:
        with client.messages.stream(model="gpt-6-sol", **given) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(model="gpt-6-sol", **given)
    assert [block.type for block in message.content] == ["server_tool_use", "web_search_tool_result", "text"]
    asked_for, found, said = message.content
    assert (asked_for.input, found.tool_use_id, said.text) == ({"query": "who won"}, asked_for.id, "Norway.")
    assert [(each.url, each.title) for each in found.content] == [("https://a.no/1", "https://a.no/1")]
    assert message.usage.server_tool_use.web_search_requests == 1
    assert (road.sent["tools"][0]["type"], road.sent["max_tool_calls"]) == ("web_search", 8)

    content = [block.model_dump(exclude_none=True) for block in message.content]
    given["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": "And before?"}]
    assert client.messages.create(model="claude-opus-5-5", **given).content
    sent = road.upstream.bodies()[-1]
    assert [block["type"] for block in sent["messages"][1]["content"]] == ["text"]
    assert sent["tools"] == [search]


def test_errors_are_anthropics(road, client):
    road.answers(response(b'{"error":{"message":"No such model.","type":"invalid_request_error"}}', status=b"404 Not Found"))
    with pytest.raises(anthropic.NotFoundError, match="No such model"):
        asked(client, [{"role": "user", "content": "Hi"}], streamed=True)


@pytest.mark.parametrize("model", ["gpt-5-mini", "gpt-5.3-chat-latest"])
def test_models_that_need_no_responses_are_called_by_chat_completions(road, client, model):
    road.answers(openai_api.answer)
    assert asked(client, [{"role": "user", "content": "Hi"}], streamed=False, model=model).content
    assert road.request.line.split(b" ")[1] == b"/v1/chat/completions"
