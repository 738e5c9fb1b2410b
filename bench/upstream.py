"""A provider of the benchmarks' own, OpenAI-shaped, as its own process: whole answers, paced streams, embeddings, and the ways to fail.

    python bench/upstream.py PORT EVENTS INTERVAL_S

What it does is said by the model of the request: see FAULTS. A stream has so many events, the first with the head, one each interval.
"""

import asyncio
import json
import re
import sys
from typing import Any

import uvloop

REPLY_BYTES = 1260
_HEADERS = (
    "content-type: {kind}\r\nx-request-id: req_0123456789abcdef\r\nopenai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\n"
    "x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n"
)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


def reply_body() -> bytes:
    """A chat completion of 1.26 KB."""
    answer = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1795000000,
        "model": "gpt-5-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 210, "completion_tokens": 180, "total_tokens": 390},
    }
    answer["choices"][0]["message"]["content"] = "word " * ((REPLY_BYTES - len(json.dumps(answer))) // 5)  # type: ignore[index]
    return json.dumps(answer).encode()


def whole(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    """An answer with its length."""
    head = f"HTTP/1.1 {status}\r\n{_HEADERS.format(kind='application/json')}{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def event(text: str, finish: str | None = None) -> bytes:
    """A piece of a stream, framed as one chunk."""
    piece = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1795000000,
        "model": "gpt-5-mini",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}],
    }
    return chunk(b"data: " + json.dumps(piece).encode() + b"\n\n")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_ERROR = b'{"error":{"message":"It failed.","type":"server_error","param":null,"code":null}}'
CHAT = whole(reply_body())
EMBEDDING = whole(
    json.dumps(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.0123] * 256}],
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    ).encode()
)
STREAM_HEAD = f"HTTP/1.1 200 OK\r\n{_HEADERS.format(kind='text/event-stream')}transfer-encoding: chunked\r\n\r\n".encode()
EVENT = event(" twenty letters here")
LAST = event("", "stop") + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
FAULTS = {
    b"fail-500": whole(_ERROR, "500 Internal Server Error"),
    b"fail-429": whole(_ERROR, "429 Too Many Requests", "retry-after: 30\r\n"),
    b"fail-503-once-more": whole(_ERROR, "503 Service Unavailable", "retry-after: 0\r\n"),
    b"fail-half": CHAT[:400],
    b"fail-nonsense": b"SPDY/9 what\r\n\r\n",
}
"""By model: the answer. After those that break off the connection is closed."""
_BREAKS = (b"fail-half", b"fail-nonsense", b"fail-stream")


class Provider(asyncio.Protocol):
    """One connection."""

    def __init__(self, events: int, interval_s: float) -> None:
        self._events, self._interval_s = events, interval_s
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = self._received.find(b"\r\n\r\n")
        if end >= 0:
            length = _LENGTH.search(self._received, 0, end)
            if len(self._received) >= end + 4 + (int(length[1]) if length else 0):
                request, self._received = self._received, b""
                self._answer(request)

    def _answer(self, request: bytes) -> None:
        fault = next((name for name in FAULTS if b'"' + name + b'"' in request), None)
        if fault is not None:
            self._transport.write(FAULTS[fault])
        elif b'"stream":true' in request or b'"stream": true' in request:
            self._transport.write(STREAM_HEAD + EVENT)
            breaks = self._events // 2 if b'"fail-stream"' in request else 0
            self._pace(1, self._loop.time(), breaks)
        else:
            self._transport.write(EMBEDDING if b"/embeddings HTTP/1.1\r\n" in request else CHAT)
        if fault in _BREAKS:
            self._transport.close()

    def _pace(self, sent: int, began: float, breaks: int) -> None:
        self._timer = self._loop.call_at(began + sent * self._interval_s, self._next, sent, began, breaks)

    def _next(self, sent: int, began: float, breaks: int) -> None:
        if breaks and sent >= breaks:
            self._transport.write(EVENT[: len(EVENT) // 2])
            self._transport.close()
        elif sent + 1 < self._events:
            self._transport.write(EVENT)
            self._pace(sent + 1, began, breaks)
        else:
            self._transport.write(LAST)


async def serve(port: int, events: int, interval_s: float) -> None:
    """Until the process is stopped."""
    server = await asyncio.get_running_loop().create_server(lambda: Provider(events, interval_s), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
