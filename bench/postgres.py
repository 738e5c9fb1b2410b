"""A PostgreSQL of the benchmark's own, durable as it comes, from Debian's package."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


@contextmanager
def running_postgres(folder: Path, *, wanted: bool = True) -> Iterator[Callable[[], str] | None]:
    """Gives a function that makes a fresh database and returns its URL; None where PostgreSQL is not installed or not wanted."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not wanted or not binaries:
        yield None
        return
    home = folder / "postgresql"
    home.mkdir()
    user = None
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        user = "postgres"
        shutil.chown(home, user)
        folder.chmod(0o711)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(
        [binaries[-1] / "initdb", "-D", home / "data", "-U", "keyhouse", "-A", "trust", "-E", "UTF8"],
        user=user,
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
    )
    server = subprocess.Popen(
        [binaries[-1] / "postgres", "-D", home / "data", "-p", str(port), "-k", home, "-c", "max_connections=200"],
        user=user,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    url = f"postgresql://keyhouse@127.0.0.1:{port}/"
    made = 0

    def new_database() -> str:
        nonlocal made
        made += 1
        with psycopg.connect(url + "postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE bench_{made}")
        return f"{url}bench_{made}"

    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        time.sleep(0.5)
        yield new_database
    finally:
        subprocess.run(
            [binaries[-1] / "pg_ctl", "-D", home / "data", "-m", "fast", "stop"], user=user, check=True, stdout=subprocess.DEVNULL, cwd="/"
        )
        server.wait()
