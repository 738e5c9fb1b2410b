"""Processes to kill."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keyhouse.settings import Settings

ROOT = Path(__file__).parents[2]


@dataclass
class Victim:
    """A running process, and what it said so far."""

    pid: int
    connection: socket.socket
    said: bytes = b""
    ended: bool = False

    def listen(self, lines: int, more_bytes: int = 0) -> bool:
        """Read until it said so many lines more, and some bytes; whether it still runs."""
        wanted = self.said.count(b"\n") + lines
        while not self.ended and self.said.count(b"\n") < wanted:
            self._read(1)
        if more_bytes and not self.ended:
            self._read(more_bytes)
        return not self.ended

    def listen_to_the_end(self) -> list[str]:
        while not self.ended:
            self._read(65536)
        return self.lines

    def kill(self) -> list[str]:
        """Kill it, and read what it had said; every whole line of that was acknowledged."""
        os.kill(self.pid, signal.SIGKILL)
        return self.listen_to_the_end()

    @property
    def lines(self) -> list[str]:
        return [line.decode() for line in self.said.split(b"\n")[:-1]]

    def _read(self, count: int) -> None:
        try:
            received = self.connection.recv(count)
        except ConnectionResetError:
            received = b""
        self.said += received
        if not received:
            self.ended = True
            self.connection.close()


@dataclass
class Nursery:
    """Makes victims."""

    process: "subprocess.Popen[str]"
    listener: socket.socket
    address: str
    victims: list[Victim] = field(default_factory=list)

    def start(self, task: str, settings: Settings, sequences: dict[str, int] | None = None, die_at: int | None = None) -> Victim:
        order = {
            "task": task,
            "folder": str(settings.data_dir),
            "database_url": settings.url,
            "sequences": sequences or {},
            "socket": self.address,
            "die_at": die_at,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        connection, _ = self.listener.accept()
        victim = Victim(pid, connection)
        self.victims.append(victim)
        return victim


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with tempfile.TemporaryDirectory(prefix="keyhouse-") as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/victims"
        listener.bind(address)
        listener.listen(16)
        listener.settimeout(60)
        command = [sys.executable, "-m", "tests.safety.victim"]
        with (
            open(f"{folder}/errors", "w") as errors,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT) as process,
        ):
            yield Nursery(process, listener, address)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
