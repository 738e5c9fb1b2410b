"""The processes that serve: one, or several under a supervisor that replaces those that die. A signal to stop ends all with success."""

import asyncio
import contextlib
import errno
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

import structlog
import uvicorn

from keyhouse.app import App
from keyhouse.cli import takeover
from keyhouse.cli.exit_codes import ExitCode
from keyhouse.cli.server_command import REPLACE
from keyhouse.cli.takeover import Legacy
from keyhouse.log import WRITER
from keyhouse.services.metrics.memory import MetricsMemory
from keyhouse.services.metrics.metrics import Metrics
from keyhouse.settings import Settings
from keyhouse.web.serving import HouseServer, server_config

_log = structlog.get_logger("keyhouse")
# A terminal that closes says so by HUP; `nohup` has us overlook it.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else ()))
_HURRY = signal.SIGUSR1
"""Tells a worker to wait for no open request. Stops alone say nothing of haste: who stops a group of processes, as systemd does, tells each
worker of it as well, and the supervisor tells them once more.
"""
_EARLY_S = 30.0
_LOOK_EVERY_S = 0.1
_LONGEST_DELAY_S = 30.0
_OPENS_WITHIN_S = 3.0
_GOES_ON = "The server goes on as it was, because it could not start again. The lines above say why."


class Server(HouseServer):
    """Finishes open requests on a signal and then returns, instead of dying of it; a second signal closes them.

    `on_started` is called on the event loop as soon as requests are answered. `wanted` can be read, if given, once nobody wants the server.
    """

    def __init__(
        self, config: uvicorn.Config, stop_signals: Sequence[signal.Signals], on_started: Callable[[], None], wanted: int | None = None
    ) -> None:
        super().__init__(config)
        self._stop_signals = stop_signals
        self._on_started = on_started
        self._wanted = wanted

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the house, then accept connections."""
        if self._wanted is not None:
            asyncio.get_running_loop().add_reader(self._wanted, self._stop_unwanted, self._wanted)
        giving_up = asyncio.create_task(self._give_up())
        await super().startup(sockets)
        giving_up.cancel()
        self._on_started()

    async def _give_up(self) -> None:
        """Told to stop while the house opens, soon end without it: what it waits for, such as another process's start, may take for ever.

        The thread that waits would have this process wait as well, so it ends at once.
        """
        await self.told()
        await asyncio.sleep(_OPENS_WITHIN_S)
        WRITER.flush()
        os._exit(ExitCode.DONE)

    def _stop_unwanted(self, wanted: int) -> None:
        asyncio.get_running_loop().remove_reader(wanted)
        os.kill(os.getpid(), signal.SIGTERM)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals while serving, and to those that were held back until now."""
        before = {number: signal.signal(number, self.handle_exit) for number in self._stop_signals}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._stop_signals)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; at the second time, or in a worker when told to hurry, without waiting for open requests."""
        if sig == _HURRY:
            self.should_exit = True
        if sig == _HURRY or self._wanted is None or not self.should_exit:
            self.stop()


def overlook(stop_signals: Sequence[signal.Signals]) -> None:
    """Let nothing that tells this process to stop reach it any more: it is ending, or has to finish what it does.

    Python lets go of our handlers before it ends, but leaves alone what is ignored. To hold signals back would be for this thread only.
    """
    for number in stop_signals:
        signal.signal(number, signal.SIG_IGN)


def serve_alone(settings: Settings, listening: socket.socket) -> ExitCode:
    """Serve in this process until a signal says to stop."""
    # Sent to a supervisor it means nothing; whoever takes it for what has others open their logs anew ends no request here either.
    signal.signal(_HURRY, signal.SIG_IGN)
    signal.signal(REPLACE, lambda number, frame: _log.warning("a server of one process cannot be replaced in place: restart it"))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {REPLACE})
    return _serve(App(settings), settings, listening, STOP_SIGNALS, lambda: None)


def supervise(settings: Settings, listening: socket.socket, legacy: Legacy | None) -> ExitCode:
    """Serve in several processes until a signal says to stop, or until none of them could ever start.

    The workers of a server before this one finish what they have begun as soon as those of this one serve.
    """
    # What the workers share stays shared: their collectors do not look at it, nor write to it.
    gc.freeze()
    gc.enable()
    try:
        return _Supervisor(settings, listening, legacy).run()
    finally:
        WRITER.flush(last=True)


def _serve(
    app: App,
    settings: Settings,
    listening: socket.socket,
    stop_signals: Sequence[signal.Signals],
    on_started: Callable[[], None],
    wanted: int | None = None,
) -> ExitCode:
    config = server_config(
        app,
        shutdown_timeout_s=settings.shutdown_timeout_s,
        answering=app.answering,
        trusted_proxies=settings.trusted_proxies,
    )
    server = Server(config, stop_signals, on_started, wanted)
    try:
        server.run(sockets=[listening])
    except SystemExit:
        # The house did not open. Why stands in the log.
        return ExitCode.FAILED
    finally:
        overlook(stop_signals)
        WRITER.flush()
    return ExitCode.DONE


@dataclass
class _Worker:
    """One place for a process, by its number. From the pipe `ready` a byte can be read once it serves; times are monotonic seconds."""

    number: int
    process_id: int = 0
    ready: int = -1
    was_ready: bool = False
    started_at: float = 0.0
    early_deaths: int = 0
    start_at: float = 0.0

    @property
    def runs(self) -> bool:
        return self.process_id != 0


class _Supervisor:
    """Waits for signals: of children that died, of the clock, and of whoever wants it to stop or to be replaced.

    `_former` are workers of the server before this one, `_former_wanted` the pipe's end that they live by. Each of ours lets go of it once
    it serves, the supervisor once any does: what keeps all of them from starting, such as a database that is away, ends nobody's service.
    """

    _WAITED = (signal.SIGCHLD, signal.SIGALRM, REPLACE, *STOP_SIGNALS)

    def __init__(self, settings: Settings, listening: socket.socket, legacy: Legacy | None) -> None:
        self._settings = settings
        self._listening = listening
        self._workers = [_Worker(number) for number in range(settings.workers)]
        self._metrics = MetricsMemory(settings.workers)
        self._alive = os.pipe()
        self._former = set(legacy.workers) if legacy else set()
        self._former_wanted = legacy.wanted if legacy else None
        self._served = legacy is not None
        self._check: subprocess.Popen[bytes] | None = None
        self._outcome: ExitCode | None = None

    def run(self) -> ExitCode:
        """Until all have ended."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {*self._WAITED, _HURRY})
        # Without a handler some systems drop the signal even while it is waited for.
        for waited in (signal.SIGCHLD, REPLACE):
            signal.signal(waited, lambda number, frame: None)
        self._start_due()
        while self._outcome is None or self._former or self._check or any(worker.runs for worker in self._workers):
            # Who wants another replacement meanwhile is heard when it is known what came of this one.
            number = signal.sigwait({*self._WAITED} - ({REPLACE} if self._check else set()))
            WRITER.flush()
            if number in STOP_SIGNALS:
                self._stop(ExitCode.DONE)
            if number == REPLACE and self._outcome is None:
                self._begin_check()
            self._reap()
            self._hand_over()
            if self._outcome is None:
                self._start_due()
        return self._outcome

    def _start_due(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if not worker.runs and worker.start_at <= now:
                self._start(worker)
        later = [worker.start_at - now for worker in self._workers if not worker.runs]
        if self._former_wanted is not None or WRITER.has_lines:
            # No signal says that a worker serves, or that somebody reads the log.
            later.append(_LOOK_EVERY_S)
        signal.setitimer(signal.ITIMER_REAL, max(min(later), 0.01) if later else 0)

    def _start(self, worker: _Worker) -> None:
        try:
            process_id, ready, tell = _forked()
        except OSError as failure:
            # Memory, process ids or files have run out. That is no reason for the others to end.
            worker.early_deaths += 1
            worker.start_at = time.monotonic() + _delay_s(worker)
            reason = errno.errorcode.get(failure.errno or 0)
            _log.error("a worker cannot be started now, and is later", reason=reason, after_s=_delay_s(worker))
            return
        if process_id == 0:
            os.close(ready)
            self._work(worker.number, tell)
        os.close(tell)
        worker.process_id, worker.ready, worker.was_ready, worker.started_at = process_id, ready, False, time.monotonic()

    def _work(self, number: int, tell: int) -> None:
        """What a child does, to its end."""
        os.close(self._alive[1])
        for sibling in self._workers:
            if sibling.runs:
                os.close(sibling.ready)
        # All signals stay held back: told to stop before it can act on that, it hears it as soon as it can, and of those that a terminal
        # sends to all of us the supervisor passes on what they mean. Told to hurry once it has ended, it overlooks that.
        signal.signal(_HURRY, signal.SIG_IGN)

        def on_started() -> None:
            # The supervisor may be gone already: then nobody reads this, and the other pipe says so.
            with contextlib.suppress(BrokenPipeError):
                os.write(tell, b"1")
            os.close(tell)
            if self._former_wanted is not None:
                os.close(self._former_wanted)

        # The supervisor alone holds the other end: when it is gone, however it went, the pipe ends.
        app = App(self._settings, Metrics(self._metrics, number))
        sys.exit(_serve(app, self._settings, self._listening, (signal.SIGTERM, _HURRY), on_started, self._alive[0]))

    def _reap(self) -> None:
        for worker in self._workers:
            if worker.runs and select.select([worker.ready], [], [], 0)[0] and os.read(worker.ready, 1):
                worker.was_ready = self._served = True
                self._let_go_of_former()
        for worker in self._workers:
            if worker.runs and os.waitpid(worker.process_id, os.WNOHANG)[0]:
                os.close(worker.ready)
                self._replace(worker)
        self._former = {process_id for process_id in self._former if not os.waitpid(process_id, os.WNOHANG)[0]}

    def _replace(self, worker: _Worker) -> None:
        """Say when the place of a worker that ended is taken again: the later, the more often it ended early."""
        died_early = not worker.was_ready or time.monotonic() - worker.started_at < _EARLY_S
        worker.early_deaths = worker.early_deaths + 1 if died_early else 0
        delay = _delay_s(worker)
        worker.start_at = time.monotonic() + delay
        process_id, worker.process_id = worker.process_id, 0
        if self._outcome is None and not self._served and all(each.early_deaths for each in self._workers):
            _log.error("No worker could start. The lines above say why.")
            self._stop(ExitCode.FAILED)
        elif self._outcome is None:
            _log.warning("a worker ended unexpectedly and is replaced", process_id=process_id, after_s=delay)

    def _let_go_of_former(self) -> None:
        if self._former_wanted is not None:
            os.close(self._former_wanted)
            self._former_wanted = None

    def _begin_check(self) -> None:
        self._check = takeover.begun_check()
        if self._check is None:
            _log.error(_GOES_ON)

    def _hand_over(self) -> None:
        """Become another server once a check found that it could start. Our workers go on until its own serve, or where none of them
        serves yet those before them.
        """
        code = self._check.poll() if self._check else None
        if code is None:
            return
        self._check = None
        if self._outcome is not None:
            return
        if code != 0:
            _log.error(_GOES_ON)
            return
        running = (worker.process_id for worker in self._workers if worker.runs)
        wanted = self._alive[1] if self._former_wanted is None else self._former_wanted
        takeover.become_successor(Legacy(self._listening.fileno(), wanted, (*self._former, *running)))
        _log.error(_GOES_ON)

    def _stop(self, outcome: ExitCode) -> None:
        """Tell all to finish; told again, they no longer wait for open requests. Former workers are finishing already."""
        former, number = (self._former, _HURRY) if self._outcome is not None else ((), signal.SIGTERM)
        self._outcome = self._outcome or outcome
        # Ours is open in the name of workers to come. Left so, it would take connections that nobody serves.
        self._listening.close()
        self._let_go_of_former()
        if self._check:
            # While it loads it holds signals back.
            self._check.kill()
        for process_id in (*former, *(worker.process_id for worker in self._workers if worker.runs)):
            os.kill(process_id, number)


def _forked() -> tuple[int, int, int]:
    """A child's process id, 0 in the child itself, and the two ends of a pipe from it. Raises OSError; then there is neither."""
    ready, tell = os.pipe()
    try:
        return os.fork(), ready, tell
    except OSError:
        os.close(ready)
        os.close(tell)
        raise


def _delay_s(worker: _Worker) -> float:
    """How long its place stays empty: longer each time that a process for it ended early or could not be started."""
    # Beyond 2.0 ** 1023, a night of such deaths, there is no number.
    return min(2.0 ** min(worker.early_deaths - 1, 10), _LONGEST_DELAY_S) if worker.early_deaths else 0.0
