"""What commands print: JSON for programs, tables for people. Rich is loaded only where a table is printed."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from keyhouse.cli.exit_codes import CommandError, ExitCode
from keyhouse.cli.secret_input import asked_yes, is_terminal

_WIDE = 10_000


def print_json(value: Any) -> None:
    """Print JSON, indented, in characters that standard output can take. Those that would move a terminal's cursor are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8")
    typer.echo("".join(character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1] for character in text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns under their names; into a file or a pipe at full width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    with console.capture() as printed:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))


def print_answer(answer: dict[str, Any], *, as_json: bool) -> None:
    """Print what is told of one thing: as JSON, or its fields."""
    if as_json:
        print_json(answer)
    else:
        print_fields(answer.items())


def print_page(answer: dict[str, Any], columns: Sequence[str], row: Callable[[Any], Sequence[object]], *, as_json: bool) -> None:
    """Print one page of a list: as JSON, or as a table, a row an entry, and whether there is another."""
    if as_json:
        print_json(answer)
        return
    print_table(columns, map(row, answer["data"]))
    page, limit, total = (answer["pagination"][name] for name in ("page", "limit", "total"))
    if total > page * limit:
        typer.echo(f"\n{total} in all: --page {page + 1} shows more.")


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values, a line each; what is None is left out."""
    given = [(shown(name), shown(value)) for name, value in fields if value is not None]
    width = max((len(name) for name, _ in given), default=0)
    for name, value in given:
        typer.echo(f"{name:<{width}}   {value}")


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for people at a terminal, on standard error. It is told how much is done, and of how much, 0 where nobody knows."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def shown(value: object) -> str:
    """A value for people, on one line, without characters that would move a terminal's cursor."""
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return "".join(character if character.isprintable() else "?" for character in text)


def confirm(question: str, *, yes: bool) -> None:
    """Ask whether the person is sure. Raises CommandError where the answer is no, or nobody can be asked."""
    if yes:
        return
    if not is_terminal():
        raise CommandError(f"{question} There is no terminal to ask on: say so with --yes.", ExitCode.USAGE)
    if not asked_yes(question, default=False):
        raise CommandError("Nothing was changed.")
