"""How commands end, for scripts, and the one way they tell of an error: a sentence on standard error."""

import sys
from enum import IntEnum

from keyhouse.domain.errors import Code, Error


class ExitCode(IntEnum):
    """What a command ends with. `docs/command-line.md` says the same."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_PERMITTED = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """A command that cannot go on: a sentence for a person, and what the command ends with."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def exit_code_of(error: Error) -> ExitCode:
    """What a command that met this error ends with."""
    return ExitCode.UNREACHABLE if error.code is Code.STORAGE_UNAVAILABLE else ExitCode.FAILED


def exit_code_of_status(status: int) -> ExitCode:
    """What a command ends with whose request was answered with this status, 400 or above."""
    if status in (401, 403):
        return ExitCode.NOT_PERMITTED
    return ExitCode.UNREACHABLE if status in (502, 503, 504) else ExitCode.FAILED


def report(message: str) -> None:
    """Tell of an error on standard error."""
    shown = "".join(character if character.isprintable() else " " for character in message)
    sys.stderr.write(f"keyhouse: {shown}\n")
