"""A server that is replaced in place: nobody is turned away, what was begun is finished, and one that could not start again goes on."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.schema import start_lock
from tests.cli.callers import begun_put, finished, holds, listed, replaced, workers_of
from tests.cli.commands import PATIENCE_S, Server, hooked
from tests.cli.conftest import DATA, StartServer


@contextlib.contextmanager
def asking(server: Server) -> Iterator[list[int]]:
    """Callers who each connect anew for every request; the statuses that they get. One that is turned away fails."""
    done, statuses = threading.Event(), list[int]()

    def ask() -> None:
        while not done.is_set():
            statuses.append(listed(server))

    with ThreadPoolExecutor(2) as pool:
        callers = [pool.submit(ask) for _ in range(2)]
        try:
            yield statuses
        finally:
            done.set()
        for caller in callers:
            caller.result()


def test_nobody_is_turned_away_and_what_was_begun_is_finished(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    with asking(server) as statuses, begun_put(server) as connection:
        while not statuses:
            pass
        holder = {number for number in workers_of(server) if holds(number, connection.getsockname()[1])}
        new = replaced(server, holder)
        assert len(new) == 2
        newer = replaced(server, holder)
        assert len(newer - holder) == 2
        assert finished(connection) == 200
        assert psutil.wait_procs([psutil.Process(number) for number in holder], PATIENCE_S)[1] == []
    assert set(statuses) == {200}
    assert workers_of(server) == newer
    assert server.stop() == 0
    assert [line for line in server.lines if " error " in line or " warning " in line] == []


def test_a_server_that_takes_over_imports_nothing_from_its_folder(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    assert listed(server) == 200
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('taken from the folder')")
    assert len(replaced(server, set())) == 2
    assert listed(server) == 200
    assert server.stop() == 0


def test_two_signals_to_stop_end_former_workers_too(tmp_path: Path, serving: StartServer) -> None:
    # The request is not over because its body does not come.
    path = hooked(tmp_path, "from keyhouse.web import http_protocol\nhttp_protocol.BODY_IDLE_TIMEOUT_S = 3600.0\n")
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    with begun_put(server) as connection:
        holder = {number for number in workers_of(server) if holds(number, connection.getsockname()[1])}
        replaced(server, holder)
        server.process.send_signal(signal.SIGTERM)
        psutil.wait_procs([psutil.Process(number) for number in workers_of(server) - holder], PATIENCE_S)
        assert server.process.poll() is None
        assert server.stop() == 0
        assert not any(psutil.pid_exists(number) for number in holder)


@pytest.mark.parametrize(("argument", "supervisor"), [("--check", "os.getppid()"), ("--in-place-of", "os.getpid()")])
def test_a_stop_while_a_server_is_replaced_finishes_what_was_begun(
    tmp_path: Path, serving: StartServer, argument: str, supervisor: str
) -> None:
    path = hooked(tmp_path, f"import os, signal, sys\nif {argument!r} in sys.orig_argv: os.kill({supervisor}, signal.SIGTERM)\n")
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    with begun_put(server) as connection:
        idle = [psutil.Process(number) for number in workers_of(server) if not holds(number, connection.getsockname()[1])]
        server.process.send_signal(signal.SIGUSR2)
        assert psutil.wait_procs(idle, PATIENCE_S)[1] == []
        assert server.process.poll() is None
        assert finished(connection) == 200
        assert server.process.wait(PATIENCE_S) == 0
    assert [line for line in server.lines if " error " in line] == []


def test_a_server_whose_check_waits_for_another_process_serves_on_and_stops_when_told(tmp_path: Path, serving: StartServer) -> None:
    """As where a release is prepared on another host, which takes long or hangs."""
    server = serving(tmp_path, "--workers", "2")
    assert listed(server) == 200
    first, _ = workers_of(server)
    with start_lock(parse_database_url(f"sqlite:///{tmp_path / DATA}/keyhouse.db")):
        server.process.send_signal(signal.SIGUSR2)
        server.wait_for_line("Waiting for another process that")
        children = psutil.Process(server.process.pid).children(recursive=True)
        psutil.Process(first).kill()
        server.wait_for_line("ended unexpectedly and is replaced")
        assert server.stop() == 0
        assert psutil.wait_procs(children, PATIENCE_S)[1] == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_could_not_start_again_goes_on(tmp_path: Path, serving: StartServer, workers: str) -> None:
    server = serving(tmp_path, "--workers", workers)
    assert listed(server) == 200
    (tmp_path / DATA / "keyring").rename(tmp_path / "keyring")
    server.process.send_signal(signal.SIGUSR2)
    server.wait_for_line("goes on as it was" if workers == "2" else "cannot be replaced in place")
    assert listed(server) == 200
    assert server.stop() == 0


def test_former_workers_go_on_while_no_new_one_can_start(tmp_path: Path, serving: StartServer) -> None:
    """As where the database goes away between the check and the start."""
    ring, away = tmp_path / DATA / "keyring", tmp_path / "keyring"
    path = hooked(tmp_path, f"import os, sys\nif '--in-place-of' in sys.orig_argv: os.rename({str(ring)!r}, {str(away)!r})\n")
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    assert listed(server) == 200
    former = [psutil.Process(number) for number in workers_of(server)]
    server.process.send_signal(signal.SIGUSR2)
    server.wait_for_line("ended unexpectedly and is replaced")
    assert all(worker.is_running() for worker in former)
    assert listed(server) == 200
    away.rename(ring)
    assert psutil.wait_procs(former, PATIENCE_S)[1] == []
    assert listed(server) == 200
    assert server.stop() == 0


def test_a_stop_while_no_new_worker_can_start_ends_the_former_ones_too(tmp_path: Path, serving: StartServer) -> None:
    """As where another host takes the start between the check and the workers of the new server."""
    lock = tmp_path / DATA / "keyhouse.db.lock"
    path = hooked(
        tmp_path,
        "import fcntl, sys\n"
        f"if '--in-place-of' in sys.orig_argv:\n    sys.held = open({str(lock)!r}, 'a')\n    fcntl.flock(sys.held, fcntl.LOCK_EX)\n",
    )
    server = serving(tmp_path, "--workers", "2", PYTHONPATH=path)
    assert listed(server) == 200
    server.process.send_signal(signal.SIGUSR2)
    server.wait_for_line("Waiting for another process that")
    assert server.stop() == 0
