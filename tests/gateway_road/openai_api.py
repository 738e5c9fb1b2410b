"""An upstream that behaves as OpenAI's API documents it, as far as the tests ask: the same request always has the same answer.

Shapes: the types of the openai package (3.54.0) and https://developers.openai.com/api/reference (2026-11-23).
"""

import json
from typing import Any

from tests.gateway.fault_upstream import ReceivedRequest
from tests.gateway_road.upstreams import data_event, json_answer, stream_answer

KEY = "sk-upstream-secret-1234567890"
IDS = b"x-request-id: req_of_the_upstream\r\nopenai-processing-ms: 12\r\nx-ratelimit-remaining-requests: 9\r\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 3}}


def answer(request: ReceivedRequest) -> bytes:
    """What the API answers."""
    path = request.line.split(b" ")[1].decode()
    if request.header(b"authorization") != [f"Bearer {KEY}".encode()]:
        return error(
            b"401 Unauthorized",
            f"Incorrect API key provided: {request.header(b'authorization')}.",
            "invalid_request_error",
            "invalid_api_key",
        )
    if path.endswith("/chat/completions"):
        return chat(json.loads(request.body))
    if path.endswith("/embeddings"):
        return json_answer(
            {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
                "model": json.loads(request.body)["model"],
                "usage": {"prompt_tokens": 2, "total_tokens": 2},
            },
            headers=IDS,
        )
    return error(b"404 Not Found", "Unknown request URL", "invalid_request_error", "unknown_url")


def chat(body: dict[str, Any]) -> bytes:
    """A chat completion, whole or streamed."""
    said = f"You said: {body['messages'][-1]['content']}"
    if not body.get("stream"):
        return json_answer(completion(body["model"], {"role": "assistant", "content": said, "refusal": None}), headers=IDS)
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in said.split(" ")), {}]
    chunks = [chunk(body["model"], delta, "stop" if not delta else None) for delta in deltas]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**chunk(body["model"], {}, None), "choices": [], "usage": USAGE})
    return stream_answer(*map(data_event, chunks), b"data: [DONE]\n\n", headers=IDS)


def completion(model: str, message: dict[str, Any], finish_reason: str = "stop") -> dict[str, Any]:
    """A whole chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": USAGE,
        "system_fingerprint": "fp_1",
    }


def chunk(model: str, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    """A chunk of a streamed one."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }


def error(status: bytes, message: str, kind: str, code: str | None, headers: bytes = b"") -> bytes:
    """An error."""
    return json_answer({"error": {"message": message, "type": kind, "param": None, "code": code}}, status, IDS + headers)
