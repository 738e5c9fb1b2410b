"""What strace saw, in the order in which it began and ended: changes of files, what was forced to the disk, and words with callers."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FILES = (
    *("open", "openat", "creat", "write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "truncate", "fallocate", "lseek"),
    *("copy_file_range", "sendfile", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"),
    *("link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "mmap"),
)
_SYNCS = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range")
_EVERYWHERE = ("sync", "syncfs")
_SOCKETS = ("sendto", "sendmsg")
_LINE = re.compile(rb"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$", re.DOTALL)
_RESULT = re.compile(rb"\) += (\d+)[^)]*$")
_STRING = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_OPEN_FILE = re.compile(rb"(\d+|AT_FDCWD)<([^>]*)>(\(deleted\))?")
_LONGEST = 16 * 1024 * 1024
_UNFINISHED = b" <unfinished ...>"


class TraceError(Exception):
    """The trace shows something that this reader does not understand, so that nothing can be said of the disk."""


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that ended well. Moments count up from 0: what began at one had not ended at it."""

    name: str
    begun: int
    ended: int
    text: bytes
    """Its arguments, as strace wrote them."""
    result: int

    @property
    def is_sync(self) -> bool:
        return self.name in _SYNCS

    @property
    def arguments(self) -> list[bytes]:
        """Strings are written in hexadecimal, so no comma is part of one."""
        return self.text.split(b", ")

    @property
    def data(self) -> bytes:
        """All bytes that were written or received."""
        found = [_STRING.fullmatch(part.partition(b"=")[2] or part) for part in re.split(rb"[{},\[\]]\s*", self.text)]
        parts = [match for match in found if match]
        if any(match[2] for match in parts):
            raise TraceError(f"strace shortened what {self.name} wrote.")
        return b"".join(_bytes_of(match[1]) for match in parts)[: self.result]

    @property
    def open_files(self) -> list[str]:
        """What its descriptors are open for, in order: a path, or `socket:[number]`. Empty for one that has no name any more."""
        return ["" if deleted else _text_of(name) for _, name, deleted in _OPEN_FILE.findall(self.text)]

    @property
    def paths(self) -> list[str]:
        """The paths that it names as text, those of its folder's descriptors put before them."""
        found, folder = [], "/"
        for part in self.arguments:
            if opened := _OPEN_FILE.match(part):
                folder = _text_of(opened[2])
            elif string := _STRING.fullmatch(part):
                path = _bytes_of(string[1]).decode()
                found.append(path if path.startswith("/") else f"{folder}/{path}")
        return found


def _bytes_of(escaped: bytes) -> bytes:
    return bytes.fromhex(escaped.replace(b"\\x", b"").decode())


def _text_of(name: bytes) -> str:
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), name).decode()


def require_strace() -> None:
    """Stop with a sentence where there is none."""
    if shutil.which("strace") is None:
        raise SystemExit("This needs strace: run `sudo apt-get install strace`.")


def strace(trace: Path) -> list[str]:
    """The command to put before another one."""
    names = ",".join((*_FILES, *_SYNCS, *_SOCKETS))
    # A call that this processor's kernel does not have is no mistake: "?".
    wanted = ",".join(f"?{name}" for name in names.split(","))
    shape = ["-f", "--seccomp-bpf", "-y", "-xx", "-s", str(_LONGEST), "-e", "signal=none", "-e", f"trace={wanted}"]
    return ["strace", *shape, "-o", str(trace)]


def read_trace(trace: Path, folder: Path) -> Iterator[Call]:
    """All calls that ended well and have to do with a folder or a socket, by when they ended."""
    begun: dict[bytes, tuple[int, bytes]] = {}
    wanted = (b"".join(b"\\x%02x" % byte for byte in str(folder).encode()), b"<socket:", b"<" + b"\\x73\\x6f\\x63\\x6b\\x65\\x74")
    with trace.open("rb") as lines:
        for number, line in enumerate(lines):
            match = _LINE.match(line.rstrip(b"\n"))
            if not match:
                continue
            thread, resumed, name, rest = match.groups()
            began, text = begun.pop(thread, (2 * number, b"")) if resumed else (2 * number, b"")
            if rest.endswith(_UNFINISHED):
                begun[thread] = (began, text + rest.removesuffix(_UNFINISHED))
                continue
            text += rest
            kind, ended = (resumed or name).decode(), _RESULT.search(text)
            if ended and (kind in _EVERYWHERE or any(one in text for one in wanted)):
                yield Call(kind, began, 2 * number + 1, text[: ended.start()], int(ended[1]))
