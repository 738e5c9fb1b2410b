"""Load that counts time and not throughput, as its own process: calls at a fixed rate, and many streams at once.

    python bench/calls.py JSON

`{"kind": "paced", "ports": [..], "requests": [..], "rate", "seconds"}` sends to each port in turn, each at that rate: what disturbs one
side disturbs the other. `{"kind": "streams", "port", "request", "streams", "seconds", "stagger_s"}` keeps so many streams open.
"""

import asyncio
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_END = b"\r\n0\r\n\r\n"


class PacedCaller(asyncio.Protocol):
    """A connection that sends one request and rests until the next."""

    def __init__(self, rest: "Callable[[PacedCaller], None]") -> None:
        self._rest = rest
        self._buffer = b""
        self.latencies: list[float] = []
        self.failures = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.failures += 1

    def send(self, request: bytes) -> None:
        self._buffer = b""
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, end)
        complete = len(self._buffer) >= end + 4 + int(length[1]) if length else self._buffer.endswith(_END)
        if complete:
            self.latencies.append(time.perf_counter() - self._sent_at)
            self.failures += not self._buffer.startswith(b"HTTP/1.1 200")
            self._rest(self)


class Lane:
    """The connections to one side; a new one only when all are busy."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port, self._request = port, request
        self._idle: list[PacedCaller] = []
        self.callers: list[PacedCaller] = []

    async def call(self) -> None:
        if self._idle:
            caller = self._idle.pop()
        else:
            _, caller = await asyncio.get_running_loop().create_connection(lambda: PacedCaller(self._idle.append), "127.0.0.1", self._port)
            self.callers.append(caller)
        caller.send(self._request)


async def paced(order: dict[str, Any]) -> dict[str, Any]:
    """p50 and p99 in ms for each port."""
    lanes = [Lane(port, request.encode()) for port, request in zip(order["ports"], order["requests"], strict=True)]
    interval = 1 / (order["rate"] * len(lanes))
    started = time.perf_counter()
    count = round(order["seconds"] / interval)
    sending = []
    for number in range(count):
        await asyncio.sleep(max(0.0, started + number * interval - time.perf_counter()))
        sending.append(asyncio.ensure_future(lanes[number % len(lanes)].call()))
    await asyncio.gather(*sending)
    await asyncio.sleep(1)
    found = []
    for lane in lanes:
        latencies = sorted(latency * 1000 for caller in lane.callers for latency in caller.latencies)
        failures = sum(caller.failures for caller in lane.callers) + count // len(lanes) - len(latencies)
        found.append({"p50_ms": statistics.median(latencies), "p99_ms": _p99(latencies), "failures": failures})
    return {"lanes": found}


class StreamCaller(asyncio.Protocol):
    """A connection that reads one stream after the other."""

    def __init__(self, request: bytes, until: float, done: "asyncio.Future[None]") -> None:
        self._request, self._until, self._done = request, until, done
        self.first_bytes: list[float] = []
        self.events = self.streams = self.failures = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def _send(self) -> None:
        self._head: bytes | None = b""
        self._tail = b""
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0 or len(self._head) == end + 4:
                return
            self.first_bytes.append(time.perf_counter() - self._sent_at)
            self.failures += not self._head.startswith(b"HTTP/1.1 200")
            data, self._head = self._head[end + 4 :], None
        seen = self._tail + data
        # An event begins in exactly one of the pieces that are looked at.
        self.events += seen.count(b"data: ") - self._tail.count(b"data: ")
        self._tail = seen[-8:]
        if self._tail.endswith(_END):
            self._next()

    def _next(self) -> None:
        self.streams += 1
        if time.perf_counter() < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self.failures += not self._tail.endswith(_END)
            self._done.set_result(None)


async def streams(order: dict[str, Any]) -> dict[str, Any]:
    """First bytes in ms, and what was read."""
    loop = asyncio.get_running_loop()
    request = order["request"].encode()
    started = time.perf_counter()
    until = started + order["seconds"]
    callers, ends = [], []
    for number in range(order["streams"]):
        await asyncio.sleep(max(0.0, started + number * order["stagger_s"] - time.perf_counter()))
        done = loop.create_future()
        _, caller = await loop.create_connection(partial(StreamCaller, request, until, done), "127.0.0.1", order["port"])
        callers.append(caller)
        ends.append(done)
    _, late = await asyncio.wait(ends, timeout=order["seconds"] + 60)
    firsts = sorted(first * 1000 for caller in callers for first in caller.first_bytes)
    return {
        "p50_ms": statistics.median(firsts),
        "p99_ms": _p99(firsts),
        "events": sum(caller.events for caller in callers),
        "streams": sum(caller.streams for caller in callers),
        "seconds": time.perf_counter() - started,
        "failures": sum(caller.failures for caller in callers) + len(late),
    }


def _p99(ordered: list[float]) -> float:
    return ordered[int(len(ordered) * 0.99)]


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(uvloop.run((paced if asked["kind"] == "paced" else streams)(asked))))
