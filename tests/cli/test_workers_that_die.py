"""Workers that die: one alone ends no server, at its start neither, and none is given up however often it died."""

import os
import signal
import time
from pathlib import Path

from keyhouse.cli.workers import _delay_s, _Worker
from tests.cli.callers import listed, wait_until_it_serves, workers_of
from tests.cli.commands import PATIENCE_S, hooked
from tests.cli.conftest import StartServer


def test_one_that_dies_before_any_serves_is_replaced(tmp_path: Path, serving: StartServer) -> None:
    """As where memory is short just then."""
    path = hooked(
        tmp_path,
        "import itertools, os, signal\n"
        "forks = itertools.count(1)\n"
        "number = 0\n"
        "def count():\n"
        "    global number\n"
        "    number = next(forks)\n"
        "def die():\n"
        "    # The first one prepares the data.\n"
        "    if number == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.register_at_fork(before=count, after_in_child=die)\n",
    )
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    server.wait_for_line("ended unexpectedly and is replaced")
    deadline = time.monotonic() + PATIENCE_S
    while len(workers_of(server)) < 2:
        assert time.monotonic() < deadline
    assert listed(server) == 200
    assert server.stop() == 0


def test_all_that_die_soon_after_they_served_are_replaced(tmp_path: Path, serving: StartServer) -> None:
    """As where memory ran out: that they can start has been seen."""
    server = serving(tmp_path, "--workers", "2")
    assert listed(server) == 200
    former = workers_of(server)
    assert len(former) == 2
    for worker in former:
        wait_until_it_serves(server, worker)
    for worker in former:
        os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while len(workers_of(server) - former) < 2:
        assert time.monotonic() < deadline
    assert listed(server) == 200
    assert server.stop() == 0


def test_one_that_served_for_long_is_replaced_at_once_though_another_died_before_it(tmp_path: Path, serving: StartServer) -> None:
    path = hooked(tmp_path, "from keyhouse.cli import workers\nworkers._EARLY_S = 0.0\n")
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    assert listed(server) == 200
    former = workers_of(server)
    for worker in former:
        wait_until_it_serves(server, worker)
    for worker in former:
        os.kill(worker, signal.SIGKILL)
        server.wait_for_line(f"is replaced process_id={worker} after_s=0.0")
    assert server.stop() == 0


def test_one_that_served_for_a_short_time_is_replaced_after_a_pause(tmp_path: Path, serving: StartServer) -> None:
    path = hooked(tmp_path, "from keyhouse.cli import workers\nworkers._EARLY_S = 3600.0\n")
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    assert listed(server) == 200
    worker = min(workers_of(server))
    wait_until_it_serves(server, worker)
    os.kill(worker, signal.SIGKILL)
    server.wait_for_line(f"is replaced process_id={worker} after_s=1.0")
    assert server.stop() == 0


def test_the_pause_before_a_replacement_has_a_bound_however_often_one_died() -> None:
    """As through a night in which the database is away."""
    assert [_delay_s(_Worker(0, early_deaths=deaths)) for deaths in (0, 1, 2, 5, 6, 1025, 10**6)] == [0.0, 1.0, 2.0, 16.0, 30.0, 30.0, 30.0]
