"""A PostgreSQL to be stopped at once, killed and started again. It is durable as it comes."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from bench.chaos.upstream import lasting_port

_PATIENCE_S = 60.0


class ChaosPostgres:
    """One server, on loopback and on a Unix socket. Its own log may hold no secret either."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.log = folder / "server.log"
        self.port = lasting_port()
        self._binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0

    def make(self) -> None:
        """Make its files, and start it."""
        self.home.mkdir()
        if self._user:
            shutil.chown(self.home, self._user)
        command = [str(self._binaries / "initdb"), "-D", str(self.home / "data"), "-U", "keyhouse", "-A", "trust", "-E", "UTF8"]
        subprocess.run(command, user=self._user, check=True, stdout=subprocess.DEVNULL, cwd="/")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(self._binaries / "postgres"), "-D", str(self.home / "data"), "-p", str(self.port), "-k", str(self.home)]
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "log_statement=none"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([*command, *options], user=self._user, stdout=log, stderr=log, cwd="/")
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            with contextlib.suppress(psycopg.OperationalError), self.connected():
                return
            if self._process.poll() is not None:
                # A backend of the one before may not have noticed yet that its postmaster is gone.
                time.sleep(0.2)
                with self.log.open("ab") as log:
                    self._process = subprocess.Popen([*command, *options], user=self._user, stdout=log, stderr=log, cwd="/")
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL does not start: {self.log.read_text()[-2000:]}")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: `immediate` is as good as a crash."""
        assert self._process is not None
        command = [str(self._binaries / "pg_ctl"), "-D", str(self.home / "data"), "-m", mode, "-w", "stop"]
        subprocess.run(command, user=self._user, check=True, stdout=subprocess.DEVNULL, cwd="/")
        self._process.wait()

    def kill(self) -> None:
        """Kill the postmaster itself; what it started ends by itself, or is killed where it does not."""
        assert self._process is not None
        family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(family, timeout=20)
        for one in alive:
            one.kill()
        psutil.wait_procs(alive, timeout=20)

    @contextmanager
    def connected(self, name: str = "postgres") -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
        """A connection of somebody else's."""
        with psycopg.connect(self.url(name), autocommit=True, connect_timeout=5) as connection:
            yield connection

    def url(self, name: str) -> str:
        return f"postgresql://keyhouse@127.0.0.1:{self.port}/{name}"

    def new_database(self) -> str:
        """An empty database's URL."""
        self._made += 1
        with self.connected() as connection:
            connection.execute(f"CREATE DATABASE chaos_{self._made}")
        return self.url(f"chaos_{self._made}")

    def end_backends(self, *, roughly: bool) -> int:
        """End every session but ours: by the server's own function, or (one of them) by `kill -9`, after which the server recovers."""
        with self.connected() as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY state, pid"
            pids = [int(str(row[0])) for row in connection.execute(query).fetchall()]
            if roughly:
                for pid in pids[:1]:
                    os.kill(pid, signal.SIGKILL)
                return len(pids[:1])
            for pid in pids:
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        return len(pids)

    def wait_for_orphans(self, clients: Collection[int]) -> None:
        """Until no session is left whose client is none of these processes: what such a one had sent may still be carried out."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            ours = _local_ports({*clients, os.getpid()})
            with contextlib.suppress(psycopg.OperationalError), self.connected() as connection:
                query = "SELECT client_port FROM pg_stat_activity WHERE client_port > 0 AND pid <> pg_backend_pid()"
                if {int(str(row[0])) for row in connection.execute(query).fetchall()} <= ours | _local_ports({*clients, os.getpid()}):
                    return
            time.sleep(0.02)
        raise RuntimeError("sessions of killed processes do not end")


def _local_ports(processes: Collection[int]) -> set[int]:
    ports: set[int] = set()
    for pid in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            ports |= {connection.laddr.port for connection in psutil.Process(pid).net_connections("tcp")}
    return ports
