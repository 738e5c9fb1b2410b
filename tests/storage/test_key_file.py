"""The key ring's file: who may read it, and that it is replaced at once or not at all."""

import fcntl
import grp
import os
import shutil
import stat
from pathlib import Path

import pytest

from keyhouse.domain.errors import Error
from keyhouse.storage.key_file import KeySource, key_file_lock, read_key_file, write_key_file
from keyhouse.storage.key_ring import KeyRing, new_key
from tests.conftest import missing


def some_ring() -> KeyRing:
    return KeyRing(dict([new_key()]), "a test")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keyring"


def test_only_its_owner_may_read_it_whatever_the_umask(key_file: Path) -> None:
    before = os.umask(0)
    try:
        write_key_file(key_file, some_ring())
        with key_file_lock(key_file):
            assert mode(key_file.with_name("keyring.lock")) == 0o600
    finally:
        os.umask(before)
    assert mode(key_file) == 0o600


def test_a_new_ring_replaces_the_file_and_leaves_nothing_else(key_file: Path) -> None:
    write_key_file(key_file, some_ring())
    source = KeySource(key_file)
    before, reader = source.identity(), key_file.open(encoding="ascii")
    old = key_file.read_text(encoding="ascii")
    newer = some_ring()
    write_key_file(key_file, newer)
    with reader:
        assert reader.read() == old, "whoever has opened the file reads all of the old ring"
    assert source.load().equals(newer)
    assert source.identity() != before
    assert [path.name for path in key_file.parent.iterdir()] == ["keyring"]


def test_what_a_killed_process_left_is_removed(key_file: Path) -> None:
    key_file.with_name(".keyring.0a1b2c3d").write_text("half a ring", encoding="ascii")
    write_key_file(key_file, some_ring())
    assert [path.name for path in key_file.parent.iterdir()] == ["keyring"]


def test_a_link_stays_a_link(key_file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    key_file.symlink_to(tmp_path / "elsewhere" / "ring")
    ring = some_ring()
    write_key_file(key_file, ring)
    assert key_file.is_symlink()
    assert read_key_file(tmp_path / "elsewhere" / "ring").equals(ring)


def test_the_file_keeps_its_owner(key_file: Path) -> None:
    if os.geteuid() != 0:
        missing("the rights of root")
    write_key_file(key_file, some_ring())
    shutil.chown(key_file, 1234, 1235)
    write_key_file(key_file, some_ring())
    with key_file_lock(key_file):
        lock = key_file.with_name("keyring.lock").stat()
    found = key_file.stat()
    assert (found.st_uid, found.st_gid, lock.st_uid) == (1234, 1235, 1234)


@pytest.mark.parametrize("bits", [0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(key_file: Path, bits: int) -> None:
    write_key_file(key_file, some_ring())
    key_file.chmod(bits)
    with pytest.raises(Error, match="chmod 600"):
        read_key_file(key_file)


def give_to_group(key_file: Path, group_id: int) -> None:
    if os.geteuid() != 0:
        missing("root, to give a file to a group")
    write_key_file(key_file, some_ring())
    os.chown(key_file, -1, group_id)
    key_file.chmod(0o660)


def test_a_group_that_has_others_in_it_may_not_write_it(key_file: Path) -> None:
    give_to_group(key_file, next(group.gr_gid for group in grp.getgrall() if group.gr_name != "root"))
    with pytest.raises(Error, match="chmod 600"):
        read_key_file(key_file)


def test_a_group_that_only_its_owner_is_in_may_write_it(key_file: Path) -> None:
    give_to_group(key_file, grp.getgrnam("root").gr_gid)
    assert len(read_key_file(key_file).ids) == 1


def test_a_volume_may_give_it_to_a_group_that_has_no_name(key_file: Path) -> None:
    named = {group.gr_gid for group in grp.getgrall()}
    give_to_group(key_file, next(number for number in range(1000650000, 1000660000) if number not in named))
    assert len(read_key_file(key_file).ids) == 1


@pytest.mark.parametrize(("bits", "warned"), [(0o600, False), (0o400, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_that_everybody_may_read_is_warned_of(key_file: Path, bits: int, warned: bool) -> None:
    write_key_file(key_file, some_ring())
    key_file.chmod(bits)
    assert len(read_key_file(key_file).ids) == 1
    assert ("chmod 600" in (KeySource(key_file).warning() or "")) is warned


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"key = c2hvcnQ="])
def test_a_file_that_holds_no_ring_is_refused(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    with pytest.raises(Error, match=str(key_file)):
        read_key_file(key_file)


def test_a_missing_file_and_a_folder_are_refused(key_file: Path) -> None:
    with pytest.raises(Error, match="does not exist"):
        read_key_file(key_file)
    key_file.mkdir()
    with pytest.raises(Error, match="cannot be read"):
        read_key_file(key_file)
    assert KeySource(key_file).exists


def test_what_cannot_be_written_changes_nothing(key_file: Path) -> None:
    key_file.mkdir()
    (key_file / "inside").touch()
    with pytest.raises(Error, match="cannot be written"):
        write_key_file(key_file, some_ring())
    assert [path.name for path in key_file.parent.iterdir()] == ["keyring"]


def test_one_process_at_a_time_holds_the_lock(key_file: Path) -> None:
    with key_file_lock(key_file), key_file.with_name("keyring.lock").open("r+") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with key_file.with_name("keyring.lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
