"""No secret comes to light: planted ones are searched for in everything that a running house writes, whatever is asked of it."""

import asyncio
import base64
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
import pytest

from keyhouse.app import build_house, open_storage
from keyhouse.log import configure_logging
from keyhouse.services.first_start import FirstKeys, furnish
from keyhouse.settings import Settings
from keyhouse.storage.opening import Storage
from keyhouse.web.control.access import Access, Gate
from keyhouse.web.control.routing import Answer, Call, ControlPlane, Operation, Route
from tests.conftest import ADMIN_KEY, PostgresServer, free_port
from tests.safety.driving import Driven, Driver
from tests.safety.planted import forms, found_in, planted, planted_token

FORMS = sorted(forms(planted("x")))


@pytest.mark.parametrize("form", FORMS)
def test_the_search_finds_every_form(form: str) -> None:
    secret = planted("needle")
    assert (secret[:12], form) in found_in(b"hay " + forms(secret)[form] + b" stack", [planted("other"), secret])


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", '{"key":"'])
def test_the_search_finds_base64_at_any_place(before: str) -> None:
    secret = planted_token("needle")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert found_in(encode(f"{before}{secret} and more".encode()), [secret])
    assert not found_in(base64.b64encode(f"{before}{planted_token('other')}".encode()), [secret])


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

    def __init__(self, folder: Path, url: str | None, level: str, line_format: str) -> None:
        self.folder = folder
        self.url = url
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
        settings = Settings(
            data_dir=folder, keys=self.environment["KEYHOUSE_KEYS"], admin_key=ADMIN_KEY, **({"database_url": url} if url else {})
        )
        self.keys, self.routes = asyncio.run(_prepared(settings))

    def stored(self) -> bytes:
        """The files of the data folder, or a dump of the database."""
        if self.url is not None:
            return _dumped_postgresql(self.url)
        files = [path for path in self.folder.iterdir() if path.is_file() and not path.name.startswith("output")]
        with sqlite3.connect(f"file:{self.folder / 'keyhouse.db'}?mode=ro", uri=True) as database:
            dump = "\n".join(database.iterdump()).encode()
        return b"".join(path.read_bytes() for path in files) + dump

    def run(self, statement: str) -> None:
        """Change the database behind the house's back."""
        if self.url is not None:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(statement)  # type: ignore[arg-type]
        else:
            with sqlite3.connect(self.folder / "keyhouse.db") as database:
                database.execute(statement)


async def _prepared(settings: Settings) -> tuple[FirstKeys, tuple[Route, ...]]:
    storage = await open_storage(settings)
    try:
        keys = await furnish(storage)
        assert keys is not None
        return keys, build_house(settings, storage).control.router.routes
    finally:
        await storage.database.close()


def _dumped_postgresql(url: str) -> bytes:
    tables = []
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            with connection.cursor().copy(f'COPY "{name}" TO STDOUT') as copy:  # type: ignore[arg-type]
                tables.extend(bytes(block) for block in copy)
    return b"".join(tables)


def require_hidden(material: dict[str, bytes], hidden: list[str | bytes]) -> None:
    assert {where: found for where, written in material.items() if (found := found_in(written, hidden))} == {}


CASES = [
    ("sqlite", "debug", "text"),
    ("sqlite", "info", "json"),
    ("sqlite", "warning", "json"),
    ("sqlite", "error", "text"),
    ("postgresql", "debug", "json"),
]


@pytest.mark.parametrize(("kind", "level", "line_format"), CASES)
def test_nothing_that_is_written_holds_a_secret(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, level: str, line_format: str
) -> None:
    postgres: PostgresServer | None = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    place = Planting(tmp_path, postgres.new_database() if postgres else None, level, line_format)
    driven = Driven()
    with serving(tmp_path, place.environment) as (server, client):
        driver = Driver(client, place.keys, driven)
        driver.drive(place.routes)
        while_serving = place.stored()
        said = server.stop()
    hidden = [*driven.secrets, *place.encryption_keys]
    answers = b"\n".join(driven.answers)
    require_hidden({"answers": answers, "stored": while_serving, "stored and closed": place.stored(), "output": said}, hidden)

    reached = {f"{method} {path}" for method, path, status in driven.statuses if status < 300}
    assert sorted({f"{route.method} {route.path}" for route in place.routes} - reached) == []
    assert not [called for called in driven.statuses if called[2] == 500]
    # The same names that stand beside the secrets are there: it was looked in the right places.
    assert b"OPENAI_API_KEY" in while_serving
    assert b"X-Planted" in while_serving
    assert b"X-Planted" in answers
    assert (b"/api/model-providers/{provider}" in said) == (level in ("debug", "info"))


SOME_PROVIDERS = ("openai", "azure", "vertex_ai")
DAMAGES = {
    "sealed values": "UPDATE sealed_values SET blob = {cut} WHERE field IN ('customKeys', 'extraHeaders')",
    "models that are none": 'UPDATE model_providers SET custom_models = \'[{{"planted": "{secret}"}}]\'',
    "names that are none": "UPDATE model_providers SET credential_names = '{{\"{secret}\": 1}}', header_names = '\"{secret}'",
    "no table": "ALTER TABLE model_providers RENAME TO gone",
    "no history": "ALTER TABLE model_provider_history RENAME TO gone",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_damaged_database_brings_no_secret_to_light(request: pytest.FixtureRequest, tmp_path: Path, kind: str, damage: str) -> None:
    postgres: PostgresServer | None = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    place = Planting(tmp_path, postgres.new_database() if postgres else None, "debug", "json")
    routes = [route for route in place.routes if route.path.startswith("/api/model-providers")]
    driven = Driven()
    with serving(tmp_path, place.environment) as (server, client):
        driver = Driver(client, place.keys, driven, SOME_PROVIDERS)
        driver.drive([route for route in routes if route.method == "PUT"])
        broken = planted_token("broken")
        cut = "substring(blob from 1 for 40)" if postgres else "substr(blob, 1, 40)"
        place.run(damage.format(cut=cut, secret=broken))
        driver.drive(routes)
        said = server.stop()
    require_hidden({"answers": b"\n".join(driven.answers), "output": said}, [*driven.secrets, *place.encryption_keys, broken])
    assert any(status in (400, 500, 503) for _, _, status in driven.statuses)


def test_a_database_that_goes_away_brings_no_secret_to_light(tmp_path: Path, postgres_server: PostgresServer) -> None:
    place = Planting(tmp_path, postgres_server.new_database(), "debug", "text")
    driven = Driven()
    routes = [route for route in place.routes if "{provider}" in route.path or route.method == "POST"]
    with serving(tmp_path, place.environment) as (server, client):
        driver = Driver(client, place.keys, driven, SOME_PROVIDERS)
        driver.drive([route for route in routes if route.method == "PUT"])
        postgres_server.stop()
        try:
            driver.drive(routes[:3])
        finally:
            postgres_server.start()
        said = server.stop()
    require_hidden({"answers": b"\n".join(driven.answers), "output": said}, [*driven.secrets, *place.encryption_keys])
    assert any(status == 503 for _, _, status in driven.statuses)


def test_a_file_that_is_no_database_any_more_brings_no_secret_to_light(tmp_path: Path) -> None:
    place = Planting(tmp_path, None, "debug", "text")
    driven = Driven()
    with serving(tmp_path, place.environment) as (server, client):
        driver = Driver(client, place.keys, driven, SOME_PROVIDERS)
        driver.drive([route for route in place.routes if route.method == "PUT"])
        with (tmp_path / "keyhouse.db").open("r+b") as file:
            file.write(b"nothing" * 1000)
        (tmp_path / "keyhouse.db-wal").write_bytes(b"")
        driver.drive([route for route in place.routes if "{provider}" in route.path])
        said = server.stop()
    require_hidden({"answers": b"\n".join(driven.answers), "output": said}, [*driven.secrets, *place.encryption_keys])
    assert any(status >= 500 for _, _, status in driven.statuses)


def test_a_handler_that_raises_brings_no_secret_to_light(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    secret = planted("raised")

    async def handler(call: Call) -> Answer:
        try:
            raise KeyError(secret)
        except KeyError as cause:
            raise ValueError(f"{secret} {call!r} {Answer(secret.encode())!r}") from cause

    async def answered(storage: Storage) -> list[dict[str, object]]:
        gate = Gate(build_house(settings, storage).identity, storage.database, ADMIN_KEY)
        operation = Operation("raise", "Raises", {}, "Tests")
        control = ControlPlane([Route("GET", "/api/raise", handler, operation, access=Access.PUBLIC)], gate)
        sent: list[dict[str, object]] = []

        async def send(message: object) -> None:
            assert isinstance(message, dict)
            sent.append(message)

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": secret.encode()}

        headers = [(b"x-auth-token", secret.encode())]
        scope = {"type": "http", "method": "GET", "path": "/api/raise", "raw_path": b"/api/raise", "query_string": b"", "headers": headers}
        await control(scope, receive, send)  # type: ignore[arg-type]
        return sent

    async def run() -> list[dict[str, object]]:
        storage = await open_storage(settings)
        try:
            return await answered(storage)
        finally:
            await storage.database.close()

    settings = Settings(data_dir=tmp_path)
    configure_logging("text", "debug")
    sent = asyncio.run(run())
    captured = capfd.readouterr()
    assert sent[0]["status"] == 500
    assert "builtins.KeyError" in captured.err
    require_hidden({"answer": repr(sent).encode(), "output": (captured.err + captured.out).encode()}, [secret])
