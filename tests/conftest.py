"""What tests share: both databases, and a house that really listens on loopback."""

import gc
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import hypothesis
import psycopg
import pytest

from keyhouse.app import App
from keyhouse.services.first_start import FirstKeys, furnish
from keyhouse.settings import Settings
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.schema import migrate
from keyhouse.web.serving import HouseServer, server_config
from tests.captured import CaughtLines
from tests.memory import keep_temporary_files_in_memory
from tests.migrated import write_migrated_file
from tests.storage.houses import run_on

keep_temporary_files_in_memory()

# Each run tries the same examples, and how long one takes says nothing on a machine that is shared.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("same")

IN_CI = os.environ.get("CI") == "true"
# A client reads all of the machine's certificates when it is made, 40 ms; the houses speak plain HTTP.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# No name is so long: the system says so without asking anybody.
UNKNOWN_HOST = ".".join(["a" * 60] * 5)
ADMIN_KEY = "instance-admin-key-of-the-tests"


def pytest_configure(config: pytest.Config) -> None:
    """Keep lines of the log out of what pytest says."""
    config.pluginmanager.register(CaughtLines())


def missing(what: str) -> None:
    """Skip, naming what this machine lacks; in CI that is a failure."""
    if IN_CI:
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"this machine lacks {what}")


def need_curl() -> None:
    """What is printed for people to paste begins with it."""
    if shutil.which("curl") is None:
        missing("curl (Debian's package curl)")


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


NEEDS_IPV6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine lacks ::1")


@dataclass
class PostgresServer:
    """A PostgreSQL of the test session's own, on a Unix socket and a loopback port."""

    port: int
    folder: Path
    binaries: Path
    user: str | None
    process: "subprocess.Popen[bytes] | None" = None
    made: int = 0
    migrated: str | None = None

    def url(self, name: str) -> str:
        return f"postgresql://keyhouse@127.0.0.1:{self.port}/{name}"

    def empty_database(self) -> str:
        """A fresh database's URL; it has no schema."""
        return self.url(self._created("template1"))

    def new_database(self) -> str:
        """A fresh database's URL; it has the schema and nothing else."""
        if self.migrated is None:
            self.migrated = self._created("template1")
            migrate(parse_database_url(self.url(self.migrated)))
        return self.url(self._created(self.migrated))

    def _created(self, template: str) -> str:
        self.made += 1
        name = f"test_{os.getpid()}_{self.made}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")  # type: ignore[arg-type]
        return name

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.binaries / "postgres",
                    "-D",
                    self.folder / "data",
                    "-p",
                    str(self.port),
                    "-k",
                    self.folder,
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    "max_connections=200",
                    # What was written lies in the system's memory, where it outlives the server: no test cuts the power.
                    "-c",
                    "fsync=off",
                    # It would look into each of some hundred databases in turn, ten times a second.
                    "-c",
                    "autovacuum=off",
                    # After a stop it would look at each file of them.
                    "-c",
                    "recovery_init_sync_method=syncfs",
                ],
                user=self.user,
                stdout=log,
                stderr=log,
            )
        ready = [self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        for _ in range(600):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            if self.process.poll() is not None:
                break
            threading.Event().wait(0.05)
        raise RuntimeError((self.folder / "server.log").read_text())

    def stop(self) -> None:
        """Stop at once, as a crash would."""
        if self.process is not None:
            subprocess.run(
                [self.binaries / "pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop"],
                user=self.user,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            self.process.wait()
            self.process = None


def _postgres_binaries() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("postgres")
    return folders[-1] if folders else Path(found).resolve().parent if found else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server, or a skip that names it."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def lonely_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that no other test uses, so that it recovers quickly, and nobody else notices that it stops."""
    with running_postgres() as server:
        yield server


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the caller's own."""
    binaries = _postgres_binaries()
    if binaries is None:
        missing("PostgreSQL (Debian's package postgresql)")
        return
    # Not below pytest's own folder, which every other test run closes to all but its owner.
    with tempfile.TemporaryDirectory(prefix="keyhouse-postgresql-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user = None
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            user = "postgres"
            shutil.chown(folder, user)
        initdb = [binaries / "initdb", "-D", folder / "data", "-U", "keyhouse", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, user=user, check=True, stdout=subprocess.DEVNULL, cwd="/")
        server = PostgresServer(free_port(), folder, binaries, user)
        server.start()
        yield server
        server.stop()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The collector of cycles does not run: what goes then goes without it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that has the schema and nothing else, on each of the two."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return server.new_database()
    write_migrated_file(tmp_path / "keyhouse.db")
    return f"sqlite:///{tmp_path / 'keyhouse.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that has no schema yet, on each of the two."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return server.empty_database()
    return f"sqlite:///{tmp_path / 'keyhouse.db'}"


@dataclass
class ServedHouse:
    """A house on loopback, and the keys of its first start."""

    address: str
    settings: Settings
    keys: FirstKeys
    stop: Callable[[], None]
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, token: str | None = None, **headers: str) -> httpx.Client:
        """A client with a key, the project's if none is named."""
        client = httpx.Client(
            base_url=self.address,
            headers={"X-Auth-Token": token or self.keys.project_key, **headers},
            timeout=30,
            trust_env=False,
            verify=NO_CERTIFICATES,
        )
        self.clients.append(client)
        return client

    def anonymous(self) -> httpx.Client:
        client = httpx.Client(base_url=self.address, timeout=30, trust_env=False, verify=NO_CERTIFICATES)
        self.clients.append(client)
        return client


Serve = Callable[..., ServedHouse]


@contextmanager
def _serving(data_dir: Path) -> Iterator[Serve]:
    houses: list[ServedHouse] = []
    furnished: dict[str, FirstKeys] = {}

    def start(**options: object) -> ServedHouse:
        settings = Settings(**{"data_dir": data_dir, "admin_key": ADMIN_KEY, "shutdown_timeout_s": 5, **options})  # type: ignore[arg-type]
        if settings.database_url is None and not (file := settings.data_dir / "keyhouse.db").exists():
            write_migrated_file(file)
        keys = _furnish(settings) or furnished[settings.url]
        furnished[settings.url] = keys
        house = start_house(settings, keys)
        houses.append(house)
        return house

    try:
        yield start
    finally:
        for house in houses:
            for client in house.clients:
                client.close()
            house.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves houses: `serve(database_url=...)`; a second one on the same settings is a second process's stand-in."""
    with _serving(tmp_path) as start:
        yield start


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHouse]:
    """A furnished house on each of the two databases that the tests of a module share: they may not rely on what is stored."""
    folder = tmp_path_factory.mktemp("shared")
    server: PostgresServer | None = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    url = server.new_database() if server else f"sqlite:///{folder / 'keyhouse.db'}"
    with _serving(folder) as start:
        yield start(database_url=url)


@pytest.fixture(scope="module")
def shared_sqlite_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHouse]:
    """The same on SQLite, for what does not depend on the database."""
    with _serving(tmp_path_factory.mktemp("shared")) as start:
        yield start()


@pytest.fixture(autouse=True)
def _clients_that_go(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test opened to a shared house goes with it: a process may open only so many files, here for both ends."""
    names = {"shared_house", "shared_sqlite_house"}.intersection(request.fixturenames)
    houses: list[ServedHouse] = [request.getfixturevalue(name) for name in names]
    stay = [len(house.clients) for house in houses]
    yield
    for house, count in zip(houses, stay, strict=True):
        while len(house.clients) > count:
            house.clients.pop().close()


@pytest.fixture
def house(serve: Serve, database_url: str) -> ServedHouse:
    """A furnished house on each of the two databases."""
    return serve(database_url=database_url)


@pytest.fixture
def sqlite_house(serve: Serve) -> ServedHouse:
    """A furnished house on SQLite, for what does not depend on the database."""
    return serve()


def _furnish(settings: Settings) -> FirstKeys | None:
    # In a thread of its own: the browser's driver has a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run_on, settings, furnish).result()


def start_house(settings: Settings, keys: FirstKeys) -> ServedHouse:
    """Serve a furnished house from a thread of this process until `stop`."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(256)
    app = App(settings)
    config = server_config(
        app,
        shutdown_timeout_s=settings.shutdown_timeout_s,
        answering=app.answering,
        trusted_proxies=settings.trusted_proxies,
    )
    server = HouseServer(config)
    started = threading.Event()
    original = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        try:
            await original(sockets=sockets)
        finally:
            started.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    started.wait(30)
    assert server.started, "the house did not start"

    def stop() -> None:
        server.stop()
        thread.join(30)
        listening.close()
        assert not thread.is_alive()

    return ServedHouse(f"http://127.0.0.1:{listening.getsockname()[1]}", settings, keys, stop)
