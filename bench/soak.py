"""Mixed traffic for minutes: `uv run bench/soak.py`. Are memory, files and connections flat, does no request fail? Writes soak.json.

Whole, streamed and translated calls, errors, answers that break off, callers that leave, writes in between, and the encryption key is
rotated once. The exit code is 0 for a good verdict.
"""

import argparse
import asyncio
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.serving import LOAD_CORE, Served, environment, family_of, free_port, machine, process, rss_mb, save, seeded
from bench.traffic import PROVIDER_KEY, Traffic, put

HERE = Path(__file__).resolve().parent
EVENTS, INTERVAL_S = 20, 0.02
SAMPLE_EVERY_S, TELL_EVERY_S = 1.0, 10.0
SETTLE_S = 3.0
MOST_GROWTH, LEAST_GROWTH_MB = 0.05, 4.0
"""Of memory between the second and the last fifth: this part of it, and at any rate so much, counts as flat."""
_UPSTREAM = re.compile(r'^keyhouse_upstream_connections\{[^}]*state="(\w+)"[^}]*\} (\S+)', re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """What the server takes at a moment: memory in MB, open files, threads, connections to upstreams by state, requests done so far."""

    at_s: float
    rss_mb: float
    files: int
    threads: int
    upstream: Mapping[str, float]
    done: int


@dataclass
class Soak:
    """A run: samples under load, one before it and one after."""

    minutes: float
    callers: int
    samples: list[Sample] = field(default_factory=list)
    before: Sample | None = None
    after: Sample | None = None
    rotation: str = ""


async def take(server: psutil.Process, traffic: Traffic, began: float) -> Sample:
    """A sample now."""
    async with traffic.session.get(f"{traffic.address}/metrics") as answer:
        text = await answer.text()
    family = family_of(server)
    return Sample(
        at_s=round(time.monotonic() - began, 1),
        rss_mb=round(rss_mb(server), 2),
        files=sum(one.num_fds() for one in family),
        threads=sum(one.num_threads() for one in family),
        upstream={state: float(count) for state, count in _UPSTREAM.findall(text)},
        done=traffic.done.total(),
    )


async def watch(soak: Soak, server: psutil.Process, traffic: Traffic) -> None:
    """Sample until the time is over, telling how it goes."""
    began = time.monotonic()
    told = 0.0
    while (passed := time.monotonic() - began) < soak.minutes * 60:
        sample = await take(server, traffic, began)
        soak.samples.append(sample)
        if passed - told >= TELL_EVERY_S:
            told = passed
            print(
                f"{passed:6.0f} s  {sample.done:9,} done  {traffic.failed.total()} failed  {sample.rss_mb:6.1f} MB  {sample.files} files  "
                + "  ".join(f"{count:.0f} {state}" for state, count in sorted(sample.upstream.items())),
                file=sys.stderr,
            )
        await asyncio.sleep(SAMPLE_EVERY_S)


async def rotate(soak: Soak, folder: Path) -> None:
    """Rotate the encryption key halfway."""
    await asyncio.sleep(soak.minutes * 30)
    command = (sys.executable, "-P", "-m", "keyhouse", "keys", "rotate", "--data-dir", str(folder))
    pipe = asyncio.subprocess.PIPE
    rotating = await asyncio.create_subprocess_exec(*command, env=environment(), stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    said, _ = await rotating.communicate()
    soak.rotation = said.decode().partition("\n")[0] if rotating.returncode == 0 else f"failed: {said.decode()[-300:]}"


async def run(soak: Soak, server: psutil.Process, folder: Path, traffic: Traffic) -> None:
    """The whole of it."""
    for provider in ("openai", "vllm"):
        await put(traffic, provider, PROVIDER_KEY)
    soak.before = await take(server, traffic, time.monotonic())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.run(soak.callers))
        tasks.create_task(rotate(soak, folder))
        await watch(soak, server, traffic)
        traffic.stopping.set()
    await asyncio.sleep(SETTLE_S)
    soak.after = await take(server, traffic, time.monotonic())


@dataclass(frozen=True)
class Found:
    """One question and its answer."""

    what: str
    figure: str
    good: bool


def judged(soak: Soak, traffic: Traffic) -> list[Found]:
    """The verdict, question by question."""
    assert soak.before is not None
    assert soak.after is not None
    fifth = max(1, len(soak.samples) // 5)
    early, late = soak.samples[fifth : 2 * fifth] or soak.samples, soak.samples[-fifth:]
    memory = [statistics.median(sample.rss_mb for sample in part) for part in (early, late)]
    files = [max(sample.files for sample in part) for part in (early, late)]
    slope = _slope(soak.samples[fifth:])
    in_use = soak.after.upstream.get("busy", 0.0)
    grown = memory[1] - memory[0]
    return [
        Found("requests that did not end as they must", str(traffic.failed.total()), traffic.failed.total() == 0),
        Found(
            "memory, second fifth and last",
            f"{memory[0]:.1f} and {memory[1]:.1f} MB ({slope:+.2f} MB a minute)",
            grown <= max(LEAST_GROWTH_MB, MOST_GROWTH * memory[0]),
        ),
        Found("most open files, second fifth and last", f"{files[0]} and {files[1]}", files[1] <= files[0] + soak.callers // 4),
        Found(
            "threads, before and after", f"{soak.before.threads} and {soak.after.threads}", soak.after.threads <= soak.before.threads + 40
        ),
        Found("connections to upstreams in use after the end", f"{in_use:.0f}", in_use == 0),
        Found("rotation of the encryption key", soak.rotation or "did not end", soak.rotation.endswith("now.")),
    ]


def _slope(samples: list[Sample]) -> float:
    """Of memory, in MB a minute, by least squares."""
    if len(samples) < 3:
        return 0.0
    return 60 * statistics.linear_regression([sample.at_s for sample in samples], [sample.rss_mb for sample in samples]).slope


def told(soak: Soak, traffic: Traffic, findings: list[Found]) -> str:
    """The report, for people."""
    done = traffic.done.total()
    lines = [f"{done:,} requests in {soak.minutes:g} minutes, {soak.callers} callers: {done / soak.minutes / 60:,.0f} a second", ""]
    lines += ["| kind | done |", "|---|---|", *(f"| {name} | {count:,} |" for name, count in sorted(traffic.done.items())), ""]
    lines += ["| | measured | |", "|---|---|---|"]
    lines += [f"| {found.what} | {found.figure} | {'good' if found.good else 'BAD'} |" for found in findings]
    lines += ["", *(f"{count} times {what}" for what, count in traffic.failed.most_common(20))]
    return "\n".join(lines)


async def soaked(soak: Soak, workers: int) -> bool:
    """Serve a house, soak it, tell and keep what was found."""
    upstream, port = free_port(), free_port()
    mock = Served([sys.executable, str(HERE / "upstream.py"), str(upstream), str(EVENTS), str(INTERVAL_S)], upstream, core=LOAD_CORE)
    with tempfile.TemporaryDirectory(prefix="keyhouse-soak-") as name:
        folder = Path(name) / "data"
        [key] = await asyncio.to_thread(seeded, folder, 2, 1)
        command = [
            sys.executable,
            "-P",
            "-m",
            "keyhouse",
            "serve",
            "--port",
            str(port),
            "--data-dir",
            str(folder),
            "--workers",
            str(workers),
        ]
        log = Path(name) / "log"
        with process(mock), process(Served(command, port, log=log)) as server:
            limit, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=60)
            async with aiohttp.ClientSession(connector=limit, timeout=timeout) as session:
                traffic = Traffic(session, f"http://127.0.0.1:{port}", key, f"http://127.0.0.1:{upstream}", EVENTS, random.Random(1))
                await run(soak, server, folder, traffic)
        complaints = [line for line in log.read_text().splitlines() if re.search(r"^\S+ (warning|error|critical) ", line)]
    findings = judged(soak, traffic)
    print(told(soak, traffic, findings))
    for line in complaints[-20:]:
        print(line, file=sys.stderr)
    verdict = all(found.good for found in findings)
    print(f"\nVerdict: {'flat, and nothing failed' if verdict else 'NOT good'}.")
    findings_json = [asdict(found) for found in findings]
    save("soak.json", {"machine": machine(), **asdict(soak), "done": traffic.done, "failed": traffic.failed, "findings": findings_json})
    return verdict


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--callers", type=int, default=48)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    sys.exit(0 if asyncio.run(soaked(Soak(given.minutes, given.callers), given.workers)) else 1)
