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


_CODES: dict[Code, ExitCode] = {
    Code.STORAGE_UNAVAILABLE: ExitCode.UNREACHABLE,
    Code.UNAUTHENTICATED: ExitCode.NOT_PERMITTED,
    Code.INVALID_CREDENTIALS: ExitCode.NOT_PERMITTED,
    Code.MISSING_CREDENTIALS: ExitCode.NOT_PERMITTED,
    Code.WRONG_KEY_KIND: ExitCode.NOT_PERMITTED,
    Code.PERMISSION_DENIED: ExitCode.NOT_PERMITTED,
    Code.INSUFFICIENT_PERMISSIONS: ExitCode.NOT_PERMITTED,
}


def exit_code_of(error: Error) -> ExitCode:
    """What a command that met this error ends with."""
    return _CODES.get(error.code, ExitCode.FAILED)


def report(message: str) -> None:
    """Tell of an error on standard error."""
    shown = "".join(character if character.isprintable() else " " for character in message)
    sys.stderr.write(f"keyhouse: {shown}\n")
