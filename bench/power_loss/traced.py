"""Real processes of Keyhouse, all under one strace, so that one clock orders what any of them did."""

import asyncio
import contextlib
import itertools
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.chaos.client import UnansweredError, ask
from bench.chaos.upstream import lasting_port
from bench.power_loss.trace import TraceError, strace
from bench.serving import environment

KEYHOUSE = (sys.executable, "-P", "-m", "keyhouse")
_PATIENCE_S = 180.0
_POLL_S = 0.1


@dataclass
class Job:
    """One process, and what becomes of it."""

    name: str
    pid: "asyncio.Future[int]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    ended: "asyncio.Future[int]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    port: int = 0

    async def family(self) -> list[psutil.Process]:
        """The process and its workers; none once it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(await self.pid)
            return [first, *first.children(recursive=True)]
        return []


class Traced:
    """A shell under strace, which starts what it is told to. What a process says goes to a file of its name."""

    def __init__(self, shell: asyncio.subprocess.Process, said_in: Path) -> None:
        self._shell = shell
        self._said_in = said_in
        self._numbers = itertools.count()
        self._jobs: dict[int, Job] = {}

    async def start(self, name: str, command: Sequence[str], variables: Mapping[str, str] | None = None) -> Job:
        """Start a command under its name."""
        number, job = next(self._numbers), Job(name)
        self._jobs[number] = job
        settings = [f"{key}={value}" for key, value in (variables or {}).items()]
        inner = f'echo "{number} pid $$"; exec env "$@" > {shlex.quote(str(self._said_in / name))} 2>&1'
        self._write(f'( {shlex.join(["sh", "-c", inner, "sh", *settings, *command])}; echo "{number} ended $?" ) &\n')
        await job.pid
        return job

    async def run(self, name: str, command: Sequence[str], variables: Mapping[str, str] | None = None) -> int:
        """The same, to its end; its exit code."""
        job = await self.start(name, command, variables)
        async with asyncio.timeout(_PATIENCE_S):
            return await asyncio.shield(job.ended)

    async def must(self, name: str, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """The same, for what must go well."""
        if code := await self.run(name, command, variables):
            raise TraceError(f"{name} ended with {code}: {self.said(name)[-500:]}")

    async def serve(self, name: str, data: Path, workers: int) -> Job:
        """Start a server on a data folder, and wait until it serves."""
        port = lasting_port()
        more = {"KEYHOUSE_PORT": str(port), "KEYHOUSE_WORKERS": str(workers), "KEYHOUSE_SHUTDOWN_TIMEOUT_S": "5"}
        job = await self.start(name, [*KEYHOUSE, "serve"], {"KEYHOUSE_DATA_DIR": str(data), **more})
        job.port = port
        until = time.monotonic() + _PATIENCE_S
        while not await _is_ready(port):
            if job.ended.done() or time.monotonic() > until:
                raise TraceError(f"{name} does not serve: {self.said(name)[-500:]}")
            await asyncio.sleep(_POLL_S)
        return job

    async def stop(self, job: Job, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop a server as a person would, or kill it with all its workers at once."""
        family = await job.family()
        for one in family if number == signal.SIGKILL else family[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.shield(job.ended)
        await asyncio.to_thread(psutil.wait_procs, family, _PATIENCE_S)

    def said(self, name: str) -> str:
        return (self._said_in / name).read_text()

    def _write(self, line: str) -> None:
        assert self._shell.stdin
        self._shell.stdin.write(line.encode())

    async def follow(self) -> None:
        """Hear what the shell tells of its jobs, until it ends."""
        assert self._shell.stdout
        async for line in self._shell.stdout:
            number, what, value = line.decode().split()
            job = self._jobs[int(number)]
            (job.pid if what == "pid" else job.ended).set_result(int(value))

    async def end(self) -> None:
        """Kill what is left, and wait for the trace to be whole."""
        for job in self._jobs.values():
            if not job.ended.done() and job.pid.done():
                for one in await job.family():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.kill()
        assert self._shell.stdin
        self._shell.stdin.close()
        await self._shell.wait()


async def _is_ready(port: int) -> bool:
    try:
        return (await ask(port, "GET", "/readyz", {})).status == 200
    except (UnansweredError, TimeoutError):
        return False


@asynccontextmanager
async def traced(trace: Path, said_in: Path) -> AsyncIterator[Traced]:
    """Processes under strace, whose trace is whole afterwards."""
    pipe = asyncio.subprocess.PIPE
    shell = await asyncio.create_subprocess_exec(
        *strace(trace), "sh", stdin=pipe, stdout=pipe, env=environment(), cwd="/", start_new_session=True
    )
    here = Traced(shell, said_in)
    following = asyncio.create_task(here.follow())
    try:
        yield here
    finally:
        await here.end()
        await following
