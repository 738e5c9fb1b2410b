"""The log: one format, no secret, no value of a request; cheap lines for requests."""

import asyncio
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

import httpx
import psutil
import pytest

from keyhouse.log import AccessLines, LineWriter, redacted
from tests.cli.commands import PATIENCE_S, environment
from tests.cli.conftest import StartServer

TOKEN = "sk-lw-" + "a" * 48
SCOPED = "sk-lw-" + "a" * 16 + "_" + "b" * 48


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("api_key", "planted", "***"),
        ("OPENAI_API_KEY", "planted", "***"),
        ("Authorization", "planted", "***"),
        ("client_secret", ["planted"], "***"),
        ("token", {"inner": "planted"}, "***"),
        ("key_id", "key-20261123-1a2b3c4d", "key-20261123-1a2b3c4d"),
        ("text", f"a {TOKEN} inside", "a sk-lw-*** inside"),
        ("text", f"both {SCOPED}, {TOKEN}", "both sk-lw-***, sk-lw-***"),
        ("text", "once=" + "aB3" * 16, "once=***"),
        ("url", "postgresql://user:planted@host/name", "postgresql://***@host/name"),
        ("nested", {"password": "planted", "port": 1}, {"password": "***", "port": 1}),
        ("listed", [TOKEN, 1, None, True], ["sk-lw-***", 1, None, True]),
        ("thing", object(), "object"),
        ("raised", ValueError("planted"), "ValueError"),
        ("api_key", None, None),
    ],
)
def test_secrets_are_masked_by_name_and_by_look(name: str, value: object, shown: object) -> None:
    assert redacted(value, name) == shown


SCRIPT = """
import asyncio, logging, sys, threading, warnings
import structlog
from keyhouse.log import configure_logging
configure_logging({format!r}, {level!r})
log = structlog.get_logger("keyhouse")
log.debug("a debug line")
log.info("an info line", port=5560, api_key="planted-1", text="two words")
log.warning("a warning with sk-lw-planted2AAAAAAAAAAAAAAA inside")
try:
    raise ValueError("planted-3")
except ValueError:
    log.exception("it failed")
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application\\n")
logging.getLogger("sqlalchemy.engine").info("INSERT planted-4")
logging.getLogger("some.library").error("first line\\nplanted-5")
try:
    try:
        raise ConnectionRefusedError(111, "planted-9")
    except OSError as refused:
        raise ValueError("planted-10") from refused
except ValueError as failure:
    logging.getLogger("some.library").warning("Transient error %s in %d of %s", failure, 2, "spans")
    logging.getLogger("some.library").warning(failure)
    logging.getLogger("some.library").warning("by name: %(why)s", {{"why": failure}})
async def task():
    raise RuntimeError("planted-6")
async def main():
    asyncio.create_task(task())
    await asyncio.sleep(0)
asyncio.run(main())
class Odd:
    def __del__(self):
        raise LookupError("planted-11")
del [Odd()][0]
thread = threading.Thread(target=lambda: int("planted-7"))
thread.start(); thread.join()
raise KeyError("planted-8")
"""


def _logged(line_format: str, level: str) -> list[str]:
    script = SCRIPT.format(format=line_format, level=level)
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == 1
    assert "planted" not in ended.stderr
    return ended.stderr.splitlines()


def test_json_lines_are_json_and_without_secrets() -> None:
    lines = [json.loads(line) for line in _logged("json", "info")]
    assert all({"timestamp", "level", "event"} <= line.keys() for line in lines)
    by_event = {line["event"]: line for line in lines}
    assert by_event["an info line"] | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "an info line",
        "port": 5560,
        "api_key": "***",
        "text": "two words",
    }
    assert by_event["it failed"]["cause"] == "builtins.ValueError"
    assert by_event["Exception in ASGI application"]["logger"] == "uvicorn.error"
    assert by_event["Exception in ASGI application"]["places"] != []
    assert by_event["first line"]["logger"] == "some.library"
    for told in ("Transient error {} in 2 of spans", "{}", "by name: {}"):
        assert told.format("ValueError (ConnectionRefusedError)") in by_event
    assert by_event["Task exception was never retrieved"]["cause"] == "builtins.RuntimeError"
    assert [line["cause"] for line in lines if line["event"] == "unforeseen failure"] == [
        "builtins.LookupError",
        "builtins.ValueError",
        "builtins.KeyError",
    ]
    assert "a debug line" not in by_event


def test_text_lines_say_the_same() -> None:
    lines = _logged("text", "info")
    assert any(line.endswith(' info an info line port=5560 api_key=*** text="two words"') for line in lines)
    assert all(line[4] == "-" and line[10] == "T" for line in lines)


def test_the_level_leaves_lines_out() -> None:
    assert not any("an info line" in line for line in _logged("text", "warning"))
    assert any("a debug line" in line for line in _logged("text", "debug"))
    assert not any("INSERT" in line for line in _logged("text", "debug"))


def test_a_line_that_an_ended_loop_left_holds_up_no_later_one(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LineWriter()

    async def say(line: str) -> None:
        writer.write_soon(line)

    async def say_and_hear(line: str) -> str:
        writer.write_soon(line)
        heard = ""
        async with asyncio.timeout(30):
            while line not in heard:
                await asyncio.sleep(0)
                heard += capfd.readouterr().err
        return heard

    asyncio.run(say("first"))
    assert not capfd.readouterr().err
    writer.write_soon("second")
    assert capfd.readouterr().err == "first\nsecond\n"
    asyncio.run(say("third"))
    assert asyncio.run(say_and_hear("fourth")) == "third\nfourth\n"


def test_a_request_is_one_line_of_fixed_fields(capfd: pytest.CaptureFixture[str]) -> None:
    AccessLines("json", LineWriter()).request("PUT", "/api/model-providers/{provider}", 200, 1.23456, "req_1")
    line = json.loads(capfd.readouterr().err)
    assert {**line, "timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "request",
        "method": "PUT",
        "route": "/api/model-providers/{provider}",
        "status": 200,
        "duration_ms": 1.235,
        "request_id": "req_1",
    }
    AccessLines("text").request("PUT", "/api/projects", 404, 0.5, "req_2")
    written = capfd.readouterr().err
    assert written.endswith(" info request method=PUT route=/api/projects status=404 duration_ms=0.500 request_id=req_2\n")


def test_lines_written_soon_keep_their_order_and_come_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    writer = LineWriter()

    async def write(lines: TextIO) -> None:
        writer.write_soon("first")
        writer.write_soon("second")
        assert select.select([reading], [], [], 0)[0] == []
        writer.write("third")
        assert [lines.readline() for _ in range(3)] == ["first\n", "second\n", "third\n"]
        writer.write_soon("fourth")
        assert await asyncio.to_thread(lines.readline) == "fourth\n"

    with open(reading) as lines, open(writing, "w") as standard_error:
        monkeypatch.setattr(sys, "stderr", standard_error)
        asyncio.run(write(lines))
        writer.write_soon("outside a loop")
        assert lines.readline() == "outside a loop\n"


def test_served_requests_are_noted_by_their_route_and_bear_its_id(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--log-format", "json")
    with httpx.Client(base_url=server.address, headers={"X-Auth-Token": server.project_key}, trust_env=False) as client:
        answer = client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "planted-value"}})
        client.get("/api/planted-path?planted-query=1")
    noted = json.loads(server.wait_for_line("PUT"))
    assert (noted["route"], noted["status"]) == ("/api/model-providers/{provider}", 200)
    assert noted["request_id"] == answer.headers["x-keyhouse-request-id"]
    assert json.loads(server.wait_for_line('"status":404'))["route"] == "-"
    server.stop()
    written = "\n".join(server.lines)
    assert "planted" not in written
    assert "sk-lw-" not in written


def test_the_level_leaves_requests_out(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--log-level", "warning")
    answer = httpx.get(f"{server.address}/api/model-providers", headers={"X-Auth-Token": server.project_key}, trust_env=False)
    assert answer.headers["x-keyhouse-request-id"].startswith("req_")
    assert server.stop() == 0
    assert server.lines == []


CROWD = """
import os, sys
from keyhouse.log import LineWriter
child = os.fork()
line = ("a" if child else "b") * 300
for _ in range(60):
    LineWriter().write_together([line] * 256)
if child:
    os.waitpid(child, 0)
"""


def test_lines_of_several_workers_stay_whole_though_their_reader_is_slow() -> None:
    """What a pipe has no room for at once is taken up in pieces, and those of other processes come between, unless each piece is small."""
    process = subprocess.Popen([sys.executable, "-c", CROWD], env=environment(), stderr=subprocess.PIPE)
    assert process.stderr is not None
    taken = bytearray()
    # An odd number, so that room is made in the middle of lines.
    while piece := os.read(process.stderr.fileno(), 777):
        taken += piece
    process.stderr.close()
    assert process.wait() == 0
    lines = taken.decode().splitlines()
    assert len(lines) == 2 * 60 * 256
    assert set(lines) == {"a" * 300, "b" * 300}


def test_lines_of_several_workers_stay_whole_in_a_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log:
        subprocess.run([sys.executable, "-c", CROWD], env=environment(), stderr=log, check=True, timeout=PATIENCE_S)
    lines = (tmp_path / "log").read_text(encoding="ascii").splitlines()
    assert len(lines) == 2 * 60 * 256
    assert set(lines) == {"a" * 300, "b" * 300}


UNREAD = """
import asyncio, sys
from keyhouse import log
log.configure_logging("text", "error")
log.WRITER._most_waiting = 100
async def main():
    for number in range(2000):
        log.WRITER.write_soon(f"{number:>100}")
    print("not held up", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
asyncio.run(main())
"""


def test_a_log_that_nobody_reads_holds_up_nobody_and_what_it_lost_is_told() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", UNREAD], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdin, process.stdout, process.stderr:
        assert process.stdout.readline() == "not held up\n"
        numbers = []
        while "were dropped" not in (line := process.stderr.readline()):
            numbers.append(int(line))
        assert numbers == sorted(numbers)
        assert numbers[-100:] == list(range(1900, 2000)), "of those that waited the newest are kept"
        assert line.rstrip().endswith(f"count={2000 - len(numbers)}")
        process.stdin.write("\n")
    assert process.returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_whose_log_nobody_reads_goes_on(tmp_path: Path, serving: StartServer, workers: str) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    reading = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, select.PIPE_BUF)
    server = serving(tmp_path, "--workers", workers, through=("sh", "-c", f'exec "$@" 2>{log}', "sh"))
    with httpx.Client(base_url=server.address, headers={"X-Auth-Token": server.project_key}, trust_env=False) as client:
        for _ in range(200):
            assert client.get("/api/model-providers").status_code == 200
    os.set_blocking(reading, True)
    with open(reading) as lines:
        for _ in range(200):
            while "method=GET" not in lines.readline():
                pass
        assert server.stop() == 0


def test_a_supervisor_whose_log_nobody_reads_replaces_workers_and_stops(tmp_path: Path, serving: StartServer) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    reading = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, select.PIPE_BUF)
    log.write_bytes(b"\n" * select.PIPE_BUF)
    server = serving(tmp_path, "--workers", "2", through=("sh", "-c", f'exec "$@" 2>{log}', "sh"))
    assert httpx.get(f"{server.address}/healthz", trust_env=False, timeout=PATIENCE_S).status_code == 200
    supervisor = psutil.Process(server.process.pid)
    victims = supervisor.children()
    for number, victim in enumerate(victims):
        victim.kill()
        deadline = time.monotonic() + PATIENCE_S
        while len({*supervisor.children()} - {*victims[: number + 1]}) < 2:
            assert time.monotonic() < deadline
    os.set_blocking(reading, True)
    taken = b""
    while taken.count(b"is replaced") < 2:
        assert select.select([reading], [], [], PATIENCE_S)[0] == [reading]
        taken += os.read(reading, select.PIPE_BUF)
    assert server.stop() == 0
    taken += os.read(reading, select.PIPE_BUF)
    os.close(reading)
    told = taken.decode().strip().splitlines()
    assert len(told) == 2
    for victim, line in zip(victims, told, strict=True):
        assert f"is replaced process_id={victim.pid} " in line
