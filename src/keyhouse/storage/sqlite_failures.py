"""SQLite's failures: which are one statement's own, and what a person is told of the others."""

import sqlite3

from keyhouse.storage.database import NO_ROOM, storage_full, storage_unavailable

OF_ONE_STATEMENT = frozenset(
    (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG)
)
"""Failures that are the statement's own: the transaction is whole, and whoever shares it has nothing to do with them."""


def is_full(failure: sqlite3.Error) -> bool:
    """Whether the disk is: no room for a page, or none for the index of the write-ahead log."""
    return code_of(failure) == sqlite3.SQLITE_FULL or getattr(failure, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE


def code_of(failure: sqlite3.Error) -> int:
    """SQLite's code for it, without what it adds about the case."""
    return int(getattr(failure, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def error_of(failure: BaseException) -> BaseException:
    """The error that a person can do something about; what is a mistake of ours stays as it is."""
    if isinstance(failure, OSError):
        return storage_unavailable(NO_ROOM)
    if not isinstance(failure, sqlite3.Error):
        return failure
    code = code_of(failure)
    if code in OF_ONE_STATEMENT:
        return failure
    if getattr(failure, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_DBMOVED:
        return storage_unavailable(_MOVED)
    if is_full(failure):
        return storage_full()
    return storage_unavailable(_SENTENCES.get(code) or f"{getattr(failure, 'sqlite_errorname', 'SQLITE_ERROR')}.")


_MOVED = "its file was moved, removed or replaced while it was open. Put it back, or restart Keyhouse to use what is there now."
_SENTENCES = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged. Restore it from a backup, or run `sqlite3 FILE .recover`.",
    sqlite3.SQLITE_NOTADB: "the file is damaged. Restore it from a backup, or run `sqlite3 FILE .recover`.",
    sqlite3.SQLITE_CANTOPEN: "its file is missing or cannot be opened.",
    sqlite3.SQLITE_READONLY: "the file or its folder is not writable.",
    sqlite3.SQLITE_BUSY: "another process has been writing for too long.",
}
