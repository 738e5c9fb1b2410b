"""A machine on which nothing can be started for a while: the server goes on with the processes that it has, and takes more when it can."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.callers import lives, wait_until_it_serves, workers_of
from tests.cli.commands import PATIENCE_S, Server, hooked
from tests.cli.conftest import StartServer


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


def test_a_worker_that_cannot_be_replaced_yet_takes_no_other_with_it(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    assert lives(server) == 200
    first, second = workers_of(server)
    with short_of_files(server):
        os.kill(first, signal.SIGKILL)
        server.wait_for_line("a worker cannot be started now, and is later reason=EMFILE after_s=2.0")
        assert lives(server) == 200
        assert workers_of(server) == {second}
    deadline = time.monotonic() + PATIENCE_S
    while len(workers_of(server)) < 2:
        assert time.monotonic() < deadline
    assert server.stop() == 0


@pytest.mark.parametrize(("early_s", "delays"), [(3600.0, (1.0, 2.0)), (0.0, (0.0, 0.0))])
def test_a_worker_is_replaced_the_later_the_more_often_it_dies_early(
    tmp_path: Path, serving: StartServer, early_s: float, delays: tuple[float, float]
) -> None:
    path = hooked(tmp_path, f"from keyhouse.cli import workers\nworkers._EARLY_S = {early_s}\n")
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    assert lives(server) == 200
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
    assert lives(server) == 200
    workers = workers_of(server)
    with short_of_files(server):
        server.process.send_signal(signal.SIGUSR2)
        server.wait_for_line("no process can be started now.*EMFILE")
        server.wait_for_line("The server goes on as it was")
    assert (lives(server), workers_of(server)) == (200, workers)
    assert server.stop() == 0
