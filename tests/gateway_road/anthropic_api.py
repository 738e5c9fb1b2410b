"""An upstream that behaves as Anthropic's API documents it, as far as the tests ask: the same request always has the same answer.

Shapes: the types of the anthropic package (2.12.0) and https://platform.claude.com/docs/en/api/messages (2026-11-23). A model called
`error-429` answers with that status, one called `broken-stream` reports an error inside its stream.
"""

import json
from typing import Any

from tests.gateway.fault_upstream import ReceivedRequest
from tests.gateway_road.upstreams import json_answer, named_event, stream_answer

KEY = "sk-ant-upstream-secret-1234567890"
IDS = b"request-id: req_of_anthropic\r\nanthropic-ratelimit-requests-remaining: 9\r\n"
USAGE = {"input_tokens": 5, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3, "output_tokens": 4}
KINDS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}


def answer(request: ReceivedRequest) -> bytes:
    """What the API answers."""
    path = request.line.split(b" ")[1].decode().partition("?")[0]
    # What came through Keyhouse bears its credential header; the client of this release sends the key as a bearer.
    if [KEY.encode()] not in (request.header(b"x-api-key"), [value.removeprefix(b"Bearer ") for value in request.header(b"authorization")]):
        return error(401, "invalid x-api-key")
    if not request.header(b"anthropic-version"):
        return error(400, "anthropic-version: header is required")
    body = json.loads(request.body)
    model = body["model"]
    if model.startswith("error-"):
        return error(int(model[6:]), f"This is the error {model[6:]}.", b"retry-after: 30\r\n")
    if path.endswith("/v1/messages/count_tokens"):
        return json_answer({"input_tokens": 14}, headers=IDS)
    if path.endswith("/v1/messages"):
        return streamed(body, request) if body.get("stream") else json_answer(message(body, request), headers=IDS)
    return error(404, "Not found")


def message(body: dict[str, Any], request: ReceivedRequest) -> dict[str, Any]:
    """A whole message."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content(body, request),
        "stop_reason": "tool_use" if body.get("tools") else "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }


def content(body: dict[str, Any], request: ReceivedRequest) -> list[dict[str, Any]]:
    """What the model says; a beta is repeated, so that a test sees that it came."""
    if body.get("tools"):
        return [
            {"type": "tool_use", "id": f"toolu_{n}", "name": tool["name"], "input": {"city": "Oslo"}}
            for n, tool in enumerate(body["tools"])
        ]
    said = body["messages"][-1]["content"]
    betas = [value.decode() for value in request.header(b"anthropic-beta")]
    query = request.line.split(b" ")[1].decode().partition("?")[2]
    text = {"type": "text", "text": f"You said: {json.dumps(said)} {betas or ''}{query}"}
    if body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        return [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, text]
    return [text]


def streamed(body: dict[str, Any], request: ReceivedRequest) -> bytes:
    """A message as events."""
    begun = {**message(body, request), "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    if body["model"] == "broken-stream":
        events.append({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        return stream_answer(*(named_event(event["type"], event) for event in events), headers=IDS)
    for index, block in enumerate(content(body, request)):
        events += [{**event, "index": index} for event in block_events(block)]
    stop = {"stop_reason": "tool_use" if body.get("tools") else "end_turn", "stop_sequence": None}
    events += [{"type": "message_delta", "delta": stop, "usage": {"output_tokens": 4}}, {"type": "message_stop"}]
    return stream_answer(*(named_event(event["type"], event) for event in events), headers=IDS)


def block_events(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one block."""
    if block["type"] == "tool_use":
        text = json.dumps(block["input"])
        start = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:5], text[5:])]
    elif block["type"] == "thinking":
        start = {**block, "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}, {"type": "signature_delta", "signature": block["signature"]}]
    else:
        start = {**block, "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in block["text"].partition(":") if piece]
    return [
        {"type": "content_block_start", "content_block": start},
        *({"type": "content_block_delta", "delta": delta} for delta in deltas),
        {"type": "content_block_stop"},
    ]


def error(status: int, text: str, headers: bytes = b"") -> bytes:
    """An error."""
    stated = {"type": "error", "error": {"type": KINDS.get(status, "api_error"), "message": text}, "request_id": "req_of_anthropic"}
    return json_answer(stated, b"%d Error" % status, IDS + headers)
