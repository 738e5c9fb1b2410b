"""Who stops a server tells each of its processes, as systemd does: that is one stop, however often a worker hears of it."""

import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.cli.callers import begun_put, finished, holds, is_refused, replaced, workers_of
from tests.cli.commands import PATIENCE_S, hooked
from tests.cli.conftest import StartServer


def test_what_was_begun_is_finished(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    with begun_put(server) as connection:
        workers = workers_of(server)
        idle = [psutil.Process(number) for number in workers if not holds(number, connection.getsockname()[1])]
        for number in (*workers, server.process.pid):
            os.kill(number, signal.SIGTERM)
        # By then the supervisor has passed it on.
        assert psutil.wait_procs(idle, PATIENCE_S)[1] == []
        assert finished(connection) == 200
    assert server.ended() == 0


def test_nobody_takes_the_place_of_a_worker_that_was_stopped(tmp_path: Path, serving: StartServer) -> None:
    path = hooked(tmp_path, "from keyhouse.cli import workers\nworkers._delay_s = lambda worker: 0.0\n")
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    with begun_put(server) as connection:
        idle = [psutil.Process(number) for number in workers_of(server) if not holds(number, connection.getsockname()[1])]
        os.kill(server.process.pid, signal.SIGTERM)
        assert psutil.wait_procs(idle, PATIENCE_S)[1] == []
        assert finished(connection) == 200
    assert server.ended() == 0


def test_what_was_begun_before_a_replacement_is_finished(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    with begun_put(server) as connection:
        former = {number for number in workers_of(server) if holds(number, connection.getsockname()[1])}
        new = [psutil.Process(number) for number in replaced(server, former) - former]
        for number in (*workers_of(server), server.process.pid):
            os.kill(number, signal.SIGTERM)
        assert psutil.wait_procs(new, PATIENCE_S)[1] == []
        assert finished(connection) == 200
    assert server.ended() == 0


def test_a_worker_that_is_told_to_hurry_waits_for_no_open_request(tmp_path: Path, serving: StartServer) -> None:
    """As one that was left by its supervisor, and has not noticed it, when a second stop comes."""
    server = serving(tmp_path, "--workers", "2")
    with begun_put(server) as connection:
        (holder,) = (psutil.Process(number) for number in workers_of(server) if holds(number, connection.getsockname()[1]))
        holder.send_signal(signal.SIGUSR1)
        assert psutil.wait_procs([holder], PATIENCE_S / 2)[1] == []
    server.wait_for_line("ended unexpectedly and is replaced")
    assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_was_begun_is_finished_though_it_takes_longer_than_an_opening_may(tmp_path: Path, serving: StartServer, workers: str) -> None:
    path = hooked(tmp_path, "from keyhouse.cli import workers\nworkers._OPENS_WITHIN_S = 0.0\n")
    server = serving(tmp_path, "--workers", workers, PYTHONPATH=path)
    with begun_put(server) as connection:
        server.process.send_signal(signal.SIGTERM)
        assert is_refused(("127.0.0.1", urlsplit(server.address).port or 0))
        assert finished(connection) == 200
    assert server.ended() == 0
