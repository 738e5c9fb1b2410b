"""A house of planted keys, served by a process of its own, and how to look at everything it wrote."""

import asyncio
import base64
import contextlib
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from keyhouse.app import build_house, opened_storage
from keyhouse.services.first_start import FirstKeys, furnish
from keyhouse.settings import Settings
from keyhouse.web.control.routing import Route
from tests.conftest import ADMIN_KEY, PostgresServer, free_port
from tests.safety.planted import found_in


class Serving:
    """`keyhouse serve` in a process of its own, and everything it writes."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.output = folder / f"output-{self.port}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "keyhouse", "serve", "--port", str(self.port)],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environment},
                cwd=folder,
                stdout=output,
                stderr=output,
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0 and b"http://" in self.output.read_bytes():
                    return
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.05)
        raise AssertionError(self.output.read_text())

    def stop(self) -> bytes:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return self.output.read_bytes()


@contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Iterator[tuple[Serving, httpx.Client]]:
    server = Serving(folder, environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60, trust_env=False) as client:
            yield server, client
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


class Planting:
    """A furnished house whose keys are planted too; its routes; how to look at everything it stored."""

    def __init__(self, folder: Path, postgres: PostgresServer | None, level: str, line_format: str) -> None:
        self.folder = folder
        self.postgres = postgres
        self.url = postgres.new_database() if postgres else None
        url = self.url
        key = secrets.token_bytes(32)
        self.encryption_keys: list[str | bytes] = [key, base64.b64encode(key).decode()]
        nowhere = "http://127.0.0.1:9"
        self.environment = {
            "KEYHOUSE_DATA_DIR": str(folder),
            "KEYHOUSE_KEYS": f"planted={base64.b64encode(key).decode()}",
            "KEYHOUSE_ADMIN_KEY": ADMIN_KEY,
            "KEYHOUSE_LOG_LEVEL": level,
            "KEYHOUSE_LOG_FORMAT": line_format,
            "KEYHOUSE_HTTPS_PROXY": nowhere,
            "KEYHOUSE_HTTP_PROXY": nowhere,
            **({"KEYHOUSE_DATABASE_URL": url} if url else {}),
        }
        self.settings = Settings(
            data_dir=folder, keys=self.environment["KEYHOUSE_KEYS"], admin_key=ADMIN_KEY, **({"database_url": url} if url else {})
        )
        self.keys, self.routes = asyncio.run(_prepared(self.settings))

    def stored(self) -> bytes:
        """The files of the data folder, or a dump of the database."""
        if self.postgres is not None and self.url is not None:
            return _dumped_postgresql(self.postgres, self.url)
        files = [path for path in self.folder.iterdir() if path.is_file() and not path.name.startswith("output")]
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'keyhouse.db'}?mode=ro", uri=True)) as database:
            dump = "\n".join(database.iterdump()).encode()
        return b"".join(path.read_bytes() for path in files) + dump

    def run(self, statement: str) -> None:
        """Change the database behind the house's back."""
        if self.url is not None:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(statement)  # type: ignore[arg-type]
        else:
            with contextlib.closing(sqlite3.connect(self.folder / "keyhouse.db", isolation_level=None)) as database:
                database.execute(statement)


async def _prepared(settings: Settings) -> tuple[FirstKeys, tuple[Route, ...]]:
    async with opened_storage(settings) as storage:
        keys = await furnish(storage)
        assert keys is not None
        return keys, build_house(settings, storage).control.router.routes


def _dumped_postgresql(server: PostgresServer, url: str) -> bytes:
    """The tables as rows, as a backup has them, and what the server logged."""
    tables = []
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            with connection.cursor().copy(f'COPY "{name}" TO STDOUT') as copy:  # type: ignore[arg-type]
                tables.extend(bytes(block) for block in copy)
    dumped = subprocess.run([server.binaries / "pg_dump", "--inserts", url], check=True, capture_output=True).stdout
    assert b"INSERT INTO" in dumped
    return b"".join(tables) + dumped + (server.folder / "server.log").read_bytes()


def require_hidden(material: dict[str, bytes], hidden: list[str | bytes]) -> None:
    found = {where: found for where, written in material.items() if (found := found_in(written, hidden))}
    assert not found, found
