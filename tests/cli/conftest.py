"""What the tests of the command line share: servers of their own, stopped when a test ends."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest

from keyhouse.services.first_start import FirstKeys
from keyhouse.settings import Settings
from tests.cli.commands import ForkServer, Ran, Server, start
from tests.conftest import ServedHouse, start_house

StartServer = Callable[..., Server]
DATA = "keyhouse-data"
INSTANCE_KEY = "instance-key-of-the-tests"


@pytest.fixture
def serving() -> Iterator[StartServer]:
    """Starts servers: `serving(folder, *arguments, **variables)`."""
    servers: list[Server] = []

    def started(folder: Path, *arguments: str, through: Sequence[str] = (), **variables: str) -> Server:
        server = start(folder, *arguments, through=through, **variables)
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.process.kill()
        server.process.wait()
        for stream in (server.process.stdout, server.process.stderr):
            if stream is not None:
                stream.close()


@dataclass(frozen=True)
class Furnished:
    """A folder in which a server was started once, the keys it printed, and what runs commands there."""

    folder: Path
    project_key: str
    admin_key: str
    run: Callable[..., Ran]


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Runs commands without starting Python for each."""
    server = ForkServer(tmp_path_factory.mktemp("fork-server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer) -> Furnished:
    """One first start for all tests; each works on a copy of what it made."""
    folder = tmp_path_factory.mktemp("first-start")
    server = start(folder)
    assert server.stop() == 0
    for stream in (server.process.stdout, server.process.stderr):
        assert stream is not None
        stream.close()
    return Furnished(folder, server.project_key, server.admin_key, fork_server.run)


@pytest.fixture
def furnished(first_start: Furnished, tmp_path: Path) -> Furnished:
    """A furnished folder of the test's own."""
    shutil.copytree(first_start.folder / DATA, tmp_path / DATA)
    return replace(first_start, folder=tmp_path)


class Keyhouse(Protocol):
    """Runs a command on a house: `keyhouse("provider", "list", stdin=None)`."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> Ran:
        """Run it to its end."""


def on_folder(furnished: Furnished) -> Keyhouse:
    """Commands on the data folder itself."""

    def keyhouse(*arguments: str, stdin: str | None = None) -> Ran:
        return furnished.run(furnished.folder, *arguments, stdin=stdin)

    return keyhouse


OnServer = Callable[[Furnished], Keyhouse]


@pytest.fixture
def on_server() -> Iterator[OnServer]:
    """Commands on a server of the data folder, from a folder where there is none."""
    houses: list[ServedHouse] = []

    def served(furnished: Furnished) -> Keyhouse:
        keys = FirstKeys("", furnished.project_key, furnished.admin_key, "")
        houses.append(start_house(Settings(data_dir=furnished.folder / DATA, admin_key=INSTANCE_KEY, shutdown_timeout_s=5), keys))
        return _from_elsewhere(furnished, houses[-1].address)

    yield served
    for house in houses:
        house.stop()


def _from_elsewhere(furnished: Furnished, endpoint: str) -> Keyhouse:
    elsewhere = furnished.folder / "elsewhere"
    elsewhere.mkdir()
    variables = {"KEYHOUSE_ENDPOINT": endpoint, "KEYHOUSE_API_KEY": furnished.admin_key, "KEYHOUSE_ADMIN_KEY": INSTANCE_KEY}

    def keyhouse(*arguments: str, stdin: str | None = None) -> Ran:
        return furnished.run(elsewhere, *arguments, stdin=stdin, **variables, KEYHOUSE_PROJECT="my-project")

    return keyhouse


@pytest.fixture(params=["folder", "server"])
def keyhouse(request: pytest.FixtureRequest, furnished: Furnished, on_server: OnServer) -> Keyhouse:
    """Commands on a furnished house, each of the two ways."""
    return on_folder(furnished) if request.param == "folder" else on_server(furnished)
