"""Temporary files in memory: on a disk, databases wait for it longer than they work."""

import os
import tempfile

FOLDER = "/dev/shm"
ROOM = 4 << 30
"""What must be free there, in bytes: each of some hundred databases of PostgreSQL takes 8 MB."""


def keep_temporary_files_in_memory() -> None:
    """For this process and those it starts, where memory has the room and the tester chose no folder (TMPDIR)."""
    if "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = FOLDER
        tempfile.tempdir = None


def _has_room() -> bool:
    if not os.access(FOLDER, os.W_OK):
        return False
    found = os.statvfs(FOLDER)
    # Some tests run a program that they wrote.
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC
