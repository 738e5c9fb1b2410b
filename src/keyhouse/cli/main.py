"""The `keyhouse` command and its parts. An error is one sentence on standard error, and an exit code that is not 0."""

import sys

import typer

from keyhouse.cli.serve import serve
from keyhouse.domain.errors import Error

app = typer.Typer(
    name="keyhouse",
    help="One house for a team's LLM provider credentials, and the door that everything calling a model goes through.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(serve)


@app.callback()
def _root() -> None:
    """One house for a team's LLM provider credentials."""


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Error as error:
        typer.secho(f"keyhouse: {error.message}", err=True, fg=typer.colors.RED)
        sys.exit(1)
