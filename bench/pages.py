"""Speed of the settings pages: `uv run bench/pages.py`. Prints a table, writes bench/out/pages.json.

Each page is asked for again and again by one browser's worth of requests, signed in; the server has one core, the requests the other. Then
the page and every file that it names are fetched once, as a browser that has nothing does, and the bytes are counted.
"""

import argparse
import asyncio
import gzip
import http.client
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.postgres import running_postgres
from bench.serving import LOAD_CORE, Served, cpu_s, free_port, machine, process, save, send, settle, shown
from keyhouse.app import opened_storage
from keyhouse.services.first_start import FirstKeys, furnish
from keyhouse.settings import Settings

PROVIDERS = 20
CHANGES = 20
KEYS = 40
PROJECTS = 40
GOAL_MS, GOAL_KB = 30.0, 150.0
_FILES = re.compile(r'(?:src|href)="(/static/[^"#]+)')


@dataclass(frozen=True)
class Figure:
    """One page: milliseconds of the median and the slowest request in twenty, processor milliseconds, kilobytes on first load."""

    database: str
    page: str
    median_ms: float
    p95_ms: float
    cpu_ms: float
    kilobytes: float


class Browser:
    """Somebody who is signed in, on one connection."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        form = urlencode({"key": key}).encode()
        head = {"content-type": "application/x-www-form-urlencoded", "host": f"127.0.0.1:{port}"}
        self._connection.request("POST", "/sign-in", form, head)
        answer = self._connection.getresponse()
        answer.read()
        self._cookie = answer.headers["set-cookie"].partition(";")[0]

    def get(self, path: str) -> tuple[bytes, int]:
        """A page's body, and the bytes of its answer over the wire."""
        self._connection.request("GET", path, headers={"cookie": self._cookie, "accept-encoding": "gzip, deflate, br"})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} answers {answer.status}")
        packed = answer.headers["content-encoding"] == "gzip"
        return gzip.decompress(body) if packed else body, len(body) + sum(len(name) + len(value) + 4 for name, value in answer.getheaders())


async def _prepare(settings: Settings) -> FirstKeys:
    async with opened_storage(settings) as storage:
        keys = await furnish(storage)
        assert keys is not None
        return keys


def fill(port: int, keys: FirstKeys) -> None:
    """A well-used house."""
    project, admin = {"x-auth-token": keys.project_key}, {"x-auth-token": keys.admin_key}
    entries = _json(send(port, "GET", "/api/model-providers", project))
    stored = [name for name in entries if _put(port, project, name, 0)][:PROVIDERS]
    for number in range(CHANGES):
        _put(port, project, stored[0], number + 1)
    for number in range(KEYS):
        send(port, "POST", "/api/api-keys", admin, {"keyType": "service", "name": f"Key {number}"})
    for number in range(PROJECTS):
        body = {"name": f"Project {number}", "language": "other", "framework": "other", "newTeamName": f"Team {number}"}
        send(port, "POST", "/api/projects", admin, body)
    for _ in range(50):
        send(port, "POST", "/v1/chat/completions", project, {"model": "nothing-like-it", "messages": []})


def _put(port: int, head: dict[str, str], provider: str, number: int) -> bool:
    models = [f"{provider}-model-{each}" for each in range(5 + number)]
    body = {"enabled": True, "customModels": models, "extraHeaders": [{"key": "X-Team", "value": f"secret-{number}"}]}
    return send(port, "PUT", f"/api/model-providers/{provider}", head, body)[0] == 200


def _json(answer: tuple[int, bytes]) -> Any:
    return json.loads(answer[1])


def pages_of(keys: FirstKeys, provider: str) -> dict[str, str]:
    """Every page that is looked at."""
    providers = f"/projects/{keys.project_id}/providers"
    return {
        "providers": providers,
        "pick a provider": f"{providers}/add",
        "edit a provider": f"{providers}/{provider}",
        "history": f"{providers}/{provider}/history",
        "try it": f"/projects/{keys.project_id}/try",
        "project key": f"/projects/{keys.project_id}/key",
        "projects and teams": "/organization/projects",
        "API keys": "/organization/keys",
        "audit": "/organization/audit",
        "status": "/organization/status",
    }


def measure(server: psutil.Process, browser: Browser, path: str, times: int) -> tuple[list[float], float]:
    """Milliseconds of each request, and the server's processor milliseconds a request."""
    for _ in range(3):
        browser.get(path)
    settle(server)
    taken, before = [], cpu_s(server)
    for _ in range(times):
        started = time.perf_counter()
        browser.get(path)
        taken.append((time.perf_counter() - started) * 1000)
    return taken, (cpu_s(server) - before) * 1000 / times


def first_load(browser: Browser, path: str) -> float:
    """Kilobytes over the wire of a page and every file it names, as they are served to a browser."""
    body, size = browser.get(path)
    files = dict.fromkeys(_FILES.findall(body.decode()))
    return (size + sum(browser.get(file)[1] for file in files)) / 1000


@contextmanager
def serving(folder: Path, url: str | None) -> Iterator[tuple[psutil.Process, int, FirstKeys]]:
    """A house that serves."""
    folder.mkdir()
    keys = asyncio.run(_prepare(Settings.model_validate({"data_dir": folder, "database_url": url})))
    port = free_port()
    command = [sys.executable, "-m", "keyhouse", "serve", "--port", str(port), "--data-dir", str(folder)]
    with process(Served([*command, "--database-url", url] if url else command, port)) as server:
        yield server, port, keys


def looked_at(database: str, folder: Path, url: str | None, times: int) -> list[Figure]:
    """Every page of one house."""
    found = []
    with serving(folder, url) as (server, port, keys):
        fill(port, keys)
        provider = next(iter(_json(send(port, "GET", "/api/model-providers", {"x-auth-token": keys.project_key}))))
        browser = Browser(port, keys.admin_key)
        for page, path in pages_of(keys, provider).items():
            taken, cpu = measure(server, browser, path, times)
            slow = statistics.quantiles(taken, n=20)[-1]
            found.append(Figure(database, page, statistics.median(taken), slow, cpu, first_load(browser, path)))
            print(f"  {database:12} {page:20} {found[-1].median_ms:8.1f} ms", file=sys.stderr)
    return found


def report(found: Sequence[Figure]) -> str:
    """The table."""
    rows = ["| database | page | median ms | 95% within ms | CPU ms | first load kB |", "|---|---|---|---|---|---|"]
    for each in found:
        values = (each.median_ms, each.p95_ms, each.cpu_ms, each.kilobytes)
        rows.append(f"| {each.database} | {each.page} | {' | '.join(map(shown, values))} |")
    slow = [f"{each.page} on {each.database}" for each in found if each.median_ms > GOAL_MS]
    heavy = [each.page for each in found if each.kilobytes > GOAL_KB]
    goals = f"Median under {GOAL_MS:g} ms: {'missed by ' + ', '.join(slow) if slow else 'reached by all'}."
    return "\n".join(
        [*rows, "", f"{goals} First load at most {GOAL_KB:g} kB: {'missed by ' + ', '.join(heavy) if heavy else 'reached by all'}."]
    )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=40, help="requests for each page")
    options.add_argument("--sqlite-only", action="store_true")
    chosen = options.parse_args()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as temporary:
        folder = Path(temporary)
        found += looked_at("SQLite", folder / "sqlite", None, chosen.times)
        with running_postgres(folder, wanted=not chosen.sqlite_only) as new_database:
            if new_database:
                found += looked_at("PostgreSQL", folder / "postgresql-house", new_database(), chosen.times)
    print(report(found))
    save("pages.json", {"machine": machine(), "load": os.getloadavg()[0], "figures": [asdict(each) for each in found]})


if __name__ == "__main__":
    main()
