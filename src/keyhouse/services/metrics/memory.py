"""Where the workers of one machine keep their counts: memory that they share, a section for each, which only that worker writes.

Made before the workers are forked, so it needs no file. A worker that takes a dead one's place goes on with its counts: they never drop.
"""

import mmap
import struct
from collections.abc import Iterator

import msgspec

_VALUES = 32 * 1024
_VALUE_BYTES = 8
_NAME_BYTES = 1024 * 1024
# The end of the values, where the counts of series go that find no room. Nobody reads it.
_SPILL = 64
_LENGTH = struct.Struct("=Q")
_HEAD_BYTES = _LENGTH.size

Series = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels."""


class MetricsMemory:
    """The sections of `workers` workers. Untouched parts take no memory."""

    def __init__(self, workers: int = 1) -> None:
        self._size = _HEAD_BYTES + _NAME_BYTES + _VALUES * _VALUE_BYTES
        self._map = mmap.mmap(-1, self._size * workers)
        self._workers = workers

    def section(self, worker: int) -> "Section":
        """A worker's own section, with the counts of whoever had it before."""
        view = memoryview(self._map)[worker * self._size : (worker + 1) * self._size]
        return Section(view)

    def sections(self) -> list["Section"]:
        """All sections, to read."""
        return [self.section(worker) for worker in range(self._workers)]


class Section:
    """One worker's counts. Each series has a row of values, named once; numbers are read and written whole, names before numbers."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._names = view[_HEAD_BYTES : _HEAD_BYTES + _NAME_BYTES]
        self.values = view[_HEAD_BYTES + _NAME_BYTES :].cast("d")
        self._rows: dict[Series, tuple[int, int]] = dict(self._read_rows())
        self._free = max((start + width for start, width in self._rows.values()), default=0)

    def row(self, series: Series, width: int) -> int:
        """Where in `values` the row of a series begins, made if there is none. Without room for one what is counted there is lost."""
        known = self._rows.get(series)
        if known is not None:
            return known[0]
        name = msgspec.json.encode((*series, self._free, width)) + b"\n"
        used = self._used()
        if self._free + width > _VALUES - _SPILL or used + len(name) > _NAME_BYTES:
            return _VALUES - _SPILL
        start, self._free = self._free, self._free + width
        self._names[used : used + len(name)] = name
        _LENGTH.pack_into(self._view, 0, used + len(name))
        self._rows[series] = (start, width)
        return start

    def rows(self) -> Iterator[tuple[Series, list[float]]]:
        """Every series and its values as they are now."""
        for series, (start, width) in self._read_rows():
            yield series, [*self.values[start : start + width]]

    def own_rows(self) -> Iterator[tuple[Series, list[float]]]:
        """The same for the one worker that writes here: it knows the names, and need not read them."""
        for series, (start, width) in self._rows.items():
            yield series, [*self.values[start : start + width]]

    def _used(self) -> int:
        used: int = _LENGTH.unpack_from(self._view, 0)[0]
        return used

    def _read_rows(self) -> Iterator[tuple[Series, tuple[int, int]]]:
        for line in bytes(self._names[: self._used()]).splitlines():
            metric, labels, start, width = msgspec.json.decode(line, type=tuple[str, tuple[str, ...], int, int])
            yield (metric, labels), (start, width)
