"""Serving from beginning to end: what is checked, made and said before the first request. Nothing is made before the port is ours."""

import asyncio
import contextlib
import json
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from types import FrameType

import structlog

from keyhouse.app import opened_storage, read_files
from keyhouse.cli.data_folder import make_data_folder
from keyhouse.cli.exit_codes import ExitCode
from keyhouse.cli.listening import is_loopback, listen, shown_address
from keyhouse.cli.standard_streams import drop_output
from keyhouse.cli.takeover import Legacy
from keyhouse.cli.welcome import farewell_to_keys, welcome
from keyhouse.cli.workers import STOP_SIGNALS, overlook, serve_alone, supervise
from keyhouse.domain.errors import Code, Error
from keyhouse.log import WRITER, configure_logging
from keyhouse.services.first_start import FirstKeys, furnish
from keyhouse.services.tracing import require_tracing
from keyhouse.settings import Settings, read_settings, unknown_variables
from keyhouse.storage.database_url import parse_database_url

_SHORTEST_INSTANCE_KEY = 20
_log = structlog.get_logger("keyhouse")


def check() -> ExitCode:
    """Prepare what a server with these settings needs, for one that is to be replaced. Raises Error with what to do."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    _configure(settings := read_settings())
    prepare_in_child(settings, lambda child: None)
    return ExitCode.DONE


def serve(legacy: Legacy | None = None) -> ExitCode:
    """Serve until a signal says to stop, in the place of another server where that left something. Raises Error with a sentence that says
    what to do.

    The server before this one holds signals back. One to stop that comes now is heard once its workers can be told to finish.
    """
    # Who started this may have overlooked how its children end, and have handed that on. We ask.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _configure(settings := read_settings())
    WRITER.keep_lines()
    _allow_open_files()
    parse_database_url(settings.url)
    listening = listen(settings.host, settings.port) if legacy is None else legacy.socket()
    address = shown_address(listening)
    _warn(settings, loopback=is_loopback(listening))
    make_data_folder(settings)
    patience = _Patience()
    # For a successor all was prepared by the check. What fails since then is tried again by its workers, while the former ones serve.
    try:
        first = prepare_in_child(settings, patience.has_child) if legacy is None else None
    except KeyboardInterrupt:
        overlook(STOP_SIGNALS)
        return ExitCode.DONE
    _say(welcome(settings, address, first), made_keys=first is not None)
    if patience.ended():
        return ExitCode.DONE
    return serve_alone(settings, listening) if settings.workers == 1 else supervise(settings, listening, legacy)


def _configure(settings: Settings) -> None:
    configure_logging(settings.log_format, settings.log_level)
    os.umask(0o077)


def _allow_open_files() -> None:
    """As many as the system lets us: each connection is one, and what a shell allows is meant for programs that open few."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # macOS says "unlimited" and refuses it; this many it allows.
    for most in (hard, 10_240):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return


def prepare_in_child(settings: Settings, has_child: Callable[[int], None]) -> FirstKeys | None:
    """Make or upgrade what the settings name, in a process of its own: what that loads must not stay in the servers' memory.

    Files come first: no key is made that could then not be shown. `has_child` is told of that process, and that there is none any more
    by 0. Returns the keys, if this made them. Raises Error, also as it came in the child; KeyboardInterrupt where that was told to stop
    before it came to the keys.
    """
    read_files(settings)
    reading, writing = os.pipe()
    sys.stdout.flush()
    held_back = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    child = _forked()
    if child == 0:
        os.close(reading)
        _end_with_reader(writing)
        _end_when_told()
        with open(writing, "w", encoding="utf-8") as pipe:
            json.dump(_prepared(settings), pipe)
        # At once: while Python forgets everything, a signal would kill it, and keys that it made would never be shown.
        os._exit(ExitCode.DONE)
    has_child(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        answer = pipe.read()
    has_child(0)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if status != 0 or not answer:
        raise Error(Code.INTERNAL, "Preparing the data ended unexpectedly. Nothing is lost; look at the lines above, then start again.")
    outcome = json.loads(answer)
    if "error" in outcome:
        raise Error(Code(outcome["error"]["code"]), outcome["error"]["message"])
    return FirstKeys(**outcome["keys"]) if outcome["keys"] else None


def _forked() -> int:
    try:
        return os.fork()
    except OSError as problem:
        why = f"No further process can be started now ({problem.strerror}), and a start needs one."
        raise Error(Code.INTERNAL, f"{why} Nothing was changed; start again when there is room.") from None


def _end_with_reader(pipe: int) -> None:
    """Have this process end when nobody reads its pipe any more, whatever it waits for: keys that it made then would never be shown."""
    broken = select.poll()
    # A pipe that nobody reads is told of without being asked for.
    broken.register(pipe, 0)

    def watch() -> None:
        broken.poll()
        os._exit(ExitCode.FAILED)

    threading.Thread(target=watch, daemon=True).start()


def _end_when_told() -> None:
    """Have this process end at once when told to stop. Signals were held back until now. A schema that it upgrades stays as it was then."""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda _number, _frame: os._exit(ExitCode.INTERRUPTED))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _prepared(settings: Settings) -> dict[str, object]:
    try:
        first = asyncio.run(_prepare(settings))
    except Error as error:
        return {"error": {"code": error.code.value, "message": error.message}}
    return {"keys": None if first is None else asdict(first)}


async def _prepare(settings: Settings) -> FirstKeys | None:
    if settings.tracing:
        require_tracing()
    async with opened_storage(settings) as storage:
        # From now on keys are made, and shown.
        overlook(STOP_SIGNALS)
        return await furnish(storage)


class _Patience:
    """From the making of keys to their printing a signal to stop waits: they are shown once. A second signal does not wait.

    The process that prepares the data is told of the first one, and ends where it has not come to the keys, such as while it waits for
    another one.
    """

    def __init__(self) -> None:
        self._asked_to_stop = False
        self._child = 0
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked_to_stop:
            sys.exit(ExitCode.INTERRUPTED)
        self._asked_to_stop = True
        self._tell_child()

    def has_child(self, process_id: int) -> None:
        """This process prepares the data; none does any more where it is 0."""
        self._child = process_id
        if self._asked_to_stop:
            self._tell_child()

    def _tell_child(self) -> None:
        if self._child:
            os.kill(self._child, signal.SIGTERM)

    def ended(self) -> bool:
        """Whether a signal came. Later ones wait for the server, which lets them in as soon as it can act on them."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        return self._asked_to_stop


def _say(text: str, *, made_keys: bool) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        drop_output()
        if made_keys:
            raise Error(Code.CONFIGURATION, farewell_to_keys()) from None


def _warn(settings: Settings, *, loopback: bool) -> None:
    if not loopback:
        _log.warning(
            f"Keyhouse listens on {settings.host} without TLS: API keys and credentials cross the network in clear. "
            "Put a proxy that ends TLS in front of it, or listen on 127.0.0.1."
        )
    if settings.admin_key is not None and len(settings.admin_key.get_secret_value()) < _SHORTEST_INSTANCE_KEY:
        _log.warning(
            f"KEYHOUSE_ADMIN_KEY is shorter than {_SHORTEST_INSTANCE_KEY} characters, and nobody who reaches this server is kept from "
            "guessing. Make a longer one, such as by `openssl rand -hex 32`."
        )
    if unknown := unknown_variables():
        _log.warning(f"No setting of Keyhouse, and ignored: {', '.join(unknown)}. See docs/settings.md for those there are.")
