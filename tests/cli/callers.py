"""Callers of a server that runs, and the workers that answer them."""

import contextlib
import http.client
import json
import signal
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import psutil

from tests.cli.commands import PATIENCE_S, Server

PUT = json.dumps({"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-planted"}}).encode()


def workers_of(server: Server) -> set[int]:
    """Their process ids."""
    return {child.pid for child in psutil.Process(server.process.pid).children()}


def replaced(server: Server, former: set[int]) -> set[int]:
    """Have a server replaced; its new workers, once all serve and no former one but `former` is left."""
    before = workers_of(server)
    server.process.send_signal(signal.SIGUSR2)
    gone = [psutil.Process(number) for number in before - former]
    assert psutil.wait_procs(gone, PATIENCE_S)[1] == []
    return workers_of(server) - before


def holds(process_id: int, port_of_caller: int) -> bool:
    """Whether a worker has accepted a caller's connection."""
    return any(found.raddr and found.raddr.port == port_of_caller for found in psutil.Process(process_id).net_connections())


def listed(server: Server) -> int:
    """The status of a request on a connection of its own."""
    headers = {"X-Auth-Token": server.project_key}
    return httpx.get(f"{server.address}/api/model-providers", headers=headers, trust_env=False, timeout=PATIENCE_S).status_code


def lives(server: Server) -> int:
    """The status of a request that asks whether it lives, on a connection of its own."""
    return httpx.get(f"{server.address}/healthz", trust_env=False, timeout=PATIENCE_S).status_code


@contextlib.contextmanager
def begun_put(server: Server) -> Iterator[socket.socket]:
    """A request whose body has not come yet."""
    with socket.create_connection(("127.0.0.1", urlsplit(server.address).port or 0), PATIENCE_S) as connection:
        head = (
            f"PUT /api/model-providers/openai HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {server.project_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(PUT)}\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        yield connection


def finished(connection: socket.socket) -> int:
    """The status of what was begun, once its body has come too."""
    connection.sendall(PUT)
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def wait_until_it_serves(server: Server, worker: int) -> None:
    """Ask on one connection after the other, until this worker has answered."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", urlsplit(server.address).port or 0), PATIENCE_S) as caller:
            caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert caller.recv(100).startswith(b"HTTP/1.1 200")
            if holds(worker, caller.getsockname()[1]):
                return
    raise AssertionError("it does not serve")


def is_refused(where: tuple[str, int]) -> bool:
    """Whether a server comes to refuse connections."""
    latest = time.monotonic() + PATIENCE_S
    while time.monotonic() < latest:
        try:
            socket.create_connection(where, PATIENCE_S).close()
        except ConnectionResetError:
            # It came at the very moment.
            continue
        except ConnectionRefusedError:
            return True
    return False
