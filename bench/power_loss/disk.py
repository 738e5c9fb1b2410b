"""A disk that follows a trace, and can be had as it would be found after a power cut."""

import os
import random
from collections.abc import Callable
from pathlib import Path

from bench.power_loss.files import File, Folder, Renaming, Resize, Write, fates
from bench.power_loss.trace import Call, TraceError

INDEX = "-shm"
"""How the name of a write-ahead log's index ends. It is written through memory, which no trace shows; who opens it makes it anew."""
_INDEX_SIZE = 32768
_CHANGES_NOTHING = frozenset(("sendto", "sendmsg"))
_Synced = list[Write | Resize | Renaming]


class Disk:
    """All that is below one folder, which is empty at first."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._top = Folder()
        self._folders = [self._top]
        self._renamings: list[Renaming] = []
        self._syncing: dict[Call, list[tuple[File | None, _Synced]]] = {}
        self.touched: set[str] = set()
        """The names right below the folder where anything changed or was synced; whoever looks empties it."""

    def begin(self, call: Call) -> None:
        """A call begins. What a sync finds then is what it makes lasting."""
        if not call.is_sync or call.name == "sync_file_range":
            return
        if call.name in ("sync", "syncfs"):
            files = {id(file): file for folder in self._folders for file in folder.seen.values() if isinstance(file, File)}
            everything: list[tuple[File | None, _Synced]] = [(file, [*file.pending]) for file in files.values()]
            self._syncing[call] = [(None, [*self._renamings]), *everything]
            return
        node = self._node_of(call.open_files[0])
        if isinstance(node, File):
            self._syncing[call] = [(node, [*node.pending])]
        elif node is not None:
            self._syncing[call] = [(None, [renaming for renaming in self._renamings if renaming.is_in(node)])]

    def end(self, call: Call) -> None:
        """A call has ended well. Raises TraceError for what this disk has not."""
        if call.is_sync:
            for file, changes in self._syncing.pop(call, []):
                self._sync(file, changes)
                if file is not None and call.name != "fdatasync":
                    file.synced_mode = file.mode
        elif call.name not in _CHANGES_NOTHING:
            _DOES.get(call.name, _refuse)(self, call)

    def _sync(self, file: File | None, changes: _Synced) -> None:
        if file is not None:
            file.sync([change for change in changes if not isinstance(change, Renaming)])
            return
        for renaming in changes:
            if isinstance(renaming, Renaming) and renaming in self._renamings:
                renaming.apply(lambda folder: folder.synced)
                self._renamings.remove(renaming)

    def cut(self, dice: random.Random | None, target: Path) -> None:
        """Write what is found after a power cut into a new folder. Without dice it is what was synced, and nothing else."""
        names = {id(folder): dict(folder.synced) for folder in self._folders}
        for renaming, _ in fates(self._renamings, dice):
            renaming.apply(lambda folder: names[id(folder)])
        _write(self._top, lambda folder: names[id(folder)], dice, target)

    def require_same(self) -> None:
        """Raise TraceError unless this is what processes see below the real folder: only then was the trace understood."""
        wrong = sorted(_differences(self._top, Path(self._root)))
        if wrong:
            raise TraceError(f"What the trace says is not what is there: {', '.join(wrong)}.")

    def _is_below(self, path: str) -> bool:
        return path == self._root or path.startswith(f"{self._root}/")

    def _place(self, path: str) -> tuple[Folder, str]:
        """The folder that a path is in, and its name there. Raises TraceError where it was never made."""
        *above, name = os.path.relpath(os.path.normpath(path), self._root).split("/")
        folder: File | Folder | None = self._top
        for part in above:
            folder = folder.seen.get(part) if isinstance(folder, Folder) else None
        if not isinstance(folder, Folder):
            raise TraceError(f"{path} is in a folder that was not made.")
        self.touched.add([*above, name][0])
        return folder, name

    def _node_of(self, path: str) -> File | Folder | None:
        """What has a path now; None for one that is not of this disk, or has no name any more."""
        if not self._is_below(path):
            return None
        if os.path.normpath(path) == self._root:
            return self._top
        folder, name = self._place(path)
        if name not in folder.seen:
            raise TraceError(f"{path} was not made.")
        return folder.seen[name]

    def _file_of(self, call: Call, number: int = 0) -> File | None:
        """The file that a call has open."""
        paths = call.open_files
        node = self._node_of(paths[number]) if number < len(paths) else None
        return node if isinstance(node, File) else None

    def _rename(self, renaming: Renaming) -> None:
        renaming.apply(lambda folder: folder.seen)
        self._renamings.append(renaming)

    def _open(self, call: Call) -> None:
        path = call.paths[0]
        if not self._is_below(path) or os.path.normpath(path) == self._root:
            return
        folder, name = self._place(path)
        if name not in folder.seen and b"O_CREAT" in call.text:
            self._rename(Renaming(into=folder, new=name, node=File(int(call.arguments[-1], 8) & ~0o022)))
        node = self._node_of(path)
        if isinstance(node, File) and b"O_RDONLY" not in call.text:
            if b"O_TRUNC" in call.text:
                node.change(Resize(0))
            node.position = node.size if b"O_APPEND" in call.text else 0

    def _write(self, call: Call) -> None:
        if file := self._file_of(call):
            file.change(Write(file.position, call.data))
            file.position += call.result

    def _write_at(self, call: Call) -> None:
        if file := self._file_of(call):
            file.change(Write(int(call.arguments[-1]), call.data))

    def _copy(self, call: Call) -> None:
        source, target = self._file_of(call), self._file_of(call, 1)
        if source and target:
            target.change(Write(target.position, bytes(source.seen()[target.position : target.position + call.result])))
            target.position += call.result

    def _seek(self, call: Call) -> None:
        if file := self._file_of(call):
            file.position = call.result

    def _resize(self, call: Call) -> None:
        if file := self._file_of(call):
            file.change(Resize(int(call.arguments[-1])))

    def _move(self, call: Call) -> None:
        old, new = call.paths
        if self._is_below(old) and self._is_below(new):
            (out_of, old), (into, new) = self._place(old), self._place(new)
            self._rename(Renaming(out_of, old, into, new, out_of.seen[old]))
        elif self._is_below(old) or self._is_below(new):
            _refuse(self, call)

    def _remove(self, call: Call) -> None:
        if self._is_below(call.paths[0]):
            self._rename(Renaming(*self._place(call.paths[0])))

    def _make_folder(self, call: Call) -> None:
        if self._is_below(call.paths[0]):
            into, new = self._place(call.paths[0])
            made = Folder()
            self._folders.append(made)
            self._rename(Renaming(into=into, new=new, node=made))

    def _allow(self, call: Call) -> None:
        node = self._node_of((call.paths or call.open_files)[0])
        if node is not None:
            node.mode = int(call.arguments[-1], 8)

    def _map(self, call: Call) -> None:
        path = (call.open_files or [""])[0]
        if self._is_below(path) and b"MAP_SHARED" in call.text and b"PROT_WRITE" in call.text and not path.endswith(INDEX):
            _refuse(self, call)


def _refuse(disk: Disk, call: Call) -> None:
    if any(map(disk._is_below, (*call.open_files, *call.paths))):
        raise TraceError(f"Nothing can be said of a disk that was changed with {call.name}.")


_DOES: dict[str, Callable[[Disk, Call], None]] = {
    **dict.fromkeys(("open", "openat", "creat"), Disk._open),
    **dict.fromkeys(("write", "writev"), Disk._write),
    "pwrite64": Disk._write_at,
    "copy_file_range": Disk._copy,
    "lseek": Disk._seek,
    "ftruncate": Disk._resize,
    **dict.fromkeys(("rename", "renameat", "renameat2"), Disk._move),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), Disk._remove),
    **dict.fromkeys(("mkdir", "mkdirat"), Disk._make_folder),
    **dict.fromkeys(("chmod", "fchmod", "fchmodat"), Disk._allow),
    "mmap": Disk._map,
}


def _write(folder: Folder, names: Callable[[Folder], dict[str, File | Folder]], dice: random.Random | None, target: Path) -> None:
    target.mkdir(mode=0o700)
    for name, node in names(folder).items():
        place = target / name
        if isinstance(node, Folder):
            _write(node, names, dice, place)
            continue
        content: bytes | bytearray = node.after_cut(dice)
        if name.endswith(INDEX):
            if dice is None or dice.random() < 0.5:
                continue
            content = dice.randbytes(_INDEX_SIZE)
        place.write_bytes(content)
        place.chmod(node.mode_after_cut(dice))


def _differences(folder: Folder, real: Path) -> set[str]:
    found = {path.name: path for path in real.iterdir()}
    wrong = {str(real / name) for name in found.keys() ^ folder.seen.keys()}
    for name in found.keys() & folder.seen.keys():
        node = folder.seen[name]
        if isinstance(node, Folder):
            wrong |= _differences(node, found[name])
        elif not name.endswith(INDEX) and node.seen() != found[name].read_bytes():
            wrong.add(str(found[name]))
    return wrong
