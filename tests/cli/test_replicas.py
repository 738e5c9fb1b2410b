"""`keyhouse status` tells which processes serve: each worker of each server, for as long as it is there."""

import json
import signal
from pathlib import Path
from typing import Any

from tests.cli.callers import workers_of
from tests.cli.commands import run
from tests.cli.conftest import DATA, StartServer


def replicas(folder: Path) -> list[dict[str, Any]]:
    told = run(folder, "status", "--json", "--data-dir", DATA)
    assert told.code == 0, told.err
    found: list[dict[str, Any]] = json.loads(told.out)["replicas"]
    return found


def when_seen(folder: Path, count: int) -> set[int]:
    """The process ids, once so many are seen. A worker notes itself just after it has begun to serve."""
    while len(found := replicas(folder)) != count:
        assert len(found) < count
    return {each["processId"] for each in found}


def test_every_worker_of_every_server_is_seen_and_those_that_end_are_gone(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    assert when_seen(tmp_path, 2) == workers_of(server)
    other = serving(tmp_path)
    assert when_seen(tmp_path, 3) == workers_of(server) | {other.process.pid}
    assert "served by    process " in run(tmp_path, "status", "--data-dir", DATA).out
    assert other.stop() == 0
    assert when_seen(tmp_path, 2) == workers_of(server)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    assert replicas(tmp_path) == []
