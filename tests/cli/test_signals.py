"""Signals that mean nothing to those who get them, and what the processes of a server hold of one another."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.cli.callers import lives, replaced, wait_until_it_serves, workers_of
from tests.cli.commands import PATIENCE_S, hooked
from tests.cli.conftest import StartServer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR2])
def test_what_a_terminal_sends_to_all_means_nothing_to_workers(tmp_path: Path, serving: StartServer, number: signal.Signals) -> None:
    server = serving(tmp_path, "--workers", "2")
    assert lives(server) == 200
    workers = workers_of(server)
    for worker in workers:
        wait_until_it_serves(server, worker)
        for _ in range(3):
            os.kill(worker, number)
            wait_until_it_serves(server, worker)
    assert workers_of(server) == workers
    assert server.stop() == 0
    assert [line for line in server.lines if " warning " in line] == []


def test_nohup_has_a_server_overlook_that_its_terminal_closes(tmp_path: Path, serving: StartServer) -> None:
    through = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    alone, several = serving(tmp_path, through=through), serving(tmp_path, "--workers", "2", through=through)
    for server in (alone, several):
        assert lives(server) == 200
        server.process.send_signal(signal.SIGHUP)
    assert replaced(several, set())
    several.process.send_signal(signal.SIGHUP)
    assert replaced(several, set())
    for server in (alone, several):
        assert lives(server) == 200
        assert server.stop() == 0


def test_a_server_overlooks_what_has_others_open_their_logs_anew(tmp_path: Path, serving: StartServer) -> None:
    for options in ((), ("--workers", "2")):
        server = serving(tmp_path, *options)
        assert lives(server) == 200
        server.process.send_signal(signal.SIGUSR1)
        assert lives(server) == 200
        assert server.stop() == 0


def pipes(process_id: int) -> set[str]:
    folder = Path(f"/proc/{process_id}/fd")
    return {name for file in folder.iterdir() if (name := os.readlink(file)).startswith("pipe:")}


def test_no_worker_holds_what_is_between_its_supervisor_and_another(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    assert lives(server) == 200
    first, second = workers_of(server)
    for worker in (first, second):
        wait_until_it_serves(server, worker)
    supervisors = pipes(server.process.pid)
    assert supervisors & pipes(first) == supervisors & pipes(second)
    assert server.stop() == 0


def test_where_no_process_can_be_forked_nothing_is_lost(tmp_path: Path, serving: StartServer) -> None:
    """As where process ids have run out: the pipe to the one that was to be is closed again."""
    short = tmp_path / "short"
    path = hooked(
        tmp_path,
        "import errno, os\n"
        "fork = os.fork\n"
        "def forked():\n"
        f"    if os.path.exists({str(short)!r}): raise OSError(errno.EAGAIN, 'short')\n"
        "    return fork()\n"
        "os.fork = forked\n",
    )
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    assert lives(server) == 200
    first, second = workers_of(server)
    for worker in (first, second):
        wait_until_it_serves(server, worker)
    descriptors = psutil.Process(server.process.pid).num_fds()
    short.touch()
    os.kill(first, signal.SIGKILL)
    server.wait_for_line("a worker cannot be started now, and is later reason=EAGAIN")
    short.unlink()
    deadline = time.monotonic() + PATIENCE_S
    while len(found := [number for number in workers_of(server) if number not in (first, second)]) != 1:
        assert time.monotonic() < deadline
    wait_until_it_serves(server, found[0])
    assert psutil.Process(server.process.pid).num_fds() == descriptors
    assert server.stop() == 0


def test_a_server_that_is_told_once_more_while_it_ends_has_ended_well(tmp_path: Path, serving: StartServer) -> None:
    path = hooked(
        tmp_path,
        "import atexit, gc, os, signal, threading\n"
        "ends, listens = threading.Event(), threading.Event()\n"
        "def last():\n"
        "    # A thread that is still there at the end, and takes what the first one does not.\n"
        "    ends.wait()\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})\n"
        "    listens.set()\n"
        "    threading.Event().wait()\n"
        "os.register_at_fork(after_in_parent=lambda: threading.Thread(target=last, daemon=True).start())\n"
        "def tell(phase, info):\n"
        "    # The last time after Python has let go of our handlers.\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "def end():\n"
        "    ends.set()\n"
        "    listens.wait()\n"
        "    gc.callbacks.append(tell)\n"
        "atexit.register(end)\n",
    )
    assert serving(tmp_path, PYTHONPATH=path).stop() == 0
