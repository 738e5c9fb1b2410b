"""A load generator on raw sockets: prepared requests over keep-alive connections, whole answers counted. Runs as its own process."""

import asyncio
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Load:
    """What a run saw."""

    requests: int
    seconds: float
    failures: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class _Caller(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, next_request: Callable[[], bytes], until: float, done: "asyncio.Future[None]") -> None:
        self._next_request, self._until, self._done = next_request, until, done
        self._buffer = b""
        self._expected = -1
        self.latencies: list[float] = []
        self.failures = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._next_request())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._expected < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if _CHUNKED.search(self._buffer, 0, end + 2):
                if self._buffer.endswith(b"\r\n0\r\n\r\n"):
                    self._answered()
                return
            found = _LENGTH.search(self._buffer, 0, end)
            self._expected = end + 4 + (int(found[1]) if found else 0)
        if len(self._buffer) >= self._expected:
            self._answered()

    def _answered(self) -> None:
        now = time.perf_counter()
        self.latencies.append(now - self._sent_at)
        self.failures += not self._buffer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 304"))
        self._buffer, self._expected = b"", -1
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failures += time.perf_counter() < self._until
        if not self._done.done():
            self._done.set_result(None)


async def _run(port: int, sources: list[Callable[[], bytes]], seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    until = started + seconds
    callers, ends = [], []
    for source in sources:
        done = loop.create_future()
        _, caller = await loop.create_connection(partial(_Caller, source, until, done), "127.0.0.1", port)
        callers.append(caller)
        ends.append(done)
    await asyncio.wait_for(asyncio.gather(*ends), seconds + 30)
    elapsed = time.perf_counter() - started
    latencies = sorted(latency for caller in callers for latency in caller.latencies)
    return Load(
        len(latencies),
        elapsed,
        sum(caller.failures for caller in callers),
        statistics.median(latencies) * 1000,
        latencies[int(len(latencies) * 0.99)] * 1000,
    )


def get_request(path: str, token: str | None = None) -> bytes:
    """A GET, as it goes over the wire."""
    authorization = f"x-auth-token: {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{authorization}\r\n".encode()


def put_source(token: str, caller: int) -> Callable[[], bytes]:
    """PUTs that each change a secret of a 1.8 KB provider."""
    count = 0

    def request() -> bytes:
        nonlocal count
        count += 1
        body = json.dumps(
            {
                "enabled": True,
                "customKeys": {"OPENAI_API_KEY": f"sk-{caller}-{count}-{time.time_ns()}" + "x" * 100},
                "customModels": [
                    {"modelId": f"model-{number}", "displayName": f"Model {number}", "mode": "chat", "maxTokens": 4096}
                    for number in range(12)
                ],
                "extraHeaders": [{"key": "X-Team", "value": "platform"}],
            }
        ).encode()
        head = f"PUT /api/model-providers/openai HTTP/1.1\r\nhost: 127.0.0.1\r\nx-auth-token: {token}\r\n"
        return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

    return request


def main() -> None:
    """`load.py JSON`: {"port", "seconds", "kind": "get"|"put", "path", "tokens": [...]}, a caller for each token; or "kind": "raw" and
    "requests": [...], a caller for each. `load.py -` reads it from standard input."""
    order = json.loads(sys.stdin.read() if sys.argv[1] == "-" else sys.argv[1])
    if order["kind"] == "raw":
        requests = [request.encode("latin-1") for request in order["requests"]]
        sources: list[Callable[[], bytes]] = [lambda request=request: request for request in requests]  # type: ignore[misc]
    elif order["kind"] == "get":
        requests = [get_request(order["path"], token) for token in order["tokens"]]
        sources = [lambda request=request: request for request in requests]  # type: ignore[misc]
    else:
        sources = [put_source(token, number) for number, token in enumerate(order["tokens"])]
    load = uvloop.run(_run(order["port"], sources, order["seconds"]))
    print(json.dumps({**asdict(load), "rate": load.rate}))


if __name__ == "__main__":
    main()
