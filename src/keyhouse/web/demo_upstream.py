"""A small upstream to try Keyhouse against: Chat Completions, Responses, Embeddings and Messages, whole and streamed. It repeats what
it is told.

Shapes: the types of the openai package (3.54.0) and of the anthropic package (2.12.0).
"""

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from keyhouse.web.asgi import answer_whole

KEY = "sk-demo-key-of-the-demo-upstream"
MODEL = "demo"
EMBEDDING_MODEL = "demo-embedding"
_DIMENSIONS = 8
_PAUSE_S = 0.03

JsonObject = dict[str, Any]
Answer = Callable[[JsonObject], JsonObject | AsyncIterator[bytes]]


class DemoUpstream:
    """The ASGI application. It wants its own key, so that a caller sees that Keyhouse puts it there."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"x-request-id", f"req_demo_{next(self._numbers)}".encode())]
        body = await _body(receive)
        status, answer = _answered(scope, body)
        if isinstance(answer, dict):
            await answer_whole(send, status, [*headers, (b"content-type", b"application/json")], msgspec.json.encode(answer))
            return
        headers.append((b"content-type", b"text/event-stream"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        async for event in answer:
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(_PAUSE_S)
        await send({"type": "http.response.body", "body": b""})


def _answered(scope: Scope, body: bytes) -> tuple[int, JsonObject | AsyncIterator[bytes]]:
    given = dict(scope["headers"])
    if given.get(b"authorization") != f"Bearer {KEY}".encode() and given.get(b"x-api-key") != KEY.encode():
        return _error(401, "The demo upstream wants its own key, and Keyhouse is to send it.")
    if scope["method"] == "GET" and scope["path"] == "/v1/models":
        return 200, {"object": "list", "data": [_model(MODEL), _model(EMBEDDING_MODEL)]}
    answer = _ANSWERS.get(scope["path"]) if scope["method"] == "POST" else None
    if answer is None:
        return _error(404, "The demo upstream has /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/messages and /v1/models.")
    try:
        return 200, answer(msgspec.json.decode(body, type=dict[str, Any]))
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, AttributeError, IndexError):
        return _error(400, "The demo upstream could not read the request.")


def _error(status: int, message: str) -> tuple[int, JsonObject]:
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


def _model(model_id: str) -> JsonObject:
    return {"id": model_id, "object": "model", "created": 1_700_000_000, "owned_by": "demo"}


def _chat(body: JsonObject) -> JsonObject | AsyncIterator[bytes]:
    said = _said(body["messages"])
    usage = {**_usage("prompt_tokens", "completion_tokens", body, said), "total_tokens": _tokens(str(body["messages"])) + _tokens(said)}
    head = {"id": "chatcmpl-demo", "created": int(time.time()), "model": body["model"]}
    if not body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": said, "refusal": None}, "logprobs": None, "finish_reason": "stop"}
        return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
    chunk = {**head, "object": "chat.completion.chunk"}
    deltas: list[tuple[JsonObject, str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in _words(said)]
    chunks: list[JsonObject] = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}
        for delta, reason in [*deltas, ({}, "stop")]
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**chunk, "choices": [], "usage": usage})
    return _events([*(b"data: %b\n\n" % msgspec.json.encode(one) for one in chunks), b"data: [DONE]\n\n"])


def _messages(body: JsonObject) -> JsonObject | AsyncIterator[bytes]:
    said = _said(body["messages"])
    usage = _usage("input_tokens", "output_tokens", body, said)
    message: JsonObject = {"id": "msg_demo", "type": "message", "role": "assistant", "model": body["model"]}
    stop: JsonObject = {"stop_reason": "end_turn", "stop_sequence": None}
    if not body.get("stream"):
        return {**message, "content": [{"type": "text", "text": said}], **stop, "usage": usage}
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 0}}
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in _words(said)]
    events: list[JsonObject] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": usage},
        {"type": "message_stop"},
    ]
    return _named_events(events)


def _responses(body: JsonObject) -> JsonObject | AsyncIterator[bytes]:
    given = body["input"]
    messages = [{"content": given}] if isinstance(given, str) else given
    said = _said(messages)
    usage: JsonObject = _usage("input_tokens", "output_tokens", {"messages": messages}, said)
    usage |= {
        "total_tokens": sum(usage.values()),
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    part: JsonObject = {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
    item: JsonObject = {"id": "msg_demo", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    head: JsonObject = {"id": "resp_demo", "object": "response", "created_at": int(time.time()), "model": body["model"], "error": None}
    head |= {
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    whole = {**head, "status": "completed", "output": [item], "usage": usage}
    if not body.get("stream"):
        return whole
    begun = {**head, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_demo", "output_index": 0, "content_index": 0}
    events: list[JsonObject] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in _words(said)),
        {"type": "response.output_text.done", **place, "text": said, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return _named_events([{**event, "sequence_number": number} for number, event in enumerate(events)])


def _embeddings(body: JsonObject) -> JsonObject:
    given = body["input"]
    texts = given if isinstance(given, list) else [given]
    data = [{"object": "embedding", "index": index, "embedding": _embedding(str(text))} for index, text in enumerate(texts)]
    count = _tokens(" ".join(map(str, texts)))
    return {"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": count, "total_tokens": count}}


def _embedding(text: str) -> list[float]:
    """Numbers that are the same for the same text, and mean nothing."""
    return [byte / 127.5 - 1 for byte in hashlib.sha256(text.encode()).digest()[:_DIMENSIONS]]


def _said(messages: list[JsonObject]) -> str:
    content = messages[-1]["content"]
    text = content if isinstance(content, str) else " ".join(str(part.get("text", "")) for part in content)
    return f"This is the demo upstream. You said: {text}"


def _usage(prompt: str, completion: str, body: JsonObject, said: str) -> JsonObject:
    return {prompt: _tokens(str(body["messages"])), completion: _tokens(said)}


def _tokens(text: str) -> int:
    """Words stand for tokens here."""
    return len(text.split())


def _words(text: str) -> Iterator[str]:
    first, *rest = text.split(" ")
    yield first
    yield from (f" {word}" for word in rest)


def _named_events(events: list[JsonObject]) -> AsyncIterator[bytes]:
    return _events([b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in events])


async def _events(events: list[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event


async def _body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _live(receive: Receive, send: Send) -> None:
    for word in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{word}.complete"})


_ANSWERS: dict[str, Answer] = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _responses,
    "/v1/messages": _messages,
    "/v1/embeddings": _embeddings,
}
