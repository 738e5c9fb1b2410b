"""A server that is told to stop while the house opens does not wait for what that waits for, such as a start elsewhere that hangs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.schema import start_lock
from tests.cli.commands import PATIENCE_S, Server, environment
from tests.cli.conftest import DATA, StartServer

ALONE = """
from keyhouse.cli.listening import listen
from keyhouse.cli.workers import serve_alone
from keyhouse.log import configure_logging
from keyhouse.settings import read_settings
configure_logging("text", "info")
raise SystemExit(serve_alone(read_settings(), listen("127.0.0.1", 0)))
"""


@contextmanager
def start_held(folder: Path) -> Iterator[None]:
    """Another process prepares the database, and hangs."""
    with start_lock(parse_database_url(f"sqlite:///{folder}/keyhouse.db")):
        yield


@contextmanager
def waiting_worker(server: Server, folder: Path) -> Iterator[list[psutil.Process]]:
    """The workers of a server, of which one waits for another process's start."""
    supervisor = psutil.Process(server.process.pid)
    assert httpx.get(f"{server.address}/healthz", trust_env=False, timeout=PATIENCE_S).status_code == 200
    workers = supervisor.children()
    with start_held(folder):
        workers[0].kill()
        server.wait_for_line("Waiting for another process that")
        yield supervisor.children()


def test_a_worker_that_waits_for_another_start_keeps_no_server_from_stopping(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    with waiting_worker(server, tmp_path / DATA) as workers:
        assert server.stop() == 0
        assert psutil.wait_procs(workers, PATIENCE_S)[1] == []


def test_a_worker_that_waits_for_another_start_ends_with_its_supervisor(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    with waiting_worker(server, tmp_path / DATA) as workers:
        server.process.kill()
        gone, alive = psutil.wait_procs(workers, PATIENCE_S)
        for worker in alive:
            worker.kill()
        assert len(gone) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_of_one_process_that_waits_for_another_start_stops(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", ALONE], cwd=tmp_path, env=environment(KEYHOUSE_DATA_DIR="."), stderr=subprocess.PIPE)
    with process, start_held(tmp_path):
        assert process.stderr is not None
        while b"Waiting for another process" not in process.stderr.readline():
            assert process.poll() is None
        os.kill(process.pid, number)
        try:
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
