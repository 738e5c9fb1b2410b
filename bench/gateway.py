"""Speed of the gateway, side by side in one interleaved run: `uv run bench/gateway.py`. Prints ratios; bench/out gets gateway.json and .md.

Needs two cores: each server has one, the load and the mock upstream the other; and nginx, which is mock and yardstick. `wrk` is used where
it is installed. The peers are measured where bench/peers.sh has set them up.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import sides as known
from bench.gateway_report import report
from bench.serving import LOAD_CORE, Figures, Served, cpu_s, environment, free_port, pinned, process, rss_mb, send, settle, wait_until_quiet
from bench.sides import House, Side, Upstreams, Way
from bench.throughput import throughput

HERE = Path(__file__).resolve().parent
CONNECTIONS = (1, 16, 64, 256)
EVENTS, INTERVAL_S, STREAMS = 100, 0.02, 50
OURS, MANY = "ours", "ours, many projects"


@dataclass
class Plan:
    """How long and how often, and what is left out."""

    rounds: int
    seconds: float
    rate: float


@dataclass
class Run:
    """The figures of a run, and what went wrong with peers."""

    plan: Plan
    figures: Figures = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def note(self, name: str, value: float) -> None:
        self.figures.setdefault(name, []).append(value)
        print(f"  {name:52} {value:12,.2f}", file=sys.stderr)

    def failed(self, side: Side, what: str, failures: int) -> None:
        """A peer may fail under load, and is reported so; the others may not."""
        if failures and side.name in (OURS, MANY, "direct", "nginx"):
            raise SystemExit(f"{side.name}: {failures} requests failed: {what}")
        if failures:
            self.remarks.append(f"{side.name}: {failures} requests failed at {what}.")


@dataclass(frozen=True)
class Running:
    """A side whose server runs; the mock itself has none of its own."""

    side: Side
    server: psutil.Process | None


def measure(run: Run, sides: list[Side], many: Side | None) -> None:
    """Every figure once a round, one side after the other."""
    for number in range(run.plan.rounds):
        print(f"round {number + 1} of {run.plan.rounds}", file=sys.stderr)
        with contextlib.ExitStack() as opened:
            running = [opened.enter_context(_started(run, side)) for side in sides]
            for one in running:
                _rates(run, one, one.side.plain, 16, "warm-up")
            for connections in CONNECTIONS:
                for one in running:
                    _rates(run, one, one.side.plain, connections)
            for one in running:
                if one.server is not None:
                    run.note(f"{one.side.name}: RSS loaded MB", rss_mb(one.server))
                if one.side.encrypted is not None:
                    _rates(run, one, one.side.encrypted, 64, "HTTPS, ")
            for one in running[1:]:
                _added_latency(run, running[0].side, one.side)
            for one in running:
                _streams(run, one)
            if many is not None:
                _many(run, next(one for one in running if one.side.name == OURS), opened.enter_context(_started(run, many)))


@contextlib.contextmanager
def _started(run: Run, side: Side) -> Iterator[Running]:
    if side.served is None:
        yield Running(side, None)
        return
    began = time.perf_counter()
    with process(side.served) as server:
        until = time.monotonic() + side.served.patience_s
        while (answered := _answer(side)) != 200 and time.monotonic() < until:
            time.sleep(0.01)
        if answered != 200:
            raise SystemExit(f"{side.name} answers {answered}")
        run.note(f"{side.name}: start to first answer s", time.perf_counter() - began)
        settle(server)
        run.note(f"{side.name}: RSS idle MB", rss_mb(server))
        yield Running(side, server)


def _answer(side: Side) -> int:
    try:
        return send(side.port, "POST", side.plain.path, side.plain.headers, side.plain.body())[0]
    except OSError:
        return 0


def _rates(run: Run, one: Running, way: Way, connections: int, kind: str = "") -> None:
    side, what = one.side, f"{kind}c={connections}"
    if kind == "warm-up":
        throughput(side.port, way.request(), connections, 1)
        return
    before = cpu_s(one.server) if one.server is not None else 0.0
    found = throughput(side.port, way.request(), connections, run.plan.seconds)
    run.failed(side, what, found.failures)
    run.note(f"{side.name}: requests/s {what}", found.rate)
    if one.server is not None:
        run.note(f"{side.name}: CPU us a request {what}", (cpu_s(one.server) - before) / max(1, found.requests) * 1e6)
        settle(one.server)


def _calls(order: dict[str, object]) -> dict[str, object]:
    command = pinned(LOAD_CORE, [sys.executable, str(HERE / "calls.py"), json.dumps(order)])
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout
    found: dict[str, object] = json.loads(text)
    return found


def _added_latency(run: Run, direct: Side, side: Side) -> None:
    ports, requests = [direct.port, side.port], [direct.plain.request().decode(), side.plain.request().decode()]
    order = {"kind": "paced", "ports": ports, "requests": requests, "rate": run.plan.rate, "seconds": run.plan.seconds * 3}
    straight, through = _calls(order)["lanes"]  # type: ignore[misc]
    run.failed(side, f"{run.plan.rate:g}/s", straight["failures"] + through["failures"])  # type: ignore[has-type]
    for name in ("p50", "p99"):
        run.note(f"{side.name}: added {name} ms at {run.plan.rate:g}/s", through[f"{name}_ms"] - straight[f"{name}_ms"])  # type: ignore[has-type]


def _streams(run: Run, one: Running) -> None:
    side = one.side
    before = cpu_s(one.server) if one.server is not None else 0.0
    order = {
        "kind": "streams",
        "port": side.stream_port(),
        "request": side.streams.request(stream=True).decode(),
        "streams": STREAMS,
        "seconds": run.plan.seconds * 3,
        "stagger_s": EVENTS * INTERVAL_S / STREAMS,
    }
    found: dict[str, float] = _calls(order)  # type: ignore[assignment]
    run.failed(side, f"{STREAMS} streams", int(found["failures"]))
    run.note(f"{side.name}: streams, first byte p50 ms", found["p50_ms"])
    run.note(f"{side.name}: streams, first byte p99 ms", found["p99_ms"])
    run.note(f"{side.name}: streams, events/s", found["events"] / found["seconds"])
    if one.server is not None:
        run.note(f"{side.name}: streams, CPU us an event", (cpu_s(one.server) - before) / max(1.0, found["events"]) * 1e6)
        settle(one.server)


def _many(run: Run, few: Running, many: Running) -> None:
    """The same request where very many projects are stored, beside the other house."""
    for one in (few, many, few, many):
        _rates(run, one, one.side.plain, 64, "beside many projects, ")


def _furnished(house: House) -> Side:
    assert house.side.served is not None
    with process(house.side.served):
        house.furnish()
    return house.side


def _sides(folder: Path, ports: Upstreams, peers: Path, run: Run) -> list[Side]:
    found = [known.direct(ports), known.nginx_proxy(folder, ports), _furnished(House(OURS, folder / "house", 10, ports))]
    for name, make in (("LiteLLM", known.litellm), ("Portkey", known.portkey)):
        peer = make(folder, ports, peers)
        if peer is None:
            run.remarks.append(f"{name} was not measured: it is not set up in {peers.name}; bench/peers.sh does that.")
        else:
            found.append(peer)
    return found


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument(
        "--seconds", type=float, default=3.0, help="of load for each figure; latencies and streams get three times as long"
    )
    options.add_argument("--rate", type=float, default=30.0, help="requests a second where latency is measured")
    options.add_argument("--many", type=int, default=100_000, help="projects stored in the large house; 0 leaves it out")
    options.add_argument("--peers", type=Path, default=known.PEERS, help="where bench/peers.sh put them")
    options.add_argument("--wait", type=float, default=60.0, help="how long to wait for a quiet machine, in seconds")
    chosen = options.parse_args()
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("Two cores are needed: one for the server, one for the load.")
    run = Run(Plan(chosen.rounds, chosen.seconds, chosen.rate))
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as temporary, contextlib.ExitStack() as opened:
        folder = Path(temporary)
        known.make_certificates(folder)
        ports = Upstreams(free_port(), free_port(), free_port(), folder / "ca.pem")
        upstreams: tuple[Served, ...] = (known.mock(folder, ports), known.stream_mock(ports, EVENTS, INTERVAL_S))
        for upstream in upstreams:
            opened.enter_context(process(upstream))
        sides = _sides(folder, ports, chosen.peers, run)
        many = _furnished(House(MANY, folder / "many", chosen.many, ports)) if chosen.many else None
        quiet = wait_until_quiet(1.0, chosen.wait)
        began = datetime.now(UTC)
        measure(run, sides, many)
    report(run.figures, [f"{began:%d %B %Y, %H:%M} UTC; {quiet}.", *run.remarks], [side.name for side in sides], chosen.rate)


if __name__ == "__main__":
    main()
