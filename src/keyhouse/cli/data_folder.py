"""The folder of the key file and the SQLite database: for its owner alone, and never seen by git. Nothing that was there is changed."""

import contextlib
import os
from pathlib import Path

from keyhouse.domain.errors import Code, Error
from keyhouse.settings import Settings
from keyhouse.storage.private_file import sync_folder

_OURS = "/keyring*\n/.keyring*\n/keyhouse.db*\n"


def make_data_folder(settings: Settings) -> None:
    """Make the data folder, if the settings put anything into it. Raises Error `configuration` where it cannot be written."""
    if not settings.uses_data_dir:
        return
    folder = settings.data_dir
    try:
        new = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _hide_from_git(folder)
        for each in new:
            # What is synced in a folder is lost with it in a power cut while nothing says where that folder is.
            with contextlib.suppress(PermissionError):
                sync_folder(each.absolute().parent)
    except OSError as problem:
        who = f" for user {os.geteuid()}" if isinstance(problem, PermissionError) else ""
        raise Error(
            Code.CONFIGURATION,
            f"The data folder {folder} cannot be written ({problem.strerror}{who}). Choose another with --data-dir, or make it writable.",
        ) from None


def _hide_from_git(folder: Path) -> None:
    """All of a folder of our own; of somebody else's folder only what we put there."""
    ignored = folder / ".gitignore"
    if ignored.exists():
        return
    names = {path.name for path in folder.iterdir()}
    is_ours = not names or {"keyring", "keyhouse.db"} & names
    with ignored.open("x", encoding="ascii") as file:
        file.write("*\n" if is_ours else _OURS)
        file.flush()
        os.fsync(file.fileno())
