"""Where secrets come in: a hidden prompt, standard input or a file. Never an argument, which everybody on the machine can read."""

import sys
from pathlib import Path

import typer

from keyhouse.cli.exit_codes import CommandError, ExitCode


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()


def asked(question: str, *, hidden: bool = False) -> str:
    """What a person types; an empty string where they just press Enter. Raises CommandError where they leave."""
    try:
        answer: str = typer.prompt(question, hide_input=hidden, err=True, default="", show_default=False)
    except typer.Abort:
        raise interrupted() from None
    return answer


def asked_yes(question: str, *, default: bool) -> bool:
    """Whether a person says yes. Raises CommandError where they leave."""
    try:
        return typer.confirm(question, default=default, err=True)
    except typer.Abort:
        raise interrupted() from None


def interrupted() -> CommandError:
    """Somebody left a question."""
    sys.stderr.write("\n")
    return CommandError("Nothing was changed.", ExitCode.INTERRUPTED)


def asked_secret(what: str, instead: str) -> str:
    """A secret that a person types, hidden. Raises CommandError, naming what to do instead, where nobody can be asked."""
    if not is_terminal():
        raise CommandError(f"No {what} was given, and there is no terminal to ask on. Use {instead}.", ExitCode.USAGE)
    value = asked(what, hidden=True)
    if not value.strip():
        raise CommandError(f"The {what} is empty. Nothing was changed.", ExitCode.USAGE)
    return value.strip()


def read_stdin(what: str) -> str:
    """All of standard input, without line breaks at its ends."""
    value = _plain(sys.stdin.read())
    if not value.strip():
        raise CommandError(f"Standard input is empty; {what} was to be read from it.", ExitCode.USAGE)
    return value


def read_stdin_lines(names: list[str]) -> list[str]:
    """A secret a line, as many as there are names; for one name all of standard input, which may have several lines."""
    if len(names) == 1:
        return [read_stdin(names[0])]
    lines = [line for line in _plain(sys.stdin.read()).splitlines() if line.strip()]
    if len(lines) != len(names):
        raise CommandError(f"Standard input has {len(lines)} lines; one each was to be read for {', '.join(names)}.", ExitCode.USAGE)
    return lines


def read_secret_file(name: str, path: str) -> str:
    """A secret from a file; `-` is standard input."""
    if path == "-":
        return read_stdin(name)
    try:
        value = _plain(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is not text"
        raise CommandError(f"The file for {name} cannot be read: {path} ({why}).", ExitCode.USAGE) from None
    if not value.strip():
        raise CommandError(f"The file for {name} is empty: {path}.", ExitCode.USAGE)
    return value


def _plain(text: str) -> str:
    """Text without the mark that Windows puts before it, and without line breaks at its ends."""
    return text.removeprefix("\ufeff").strip("\r\n")
