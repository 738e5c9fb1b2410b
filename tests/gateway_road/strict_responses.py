"""An upstream of Responses that refuses each member which Perplexity's does not know, and answers as its does.

Requests: https://github.com/perplexityai/api-platform-developers (skills/migrate-sonar-to-agent-api/references), the types of
https://github.com/perplexityai/perplexity-py. Answers and events: those, and the shapes that
https://github.com/vercel/ai/pull/18991 recorded (2026-11-30).
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.gateway.fault_upstream import ReceivedRequest
from tests.gateway_road.upstreams import data_event, json_answer, stream_answer

PAGES = ["https://a.no/1", "https://a.no/2"]
TAKEN = {"web_search", "search_web", "people_search", "search_people", "fetch_url", "finance_search", "sandbox"}
USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 17,
    "cost": {"currency": "USD", "input_cost": 0.1, "output_cost": 0.1, "total_cost": 0.2},
    "tool_calls_details": {"search_web": {"invocation": 1}},
}
KNOWN = {
    "": "model models preset input instructions tools tool_choice parallel_tool_calls max_output_tokens max_steps max_tool_calls"
    " temperature top_p reasoning response_format stream stream_options language_preference metadata previous_response_id"
    " background truncation",
    "reasoning": "effort",
    "response_format": "type json_schema",
    "response_format.json_schema": "name schema description strict",
    "tool_choice": "type name",
    "message": "type role content",
    "function_call": "type call_id name arguments thought_signature",
    "function_call_output": "type call_id name output thought_signature",
    "input_text": "type text",
    "input_image": "type image_url",
    "function": "type name description parameters strict",
    "web_search": "type filters user_location search_context_size max_results max_tokens max_tokens_per_page",
    "web_search.filters": "search_domain_filter search_recency_filter search_after_date_filter search_before_date_filter",
    "web_search.user_location": "latitude longitude country region city",
}


def answer(request: ReceivedRequest) -> bytes:
    """What it answers."""
    body = json.loads(request.body)
    wrong = next(refusals(body), None)
    if wrong is not None:
        return json_answer({"error": {"message": wrong, "type": "invalid_request", "code": 400}}, b"400 Bad Request")
    output = list(items(body))
    whole = {"id": "resp_1", "object": "response", "created_at": 1, "model": body["model"], "status": "completed", "error": None}
    whole |= {"output": output, "usage": USAGE, "incomplete_details": None}
    return stream_answer(*map(data_event, events(whole))) if body.get("stream") else json_answer(whole)


def refusals(body: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a request."""
    yield from unknown("", body)
    if "/" not in body["model"]:
        yield "invalid model"
    if body["model"].startswith("anthropic/") and "max_output_tokens" not in body:
        yield "max_output_tokens is required when using Anthropic models"
    for item in body["input"]:
        yield from unknown(item["type"], item)
        if not isinstance(item.get("output", ""), str):
            yield "invalid request body: output must be a string"
        for part in item["content"] if isinstance(item.get("content"), list) else ():
            yield from unknown(part["type"], part)
    for tool in body.get("tools", ()):
        yield from unknown(tool["type"], tool)
        yield from unknown("web_search.filters", tool.get("filters", {}))
        yield from unknown("web_search.user_location", tool.get("user_location", {}))
        if tool.get("name") in TAKEN:
            yield f"{tool['name']} is reserved"
    for name in ("reasoning", "response_format", "tool_choice"):
        if isinstance(body.get(name), dict):
            yield from unknown(name, body[name])
    yield from unknown("response_format.json_schema", body.get("response_format", {}).get("json_schema", {}))
    if body.get("reasoning", {}).get("effort", "low") not in ("minimal", "low", "medium", "high", "xhigh", "max"):
        yield "invalid effort"


def unknown(place: str, given: dict[str, Any]) -> Iterator[str]:
    """The members that are not known at a place."""
    yield from (f'invalid request body: json: unknown field "{name}"' for name in given if name not in KNOWN[place].split())


def items(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the model searched for, then its calls, or its words."""
    tools = {tool["type"]: tool for tool in body.get("tools", ())}
    if "web_search" in tools:
        results = [{"id": n, "url": url, "title": f"Page {n}", "snippet": "s", "source": "web"} for n, url in enumerate(PAGES, 1)]
        yield {"type": "search_results", "queries": ["who won"], "results": results}
    if "function" in tools and not any(item["type"] == "function_call_output" for item in body["input"]):
        call = {"type": "function_call", "id": "fc_1", "status": "completed", "name": tools["function"]["name"]}
        signed = {"thought_signature": "c2ln"} if body["model"].startswith("google/") else {}
        yield {**call, "call_id": "call_1", "arguments": '{"city":"Oslo"}', **signed}
        return
    content = body["input"][-1].get("content", "fine")
    said = content if isinstance(content, str) else content[-1].get("text")
    text = '{"name":"Ann"}' if "response_format" in body else f"You said: {said}"
    part = {"type": "output_text", "text": text, "annotations": []}
    yield {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The stream of an answer. The server's own search begins as a call and ends as results."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(whole["output"]):
        at = {"output_index": index}
        if item["type"] == "search_results":
            call = {"type": "function_call", "id": "fc_0", "call_id": "call_0", "name": "search_web", "status": "completed"}
            yield {"type": "response.output_item.added", **at, "item": {**call, "arguments": '{"queries":["who won"]}'}}
            yield {"type": "response.reasoning.search_queries", "call_id": "call_0", "queries": item["queries"], "thought": "Searching"}
            yield {"type": "response.reasoning.search_results", "call_id": "call_0", "results": item["results"], "thought": "Found"}
        elif item["type"] == "message":
            yield {"type": "response.output_item.added", **at, "item": {**item, "content": None}}
            text = item["content"][0]["text"]
            for delta in (text[:4], text[4:]):
                yield {"type": "response.output_text.delta", **at, "content_index": 0, "item_id": "msg_1", "delta": delta}
            yield {"type": "response.output_text.done", **at, "content_index": 0, "item_id": "msg_1", "text": text}
        else:
            yield {"type": "response.output_item.added", **at, "item": item}
        yield {"type": "response.output_item.done", **at, "item": item}
    yield {"type": "response.completed", "response": whole}
