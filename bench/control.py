"""Speed of the control plane, side by side in one interleaved run: `uv run bench/control.py`. Prints ratios, writes bench/out/control.json.

Needs two cores: the server has one, the load the other. PostgreSQL is measured where Debian's package is installed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.database_alone import postgres_alone, sqlite_alone
from bench.postgres import running_postgres
from bench.serving import LOAD_CORE, Served, environment, figures_table, free_port, machine, pinned, process, rss_mb, save, seeded, send

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


def load(port: int, seconds: float, kind: str, tokens: list[str], path: str = "/api/model-providers") -> dict[str, float]:
    """Run the load generator on core 1."""
    order = json.dumps({"port": port, "seconds": seconds, "kind": kind, "path": path, "tokens": tokens})
    command = pinned(LOAD_CORE, [sys.executable, str(HERE / "load.py"), order])
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


class House:
    """A served house to measure."""

    def __init__(self, name: str, folder: Path, projects: int, database_url: str | None = None) -> None:
        self.name = name
        self.folder = folder
        self.database_url = database_url
        self.port = free_port()
        self.tokens = seeded(folder, projects, CALLERS, database_url)
        self.command = [sys.executable, "-m", "keyhouse", "serve", "--port", str(self.port), "--data-dir", str(folder)]
        if database_url:
            self.command += ["--database-url", database_url]

    def furnish(self) -> None:
        """Let each caller have put its provider a few times."""
        with process(Served(self.command, self.port)):
            load(self.port, 0.5, "put", self.tokens)

    def alone(self, callers: int, seconds: float) -> float:
        """What its database gives to who writes the rows of PUTs and does nothing else."""
        if self.database_url:
            return postgres_alone(self.database_url, self.folder, callers, seconds)
        return sqlite_alone(self.folder / "keyhouse.db", callers, seconds)


def measure(houses: list[House], databases: list[House], folder: Path, rounds: int, seconds: float) -> dict[str, list[float]]:
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
            with process(Served(house.command, house.port)) as server:
                note(f"{house.name}: start to first answer s", _until_answer(house))
                note(f"{house.name}: RSS idle MB", rss_mb(server))
                size = len(_body(house))
                note(f"{house.name}: PUT/s alone", load(house.port, seconds, "put", house.tokens[:1])["rate"])
                note(f"{house.name}: PUT/s {CALLERS} callers", load(house.port, seconds, "put", house.tokens)["rate"])
                note(f"{house.name}: GET/s", load(house.port, seconds, "get", house.tokens)["rate"])
                note(f"{house.name}: RSS loaded MB", rss_mb(server))
        for database in databases:
            note(f"{database.name} alone: PUT/s alone", database.alone(1, seconds))
            note(f"{database.name} alone: PUT/s {CALLERS} callers", database.alone(CALLERS, seconds))
        port = free_port()
        with process(Served([sys.executable, "-c", STATIC, str(port), str(size)], port)):
            note("static/s", load(port, seconds, "get", houses[0].tokens)["rate"])
    return figures


def _until_answer(house: House) -> float:
    """How long after its start a house that listens gives its first answer; the process began before it was asked."""
    started = time.perf_counter()
    _body(house)
    return time.perf_counter() - started


def _body(house: House) -> bytes:
    return send(house.port, "GET", "/api/model-providers", {"x-auth-token": house.tokens[0]})[1]


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


def shares(figures: dict[str, list[float]], databases: list[str]) -> list[tuple[str, float, float]]:
    """(what, ours to what the database alone gives, that to the raw append), from the medians."""
    middle = {name: statistics.median(values) for name, values in figures.items()}
    rows = []
    for name in databases:
        for what in ("PUT/s alone", f"PUT/s {CALLERS} callers"):
            most = middle[f"{name} alone: {what}"]
            rows.append((f"{name}: {what}", middle[f"{name}, 10 projects: {what}"] / most, most / middle["raw append/s"]))
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
            houses, databases = _houses(folder, chosen.many, new_database), _databases(folder, new_database)
            figures = measure(houses, databases, folder, chosen.rounds, chosen.seconds)
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


def _databases(folder: Path, new_database: Callable[[], str] | None) -> list[House]:
    """Houses whose databases are measured without Keyhouse; bad for anything else afterwards."""
    found = [House("SQLite", folder / "SQLite-alone", CALLERS + 1)]
    if new_database:
        found.append(House("PostgreSQL", folder / "PostgreSQL-alone", CALLERS + 1, new_database()))
    for house in found:
        house.furnish()
    return found


def _report(figures: dict[str, list[float]], databases: list[str]) -> None:
    found = ratios(figures, databases)
    print("\n| ratio | measured | at least | aim |\n|---|---|---|---|")
    for what, ratio, least, aim in found:
        print(f"| {what} | {ratio:.2f} | {least} | {aim} |")
    bounds = shares(figures, databases)
    print("\n| | ours / the database alone | that / raw append |\n|---|---|---|")
    for what, ours, most in bounds:
        print(f"| {what} | {ours:.2f} | {most:.2f} |")
    print("\n" + figures_table(figures))
    save("control.json", {"machine": machine(), "figures": figures, "ratios": found, "shares": bounds})


if __name__ == "__main__":
    main()
