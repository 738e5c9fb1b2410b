"""A server that is replaced in place: what it leaves to its successor, which is the same process with whatever is installed by then."""

import errno
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

import structlog

from keyhouse.cli.server_command import COMMAND

_log = structlog.get_logger("keyhouse")
CHECK = "--check"
"""Asks the server's process to prepare the data and to say whether a server could start, and no more."""
_IN_PLACE_OF = "--in-place-of"


@dataclass(frozen=True, slots=True)
class Legacy:
    """The listening socket, the end of the pipe by which the workers know that they are wanted, and their process ids."""

    listening: int
    wanted: int
    workers: tuple[int, ...]

    def socket(self) -> socket.socket:
        """The socket, for this process and those that it forks."""
        return socket.socket(fileno=self.listening)


def legacy_of(arguments: list[str]) -> Legacy | None:
    """What was left to this process, if anything was."""
    if _IN_PLACE_OF not in arguments:
        return None
    listening, wanted, *workers = map(int, arguments[arguments.index(_IN_PLACE_OF) + 1].split(","))
    return Legacy(listening, wanted, tuple(workers))


def begun_check() -> subprocess.Popen[bytes] | None:
    """A process that ends with success if a server that is started now would open the house; what is wrong stands on standard error. It
    brings the schema up to date. None where it cannot be started.
    """
    try:
        return subprocess.Popen([*COMMAND, CHECK], stdin=subprocess.DEVNULL)  # noqa: S603 - a command of ours
    except OSError as failure:
        _tell(failure)
        return None


def become_successor(legacy: Legacy) -> None:
    """Become the server that takes over. Returns only where that cannot be started. Signals that are held back wait for it."""
    os.set_inheritable(legacy.listening, True)
    os.set_inheritable(legacy.wanted, True)
    left = ",".join(map(str, (legacy.listening, legacy.wanted, *legacy.workers)))
    try:
        os.execv(sys.executable, [*COMMAND, _IN_PLACE_OF, left])  # noqa: S606
    except OSError as failure:
        _tell(failure)


def _tell(failure: OSError) -> None:
    _log.error("no process can be started now", reason=errno.errorcode.get(failure.errno or 0))
