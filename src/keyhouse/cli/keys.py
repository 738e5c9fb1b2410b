"""`keyhouse keys`: the keys that encrypt what is stored. Works on the data folder only: no server gives them away."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyhouse.cli.options import AsJson, Folder, Yes, flattened
from keyhouse.cli.output import confirm, print_json, print_table, progress_bar, shown

if TYPE_CHECKING:
    from keyhouse.services.encryption_keys import KeysStatus

app = typer.Typer(name="keys", help="The encryption keys of the data folder.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(help="The key's id; the status shows it.", show_default=False)]


@flattened
def show_status(folder: Folder, as_json: AsJson = False) -> None:
    """Show each key: whether it is there and right, and how many values it seals. Works where a server would not start."""
    from keyhouse.cli.local_data import inspected, settings_of

    status = inspected(settings_of(folder))
    if as_json:
        print_json(status_json(status))
        return
    columns = ("id", "in ring", "writes", "check", "values")
    print_table(columns, ((key.id, key.in_ring, key.writes, key.canary, key.values) for key in status.keys))
    typer.echo(f"\n{status.values} sealed values, {status.unreadable} of them unreadable. The ring: {shown(status.ring)}")
    for sentence in (*((status.problem,) if status.problem else ()), *status.warnings):
        typer.echo(sentence)


@flattened
def rotate_keys(folder: Folder, as_json: AsJson = False) -> None:
    """Seal everything with a new key, while servers serve. It may be stopped at any moment and run again."""
    from keyhouse.cli.local_data import settings_of, worked_off
    from keyhouse.services.key_rotation import rotate

    with progress_bar("Rotating") as show:
        last = worked_off(settings_of(folder), rotate, lambda progress: show(progress.done, progress.total))
    if as_json:
        print_json({"keyId": last.key_id, "resumed": last.resumed, "values": last.done, "unreadable": list(last.unreadable)})
        return
    typer.echo(f"{last.done} values are sealed with {last.key_id} now{', which stood first in the ring already' if last.resumed else ''}.")
    if last.unreadable:
        typer.echo(f"{len(last.unreadable)} cannot be read and stay as they are: {', '.join(last.unreadable[:10])}")
    typer.echo("Back up the key ring again. `keyhouse keys status` shows which old keys can be retired.")


@flattened
def retire_key(key_id: KeyId, folder: Folder, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a key that seals nothing any more out of the ring.

    Backups of the database from before need it: keep its copy as long as them.
    """
    from keyhouse.cli.local_data import settings_of, with_storage
    from keyhouse.services.encryption_keys import retire

    confirm(f"Retire {key_id}? Older backups of the database cannot be read without it.", yes=yes)
    left_to_do = with_storage(settings_of(folder), lambda storage: retire(storage, key_id))
    if as_json:
        print_json({"retired": key_id, "leftToDo": left_to_do})
    else:
        typer.echo(f"Retired {key_id}." + (f" {left_to_do}" if left_to_do else ""))


for _name, _command in (("status", show_status), ("rotate", rotate_keys), ("retire", retire_key)):
    app.command(_name)(_command)


def status_json(status: "KeysStatus") -> dict[str, Any]:
    """The status of the keys, for programs."""
    keys = [
        {
            "id": key.id,
            "inRing": key.in_ring,
            "writes": key.writes,
            "check": key.canary,
            "retired": key.canary == "retired",
            "values": key.values,
        }
        for key in status.keys
    ]
    return {
        "ring": status.ring,
        "problem": status.problem,
        "warnings": list(status.warnings),
        "keys": keys,
        "values": status.values,
        "unreadable": status.unreadable,
    }
