"""Keys are shown once, by a process that is interrupted, or has nowhere to show them; and servers without standard streams."""

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from keyhouse.cli.welcome import farewell_to_keys
from tests.cli.commands import COMMAND, PATIENCE_S, environment, hooked, run
from tests.cli.conftest import Furnished, StartServer

ALL_CLOSED = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")


def test_keys_are_shown_although_the_process_that_made_them_is_interrupted_at_its_end(tmp_path: Path, serving: StartServer) -> None:
    path = hooked(
        tmp_path,
        "import atexit, gc, os, signal\n"
        "def interrupt(phase, info):\n"
        "    # The last time after Python has let go of our handlers.\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "os.register_at_fork(after_in_child=lambda: atexit.register(gc.callbacks.append, interrupt))\n",
    )
    server = serving(tmp_path, PYTHONPATH=path)
    assert server.project_key
    assert server.stop() == 0


@pytest.mark.parametrize("output", [">&-", "> /dev/full", "> >(true)"])
def test_keys_that_nobody_can_be_shown_are_told_of(tmp_path: Path, output: str) -> None:
    unread = run(tmp_path, "serve", "--port", "0", through=("bash", "-c", f'exec "$@" {output}', "bash"))
    assert (unread.code, unread.sentence) == (1, farewell_to_keys())


def test_a_server_without_any_standard_stream_serves(furnished: Furnished) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
    arguments = (*ALL_CLOSED, *COMMAND, "serve", "--port", port, "--workers", "2")
    with subprocess.Popen(arguments, cwd=furnished.folder, env=environment()) as process:
        while process.poll() is None:
            with contextlib.suppress(httpx.ConnectError):
                assert httpx.get(f"http://127.0.0.1:{port}/api/model-providers", trust_env=False, timeout=PATIENCE_S).status_code == 401
                break
        supervisor = psutil.Process(process.pid)
        for server in (supervisor, *supervisor.children()):
            assert {os.readlink(f"/proc/{server.pid}/fd/{number}") for number in range(3)} == {os.devnull}
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


NAMES = [("schlüssel & 'mehr' #1?%41", "C.UTF-8", "1"), ("schlüssel", "C", "0"), (os.fsdecode(b"schl\xfcssel"), "C.UTF-8", "1")]


@pytest.mark.parametrize(("folder", "locale", "utf8"), NAMES, ids=["odd", "of another locale", "no text"])
def test_a_data_folder_may_have_any_name(tmp_path: Path, serving: StartServer, folder: str, locale: str, utf8: str) -> None:
    house = tmp_path / folder / "house"
    named = {"LC_ALL": locale, "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0", "KEYHOUSE_DATA_DIR": str(house)}
    server = serving(tmp_path, **named)
    assert httpx.get(f"{server.address}/readyz", trust_env=False, timeout=PATIENCE_S).status_code == 200
    assert run(tmp_path, "provider", "list", **named).code == 0
    assert server.stop() == 0
    assert {"keyring", "keyhouse.db"} <= {path.name for path in house.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == [folder]
    again = serving(tmp_path, **named)
    assert httpx.get(f"{again.address}/readyz", trust_env=False, timeout=PATIENCE_S).status_code == 200
