"""More connections than one process can hold: those that only wait leave, and whoever asks for something is answered."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.cli.callers import listed
from tests.cli.commands import PATIENCE_S, Server
from tests.cli.conftest import StartServer

FILES = 200
MOST = (FILES - 64) // 2


def few_files(serving: StartServer, folder: Path, soft: int = FILES) -> Server:
    """A server whose system lets it open few files."""
    return serving(folder, through=("prlimit", f"--nofile={soft}:{FILES}"))


@contextlib.contextmanager
def connections(server: Server, number: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many, each of which has sent something."""
    address = urlsplit(server.address)
    with contextlib.ExitStack() as opened:
        made = [opened.enter_context(socket.create_connection((address.hostname, address.port), PATIENCE_S)) for _ in range(number)]
        for connection in made:
            connection.sendall(first)
        yield made


def test_a_server_may_open_as_many_files_as_the_system_lets_it(tmp_path: Path, serving: StartServer) -> None:
    server = few_files(serving, tmp_path, FILES // 2)
    assert psutil.Process(server.process.pid).rlimit(resource.RLIMIT_NOFILE) == (FILES, FILES)


def test_connections_that_send_nothing_keep_nobody_out(tmp_path: Path, serving: StartServer) -> None:
    server = few_files(serving, tmp_path)
    with connections(server, 2 * FILES):
        assert listed(server) == 200
        server.wait_for_line(f"There are {MOST} connections, as many as this process may hold")
    assert len([line for line in server.lines if "as many as this process may hold" in line]) == 1


def test_requests_under_way_are_not_given_up_for_new_ones(tmp_path: Path, serving: StartServer) -> None:
    server = few_files(serving, tmp_path)
    body = b'{"enabled":false}'
    put = (
        f"PUT /api/model-providers/openai HTTP/1.1\r\nHost: keyhouse\r\nX-Auth-Token: {server.project_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with connections(server, MOST, put.encode()) as under_way:
        assert {connection.recv(1000) for connection in under_way} == {b"HTTP/1.1 100 Continue\r\n\r\n"}
        with connections(server, 1) as (late,):
            assert late.recv(1000).startswith(b"HTTP/1.1 503 ")
        for connection in under_way:
            connection.sendall(body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        assert listed(server) == 200


HELD = pytest.mark.parametrize("asked", ["PUT /api/model-providers/openai", "POST /v1/chat/completions"])


def asking(asked: str, key: str) -> bytes:
    """The head of a small request."""
    headers = f"Host: keyhouse\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 2"
    return f"{asked} HTTP/1.1\r\n{headers}\r\n\r\n".encode()


def hold_back(connection: socket.socket, head: bytes, before: int) -> bytes:
    """Send so many whole requests, whose last answer is returned, and of one more the head alone."""
    answer = b""
    for _ in range(before):
        connection.sendall(head + b"{}")
        answer = connection.recv(4096)
    connection.sendall(head)
    return answer


@HELD
@pytest.mark.parametrize("before", [1, 2])
def test_bodies_that_do_not_come_from_callers_without_a_key_keep_nobody_out(
    tmp_path: Path, serving: StartServer, asked: str, before: int
) -> None:
    server = few_files(serving, tmp_path)
    with connections(server, MOST) as held:
        for connection in held:
            assert hold_back(connection, asking(asked, "x"), before).startswith(b"HTTP/1.1 401 ")
        assert listed(server) == 200


@HELD
def test_a_body_that_comes_late_from_a_caller_with_a_key_is_waited_for(tmp_path: Path, serving: StartServer, asked: str) -> None:
    server = few_files(serving, tmp_path)
    head = asking(asked, server.project_key)
    with connections(server, 1) as (late,):
        answer = hold_back(late, head, 2)
        with connections(server, 2 * FILES):
            assert listed(server) == 200
            late.sendall(b"{}")
            assert late.recv(4096)[:13] == answer[:13]
