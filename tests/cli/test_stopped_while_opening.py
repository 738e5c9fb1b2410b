"""A server that is told to stop while the house opens does not wait for what that waits for, such as a start elsewhere that hangs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.schema import start_lock
from tests.cli.callers import begun_put, finished, is_refused
from tests.cli.commands import COMMAND, PATIENCE_S, Server, environment, heard, hooked, run
from tests.cli.conftest import DATA, StartServer

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SERVE = [*COMMAND, "serve", "--port", "0"]
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
def waiting_process(folder: Path, *command: str, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that waits for another process's start."""
    with subprocess.Popen(command, cwd=folder, env=environment(**variables), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"Waiting for another process" not in process.stderr.readline():
            assert process.poll() is None
        try:
            yield process
        finally:
            process.kill()


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
    with start_held(tmp_path), waiting_process(tmp_path, sys.executable, "-c", ALONE, KEYHOUSE_DATA_DIR=".") as process:
        os.kill(process.pid, number)
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(("number", "code"), [*((number, 0) for number in STOPS), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_first_start_that_is_broken_off_while_it_waits_makes_no_keys_that_nobody_sees(
    tmp_path: Path, serving: StartServer, number: signal.Signals, code: int
) -> None:
    (tmp_path / DATA).mkdir(mode=0o700)
    with start_held(tmp_path / DATA), heard(number), waiting_process(tmp_path, *SERVE) as process:
        (preparing,) = psutil.Process(process.pid).children()
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == code
        assert psutil.wait_procs([preparing], PATIENCE_S)[1] == []
    assert serving(tmp_path).project_key


@pytest.mark.parametrize("number", STOPS)
def test_a_first_start_whose_every_process_is_told_to_stop_while_it_waits_ends(tmp_path: Path, number: signal.Signals) -> None:
    """As a terminal tells them, and systemd."""
    (tmp_path / DATA).mkdir(mode=0o700)
    with start_held(tmp_path / DATA), heard(number), waiting_process(tmp_path, *SERVE) as process:
        (preparing,) = psutil.Process(process.pid).children()
        preparing.send_signal(number)
        assert psutil.wait_procs([preparing], PATIENCE_S)[1] == []
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("hook", ["os.register_at_fork(before=stop)", "pipe = os.pipe\nos.pipe = lambda: (stop(), pipe())[1]"])
def test_a_stop_before_the_data_is_prepared_ends_a_first_start(tmp_path: Path, hook: str) -> None:
    path = hooked(tmp_path, f"import os, signal\ndef stop(): os.kill(os.getpid(), signal.SIGTERM)\n{hook}\n")
    (tmp_path / DATA).mkdir(mode=0o700)
    with start_held(tmp_path / DATA):
        ended = run(tmp_path, "serve", "--port", "0", PYTHONPATH=path)
    assert (ended.code, ended.out) == (0, "")


def test_keys_that_are_made_while_a_first_start_is_told_to_stop_are_shown(tmp_path: Path, serving: StartServer) -> None:
    path = hooked(
        tmp_path,
        "import os, signal\n"
        "from keyhouse.services import first_start\n"
        "furnished = first_start._furnished\n"
        "def told(*arguments):\n"
        "    for process in (os.getpid(), os.getppid()): os.kill(process, signal.SIGTERM)\n"
        "    return furnished(*arguments)\n"
        "first_start._furnished = told\n",
    )
    server = serving(tmp_path, PYTHONPATH=path)
    assert server.project_key
    assert server.ended() == 0


def test_a_server_of_one_process_whose_house_does_not_open_fails(tmp_path: Path) -> None:
    ended = subprocess.run(
        (sys.executable, "-c", ALONE),
        cwd=tmp_path,
        env=environment(KEYHOUSE_DATABASE_URL="postgresql://keyhouse@127.0.0.1:1/x"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 1
    assert "PostgreSQL at 127.0.0.1:1 does not answer" in ended.stderr


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_a_first_start_whose_preparation_ends_is_one_sentence(tmp_path: Path, end: str) -> None:
    path = hooked(tmp_path, f"import os\nos.register_at_fork(after_in_child=lambda: {end})\n")
    ended = run(tmp_path, "serve", "--port", "0", PYTHONPATH=path)
    assert (ended.code, ended.out) == (1, "")
    assert ended.sentence.startswith("Preparing the data ended unexpectedly.")


def test_a_first_start_that_can_start_no_process_is_one_sentence(tmp_path: Path) -> None:
    path = hooked(tmp_path, "import errno, os\ndef fork():\n    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))\nos.fork = fork\n")
    ended = run(tmp_path, "serve", "--port", "0", PYTHONPATH=path)
    assert (ended.code, ended.out) == (1, "")
    assert ended.sentence.startswith("No further process can be started now (Resource temporarily unavailable)")


def test_a_server_that_has_opened_is_given_as_long_as_its_requests_take(tmp_path: Path, serving: StartServer) -> None:
    """The patience with a house that opens is no bound for what comes later."""
    path = hooked(tmp_path, "from keyhouse.cli import workers\nworkers._OPENS_WITHIN_S = 0.0\n")
    server = serving(tmp_path, PYTHONPATH=path)
    with begun_put(server) as open_request:
        server.process.send_signal(signal.SIGTERM)
        assert is_refused(("127.0.0.1", urlsplit(server.address).port or 0))
        assert finished(open_request) == 200
    assert server.ended() == 0
