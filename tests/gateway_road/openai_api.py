"""An upstream that behaves as OpenAI's API documents it, as far as the tests ask: the same request always has the same answer.

Shapes: the types of the openai package (3.54.0) and https://developers.openai.com/api/reference (2026-11-23). A model called `error-429`
answers with that status, one called `broken-stream` reports an error inside its stream.
"""

import json
from collections.abc import Callable
from typing import Any

from tests.gateway.fault_upstream import ReceivedRequest, response
from tests.gateway_road.upstreams import data_event, json_answer, named_event, stream_answer

KEY = "sk-upstream-secret-1234567890"
IDS = b"x-request-id: req_of_the_upstream\r\nopenai-processing-ms: 12\r\nx-ratelimit-remaining-requests: 9\r\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 3}}
SOUND = bytes(range(256)) * 40
REASONS = {400: b"Bad Request", 401: b"Unauthorized", 429: b"Too Many Requests", 500: b"Internal Server Error"}
CREATED = 1_700_000_000


def answer(request: ReceivedRequest) -> bytes:
    """What the API answers."""
    path = request.line.split(b" ")[1].decode().partition("?")[0].partition("/v1")[2]
    if request.header(b"authorization") != [f"Bearer {KEY}".encode()]:
        return error(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
    if path == "/audio/transcriptions":
        return transcription(request.body)
    if path == "/images/edits":
        return edited_image(request)
    answering = _ANSWERS.get(path)
    if answering is None:
        return error(404, "Unknown request URL", "invalid_request_error", "unknown_url")
    body = json.loads(request.body)
    model = body["model"]
    if model.startswith("error-"):
        return error(int(model[6:]), f"This is the error {model[6:]}.", "some_error", "some_code", b"retry-after: 30\r\n")
    return answering(body)


def chat(body: dict[str, Any]) -> bytes:
    """A chat completion, whole or streamed."""
    if body.get("stream"):
        return streamed_chat(body)
    return json_answer(completion(body["model"], message(body), "tool_calls" if body.get("tools") else "stop"), headers=IDS)


def message(body: dict[str, Any]) -> dict[str, Any]:
    """What the model says."""
    if body.get("tools"):
        calls = [call(index, tool["function"]["name"]) for index, tool in enumerate(body["tools"])]
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}
    if body.get("response_format", {}).get("type") == "json_schema":
        return {"role": "assistant", "content": '{"name":"Ann","age":7}', "refusal": None}
    return {"role": "assistant", "content": f"You said: {body['messages'][-1]['content']}", "refusal": None}


def call(index: int, name: str) -> dict[str, Any]:
    """A call of a tool."""
    return {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": '{"city":"Oslo"}'}}


def streamed_chat(body: dict[str, Any]) -> bytes:
    """A chat completion as events; with tools, their arguments in pieces."""
    model = body["model"]
    if model == "broken-stream":
        broken = {"error": {"message": "The model fell over.", "type": "server_error", "param": None, "code": "fell"}}
        return stream_answer(data_event(chunk(model, {"role": "assistant", "content": "A"}, None)), data_event(broken), headers=IDS)
    said = message(body)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if said.get("tool_calls"):
        for index, made in enumerate(said["tool_calls"]):
            deltas.append({"tool_calls": [{"index": index, **made, "function": {"name": made["function"]["name"], "arguments": ""}}]})
            deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in ('{"ci', 'ty":"Oslo"}')]
    else:
        deltas += [{"content": piece} for piece in said["content"].partition(":")]
    chunks = [chunk(model, delta, None) for delta in deltas]
    chunks.append(chunk(model, {}, "tool_calls" if said.get("tool_calls") else "stop"))
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**chunk(model, {}, None), "choices": [], "usage": USAGE})
    return stream_answer(*map(data_event, chunks), b"data: [DONE]\n\n", headers=IDS)


def completion(model: str, said: dict[str, Any], finish_reason: str = "stop") -> dict[str, Any]:
    """A whole chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish_reason}],
        "usage": USAGE,
        "system_fingerprint": "fp_1",
    }


def chunk(model: str, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    """A chunk of a streamed one."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }


def embeddings(body: dict[str, Any]) -> bytes:
    """Embeddings, as numbers or in base64."""
    value = "AACAPgAAAL8=" if body.get("encoding_format") == "base64" else [0.25, -0.5]
    data = [{"object": "embedding", "index": 0, "embedding": value}]
    return json_answer(
        {"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 2, "total_tokens": 2}}, headers=IDS
    )


def responses(body: dict[str, Any]) -> bytes:
    """A response, whole or as events."""
    part = {"type": "output_text", "text": f"You said: {body['input']}", "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    whole = {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "model": body["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 3},
            "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 13,
        },
    }
    if not body.get("stream"):
        return json_answer(whole, headers=IDS)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [
        ("response.created", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}}),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        ("response.output_text.delta", {**place, "delta": part["text"], "logprobs": []}),
        ("response.output_text.done", {**place, "text": part["text"], "logprobs": []}),
        ("response.content_part.done", {**place, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": whole}),
    ]
    stated = [named_event(name, {"type": name, "sequence_number": number, **data}) for number, (name, data) in enumerate(events)]
    return stream_answer(*stated, headers=IDS)


def completions(body: dict[str, Any]) -> bytes:
    """A completion of the older kind."""
    choice = {"text": " world", "index": 0, "logprobs": None, "finish_reason": "stop"}
    whole = {"id": "cmpl-1", "object": "text_completion", "created": CREATED, "model": body["model"], "choices": [choice], "usage": USAGE}
    return stream_answer(data_event(whole), b"data: [DONE]\n\n", headers=IDS) if body.get("stream") else json_answer(whole, headers=IDS)


def moderations(body: dict[str, Any]) -> bytes:
    """A moderation."""
    result = {"flagged": False, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}
    return json_answer({"id": "modr-1", "model": body["model"], "results": [result]}, headers=IDS)


def images(body: dict[str, Any]) -> bytes:
    """An image."""
    return json_answer({"created": CREATED, "data": [{"b64_json": "aGk="}], "size": body.get("size")}, headers=IDS)


def speech(body: dict[str, Any]) -> bytes:
    """Sound."""
    return response(SOUND, headers=b"content-type: audio/mpeg\r\n" + IDS)


def transcription(form: bytes) -> bytes:
    """A transcription; what it says tells what came."""
    return json_answer({"text": f"{b'whisper-1' in form} {b'RIFF' in form} {b'keyhouse' in form}"}, headers=IDS)


def edited_image(request: ReceivedRequest) -> bytes:
    """An edited image; what it says tells what came, as a form or as JSON."""
    [kind] = request.header(b"content-type")
    told = f"{kind.partition(b';')[0].decode()} {b'gpt-image-2' in request.body} {b'keyhouse' in request.body}"
    return json_answer({"created": CREATED, "data": [{"b64_json": "aGk=", "revised_prompt": told}]}, headers=IDS)


def error(status: int, text: str, kind: str, code: str | None, headers: bytes = b"") -> bytes:
    """An error."""
    line = b"%d %b" % (status, REASONS.get(status, b"Error"))
    return json_answer({"error": {"message": text, "type": kind, "param": None, "code": code}}, line, IDS + headers)


_ANSWERS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "/chat/completions": chat,
    "/embeddings": embeddings,
    "/responses": responses,
    "/completions": completions,
    "/moderations": moderations,
    "/images/generations": images,
    "/images/edits": images,
    "/audio/speech": speech,
}
