"""Which entry of a list a command means: the one that is named by its id or slug, or the only one."""

from collections.abc import Sequence
from typing import Any

from keyhouse.cli.exit_codes import CommandError, ExitCode

_SHOWN = 10


def chosen(found: Sequence[Any], wanted: str | None, kind: str, choice: str | None = None) -> Any:
    """The entry. Raises CommandError where none is meant, or more than one; `choice` says how one of several is named, if not by an
    option of the kind's name."""
    matching = found if wanted is None else [each for each in found if wanted in (each["id"], each["slug"])]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(each["slug"] for each in found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    if not found and wanted is None:
        raise CommandError(f"There is no {kind} yet. Make one with `keyhouse {kind} create NAME`.")
    if not matching:
        there_are = f"There are: {names}." if found else f"`keyhouse {kind} list` shows those there are."
        raise CommandError(f"There is no {kind} with this id or slug. {there_are}")
    if wanted is not None:
        ids = ", ".join(each["id"] for each in matching)
        raise CommandError(f"There are several with this slug. Name one by its id: {ids}.", ExitCode.USAGE)
    raise CommandError(f"There are several: {names}. {choice or f'Choose one with --{kind}.'}", ExitCode.USAGE)
