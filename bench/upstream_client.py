"""What a call of an upstream costs: our client beside aiohttp's, in one interleaved run on loopback.

    python bench/upstream_client.py [--rounds 3] [--seconds 3] [--connections 16] [--tls]

Each client stands in a raw ASGI application under uvicorn (uvloop, httptools), alone on one core; the load and a mock upstream share
another. A third application answers by itself: what it costs is uvicorn's share. CPU is the application's own, user and system, divided by
the requests or the events it relayed. Wants Linux, and two cores that nobody else uses.
"""

import argparse
import asyncio
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import uvloop

REQUEST_BODY = b'{"model":"gpt-5-mini","messages":[{"role":"user","content":"%b"}]}' % (b"x" * 1040)
REPLY_BODY = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"message":{"content":"%b"}}]}' % (b"y" * 1170)
REPLY = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 10:00:00 GMT\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-request-id: req_0123456789abcdef\r\nopenai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n\r\n%b" % (len(REPLY_BODY), REPLY_BODY)
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"z" * 100)
EVENTS = 200
STREAMS = 20
# Every millisecond the streams of one of so many groups get an event each: a stream gets one every 5 ms.
GROUPS = 5
TICK_S = 0.001
ASGIApplication = Callable[[Any, Any, Any], Awaitable[None]]


class MockUpstream(asyncio.Protocol):
    """Answers a POST with the same reply; where the path is /stream with paced events, where it is /close on its last connection."""

    groups: ClassVar[list[dict["MockUpstream", int]]] = [{} for _ in range(GROUPS)]
    begun: ClassVar[int] = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b"}]}"):
            if self.received.startswith(b"POST /stream"):
                self.transport.write(STREAM_HEAD)
                self.groups[MockUpstream.begun % GROUPS][self] = EVENTS
                MockUpstream.begun += 1
            elif self.received.startswith(b"POST /close"):
                self.transport.write(REPLY.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
                self.transport.close()
            else:
                self.transport.write(REPLY)
            self.received = b""


async def pace() -> None:
    """Give the streams their events, on a schedule that does not drift, so that both sides see as many of them at once."""
    loop = asyncio.get_running_loop()
    chunk = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
    started, tick = loop.time(), 0
    while True:
        tick += 1
        await asyncio.sleep(max(0.0, started + tick * TICK_S - loop.time()))
        group = MockUpstream.groups[tick % GROUPS]
        for stream, left in list(group.items()):
            stream.transport.write(chunk if left else b"0\r\n\r\n")
            group[stream] = left - 1
            if not left:
                del group[stream]


async def serve_mock(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(MockUpstream, "127.0.0.1", 0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    encrypted = await loop.create_server(MockUpstream, "127.0.0.1", 0, ssl=context)
    print(plain.sockets[0].getsockname()[1], encrypted.sockets[0].getsockname()[1], flush=True)
    await pace()


def make_certificate(folder: Path) -> None:
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", folder / "key.pem", "-out", folder / "ca.pem"], check=True, capture_output=True)
    (folder / "server.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "ca.pem").read_bytes())


# The applications


async def read_body(receive: Any) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


HOP_BY_HOP = {b"connection", b"transfer-encoding", b"keep-alive"}
CREDENTIALS = [(b"authorization", b"Bearer sk-0123456789"), (b"content-type", b"application/json")]


def ours(base_url: str, ca_file: str) -> ASGIApplication:
    from keyhouse.domain.address import parse_origin
    from keyhouse.gateway.passing import pieces
    from keyhouse.gateway.request import UpstreamRequest, request_head
    from keyhouse.gateway.upstream import Upstream, UpstreamSettings

    origin = parse_origin(base_url)
    upstream = Upstream(UpstreamSettings(ca_file=ca_file))
    heads = {path: request_head(b"POST", origin, path.encode(), CREDENTIALS) for path in ("/chat", "/close", "/stream")}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive)
        response = await upstream.open(UpstreamRequest(heads[scope["path"]], body))
        headers = [header for header in response.headers if header[0] not in HOP_BY_HOP]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if response.body.ended:
            await send({"type": "http.response.body", "body": response.body.take()})
            return
        async for chunk in pieces(response.body):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return application


def theirs(base_url: str, ca_file: str) -> ASGIApplication:
    import aiohttp

    sessions: list[aiohttp.ClientSession] = []
    context = ssl.create_default_context(cafile=ca_file)
    sent = {name.decode(): value.decode() for name, value in CREDENTIALS}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if not sessions:
            connector = aiohttp.TCPConnector(limit=0, ssl=context)
            sessions.append(aiohttp.ClientSession(connector=connector, auto_decompress=False))
        body = await read_body(receive)
        async with sessions[0].post(base_url + scope["path"], data=body, headers=sent) as response:
            headers = [header for header in response.raw_headers if header[0].lower() not in HOP_BY_HOP]
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            async for chunk in response.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return application


def alone(_: str, __: str) -> ASGIApplication:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(REPLY_BODY))]
    headers += [(b"x-ratelimit-limit-requests", b"10000")] * 5

    async def application(_: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": REPLY_BODY})

    return application


APPLICATIONS = {"ours": ours, "aiohttp": theirs, "uvicorn alone": alone}


def serve_application(name: str, base_url: str, ca_file: str, port: int) -> None:
    import uvicorn

    application: Any = APPLICATIONS[name](base_url, ca_file)
    uvicorn.run(
        application, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="error", lifespan="off"
    )


# The load


class Caller(asyncio.Protocol):
    """Sends one request after another until told to stop, each when the last was answered whole."""

    def __init__(self, path: bytes, end: bytes) -> None:
        self.wire = b"POST %b HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n%b" % (path, len(REQUEST_BODY), REQUEST_BODY)
        self.end = end
        self.done = 0
        self.limit = sys.maxsize
        self.tail = b""
        self.finished = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.wire)

    def data_received(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-len(self.end) :]
        if self.tail == self.end:
            self.tail = b""
            self.done += 1
            if self.done < self.limit:
                self.transport.write(self.wire)
            else:
                self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.finished.set_result(None)


async def load_requests(port: int, path: bytes, connections: int, seconds: float) -> int:
    loop = asyncio.get_running_loop()
    callers = [(await loop.create_connection(lambda: Caller(path, REPLY_BODY[-20:]), "127.0.0.1", port))[1] for _ in range(connections)]
    await asyncio.sleep(seconds)
    for caller in callers:
        caller.limit = 0
    await asyncio.gather(*(caller.finished for caller in callers))
    return sum(caller.done for caller in callers)


async def load_streams(port: int) -> int:
    loop = asyncio.get_running_loop()
    callers = [(await loop.create_connection(lambda: Caller(b"/stream", b"0\r\n\r\n"), "127.0.0.1", port))[1] for _ in range(STREAMS)]
    for caller in callers:
        caller.limit = 1
    await asyncio.gather(*(caller.finished for caller in callers))
    return STREAMS * EVENTS


# The run


def start(core: int, *arguments: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )


def wait_for(port: int) -> None:
    import socket

    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("an application did not start")


def cpu_ns(pid: int) -> int:
    """Time on a processor, user and system, of all threads: the kernel counts it in nanoseconds here, elsewhere in ticks of 10 ms."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def measured(pid: int, work: Callable[[], int]) -> tuple[float, float]:
    """CPU in microseconds for each unit of work that `work` counts, and units a second."""
    before, started = cpu_ns(pid), time.perf_counter()
    units = work()
    elapsed = time.perf_counter() - started
    return (cpu_ns(pid) - before) / 1000 / units, units / elapsed


def measure(options: argparse.Namespace) -> None:
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(folder)
        processes = [start(1, "mock", name)]
        assert processes[0].stdout is not None
        plain, encrypted = processes[0].stdout.readline().split()
        base_url = f"https://127.0.0.1:{encrypted}" if options.tls else f"http://127.0.0.1:{plain}"
        ports = {}
        for number, side in enumerate(APPLICATIONS):
            ports[side] = 18800 + number
            processes.append(start(0, "application", side, base_url, str(folder / "ca.pem"), str(ports[side])))
            wait_for(ports[side])
        try:
            report(options, ports, {side: process.pid for side, process in zip(APPLICATIONS, processes[1:], strict=True)})
        finally:
            for process in processes:
                process.terminate()
                process.wait()


def report(options: argparse.Namespace, ports: dict[str, int], pids: dict[str, int]) -> None:
    """Run the rounds, the first to warm up, and print the medians."""
    clients = ["ours", "aiohttp"]

    def asked(path: bytes, seconds: float) -> Callable[[int], int]:
        return lambda port: uvloop.run(load_requests(port, path, options.connections, seconds))

    cases: list[tuple[str, list[str], Callable[[int], int]]] = [
        ("a request", [*clients, "uvicorn alone"], asked(b"/chat", options.seconds)),
        ("a request on a connection of its own", clients, asked(b"/close", options.seconds / 2)),
        (f"an event of {STREAMS} streams", clients, lambda port: uvloop.run(load_streams(port))),
    ]
    costs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(options.rounds + 1):
        for case, sides, work in cases:
            for side in sides:
                cost = measured(pids[side], partial(work, ports[side]))
                if turn:
                    costs.setdefault((case, side), []).append(cost)
    print(
        f"{options.connections} connections, {'https' if options.tls else 'http'} upstream, median of {options.rounds} (lowest to highest)"
    )
    for (case, side), measures in costs.items():
        cpu = [measure[0] for measure in measures]
        rate = statistics.median(measure[1] for measure in measures)
        print(f"{side:14} {statistics.median(cpu):7.1f} µs CPU ({min(cpu):.1f} to {max(cpu):.1f}) {rate:8.0f}/s  {case}")


def main() -> None:
    match sys.argv[1:]:
        case ["mock", folder]:
            uvloop.run(serve_mock(Path(folder)))
        case ["application", name, base_url, ca_file, port]:
            serve_application(name, base_url, ca_file, int(port))
        case _:
            parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
            parser.add_argument("--rounds", type=int, default=3)
            parser.add_argument("--seconds", type=float, default=3.0)
            parser.add_argument("--connections", type=int, default=16)
            parser.add_argument("--tls", action="store_true")
            measure(parser.parse_args())


if __name__ == "__main__":
    main()
