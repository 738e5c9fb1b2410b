"""The `keyhouse` command and its parts. Loads nothing but the reader of the command line until a command runs."""

import sys

import typer

from keyhouse.cli.exit_codes import ExitCode, exit_code_of, report
from keyhouse.cli.options import flattened
from keyhouse.cli.serve import serve
from keyhouse.domain.errors import Error

app = typer.Typer(
    name="keyhouse",
    help="One house for a team's LLM provider credentials, and the door that everything calling a model goes through.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(flattened(serve))


@app.callback()
def _root() -> None:
    """One house for a team's LLM provider credentials."""


def run() -> None:
    """Run the command line, and exit."""
    try:
        app()
    except Error as error:
        report(error.message)
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
