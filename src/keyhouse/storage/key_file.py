"""The key ring's file: read, replaced at once or not at all, and locked while it changes. What is in it is never part of a message."""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.key_ring import KeyRing, key_ring_text, parse_key_ring
from keyhouse.storage.private_file import PRIVATE, keep_owner, lock_beside, others_may_write, sync_folder

Identity = tuple[int, ...]
"""What changes whenever the file does: device, inode, size, and both times in nanoseconds."""


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the key ring comes from: a file, or the text of a setting, which wins."""

    file: Path
    text: str | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """The place, for people."""
        return f"the key file {self.file}" if self.text is None else "KEYHOUSE_KEYS"

    @property
    def exists(self) -> bool:
        """Whether there is a ring to load. What cannot be looked at counts as there: it must not be replaced."""
        if self.text is not None:
            return True
        try:
            self.file.lstat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    @property
    def is_changeable(self) -> bool:
        """Whether the ring can be replaced here: it is no setting, and no file in a folder that is only read, as mounted secrets are."""
        return self.text is None and os.access(self.file.resolve().parent, os.W_OK)

    def load(self) -> KeyRing:
        """The ring as it is now. Raises Error `configuration`."""
        return read_key_file(self.file) if self.text is None else parse_key_ring(self.text, self.where)

    def identity(self) -> Identity | None:
        """What tells one state of the file from another. None where there is no file, or none to look at."""
        if self.text is not None:
            return None
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def warning(self) -> str | None:
        """A sentence where others on this machine may read the keys.

        No reason to stop: mounted secrets often look like this, in a folder or container that is closed as a whole.
        """
        if self.text is not None:
            return None
        with contextlib.suppress(OSError):
            if self.file.stat().st_mode & stat.S_IROTH:
                return f"The key file {self.file} can be read by every user of this machine. Run `chmod 600 {self.file}`."
        return None


def read_key_file(path: Path) -> KeyRing:
    """The ring of a file. Raises Error `configuration` where it is missing, not readable, writable by others, or not a ring."""
    try:
        with path.open(encoding="ascii") as file:
            if others_may_write(os.fstat(file.fileno())):
                # Whoever can write the ring can have all new secrets sealed with a key of their own.
                raise Error(
                    Code.CONFIGURATION, f"The key file {path} may be written by other users than its owner. Run `chmod 600 {path}`."
                )
            ring = parse_key_ring(file.read(), f"the key file {path}")
            _keep(path, file.fileno())
            return ring
    except FileNotFoundError:
        raise Error(Code.CONFIGURATION, f"The key file {path} does not exist. Put it back from your backup.") from None
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is no text"
        raise Error(Code.CONFIGURATION, f"The key file {path} cannot be read ({why}).") from None


def _keep(path: Path, descriptor: int) -> None:
    """Have a file that somebody else may have put there on the disk, where that can be: what its keys seal from now on is lost with it."""
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
        sync_folder(path.resolve().parent)


def write_key_file(path: Path, ring: KeyRing) -> None:
    """Replace a key file, mode 0600, at once or not at all, and on the disk when this returns. Call it under `key_file_lock`.

    The file keeps its owner, so that a server under another user than the operator's can still read it. Raises Error `configuration`.
    """
    _replace(path, ring, lambda: True)


def change_key_file(source: KeySource, change: Callable[[KeyRing], KeyRing]) -> None:
    """Replace a key file in the same way by what `change` makes of its ring, even of one that somebody edits meanwhile, who holds no lock.

    A server may have sealed with a key of theirs already. Raises Error `configuration`.
    """
    done = False
    while not done:
        identity = source.identity()
        done = _replace(source.file, change(source.load()), lambda seen=identity: source.identity() == seen)  # type: ignore[misc]


def _replace(path: Path, ring: KeyRing, is_due: Callable[[], bool]) -> bool:
    """Whether it was done: all is ready when `is_due` is asked."""
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _remove_leftovers(target)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with open(descriptor, "w", encoding="ascii") as file:
            keep_owner(target, descriptor)
            file.write(key_ring_text(ring))
            file.flush()
            os.fsync(descriptor)
        due = is_due()
        if due:
            temporary.replace(target)
            sync_folder(target.parent)
    except OSError as problem:
        raise _not_writable(path, problem) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return due


@contextmanager
def key_file_lock(path: Path) -> Iterator[None]:
    """Held while the ring is read, decided on and replaced: of two processes that change it, neither loses a key of the other.

    It is a file beside the key file, since that one is replaced. Waits for whoever holds it. Raises Error `configuration`.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock_beside(path.resolve()))
        except OSError as problem:
            raise _not_writable(path, problem) from None
        yield


def _remove_leftovers(target: Path) -> None:
    """What a process that was killed while it replaced the file left behind. No key in it was ever used."""
    for leftover in target.parent.glob(f".{target.name}.????????"):
        leftover.unlink(missing_ok=True)


def _not_writable(path: Path, problem: OSError) -> Error:
    return Error(Code.CONFIGURATION, f"The key file {path} cannot be written ({problem.strerror}). Nothing was changed.")
