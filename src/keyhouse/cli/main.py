"""The `keyhouse` command and its parts. Loads nothing but the reader of the command line until a command runs."""

import errno
import os
import sys
from typing import Annotated

import typer

from keyhouse.cli import api_key, catalog, database, keys, organization, project, provider, team
from keyhouse.cli.audit import audit
from keyhouse.cli.demo_upstream import demo_upstream
from keyhouse.cli.exit_codes import CommandError, ExitCode, exit_code_of, report
from keyhouse.cli.options import flattened
from keyhouse.cli.serve import serve
from keyhouse.cli.standard_streams import drop_output
from keyhouse.cli.status import status
from keyhouse.domain.errors import Error

_UNWRITABLE = frozenset({errno.EBADF, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

app = typer.Typer(
    name="keyhouse",
    help="One house for a team's LLM provider credentials, and the door that everything calling a model goes through.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(flattened(serve))
app.command()(flattened(status))
for _group in (organization, team, project, api_key, provider, keys, database, catalog):
    app.add_typer(_group.app)
app.command()(flattened(audit))
app.command()(demo_upstream)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"keyhouse {version('keyhouse')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """One house for a team's LLM provider credentials."""


def run() -> None:
    """Run the command line, and exit."""
    try:
        app(prog_name="keyhouse")
    except CommandError as error:
        report(error.message)
        sys.exit(error.exit_code)
    except Error as error:
        report(error.message)
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as cause:  # noqa: BLE001 - the edge; the library's own hook would print the message
        if isinstance(cause, OSError) and cause.errno in _UNWRITABLE and cause.filename is None:
            _report_unwritable(cause.errno)
        else:
            _report_unforeseen(cause)
        sys.exit(ExitCode.FAILED)


def _report_unwritable(number: int) -> None:
    report(f"What this command did is done, but its answer cannot be written: {os.strerror(number)}.")
    drop_output()


def _report_unforeseen(cause: BaseException) -> None:
    """In the place of Python's traceback, which would print the exception's message: that may hold a key."""
    from keyhouse.log import described

    told = described(cause)
    report(f"This is a mistake of Keyhouse, please report it: {told['cause']} at {', '.join(told['places'])}")
