"""How serving begins and ends: what stops it before anything is made, how it reads its settings, and that a signal ends it cleanly."""

import contextlib
import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.cli.callers import begun_put, finished, is_refused
from tests.cli.commands import BOUND_BY_MODES, COMMAND, PATIENCE_S, Server, environment, heard, hooked, run
from tests.cli.conftest import Furnished, StartServer
from tests.conftest import NEEDS_IPV6, UNKNOWN_HOST

FOLDER = "keyhouse-data"


@pytest.fixture
def started_once(furnished: Furnished) -> Path:
    """A data folder after its first start."""
    return furnished.folder / FOLDER


def _list(server: Server) -> httpx.Response:
    return httpx.get(f"{server.address}/api/model-providers", headers={"X-Auth-Token": server.project_key}, trust_env=False, timeout=30)


def test_taken_port_costs_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = run(tmp_path, "serve", "--port", str(taken.getsockname()[1]))
    assert (refused.code, refused.out) == (1, "")
    assert "in use" in refused.sentence
    assert "--port" in refused.sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (["--host", UNKNOWN_HOST], {}, "--host"),
        (["--host", "keyhouse..example"], {}, "Cannot listen on keyhouse..example:0 (it is no name of a host). Choose another"),
        (["--workers", "0"], {}, "KEYHOUSE_WORKERS"),
        (["--port", "70000"], {}, "KEYHOUSE_PORT"),
        (["--database-url", "mysql://root@somewhere/x"], {}, "postgresql://"),
        (["--database-url", "postgresql://keyhouse@127.0.0.1:1/x"], {}, "does not answer"),
        ([], {"KEYHOUSE_LOG_FORMAT": "xml"}, "KEYHOUSE_LOG_FORMAT"),
        ([], {"KEYHOUSE_ADMIN_KEY_FILE": "/no-key"}, "KEYHOUSE_ADMIN_KEY_FILE names cannot be read: /no-key (No such file or directory)"),
        ([], {"KEYHOUSE_KEYS": "not-a-key-but-planted"}, "KEYHOUSE_KEYS"),
        ([], {"KEYHOUSE_MODELS_FILE": "/nonexistent/models.json"}, "/nonexistent/models.json"),
        ([], {"KEYHOUSE_CA_FILE": "/nonexistent/ca.pem"}, "KEYHOUSE_CA_FILE cannot be read: /nonexistent/ca.pem"),
        ([], {"KEYHOUSE_ALLOWED_ADDRESSES": "10.0.0.0/99"}, "KEYHOUSE_ALLOWED_ADDRESSES: '10.0.0.0/99' is neither"),
        ([], {"KEYHOUSE_ALLOWED_ORIGINS": "https://a.example/chat"}, "wrong: KEYHOUSE_ALLOWED_ORIGINS: each must be an origin such as"),
        ([], {"KEYHOUSE_TRUSTED_PROXIES": "10.0.0.1,proxy"}, "wrong: KEYHOUSE_TRUSTED_PROXIES: each must be an address or a network"),
        ([], {"KEYHOUSE_HTTPS_PROXY": "socks5://me:planted@proxy"}, "HTTPS_PROXY must be"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else next(iter(value), "") if isinstance(value, dict) else "",
)
def test_bad_settings_are_one_sentence(tmp_path: Path, arguments: list[str], variables: dict[str, str], told: str) -> None:
    refused = run(tmp_path, "serve", *([] if "--port" in arguments else ["--port", "0"]), *arguments, **variables)
    assert refused.code != 0
    assert refused.out == ""
    assert told in refused.sentence
    assert "planted" not in refused.err


def test_a_choice_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    assert run(tmp_path, "serve", "--log-format", "xml").code == 2


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run(tmp_path, "serve", "--port", "0", "--data-dir", "file/data")
    assert refused.code == 1
    assert "--data-dir" in refused.sentence


def test_folder_that_is_read_only_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(mode=0o500)
    refused = run(tmp_path, "serve", "--port", "0", through=BOUND_BY_MODES)
    assert refused.code == 1
    assert "--data-dir" in refused.sentence
    # In a container nobody sees who the server is.
    assert f"(Permission denied for user {os.geteuid()})" in refused.sentence
    assert list((tmp_path / FOLDER).iterdir()) == []


def _wrong_key(folder: Path) -> None:
    text = (folder / "keyring").read_text()
    (folder / "keyring").write_text(re.sub(r"= .*", "= " + "A" * 43 + "=", text))


def _missing_key(folder: Path) -> None:
    (folder / "keyring").unlink()


def _other_key(folder: Path) -> None:
    (folder / "keyring").write_text("other-key = " + "A" * 43 + "=\n")


def _damaged_key(folder: Path) -> None:
    (folder / "keyring").write_text("nonsense\n")


def _newer_schema(folder: Path) -> None:
    with sqlite3.connect(folder / "keyhouse.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def _no_database(folder: Path) -> None:
    (folder / "keyhouse.db").write_text("this is no database, and long enough to have been one\n" * 20)
    for beside in ("keyhouse.db-wal", "keyhouse.db-shm"):
        (folder / beside).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_wrong_key, "for other commands KEYHOUSE_ACCEPT_UNREADABLE=true"),
        (_missing_key, "backup"),
        (_other_key, "for other commands KEYHOUSE_ACCEPT_UNREADABLE=true"),
        (_damaged_key, "base64"),
        (_newer_schema, "Upgrade Keyhouse"),
        (_no_database, "keyhouse.db"),
    ],
)
def test_data_that_does_not_fit_is_one_sentence(started_once: Path, spoil: Callable[[Path], None], told: str) -> None:
    spoil(started_once)
    refused = run(started_once.parent, "serve", "--port", "0")
    assert (refused.code, refused.out) == (1, "")
    assert told in refused.sentence


def test_wrong_key_is_accepted_on_demand(started_once: Path, serving: StartServer) -> None:
    (started_once / "keyring").write_text("other-key = " + "A" * 43 + "=\n")
    server = serving(started_once.parent, "--accept-unreadable")
    assert httpx.get(f"{server.address}/openapi.json", trust_env=False).status_code == 200


def ended_in_time(process: "subprocess.Popen[str]") -> int:
    """What it ends with. One that does not end is killed: who leaves its block waits for it."""
    try:
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def test_every_option_is_also_a_variable(tmp_path: Path, serving: StartServer) -> None:
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/elsewhere/house.db\n")
    (tmp_path / "elsewhere").mkdir()
    process = subprocess.Popen(
        [*COMMAND, "serve"],
        cwd=tmp_path,
        env=environment(
            KEYHOUSE_HOST="127.0.0.2",
            KEYHOUSE_PORT="0",
            KEYHOUSE_DATA_DIR="data",
            KEYHOUSE_DATABASE_URL_FILE=str(tmp_path / "url"),
            KEYHOUSE_WORKERS="2",
            KEYHOUSE_LOG_FORMAT="json",
            KEYHOUSE_LOG_LEVEL="debug",
            KEYHOUSE_ACCEPT_UNREADABLE="true",
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        assert address.startswith("http://127.0.0.2:")
        assert httpx.get(f"{address}/openapi.json", trust_env=False, timeout=30).status_code == 200
        process.terminate()
        ended_in_time(process)
    assert (tmp_path / "elsewhere" / "house.db").exists()
    assert (tmp_path / "data" / "keyring").exists()


def test_an_option_comes_before_its_variable(tmp_path: Path, serving: StartServer) -> None:
    serving(tmp_path, "--data-dir", "chosen", KEYHOUSE_DATA_DIR="not-chosen")
    assert {path.name for path in tmp_path.iterdir()} == {"chosen"}


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "as Windows writes it"])
def test_an_admin_key_from_a_file_switches_organizations_on(tmp_path: Path, serving: StartServer, mark: str) -> None:
    (tmp_path / "admin-key").write_text(f"{mark}an-instance-key-from-a-file\n")
    server = serving(tmp_path, KEYHOUSE_ADMIN_KEY_FILE=str(tmp_path / "admin-key"))
    headers = {"Authorization": "Bearer an-instance-key-from-a-file"}
    answer = httpx.get(f"{server.address}/api/organizations", headers=headers, trust_env=False)
    assert len(answer.json()["organizations"]) == 1


def test_variables_of_a_kubernetes_service_are_not_ours(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, KEYHOUSE_PORT="tcp://10.0.0.1:5560", KEYHOUSE_SERVICE_HOST="10.0.0.1", KEYHOUSE_PORT_5560_TCP="x")
    assert _list(server).status_code == 200
    server.wait_for_line("route=/api/model-providers ")
    assert [line for line in server.lines if "warning" in line] == []


def test_a_misspelt_variable_is_told_of(tmp_path: Path, serving: StartServer) -> None:
    serving(tmp_path, KEYHOUSE_DATADIR="x").wait_for_line("KEYHOUSE_DATADIR")


@pytest.mark.parametrize("length", [19, 20])
def test_an_instance_key_that_could_be_guessed_is_warned_of(tmp_path: Path, serving: StartServer, length: int) -> None:
    server = serving(tmp_path, KEYHOUSE_ADMIN_KEY="k" * length)
    assert _list(server).status_code == 200
    server.wait_for_line("route=/api/model-providers ")
    assert any("KEYHOUSE_ADMIN_KEY is shorter than 20 characters" in line for line in server.lines) == (length < 20)


def test_listening_beyond_this_machine_is_warned_of(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--host", "0.0.0.0")
    server.wait_for_line("without TLS")
    assert server.address.startswith("http://127.0.0.1:")
    assert _list(server).status_code == 200


@NEEDS_IPV6
def test_a_caller_over_ipv4_is_known_on_a_socket_for_both(tmp_path: Path, serving: StartServer) -> None:
    """Who may read /metrics, and whom a proxy speaks for, hangs on the address."""
    server = serving(tmp_path, "--host", "[::]")
    port = urlsplit(server.address).port
    answers = [httpx.get(f"http://{host}:{port}/metrics", trust_env=False) for host in ("[::1]", "127.0.0.1")]
    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_lets_open_requests_finish(tmp_path: Path, serving: StartServer, number: signal.Signals, workers: str) -> None:
    with heard(number):
        server = serving(tmp_path, "--workers", workers)
    with begun_put(server) as connection:
        server.process.send_signal(number)
        assert finished(connection) == 200
    assert server.ended() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_stops_refuses_connections_at_once(tmp_path: Path, serving: StartServer, workers: str) -> None:
    """A load balancer turns to another server then, instead of waiting for this one."""
    server = serving(tmp_path, "--workers", workers)
    where = ("127.0.0.1", urlsplit(server.address).port or 0)
    with begun_put(server) as open_request:
        server.process.send_signal(signal.SIGTERM)
        assert is_refused(where)
        assert finished(open_request) == 200
    assert server.ended() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_does_not_wait(tmp_path: Path, serving: StartServer, workers: str) -> None:
    server = serving(tmp_path, "--workers", workers)
    assert _list(server).status_code == 200
    with socket.create_connection(("127.0.0.1", urlsplit(server.address).port or 0), PATIENCE_S) as connection:
        head = f"PUT /api/model-providers/openai HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {server.project_key}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        # Two signals that come at once are one, so another one is sent until it has ended. An open request is given longer.
        deadline = time.monotonic() + PATIENCE_S / 2
        while server.process.poll() is None:
            assert time.monotonic() < deadline
            server.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(0.2)
    assert server.process.returncode == 0
    assert [line for line in server.lines if re.search(r"\b(error|warning)\b", line)] == []
    # The house was closed as always: what was noted in memory is stored.
    with contextlib.closing(sqlite3.connect(tmp_path / "keyhouse-data" / "keyhouse.db")) as database:
        assert database.execute("SELECT count(*) FROM last_uses").fetchone()[0] > 0


def test_a_worker_that_dies_is_replaced(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    assert _list(server).status_code == 200
    workers = psutil.Process(server.process.pid).children()
    assert len(workers) == 2
    workers[0].kill()
    server.wait_for_line("ended unexpectedly and is replaced")
    assert _list(server).status_code == 200
    assert server.stop() == 0
    assert psutil.wait_procs(workers, PATIENCE_S)[1] == []


def test_no_process_leaves_its_memory_in_a_file_when_it_crashes(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2", through=("prlimit", "--core=unlimited"))
    assert _list(server).status_code == 200
    processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children()]
    assert [process.rlimit(resource.RLIMIT_CORE) for process in processes] == [(0, 0)] * 3


def test_a_stop_that_comes_while_workers_load_ends_them(tmp_path: Path) -> None:
    path = hooked(
        tmp_path,
        "import itertools, os, signal\n"
        "forks = itertools.count(1)\n"
        "def forked():\n"
        "    # The first one prepares the data.\n"
        "    if next(forks) == 3: os.kill(os.getpid(), signal.SIGTERM)\n"
        "os.register_at_fork(after_in_parent=forked)\n",
    )
    ended = run(tmp_path, "serve", "--port", "0", "--workers", "2", PYTHONPATH=path)
    assert (ended.code, ended.err) == (0, "")


def test_workers_end_with_their_supervisor(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    assert _list(server).status_code == 200
    workers = psutil.Process(server.process.pid).children()
    server.process.kill()
    assert psutil.wait_procs(workers, PATIENCE_S)[1] == []


def test_workers_that_start_while_their_supervisor_goes_end_as_well(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--workers", "2")
    supervisor = psutil.Process(server.process.pid)
    while len(workers := supervisor.children()) < 2:
        pass
    supervisor.kill()
    try:
        assert psutil.wait_procs(workers, PATIENCE_S)[1] == []
    finally:
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()


@pytest.mark.parametrize("early_s", [30.0, 0.0])
def test_workers_that_cannot_start_end_the_command(tmp_path: Path, early_s: float) -> None:
    """However long they have tried."""
    script = (
        "from keyhouse.cli import workers\n"
        f"workers._EARLY_S = {early_s}\n"
        "from keyhouse.cli.listening import listen\n"
        "from keyhouse.cli.workers import supervise\n"
        "from keyhouse.log import configure_logging\n"
        "from keyhouse.settings import read_settings\n"
        "configure_logging('text', 'info')\n"
        "raise SystemExit(supervise(read_settings(), listen('127.0.0.1', 0), None))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(KEYHOUSE_WORKERS="2", KEYHOUSE_DATABASE_URL="postgresql://keyhouse@127.0.0.1:1/x"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 1
    assert "No worker could start" in ended.stderr
    assert "does not answer" in ended.stderr


def test_ctrl_c_while_workers_serve_ends_all_with_success(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--workers", "2"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    with process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        assert httpx.get(f"{address}/openapi.json", trust_env=False, timeout=30).status_code == 200
        workers = psutil.Process(process.pid).children()
        os.killpg(process.pid, signal.SIGINT)
        assert ended_in_time(process) == 0
    assert psutil.wait_procs(workers, PATIENCE_S)[1] == []
