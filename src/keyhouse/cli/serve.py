"""`keyhouse serve` and its options: becomes the server process."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from keyhouse.cli.server_command import become_server


@dataclass(frozen=True)
class ServeOptions:
    """What can be set on the command line; each also in the environment."""

    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one. Default: 5560.")] = None
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the key file and the SQLite database. Default: keyhouse-data.")] = None
    database_url: Annotated[
        str | None,
        typer.Option(help="sqlite:///path or postgresql://user@host/name; with a password rather KEYHOUSE_DATABASE_URL."),
    ] = None
    workers: Annotated[int | None, typer.Option(help="How many processes serve. Default: 1.")] = None
    log_format: Annotated[Literal["text", "json"] | None, typer.Option(help="How log lines are written. Default: text.")] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="Which log lines are written. Default: info.")
    ] = None
    accept_unreadable: Annotated[
        bool | None, typer.Option("--accept-unreadable", help="Start although some stored values cannot be opened.")
    ] = None


def serve(options: ServeOptions) -> None:
    """Serve the house. The first start makes everything it needs, and prints the keys once.

    Each option is also a variable: KEYHOUSE_PORT, KEYHOUSE_DATA_DIR and so on. docs/settings.md has all of them.
    """
    become_server(**asdict(options))
