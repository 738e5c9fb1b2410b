"""`keyhouse database`: the database as a whole. Works on the data folder or a database's URL only."""

from typing import TYPE_CHECKING, Annotated

import typer

from keyhouse.cli.keys import inspected, settings_of
from keyhouse.cli.options import AsJson, Folder, flattened
from keyhouse.cli.output import print_json, progress_bar, shown
from keyhouse.cli.secret_input import read_stdin

if TYPE_CHECKING:
    from keyhouse.services.databases import CopyProgress
    from keyhouse.settings import Settings

app = typer.Typer(name="database", help="The database as a whole: copy it.", no_args_is_help=True)

Target = Annotated[
    str,
    typer.Argument(
        help="URL of an empty database, sqlite:///path or postgresql://user@host/name; `-` reads one with a password from standard input.",
        show_default=False,
    ),
]
WhileServing = Annotated[
    bool, typer.Option("--while-serving", help="Copy though servers run: a backup of this moment. What they write later is not in it.")
]


@flattened
def copy_database(target: Target, folder: Folder, while_serving: WhileServing = False, as_json: AsJson = False) -> None:
    """Copy everything into an empty database: from SQLite to PostgreSQL, back, or as a backup. All of it, or nothing.

    Every row is read back and compared, and every sealed value opened. The key ring is not copied: the copy needs the same one.
    """
    settings, url = settings_of(folder), read_stdin("the URL") if target == "-" else target
    last = _copied(settings, url, while_serving=while_serving)
    status = inspected(settings_of(Folder(folder.data_dir, url)))
    if as_json:
        print_json({"rows": last.rows, "values": status.values, "unreadable": status.unreadable, "ring": status.ring})
        return
    typer.echo(f"{last.rows} rows were copied and read back the same.")
    typer.echo(f"{status.values} sealed values, {status.unreadable} of them unreadable. The ring: {shown(status.ring)}")


app.command("copy")(copy_database)


def _copied(settings: "Settings", url: str, *, while_serving: bool) -> "CopyProgress":
    """Copy, showing a bar; returns the last of the progress."""
    from keyhouse.cli.local_connection import prepare_process, require_data
    from keyhouse.services.databases import copy_database

    require_data(settings)
    prepare_process()
    with progress_bar("Copying") as show:
        for progress in copy_database(settings.url, url, while_serving=while_serving):
            show(progress.done, progress.steps)
    return progress
