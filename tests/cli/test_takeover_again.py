"""A server that is to be replaced while that is under way, or cannot be: no wish is lost, and whoever serves goes on."""

import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.cli.callers import begun_put, finished, is_refused, listed, replaced, wait_until_it_serves, workers_of
from tests.cli.commands import PATIENCE_S, hooked
from tests.cli.conftest import StartServer


def with_site(folder: Path, statements: str) -> str:
    """The PYTHONPATH of a server each of whose processes runs this first."""
    return hooked(folder, f"import os, signal, sys\n{statements}")


def test_a_wish_that_comes_while_the_new_server_loads_is_heard(tmp_path: Path, serving: StartServer) -> None:
    """What is installed by then may be newer than what it has loaded."""
    (tmp_path / "starts").write_text("")
    statements = (
        "if '--in-place-of' in sys.orig_argv:\n"
        f"    starts = open({str(tmp_path / 'starts')!r}, 'a+')\n"
        "    starts.write('x')\n"
        "    if starts.tell() == 1: os.kill(os.getpid(), signal.SIGUSR2)\n"
        "    starts.close()\n"
    )
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=with_site(tmp_path, statements))
    assert listed(server) == 200
    former = [psutil.Process(number) for number in workers_of(server)]
    server.process.send_signal(signal.SIGUSR2)
    deadline = time.monotonic() + PATIENCE_S
    while (tmp_path / "starts").read_text() != "xx":
        assert time.monotonic() < deadline
    assert psutil.wait_procs(former, PATIENCE_S)[1] == []
    assert listed(server) == 200
    assert server.stop() == 0


def test_a_server_whose_workers_cannot_start_is_replaced_by_one_whose_can(tmp_path: Path, serving: StartServer) -> None:
    broken = tmp_path / "broken"
    statements = (
        f"if '--in-place-of' in sys.orig_argv and os.path.exists({str(broken)!r}):\n"
        "    os.register_at_fork(after_in_child=lambda: os._exit(1))\n"
        "    print('a broken one', file=sys.stderr, flush=True)\n"
    )
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=with_site(tmp_path, statements))
    assert listed(server) == 200
    former = [psutil.Process(number) for number in workers_of(server)]
    broken.touch()
    for _ in range(2):
        server.lines.clear()
        server.process.send_signal(signal.SIGUSR2)
        server.wait_for_line("a broken one")
        server.wait_for_line("ended unexpectedly and is replaced")
    assert all(worker.is_running() for worker in former)
    assert listed(server) == 200
    broken.unlink()
    server.process.send_signal(signal.SIGUSR2)
    assert psutil.wait_procs(former, PATIENCE_S)[1] == []
    assert listed(server) == 200
    assert len(workers_of(server)) == 2
    assert server.stop() == 0


def test_a_wish_that_comes_while_a_server_stops_starts_nothing(tmp_path: Path, serving: StartServer) -> None:
    statements = f"if '--check' in sys.orig_argv: open({str(tmp_path / 'checked')!r}, 'w').close()\n"
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=with_site(tmp_path, statements))
    with begun_put(server) as connection:
        server.process.send_signal(signal.SIGTERM)
        assert is_refused(("127.0.0.1", urlsplit(server.address).port or 0))
        server.process.send_signal(signal.SIGUSR2)
        assert finished(connection) == 200
    assert server.ended() == 0
    assert not (tmp_path / "checked").exists()


def test_a_server_with_an_empty_place_is_replaced_by_a_whole_one(tmp_path: Path, serving: StartServer) -> None:
    statements = "from keyhouse.cli import workers\nif '--in-place-of' not in sys.orig_argv: workers._delay_s = lambda worker: 3600.0\n"
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=with_site(tmp_path, statements))
    assert listed(server) == 200
    dead, left = (psutil.Process(number) for number in workers_of(server))
    dead.kill()
    server.wait_for_line("ended unexpectedly and is replaced")
    assert (listed(server), workers_of(server)) == (200, {left.pid})
    new = replaced(server, {dead.pid})
    assert not left.is_running()
    assert len(new) == 2
    for number in new:
        wait_until_it_serves(server, number)
    os.kill(min(new), signal.SIGKILL)
    server.wait_for_line(f"replaced process_id={min(new)}")
    assert listed(server) == 200
    assert server.stop() == 0


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """What servers here take for their Python."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    path.chmod(0o700)
    return path


def test_a_server_whose_successor_is_not_to_be_had_goes_on(tmp_path: Path, serving: StartServer, python: Path) -> None:
    """As where it is being installed anew at that very moment."""
    away = tmp_path / "away"
    statements = (
        f"sys.executable = {str(python)!r}\n"
        f"if '--check' in sys.orig_argv and not os.path.exists({str(away)!r}): os.rename(sys.executable, {str(away)!r})\n"
    )
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=with_site(tmp_path, statements))
    assert listed(server) == 200
    workers = workers_of(server)
    server.process.send_signal(signal.SIGUSR2)
    server.wait_for_line("no process can be started now.*ENOENT")
    server.wait_for_line("goes on as it was")
    assert (listed(server), workers_of(server)) == (200, workers)
    os.link(away, python)
    os.kill(min(workers), signal.SIGKILL)
    server.wait_for_line("ended unexpectedly and is replaced")
    assert replaced(server, set())
    assert listed(server) == 200
    assert server.stop() == 0


def test_a_check_that_hangs_while_it_loads_keeps_no_server_from_stopping(tmp_path: Path, serving: StartServer) -> None:
    statements = (
        "import time\n"
        "if '--check' in sys.orig_argv:\n"
        "    print('hangs', file=sys.stderr, flush=True)\n"
        "    parent = os.getppid()\n"
        "    while os.getppid() == parent: time.sleep(0.1)\n"
    )
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=with_site(tmp_path, statements))
    assert listed(server) == 200
    server.process.send_signal(signal.SIGUSR2)
    server.wait_for_line("hangs")
    assert server.stop() == 0


def test_a_wish_that_comes_while_the_first_server_loads_is_heard(tmp_path: Path, serving: StartServer) -> None:
    statements = (
        "if '--in-place-of' in sys.orig_argv: "
        f"open({str(tmp_path / 'replaced')!r}, 'w').close()\n"
        "elif 'keyhouse.cli.server' in sys.orig_argv and '--check' not in sys.orig_argv: os.kill(os.getpid(), signal.SIGUSR2)\n"
    )
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=with_site(tmp_path, statements))
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "replaced").exists():
        assert time.monotonic() < deadline
    assert listed(server) == 200
    assert server.stop() == 0
