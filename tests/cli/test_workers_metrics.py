"""Several workers: whichever is asked tells the counts of all, also after one of them died."""

import os
import signal
import urllib.error
import urllib.request
from pathlib import Path

from tests.cli.commands import Server
from tests.cli.conftest import StartServer

REFUSED = 'keyhouse_requests_total{endpoint="none",provider="none",status="401"}'


def _get(address: str, path: str) -> str:
    """One request on a connection of its own, so that any worker may take it."""
    try:
        with urllib.request.urlopen(f"{address}{path}", timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refused:
        refused.close()
        return ""


def _sample(text: str, name: str) -> float:
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.rpartition(" ")[0] == name), 0.0)


def _told(server: Server, name: str) -> set[float]:
    return {_sample(_get(server.address, "/metrics"), name) for _ in range(10)}


def _ask(server: Server, times: int) -> None:
    """Requests that are refused. A worker counts one just after its caller has the answer, so they are waited for."""
    for _ in range(times):
        _get(server.address, "/v1/models")
    while _told(server, REFUSED) != {float(times)}:
        assert max(_told(server, REFUSED)) <= times


def test_any_worker_tells_the_counts_of_all(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    _ask(server, 30)
    metrics = _get(server.address, "/metrics")
    while _sample(metrics, "keyhouse_workers") < 2:
        metrics = _get(server.address, "/metrics")
    assert _sample(metrics, 'keyhouse_resident_memory_bytes{worker="0"}') > 0
    assert _sample(metrics, 'keyhouse_resident_memory_bytes{worker="1"}') > 0


def test_counts_outlive_a_worker(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    _ask(server, 10)
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text(encoding="ascii").split()
    assert len(children) == 2
    os.kill(int(children[0]), signal.SIGKILL)
    assert _told(server, REFUSED) == {10.0}
    assert server.stop() == 0
