"""No secret comes to light: planted ones are searched for in everything that a running house writes, whatever is asked of it."""

import asyncio
import base64
import sys
import threading
from pathlib import Path

import pytest

from keyhouse.app import build_house, opened_storage
from keyhouse.cli.connection import Request
from keyhouse.cli.local_exchange import LocalExchange
from keyhouse.domain.tenancy import Actor, Caller
from keyhouse.log import configure_logging
from keyhouse.settings import Settings
from keyhouse.storage.opening import Storage
from keyhouse.web.control.access import Gate
from keyhouse.web.control.routing import Answer, Call, ControlPlane, Operation, Route
from keyhouse.web.log import RequestLines
from tests.conftest import ADMIN_KEY, PostgresServer
from tests.safety.driving import Driven, Driver
from tests.safety.planted import forms, found_in, planted, planted_token
from tests.safety.planting import Planting, require_hidden, serving

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
    place = Planting(tmp_path, postgres, level, line_format)
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
    "sealed values": "UPDATE sealed_values SET blob = {cut} WHERE field IN ('customKeys', 'headers')",
    "models that are none": 'UPDATE model_providers SET custom_models = \'[{{"planted": "{secret}"}}]\'',
    "names that are none": "UPDATE model_providers SET credential_names = '{{\"{secret}\": 1}}', header_names = '\"{secret}'",
    "no table": "ALTER TABLE model_providers RENAME TO gone",
    "no history": "ALTER TABLE model_provider_history RENAME TO gone",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_damaged_database_brings_no_secret_to_light(request: pytest.FixtureRequest, tmp_path: Path, kind: str, damage: str) -> None:
    postgres: PostgresServer | None = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    place = Planting(tmp_path, postgres, "debug", "json")
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
    place = Planting(tmp_path, postgres_server, "debug", "text")
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


@pytest.fixture
def logged_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's failures go into the log, and after the test to where they went before."""
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    configure_logging("text", "debug")


@pytest.mark.usefixtures("logged_here")
def test_a_handler_that_raises_brings_no_secret_to_light(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    secret = planted("raised")

    async def handler(call: Call) -> Answer:
        try:
            raise KeyError(secret)
        except KeyError as cause:
            raise ValueError(f"{secret} {call!r} {Answer(secret.encode())!r}") from cause

    async def answered(storage: Storage) -> LocalExchange:
        gate = Gate(build_house(settings, storage).identity, storage.database, ADMIN_KEY, lambda actor_id: None)
        operation = Operation("raise", "Raises", {}, "Tests")
        control = ControlPlane([Route("GET", "/api/raise", handler, operation)], gate, RequestLines(None))
        exchange = LocalExchange(Request("GET", "/api/raise", "project", body={"secret": secret}), Caller(Actor("", "anybody"), ""))
        exchange.headers.append((b"x-auth-token", secret.encode()))
        await control.serve(exchange)
        return exchange

    async def run() -> LocalExchange:
        async with opened_storage(settings) as storage:
            return await answered(storage)

    settings = Settings(data_dir=tmp_path)
    exchange = asyncio.run(run())
    captured = capfd.readouterr()
    assert exchange.status == 500
    assert "builtins.KeyError" in captured.err
    require_hidden({"answer": exchange.answered, "output": (captured.err + captured.out).encode()}, [secret])
