"""Files that only their owner may read, and locks beside them."""

import contextlib
import fcntl
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keyhouse.storage.lock_waiting import take_lock

PRIVATE = 0o600


@contextmanager
def lock_beside(path: Path) -> Iterator[None]:
    """Held by one process at a time: a file `<path>.lock`, which stays. Waits for whoever holds it. Raises OSError."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, PRIVATE)
    try:
        with contextlib.suppress(OSError):
            keep_owner(path, descriptor)
        take_lock(lambda: _is_locked(descriptor), lambda: fcntl.flock(descriptor, fcntl.LOCK_EX), f"holds the lock {path}.lock")
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def keep_owner(path: Path, descriptor: int) -> None:
    """Give an open file the owner that `path` has, if that one is there: what root touches, the server can still read. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        before, now = path.stat(), os.fstat(descriptor)
        if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
            os.fchown(descriptor, before.st_uid, before.st_gid)


def make_private(path: Path) -> None:
    """Make a file that only its owner may read, or, where it is ours, close it to everybody else. Raises OSError.

    A file that is there is never opened: closing it again would take SQLite's locks on it from this whole process.
    https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError:
        close_to_others(path)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk: a file that was synced may still be nameless after a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def others_may_write(found: os.stat_result) -> bool:
    """Whether anybody may write a file but its owner, this process and root.

    A group that nobody else is in does not count: the owner's own, or one without a name, as a volume of Kubernetes gives its files to.
    https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-pod
    """
    return bool(found.st_mode & stat.S_IWOTH) or bool(found.st_mode & stat.S_IWGRP and _has_others(found.st_gid, found.st_uid))


def _has_others(group_id: int, owner_id: int) -> bool:
    """Where users come from a directory not all can be listed, so a group counts as somebody's own only if it bears the name."""
    try:
        group = grp.getgrgid(group_id)
    except KeyError:
        return False
    users = pwd.getpwall()
    own = {user.pw_name for user in users if user.pw_uid in (0, os.geteuid(), owner_id)}
    members = {*group.gr_mem, *(user.pw_name for user in users if user.pw_gid == group_id)}
    return group.gr_name not in own or not members <= own


def close_to_others(path: Path) -> None:
    """Take everybody else's rights on a file of ours. One that is missing or not ours stays as it is."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        if path.stat().st_mode & 0o077:
            path.chmod(PRIVATE)
