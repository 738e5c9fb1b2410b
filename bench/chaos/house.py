"""The house of the chaos run: real servers over one database, commands beside them, and all that can be done to them."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.chaos.client import Answer, UnansweredError, ask
from bench.chaos.postgres import ChaosPostgres
from bench.chaos.upstream import lasting_port
from bench.serving import environment
from keyhouse.settings import Settings

ADMIN_KEY = "instance-key-of-the-chaos-run"
_KEYHOUSE = (sys.executable, "-P", "-m", "keyhouse")
_START_PATIENCE_S = 60.0
_FORGOTTEN_AFTER_S = 140.0
"""A process that does not say so is taken for ended after two minutes."""


class FoundError(Exception):
    """What must never be."""


@dataclass
class Server:
    """One `keyhouse serve`."""

    number: int
    workers: int
    port: int
    log: Path
    process: psutil.Popen | None = None
    family: list[psutil.Process] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def look(self) -> list[psutil.Process]:
        """The process and its workers, remembered for when they are orphans."""
        if self.process is not None and self.runs:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.family = [self.process, *self.process.children(recursive=True)]
        return self.family

    def serving(self) -> set[int]:
        """The processes that answer callers."""
        family = self.look()
        return {one.pid for one in (family if self.workers == 1 else family[1:]) if one.is_running()}

    def kill(self, whom: str) -> None:
        """`all` at once, one `worker`, or the `supervisor` alone."""
        family = self.look()
        chosen = {"all": family, "supervisor": family[:1], "worker": family[-1:]}[whom]
        for one in chosen:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(chosen if self.workers == 1 or whom != "worker" else [], timeout=20)

    def send(self, number: signal.Signals) -> None:
        for one in self.look():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)


class House:
    """Where everything lies, and how it is asked."""

    def __init__(self, folder: Path, postgres: ChaosPostgres | None, workers: tuple[int, ...]) -> None:
        self.folder, self.postgres = folder, postgres
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        self.url = postgres.new_database() if postgres else f"sqlite:///{self.data / 'keyhouse.db'}"
        self.ring = self.data / "keyring"
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.servers = [Server(number, count, lasting_port(), self.logs / f"server-{number}") for number, count in enumerate(workers)]
        self.killed_at: dict[int, float] = {}
        self.kills = 0
        self.more: Mapping[str, str] = {}
        """Further variables of the servers."""
        self._copies = 0

    @property
    def settings(self) -> Settings:
        return self.settings_for(self.url)

    def settings_for(self, url: str, ring: Path | None = None) -> Settings:
        return Settings.model_validate({"data_dir": self.data, "database_url": url, "key_file": ring or self.ring})

    def variables(self, ring: Path | None = None, url: str | None = None) -> Mapping[str, str]:
        return environment(
            {
                "KEYHOUSE_DATA_DIR": str(self.data),
                "KEYHOUSE_DATABASE_URL": url or self.url,
                "KEYHOUSE_KEY_FILE": str(ring or self.ring),
                "KEYHOUSE_ADMIN_KEY": ADMIN_KEY,
                "KEYHOUSE_SHUTDOWN_TIMEOUT_S": "5",
                "KEYHOUSE_LOG_LEVEL": "debug",
                # Nobody is there: what would go to a provider's own address goes nowhere.
                "KEYHOUSE_HTTPS_PROXY": "http://127.0.0.1:9",
            }
        )

    def new_target(self, *, sqlite: bool) -> str:
        """The URL of an empty database, of either kind."""
        self._copies += 1
        if sqlite or self.postgres is None:
            return f"sqlite:///{self.data / f'copy-{self._copies}.db'}"
        return self.postgres.new_database()

    async def start(self, server: Server) -> None:
        """Start one, and wait until it serves."""
        if server.runs:
            return
        more = {"KEYHOUSE_PORT": str(server.port), "KEYHOUSE_WORKERS": str(server.workers)}
        until = time.monotonic() + _START_PATIENCE_S
        with server.log.open("ab") as log:
            while True:
                server.process = psutil.Popen([*_KEYHOUSE, "serve"], env={**self.variables(), **more, **self.more}, stdout=log, stderr=log)
                if await self._is_ready(server, until):
                    server.look()
                    return
                if time.monotonic() > until:
                    raise FoundError(f"server {server.number} does not start: {server.log.read_text()[-1500:]}")

    async def _is_ready(self, server: Server, until: float) -> bool:
        while time.monotonic() < until:
            if not server.runs:
                # Workers of a killed supervisor may still hold the port for a moment: nothing else excuses an end.
                if "in use" not in server.log.read_text()[-1500:]:
                    raise FoundError(f"server {server.number} does not start: {server.log.read_text()[-1500:]}")
                await asyncio.sleep(0.2)
                return False
            with contextlib.suppress(UnansweredError):
                if (await self.ask(server, "GET", "/readyz")).status == 200 and len(server.serving()) == server.workers:
                    return True
            await asyncio.sleep(0.05)
        return False

    async def start_all(self) -> None:
        """Have every server serve with all of its workers."""
        await asyncio.gather(*(self.start(server) for server in self.servers))
        until = time.monotonic() + _START_PATIENCE_S
        while any(len(server.serving()) < server.workers for server in self.servers):
            if time.monotonic() > until:
                raise FoundError("a worker that was killed is not replaced")
            await asyncio.sleep(0.05)

    def kill(self, server: Server, whom: str) -> None:
        """Kill it, as `kill -9` does."""
        before = {one.pid for one in server.look()}
        server.kill(whom)
        self.kills += 1
        self.killed_at |= dict.fromkeys(before, time.monotonic())

    def stop_all(self) -> None:
        """Stop as an operator does. A server must end with success."""
        processes = [server.process for server in self.servers if server.process is not None and server.runs]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        psutil.wait_procs(processes, timeout=30)
        codes = [process.poll() for process in processes]
        if any(codes):
            raise FoundError(f"servers that were told to stop ended with {codes}")

    def end(self) -> None:
        """Leave nothing behind."""
        for server in self.servers:
            server.kill("all")
            psutil.wait_procs(server.family, timeout=20)

    def live(self) -> set[int]:
        """Every process of every server."""
        return {one.pid for server in self.servers for one in server.look() if one.is_running()}

    def killed_lately(self) -> set[int]:
        """Processes that a status may still list, and a copy take for ones that serve."""
        return {pid for pid, at in self.killed_at.items() if time.monotonic() - at < _FORGOTTEN_AFTER_S}

    async def ask(
        self, server: Server, method: str, path: str, key: str = "", body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own. Raises UnansweredError."""
        named = {"authorization": f"Bearer {key}"} if key else {}
        try:
            return await ask(server.port, method, path, {**named, **(headers or {})}, body)
        except TimeoutError as failure:
            raise FoundError(f"no answer in a minute: {method} {path}") from failure

    async def command(
        self, *arguments: str, ring: Path | None = None, url: str | None = None, kill_after: float | None = None
    ) -> tuple[int, str]:
        """A command of the command line: exit code (-9: killed) and all that it said. What it says is kept with the logs."""
        return await self.program(*_KEYHOUSE, *arguments, ring=ring, url=url, kill_after=kill_after)

    async def program(
        self, *arguments: str, ring: Path | None = None, url: str | None = None, kill_after: float | None = None
    ) -> tuple[int, str]:
        """The same of any program."""
        running = await asyncio.create_subprocess_exec(
            *arguments, env=self.variables(ring, url), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(kill_after or 120):
                said, _ = await running.communicate()
        except TimeoutError:
            running.kill()
            said, _ = await running.communicate()
            if kill_after is None:
                raise FoundError(f"no end: {' '.join(arguments)}: {said.decode()[-500:]}") from None
            self.kills += 1
        with (self.logs / "commands").open("ab") as log:
            log.write(f"$ {' '.join(arguments)}\n".encode() + said)
        return running.returncode or 0, said.decode()

    async def refuses_to_start(self, ring: Path) -> str:
        """What a server says that must not start with this ring. Raises FoundError where it serves."""
        more = {"KEYHOUSE_PORT": str(lasting_port()), **self.variables(ring)}
        process = await asyncio.create_subprocess_exec(*_KEYHOUSE, "serve", env=more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            async with asyncio.timeout(_START_PATIENCE_S):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            raise FoundError("a server serves with a wrong key ring") from None
        with (self.logs / "commands").open("ab") as log:
            log.write(b"$ serve with a wrong ring\n" + said)
        if process.returncode == 0 or "Traceback" in said.decode():
            raise FoundError(f"a start with a wrong ring ended with {process.returncode}: {said.decode()[-800:]}")
        return said.decode()

    def database_files(self) -> list[Path]:
        """Everything on disk that could hold a secret: databases, their logs, the servers' logs."""
        places = [self.data, self.logs, *([self.postgres.home] if self.postgres else [])]
        return [path for place in places for path in place.rglob("*") if path.is_file() and not path.name.startswith("keyring")]

    def put_ring(self, text: str) -> None:
        """Replace the ring's file at once, as an operator should."""
        new = self.ring.with_name("keyring.new")
        new.write_text(text)
        new.chmod(0o600)
        shutil.chown(new, self.ring.stat().st_uid, self.ring.stat().st_gid)
        new.replace(self.ring)
