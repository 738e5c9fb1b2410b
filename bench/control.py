"""Speed of the control plane, side by side in one interleaved run: `uv run bench/control.py`. Prints ratios, writes bench/out/control.json.

Needs two cores: the server has one, the load the other. PostgreSQL is measured where Debian's package is installed.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.postgres import running_postgres
from keyhouse.app import open_storage
from keyhouse.services.first_start import furnish
from keyhouse.settings import Settings
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import NewProject, put_project

HERE = Path(__file__).resolve().parent
CALLERS = 16
STATIC = """
import sys
import uvicorn

BODY = b"x" * int(sys.argv[2])
HEAD = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
    await send({"type": "http.response.body", "body": BODY})


uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="warning")
"""


def environment() -> dict[str, str]:
    """What a user has: compiled modules are kept, no settings of ours are in force."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("KEYHOUSE_")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: list[str], port: int) -> Iterator[psutil.Process]:
    """A server on core 0, once it listens."""
    started = psutil.Popen(["taskset", "-c", "0", *command], env=environment(), stdout=subprocess.DEVNULL)
    try:
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield started
    finally:
        started.terminate()
        started.wait(20)


def load(port: int, seconds: float, kind: str, tokens: list[str], path: str = "/api/model-providers") -> dict[str, float]:
    """Run the load generator on core 1."""
    order = json.dumps({"port": port, "seconds": seconds, "kind": kind, "path": path, "tokens": tokens})
    command = ["taskset", "-c", "1", sys.executable, str(HERE / "load.py"), order]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout)
    if found["failures"]:
        raise SystemExit(f"{found['failures']} requests failed: {order}")
    return found


def raw_append(folder: Path, seconds: float) -> float:
    """Appends of 1.8 KB, each on the disk before the next: what the disk gives."""
    row, count = os.urandom(1800), 0
    descriptor = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        os.write(descriptor, row)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return count / (time.perf_counter() - started)


async def seed(settings: Settings, projects: int) -> list[str]:
    """A house with so many projects; the keys of its last ones."""
    storage = await open_storage(settings)
    await furnish(storage)
    keys = await _more_projects(storage, projects - 1)
    await storage.database.close()
    return keys[-CALLERS:]


async def _more_projects(storage: Storage, count: int) -> list[str]:
    from keyhouse.storage.statements import Statement, Transaction
    from sqlalchemy import select

    from keyhouse.storage.tables import teams

    team_id, organization_id = (await storage.database.read(lambda tx: tx.rows(Statement(select(teams.c.id, teams.c.organization_id)))))[0]
    keys: list[str] = []

    def some(tx: Transaction, first: int, last: int) -> None:
        for number in range(first, last):
            new = NewProject(organization_id, team_id, f"Project {number}", f"project-{number}", "other", "other")
            keys.append(put_project(tx, storage.box, new)[1].text)

    for first in range(0, count, 1000):
        last = min(first + 1000, count)
        await storage.database.write(lambda tx, first=first, last=last: some(tx, first, last))
    return keys


class House:
    """A served house to measure."""

    def __init__(self, name: str, folder: Path, projects: int, database_url: str | None = None) -> None:
        self.name = name
        self.port = free_port()
        folder.mkdir()
        self.settings = Settings(data_dir=folder, database_url=database_url)  # type: ignore[arg-type]
        self.tokens = asyncio.run(seed(self.settings, projects))
        self.command = [sys.executable, "-m", "keyhouse", "serve", "--port", str(self.port), "--data-dir", str(folder)]
        if database_url:
            self.command += ["--database-url", database_url]


def measure(houses: list[House], folder: Path, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Every figure once a round, one after the other."""
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)
        print(f"  {name:48} {value:12,.1f}", file=sys.stderr)

    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        note("raw append/s", raw_append(folder, seconds))
        size = 0
        for house in houses:
            with process(house.command, house.port) as server:
                note(f"{house.name}: start to first answer s", _until_answer(house))
                note(f"{house.name}: RSS idle MB", _rss(server))
                size = len(_body(house))
                note(f"{house.name}: PUT/s alone", load(house.port, seconds, "put", house.tokens[:1])["rate"])
                note(f"{house.name}: PUT/s {CALLERS} callers", load(house.port, seconds, "put", house.tokens)["rate"])
                note(f"{house.name}: GET/s", load(house.port, seconds, "get", house.tokens)["rate"])
                note(f"{house.name}: RSS loaded MB", _rss(server))
        port = free_port()
        with process([sys.executable, "-c", STATIC, str(port), str(size)], port):
            note("static/s", load(port, seconds, "get", houses[0].tokens)["rate"])
    return figures


def _until_answer(house: House) -> float:
    """How long after its start a house that listens gives its first answer; the process began before it was asked."""
    started = time.perf_counter()
    _body(house)
    return time.perf_counter() - started


def _body(house: House) -> bytes:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=30)
    connection.request("GET", "/api/model-providers", headers={"x-auth-token": house.tokens[0]})
    return connection.getresponse().read()


def _rss(server: psutil.Process) -> float:
    return float(server.memory_info().rss) / 1e6


def ratios(figures: dict[str, list[float]], databases: list[str]) -> list[tuple[str, float, float, float]]:
    """(what, ratio, at least, aim) from the medians."""
    middle = {name: statistics.median(values) for name, values in figures.items()}
    rows = []
    for name in databases:
        few, many = f"{name}, 10 projects", f"{name}, 100,000 projects"
        rows += [
            (f"{name}: PUT/s alone / raw append", middle[f"{few}: PUT/s alone"] / middle["raw append/s"], 0.3, 0.6),
            (f"{name}: PUT/s {CALLERS} callers / raw append", middle[f"{few}: PUT/s {CALLERS} callers"] / middle["raw append/s"], 1.0, 2.5),
            (f"{name}: GET/s / static", middle[f"{few}: GET/s"] / middle["static/s"], 0.6, 0.95),
        ]
        if f"{many}: GET/s" in middle:
            rows += [
                (f"{name}: GET/s, 10 / 100,000 projects", middle[f"{few}: GET/s"] / middle[f"{many}: GET/s"], 1.1, 1.0),
                (f"{name}: PUT/s alone, 10 / 100,000 projects", middle[f"{few}: PUT/s alone"] / middle[f"{many}: PUT/s alone"], 1.1, 1.0),
            ]
    return rows


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--many", type=int, default=100_000, help="projects stored in the large house; 0 leaves it out")
    options.add_argument("--sqlite-only", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as temporary:
        folder = Path(temporary)
        with running_postgres(folder, wanted=not chosen.sqlite_only) as new_database:
            houses = _houses(folder, chosen.many, new_database)
            figures = measure(houses, folder, chosen.rounds, chosen.seconds)
    _report(figures, ["SQLite"] + (["PostgreSQL"] if new_database else []))


def _houses(folder: Path, many: int, new_database: Callable[[], str] | None) -> list[House]:
    houses = []
    for name, url in (("SQLite", None), ("PostgreSQL", new_database)):
        if name == "SQLite" or url:
            for projects in (10, many) if many else (10,):
                label = f"{name}, {projects:,} projects"
                print(f"preparing {label}", file=sys.stderr)
                houses.append(House(label, folder / f"{name}-{projects}", max(projects, CALLERS + 1), url() if url else None))
    return houses


def _report(figures: dict[str, list[float]], databases: list[str]) -> None:
    found = ratios(figures, databases)
    print(f"\n| ratio | measured | at least | aim |\n|---|---|---|---|")
    for what, ratio, least, aim in found:
        print(f"| {what} | {ratio:.2f} | {least} | {aim} |")
    print("\n| figure | median | all rounds |\n|---|---|---|")
    for name, values in figures.items():
        print(f"| {name} | {statistics.median(values):,.1f} | {', '.join(f'{value:,.1f}' for value in values)} |")
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
    (out / "control.json").write_text(json.dumps({"machine": machine, "figures": figures, "ratios": found}, indent=1))


if __name__ == "__main__":
    main()
