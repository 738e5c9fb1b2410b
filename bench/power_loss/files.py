"""Files and folders as they could be after a power cut: what was forced onto the disk is there, and of all later changes any.

Of a write that was not synced any of its sectors may be there, or nothing but the new size. Nothing is known of the order.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

SECTOR = 512
_T = TypeVar("_T")
_KEPT, _PARTLY = "kept", "partly"


@dataclass(eq=False)
class Write:
    """Bytes at a place of a file."""

    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        _grow(content, self.offset, bytes)
        content[self.offset : self.offset + len(self.data)] = self.data

    def apply_partly(self, content: bytearray, dice: random.Random) -> None:
        """The new size, filled with zeros or with anything, and any of the sectors."""
        place, end = self.offset, self.offset + len(self.data)
        _grow(content, end, dice.choice((bytes, dice.randbytes)))
        share = dice.choice((0.0, 0.5, 0.9))
        while place < end:
            after = min(end, (place // SECTOR + 1) * SECTOR)
            if dice.random() < share:
                content[place:after] = self.data[place - self.offset : after - self.offset]
            place = after


@dataclass(eq=False)
class Resize:
    """Another size of a file."""

    size: int

    def apply(self, content: bytearray) -> None:
        _grow(content, self.size, bytes)
        del content[self.size :]

    def apply_partly(self, content: bytearray, dice: random.Random) -> None:
        """A size is one number: it is there, or it is not."""
        if dice.random() < 0.5:
            self.apply(content)


def _grow(content: bytearray, size: int, filling: Callable[[int], bytes]) -> None:
    if len(content) < size:
        content.extend(filling(size - len(content)))


@dataclass(eq=False)
class File:
    """What is on the disk of a file, and what may be."""

    mode: int
    content: bytearray = field(default_factory=bytearray)
    pending: list[Write | Resize] = field(default_factory=list)
    position: int = 0
    """Where the next `write` goes. Here one process at a time writes a file in that way."""

    def __post_init__(self) -> None:
        self.size = len(self.content)
        """As processes see it."""
        self.synced_mode = self.mode

    def change(self, change: Write | Resize) -> None:
        self.size = change.size if isinstance(change, Resize) else max(self.size, change.offset + len(change.data))
        self.pending.append(change)

    def sync(self, changes: Sequence[Write | Resize]) -> None:
        """Have these changes on the disk."""
        synced = set(map(id, changes))
        for change in self.pending:
            if id(change) in synced:
                change.apply(self.content)
        self.pending = [change for change in self.pending if id(change) not in synced]

    def seen(self) -> bytearray:
        """The content as processes see it."""
        content = bytearray(self.content)
        for change in self.pending:
            change.apply(content)
        return content

    def mode_after_cut(self, dice: random.Random | None) -> int:
        """Its rights, found later."""
        return dice.choice((self.synced_mode, self.mode)) if dice else self.synced_mode

    def after_cut(self, dice: random.Random | None) -> bytearray:
        """The content that is found later. Without dice it is what was synced, and nothing else."""
        content = bytearray(self.content)
        for change, fate in fates(self.pending, dice):
            if fate == _KEPT or dice is None:
                change.apply(content)
            else:
                change.apply_partly(content, dice)
        return content


@dataclass(eq=False)
class Folder:
    """The names in a folder as processes see them, and those that are on the disk."""

    mode: int = 0o700
    seen: "dict[str, File | Folder]" = field(default_factory=dict)
    synced: "dict[str, File | Folder]" = field(default_factory=dict)


@dataclass(eq=False)
class Renaming:
    """What is taken away from a folder, and what is put into one: a new file, one that was removed, or one that was renamed."""

    out_of: Folder | None = None
    old: str = ""
    into: Folder | None = None
    new: str = ""
    node: File | Folder | None = None

    def apply(self, names: Callable[[Folder], dict[str, File | Folder]]) -> None:
        if self.out_of is not None:
            names(self.out_of).pop(self.old, None)
        if self.into is not None and self.node is not None:
            names(self.into)[self.new] = self.node

    def is_in(self, folder: Folder) -> bool:
        return folder is self.out_of or folder is self.into


def fates(pending: Sequence[_T], dice: random.Random | None) -> Iterator[tuple[_T, str]]:
    """Which changes survive, and how: all of them, none, those before a moment, or any."""
    if dice is None or not pending:
        return
    way = dice.choice(("all", "none", "before", "any", "any"))
    last, kept, partly = dice.randrange(len(pending)), dice.random(), dice.choice((0.0, 0.2, 0.5))
    for number, change in enumerate(pending):
        if way == "all" or (way == "before" and number < last):
            yield change, _KEPT
        elif way == "before" and number == last:
            yield change, _PARTLY
        elif way == "any":
            chance = dice.random()
            if chance < partly or chance < kept:
                yield change, _PARTLY if chance < partly else _KEPT
