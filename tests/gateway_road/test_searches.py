"""OpenAI's client asks Claude to search the web, and goes on with a model of OpenAI's."""

import json

import pytest

from tests.gateway.fault_upstream import ReceivedRequest
from tests.gateway_road import anthropic_api, openai_api
from tests.gateway_road.conftest import openai_client
from tests.gateway_road.upstreams import json_answer, named_event, stream_answer

PAGE = {"type": "web_search_result", "url": "https://a.no", "title": "A", "encrypted_content": "x"}
CITED = {"type": "web_search_result_location", "url": "https://a.no", "title": "A", "encrypted_index": "x", "cited_text": "…"}
CONTENT = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "who won"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [PAGE]},
    {"type": "text", "text": "Norway.", "citations": [CITED]},
]
USAGE = {"input_tokens": 9, "output_tokens": 4, "server_tool_use": {"web_search_requests": 1}}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "stop_reason": "end_turn", "usage": USAGE}
ANNOTATION = {"url": "https://a.no", "title": "A", "start_index": 0, "end_index": 7}


def answer(request: ReceivedRequest) -> bytes:
    """Claude that searches, and OpenAI's API."""
    body = json.loads(request.body)
    if not request.line.split(b" ")[1].startswith(b"/v1/messages"):
        return openai_api.answer(request)
    assert body["tools"] == [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]
    if not body.get("stream"):
        return json_answer({**MESSAGE, "content": CONTENT})
    told = [
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        *(event for index, block in enumerate(CONTENT) for event in block_events(index, block)),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
        {"type": "message_stop"},
    ]
    return stream_answer(*(named_event(event["type"], event) for event in told))


def block_events(index, block):
    """A block, piece by piece."""
    place = {"type": "content_block_delta", "index": index}
    if block["type"] == "server_tool_use":
        yield {"type": "content_block_start", "index": index, "content_block": {**block, "input": {}}}
        yield {**place, "delta": {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}}
    elif block["type"] == "text":
        yield {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": "", "citations": []}}
        yield {**place, "delta": {"type": "citations_delta", "citation": CITED}}
        yield {**place, "delta": {"type": "text_delta", "text": block["text"]}}
    else:
        yield {"type": "content_block_start", "index": index, "content_block": block}
    yield {"type": "content_block_stop", "index": index}


@pytest.fixture
def client(road):
    road.answers(answer)
    road.store()
    road.put("anthropic", {"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": road.upstream.address})
    with openai_client(road.house.address, road.house.keys.project_key) as made:
        yield made


@pytest.mark.parametrize("streamed", [False, True])
def test_a_chat_completion_rests_on_a_search(client, streamed):
    given = {"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "Who won?"}], "web_search_options": {}}
    if not streamed:
        message = client.chat.completions.create(**given).choices[0].message
    else:
        with client.chat.completions.stream(**given) as stream:
            message = stream.get_final_completion().choices[0].message
    assert message.content == "Norway."
    [annotation] = message.model_dump()["annotations"]
    assert annotation == {"type": "url_citation", "url_citation": ANNOTATION}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_response_rests_on_a_search_and_another_model_goes_on(road, client, streamed):
    given = {"model": "claude-opus-5-5", "input": [{"role": "user", "content": "Who won?"}], "tools": [{"type": "web_search"}]}
    if not streamed:
        response = client.responses.create(**given)
    else:
        with client.responses.stream(**given) as stream:
            response = stream.get_final_response()
    search, said = response.output
    assert (search.action.query, [source.url for source in search.action.sources]) == ("who won", ["https://a.no"])
    assert [part.to_dict() for part in said.content[0].annotations] == [{"type": "url_citation", **ANNOTATION}]

    given["input"] += [item.to_dict() for item in response.output]
    assert client.responses.create(**{**given, "model": "gpt-6-sol"}).output
    sent = road.upstream.bodies()[-1]
    assert [item.get("type") for item in sent["input"]] == [None, "message"]
    assert sent["tools"] == given["tools"]
