"""Files that only their owner may read, among users who share a folder; and that a lock is held by one at a time."""

import fcntl
import grp
import logging
import os
import pwd
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyhouse.storage.private_file import close_to_others, keep_owner, lock_beside, make_private, others_may_write
from tests.conftest import missing

OPERATOR, SERVER, SHARED_GROUP = 54321, 54322, 54323
"""Nobody's."""


@contextmanager
def acting_as(user_id: int) -> Iterator[None]:
    os.seteuid(user_id)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """One that every user may write in; files in it are the folder's group's. pytest's own folder is closed to others."""
    if os.geteuid() != 0:
        missing("the rights of root")
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, 0, SHARED_GROUP)
        Path(name).chmod(0o2777)
        yield Path(name)


def owner(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid


@pytest.mark.parametrize("owners", [(SERVER, SHARED_GROUP), (0, SHARED_GROUP), (SERVER, 0)])
def test_a_lock_has_the_owner_of_what_it_locks(shared_folder: Path, owners: tuple[int, int]) -> None:
    path = shared_folder / "file"
    path.touch()
    os.chown(path, *owners)
    shared_folder.chmod(0o777)
    with lock_beside(path):
        assert owner(path.with_name("file.lock")) == owners


def test_who_may_not_give_files_away_can_lock_what_is_somebody_elses(shared_folder: Path) -> None:
    path = shared_folder / "file"
    path.touch()
    os.chown(path, SERVER, 0)
    with acting_as(OPERATOR), lock_beside(path):
        assert owner(path.with_name("file.lock")) == (OPERATOR, SHARED_GROUP)


def test_a_file_of_the_same_owner_needs_no_right_to_give_files_away(shared_folder: Path) -> None:
    """Nor membership in the group that a folder gives its files to."""
    with acting_as(OPERATOR):
        for name in ("old", "new"):
            (shared_folder / name).touch()
        with (shared_folder / "new").open("r+") as new:
            keep_owner(shared_folder / "old", new.fileno())
    assert owner(shared_folder / "new") == (OPERATOR, SHARED_GROUP)


def test_what_is_somebody_elses_is_left_as_it_is(shared_folder: Path) -> None:
    path = shared_folder / "file"
    path.touch()
    path.chmod(0o666)
    with acting_as(OPERATOR):
        make_private(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


@pytest.mark.parametrize("bits", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o777])
def test_what_is_ours_is_closed_to_others(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "file"
    close_to_others(path)
    path.touch()
    path.chmod(bits)
    make_private(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_closed_to_others_stays_as_it_is(tmp_path: Path) -> None:
    """A file that may not be written is meant to be so."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o400)
    make_private(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_a_private_file_is_made_whatever_the_umask_and_left_closed(tmp_path: Path) -> None:
    opened, before = os.listdir("/proc/self/fd"), os.umask(0)
    try:
        make_private(tmp_path / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert os.listdir("/proc/self/fd") == opened


def users_with_groups_of_their_own() -> list[pwd.struct_passwd]:
    users, groups = pwd.getpwall(), {group.gr_gid: group for group in grp.getgrall()}
    return [
        user
        for user in users
        if (group := groups.get(user.pw_gid)) is not None
        and group.gr_name == user.pw_name
        and not {*group.gr_mem, *(other.pw_name for other in users if other.pw_gid == user.pw_gid)} - {user.pw_name}
        and user.pw_uid != 0
    ]


def group_writable(user_id: int, group_id: int, mode: int = 0o660) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 0, 0, 1, user_id, group_id, 0, 0, 0, 0))


def test_groups_of_nobody_but_the_owner_this_process_and_root_may_write() -> None:
    if os.geteuid() != 0:
        missing("the rights of root")
    first, second, *_ = users_with_groups_of_their_own()
    # Root is this process first, then not.
    assert not others_may_write(group_writable(first.pw_uid, first.pw_gid))
    assert others_may_write(group_writable(0, first.pw_gid))
    assert not others_may_write(group_writable(0, first.pw_gid, 0o640))
    assert others_may_write(group_writable(first.pw_uid, first.pw_gid, 0o662))
    with acting_as(first.pw_uid):
        assert not others_may_write(group_writable(0, first.pw_gid))
        assert not others_may_write(group_writable(first.pw_uid, 0))
        assert others_may_write(group_writable(first.pw_uid, second.pw_gid))


@pytest.mark.parametrize(
    ("name", "members", "group_of_eve", "others"),
    [
        ("server", [], 2, False),
        ("server", ["server", "root"], 2, False),
        ("server", ["eve"], 2, True),
        ("server", [], 1, True),
        ("staff", [], 2, True),
        ("staff", ["server"], 2, True),
    ],
)
def test_a_group_that_anybody_else_is_in_or_may_be_in_counts(
    monkeypatch: pytest.MonkeyPatch, name: str, members: list[str], group_of_eve: int, others: bool
) -> None:
    users = [("root", 0, 0), ("server", SERVER, 1), ("eve", OPERATOR, group_of_eve)]
    monkeypatch.setattr(grp, "getgrgid", lambda group_id: grp.struct_group((name, "x", group_id, members)))
    monkeypatch.setattr(pwd, "getpwall", lambda: [pwd.struct_passwd((user, "x", *ids, "", "/", "")) for user, *ids in users])
    assert others_may_write(group_writable(SERVER, 1)) is others


def lines_of_locks(path: Path) -> list[str]:
    """What the system tells of those who hold a file's lock and who wait for it (`->`)."""
    return [line for line in Path("/proc/locks").read_text().splitlines() if f":{path.stat().st_ino} " in line]


def test_who_waits_for_a_lock_has_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("keyhouse.storage.lock_waiting.SAID_AFTER_S", 0.0)
    path, lock = tmp_path / "file", tmp_path / "file.lock"

    def wait() -> None:
        with lock_beside(path), lock.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)

    waiting = threading.Thread(target=wait, daemon=True)
    with caplog.at_level(logging.WARNING), lock_beside(path):
        with lock.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        waiting.start()
        deadline = time.monotonic() + 60
        while not any("-> FLOCK" in line and "WRITE" in line for line in lines_of_locks(lock)):
            assert waiting.is_alive(), "it did not wait"
            assert time.monotonic() < deadline
    waiting.join(30)
    assert not waiting.is_alive()
    assert f"Waiting for another process that holds the lock {lock}." in caplog.text
