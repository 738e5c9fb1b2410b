"""Whether SQLite's files are still the ones that were opened. SQLite itself goes on writing to files that nobody can find any more."""

import os
import sqlite3
from pathlib import Path


class OpenFiles:
    """The database's file and its write-ahead log, from when they are open."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.OperationalError where they are gone already."""
        self._paths = (str(path), f"{path}-wal")
        self.moved = False
        """Whether they were, when last looked at."""
        self._opened: tuple[int, int, int, int] | None = None
        self.look()

    def look(self) -> None:
        """Look where they should be. Raises sqlite3.OperationalError where they were moved or removed, or others are there."""
        try:
            # One after the other, for this is done for each commit.
            file, log = os.stat(self._paths[0]), os.stat(self._paths[1])
            found = (file.st_dev, file.st_ino, log.st_dev, log.st_ino)
        except OSError:
            found = None
        self._opened = self._opened or found
        self.moved = found is None or found != self._opened
        if self.moved:
            self.require_unmoved()

    def require_unmoved(self) -> None:
        """The same, by what was found last."""
        if self.moved:
            failure = sqlite3.OperationalError("The database was moved.")
            failure.sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED
            raise failure
