"""A machine on which nothing can be started for a while: the server goes on with the processes that it has, and takes more when it can."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.cli.commands import PATIENCE_S, Server, hooked
from tests.cli.conftest import StartServer
from tests.cli.test_takeover import holds


@contextlib.contextmanager
def short_of_files(server: Server) -> Iterator[None]:
    """The supervisor can open nothing more, so it can start nothing: as where memory, process ids or files have run out."""
    supervisor = psutil.Process(server.process.pid)
    soft, hard = supervisor.rlimit(psutil.RLIMIT_NOFILE)
    supervisor.rlimit(psutil.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        supervisor.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))


def workers_of(server: Server) -> list[int]:
    return [child.pid for child in psutil.Process(server.process.pid).children()]


def listed(server: Server) -> int:
    return httpx.get(f"{server.address}/healthz", trust_env=False, timeout=PATIENCE_S).status_code


def test_a_worker_that_cannot_be_replaced_yet_takes_no_other_with_it(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    assert listed(server) == 200
    first, second = workers_of(server)
    with short_of_files(server):
        os.kill(first, signal.SIGKILL)
        server.wait_for_line("a worker cannot be started now, and is later reason=EMFILE after_s=2.0")
        assert listed(server) == 200
        assert workers_of(server) == [second]
    deadline = time.monotonic() + PATIENCE_S
    while len(workers_of(server)) < 2:
        assert time.monotonic() < deadline
    assert server.stop() == 0


def wait_until_it_serves(server: Server, worker: int) -> None:
    """Ask on one connection after the other, until this worker has answered."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", urlsplit(server.address).port or 0), PATIENCE_S) as caller:
            caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert caller.recv(100).startswith(b"HTTP/1.1 200")
            if holds(worker, caller.getsockname()[1]):
                return
    raise AssertionError("it does not serve")


@pytest.mark.parametrize(("early_s", "delays"), [(3600.0, (1.0, 2.0)), (0.0, (0.0, 0.0))])
def test_a_worker_is_replaced_the_later_the_more_often_it_dies_early(
    tmp_path: Path, serving: StartServer, early_s: float, delays: tuple[float, float]
) -> None:
    path = hooked(tmp_path, f"from keyhouse.cli import workers\nworkers._EARLY_S = {early_s}\n")
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    assert listed(server) == 200
    other, victim = workers_of(server)
    wait_until_it_serves(server, victim)
    descriptors = psutil.Process(server.process.pid).num_fds()
    for delay in delays:
        wait_until_it_serves(server, victim)
        os.kill(victim, signal.SIGKILL)
        server.wait_for_line(f"is replaced process_id={victim} after_s={delay}")
        deadline = time.monotonic() + PATIENCE_S
        while len(found := [number for number in workers_of(server) if number not in (other, victim)]) != 1:
            assert time.monotonic() < deadline
        (victim,) = found
    wait_until_it_serves(server, victim)
    assert psutil.Process(server.process.pid).num_fds() == descriptors
    assert server.stop() == 0


def test_a_server_that_cannot_be_replaced_yet_goes_on(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    assert listed(server) == 200
    workers = workers_of(server)
    with short_of_files(server):
        server.process.send_signal(signal.SIGUSR2)
        server.wait_for_line("no process can be started now.*EMFILE")
        server.wait_for_line("The server goes on as it was")
    assert (listed(server), workers_of(server)) == (200, workers)
    assert server.stop() == 0
