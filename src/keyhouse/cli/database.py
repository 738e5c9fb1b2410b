"""`keyhouse database`: the database as a whole. Works on the data folder or a database's URL only."""

from typing import TYPE_CHECKING, Annotated

import typer

from keyhouse.cli.exit_codes import CommandError, ExitCode
from keyhouse.cli.options import AsJson, Folder, Yes, flattened
from keyhouse.cli.output import confirm, print_json, progress_bar, shown
from keyhouse.cli.secret_input import read_stdin

if TYPE_CHECKING:
    from keyhouse.settings import Settings
    from keyhouse.storage.copying import CopyProgress

app = typer.Typer(name="database", help="The database as a whole: copy it, forget what is old.", no_args_is_help=True)

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
    from keyhouse.cli.local_data import inspected, settings_of

    settings, url = settings_of(folder), read_stdin("the URL") if target == "-" else target
    last = _copied(settings, url, while_serving=while_serving)
    status = inspected(settings_of(Folder(folder.data_dir, url)))
    if as_json:
        print_json({"rows": last.rows, "values": status.values, "unreadable": status.unreadable, "ring": status.ring})
    else:
        typer.echo(f"{last.rows} rows were copied and read back the same.")
        typer.echo(f"{status.values} sealed values, {status.unreadable} of them unreadable. The ring: {shown(status.ring)}")
    if status.unreadable and not settings.accept_unreadable:
        raise CommandError(
            f"The copy was made, but {status.unreadable} of its sealed values do not open with this key ring. Look for the right one, or "
            "accept that with KEYHOUSE_ACCEPT_UNREADABLE=true."
        )


HistoryDays = Annotated[
    int | None,
    typer.Option(help="Forget states of providers that were replaced more than so many days ago, and the secrets in them.", min=1),
]
AuditDays = Annotated[int | None, typer.Option(help="Forget records of the audit log that are older than so many days.", min=1)]


@flattened
def prune_database(
    folder: Folder, history_days: HistoryDays = None, audit_days: AuditDays = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Forget what is old, while servers serve: the history of providers, the audit log, or both. What is in force is never touched.

    A state that was forgotten cannot be rolled back to. It may be stopped at any moment and run again.
    """
    from keyhouse.cli.local_data import settings_of, worked_off
    from keyhouse.services.databases import prune

    if history_days is None and audit_days is None:
        raise CommandError("Say what to forget, with --history-days, --audit-days or both.", ExitCode.USAGE)
    confirm("Forget it for good? Only a backup has it then.", yes=yes)
    last = worked_off(settings_of(folder), lambda storage: prune(storage, history_days=history_days, audit_days=audit_days))
    if as_json:
        print_json({"states": last.states, "values": last.values, "records": last.records})
        return
    typer.echo(f"Forgotten: {last.states} states of providers, {last.values} sealed values, {last.records} records of the audit log.")


for _name, _command in (("copy", copy_database), ("prune", prune_database)):
    app.command(_name)(_command)


def _copied(settings: "Settings", url: str, *, while_serving: bool) -> "CopyProgress":
    """Copy, showing a bar; returns the last of the progress."""
    from keyhouse.cli.local_data import prepare_process, require_data
    from keyhouse.services.databases import copy_database

    require_data(settings)
    prepare_process()
    with progress_bar("Copying") as show:
        for progress in copy_database(settings.url, url, while_serving=while_serving):
            show(progress.done, progress.steps)
    return progress
