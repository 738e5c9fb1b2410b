"""A server that is told to stop while writes wait: each is answered once, what was acknowledged is there, and the server ends."""

import contextlib
import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg

from tests.cli.callers import is_refused
from tests.cli.commands import PATIENCE_S, Server
from tests.cli.conftest import StartServer

_LANES = {"openai": "OPENAI_API_KEY", "groq": "GROQ_API_KEY", "xai": "XAI_API_KEY", "deepseek": "DEEPSEEK_API_KEY"}
_WRITES = 3


@contextlib.contextmanager
def held(url: str) -> Iterator[None]:
    """No write comes to its end meanwhile."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
            yield


def put(connection: socket.socket, server: Server, provider: str, secret: str) -> None:
    body = json.dumps({"enabled": True, "customKeys": {_LANES[provider]: secret}}).encode()
    head = (
        f"PUT /api/model-providers/{provider} HTTP/1.1\r\nhost: x\r\nx-auth-token: {server.project_key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)


def answered(connection: socket.socket) -> int:
    with HTTPResponse(connection, method="PUT") as answer:
        answer.begin()
        answer.read()
        return answer.status


def versions(server: Server, provider: str) -> list[int]:
    path = f"{server.address}/api/model-providers/{provider}/history"
    answer = httpx.get(path, headers={"x-auth-token": server.project_key}, trust_env=False).raise_for_status()
    return [entry["version"] for entry in answer.json()["data"]]


def test_writes_that_wait_are_answered_once_and_kept(tmp_path: Path, serving: StartServer, empty_database_url: str) -> None:
    first = serving(tmp_path, KEYHOUSE_DATABASE_URL=empty_database_url)
    port = urlsplit(first.address).port or 0
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S)) for _ in _LANES]
        for number in range(_WRITES):
            for line, provider in zip(lines, _LANES, strict=True):
                put(line, first, provider, f"sk-{number}")
                assert answered(line) == 200
        with held(empty_database_url):
            for line, provider in zip(lines, _LANES, strict=True):
                put(line, first, provider, "sk-last")
            # Whoever waits is known to the server, which was asked before.
            assert httpx.get(f"{first.address}/healthz", trust_env=False).status_code == 200
            first.process.send_signal(signal.SIGTERM)
            assert is_refused(("127.0.0.1", port))
        assert [answered(line) for line in lines] == [200] * len(lines)
        assert [line.recv(1) for line in lines] == [b""] * len(lines)
    assert first.ended() == 0
    assert [line for line in first.lines if "error" in line] == []
    again = serving(tmp_path, KEYHOUSE_DATABASE_URL=empty_database_url)
    again.said += first.said
    assert [versions(again, provider) for provider in _LANES] == [list(range(_WRITES + 1, 0, -1))] * len(_LANES)


def test_writers_of_whom_some_leave_lose_nothing_that_was_acknowledged(
    tmp_path: Path, serving: StartServer, empty_database_url: str
) -> None:
    first = serving(tmp_path, KEYHOUSE_DATABASE_URL=empty_database_url)
    port = urlsplit(first.address).port or 0
    acknowledged = dict.fromkeys(_LANES, 0)
    with contextlib.ExitStack() as stack:
        lines = {provider: stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S)) for provider in _LANES}
        for number in range(40):
            for provider, line in lines.items():
                put(line, first, provider, f"sk-{number}")
            if number == 39:
                first.process.send_signal(signal.SIGTERM)
                for provider in ("openai", "groq"):
                    lines.pop(provider).close()
            for provider, line in lines.items():
                with contextlib.suppress(OSError):
                    acknowledged[provider] += answered(line) == 200
    assert first.ended() == 0
    assert [line for line in first.lines if "error" in line] == []
    again = serving(tmp_path, KEYHOUSE_DATABASE_URL=empty_database_url)
    again.said += first.said
    for provider, count in acknowledged.items():
        assert count >= 39
        found = httpx.get(
            f"{again.address}/api/model-providers/{provider}/history?limit=100",
            headers={"x-auth-token": again.project_key},
            trust_env=False,
        ).json()
        assert found["data"][0]["version"] in {count, 40}
