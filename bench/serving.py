"""What the benchmarks share: pinned processes, a seeded house, quiet moments, and the text of their reports."""

import asyncio
import contextlib
import http.client
import json
import os
import platform
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from keyhouse.app import opened_storage
from keyhouse.services.first_start import furnish
from keyhouse.settings import Settings
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import NewProject, put_project
from keyhouse.storage.statements import Statement, Transaction

OUT = Path(__file__).resolve().parent / "out"
SERVER_CORE, LOAD_CORE = "0", "1"
Figures = dict[str, list[float]]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a user has: compiled modules are kept, no settings of ours are in force."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("KEYHOUSE_")}
    return {**kept, **(more or {})}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: str, command: Sequence[str]) -> list[str]:
    """The command, bound to one core."""
    return ["taskset", "-c", core, *command]


@dataclass(frozen=True)
class Served:
    """How to start a server: on which core, with which variables beside the usual ones, and the file for what it logs."""

    command: Sequence[str]
    port: int
    core: str = SERVER_CORE
    variables: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    patience_s: float = 20


@contextmanager
def process(served: Served) -> Iterator[psutil.Process]:
    """A server bound to its core, once it listens."""
    with contextlib.ExitStack() as opened:
        log = opened.enter_context(served.log.open("ab")) if served.log else subprocess.DEVNULL
        started = psutil.Popen(pinned(served.core, served.command), env=environment(served.variables), stdout=log, stderr=log)
        opened.callback(end, started)
        _wait_for_port(served, started)
        yield started


def _wait_for_port(served: Served, server: psutil.Popen) -> None:
    until = time.monotonic() + served.patience_s
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", served.port)) == 0:
                return
        time.sleep(0.005)
    raise SystemExit(f"Does not listen on {served.port}: {' '.join(served.command)}")


def end(server: psutil.Process) -> None:
    """Stop a process that this run started, and what it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [server, *server.children(recursive=True)]
        server.terminate()
        _, alive = psutil.wait_procs(family, timeout=10)
        for one in alive:
            one.kill()
        psutil.wait_procs(alive, timeout=10)


def family_of(server: psutil.Process) -> list[psutil.Process]:
    return [server, *server.children(recursive=True)]


def rss_mb(server: psutil.Process) -> float:
    return sum(float(one.memory_info().rss) for one in family_of(server)) / 1e6


def cpu_s(server: psutil.Process) -> float:
    """Seconds of processor time that a server has used so far, user and system, to the nanosecond.

    Linux tells it in `/proc` to a hundredth of a second, 5% of what nginx uses for some figures here; a process's own clock does not round.
    How that clock is named: CPUCLOCK_SCHED in glibc's sysdeps/unix/sysv/linux/kernel-posix-cpu-timers.h.
    """
    return sum(time.clock_gettime((~one.pid << 3) | 2) for one in family_of(server))


def settle(server: psutil.Process, patience_s: float = 20) -> None:
    """Wait until a server has nothing left to do: what an earlier load left unfinished is no part of the next figure."""
    until = time.monotonic() + patience_s
    before = cpu_s(server)
    while time.monotonic() < until:
        time.sleep(0.25)
        now = cpu_s(server)
        if now - before <= 0.025:
            return
        before = now


def wait_until_quiet(limit: float, patience_s: float) -> str:
    """Wait, but not for ever, until nobody else uses the machine; a sentence about how it was."""
    until = time.monotonic() + patience_s
    while (load := os.getloadavg()[0]) >= limit and time.monotonic() < until:
        time.sleep(5)
    quiet = "quiet" if load < limit else f"not quiet: others were at work, waited {patience_s:.0f} s"
    return f"load average {load:.2f} before the run ({quiet})"


def send(port: int, method: str, path: str, headers: Mapping[str, str], body: object = None) -> tuple[int, bytes]:
    """One request; status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        text = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        typed = {} if text is None else {"content-type": "application/json"}
        connection.request(method, path, text, {**typed, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


async def seed(settings: Settings, projects: int, keys: int) -> list[str]:
    """A house with so many projects; the keys of its last ones."""
    async with opened_storage(settings) as storage:
        await furnish(storage)
        return (await _more_projects(storage, projects - 1))[-keys:]


async def _more_projects(storage: Storage, count: int) -> list[str]:
    everything = Statement("SELECT id, organization_id FROM teams")
    team_id, organization_id = (await storage.database.read(lambda tx: tx.rows(everything)))[0]
    keys: list[str] = []

    def some(tx: Transaction, first: int, last: int) -> None:
        for number in range(first, last):
            new = NewProject(organization_id, team_id, f"Project {number}", f"project-{number}", "other", "other")
            keys.append(put_project(tx, storage.box, new)[1].text)

    for first in range(0, count, 1000):
        await storage.database.write(partial(some, first=first, last=min(first + 1000, count)))
    return keys


def seeded(folder: Path, projects: int, keys: int, database_url: str | None = None) -> list[str]:
    """Make a house in a new folder."""
    folder.mkdir()
    return asyncio.run(seed(Settings.model_validate({"data_dir": folder, "database_url": database_url}), projects, keys))


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def figures_table(figures: Figures) -> str:
    """Every figure, its median and what each round gave."""
    rows = [f"| {name} | {shown(median(values))} | {', '.join(shown(value) for value in values)} |" for name, values in figures.items()]
    return "\n".join(["| figure | median | all rounds |", "|---|---|---|", *rows])


def shown(value: float) -> str:
    """A figure with three digits that mean something."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def machine() -> dict[str, str | int | None]:
    """What was measured on, without its name."""
    model = next((line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    system = next(
        (line.partition("=")[2].strip('"') for line in _lines("/etc/os-release") if line.startswith("PRETTY_NAME")), platform.system()
    )
    return {"processor": model, "cores": os.cpu_count(), "system": system, "python": platform.python_version()}


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def save(name: str, found: object) -> None:
    """Keep the figures as JSON in bench/out."""
    OUT.mkdir(exist_ok=True)
    (OUT / name).write_text(json.dumps(found, indent=1))
