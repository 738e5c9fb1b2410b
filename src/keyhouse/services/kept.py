"""Bounded memories of what can always be read again, and the rule by which notices of changes empty them."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from keyhouse.storage.database import ChangeNotice

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Changes:
    """Counts what a memory has forgotten or replaced: as long as `count` stays, what was found there is what would be found."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Kept(Generic[K, V]):
    """At most `limit` entries; the least recently used is forgotten first. Threads may read while one changes it."""

    __slots__ = ("_entries", "_limit", "changes", "peek")

    def __init__(self, limit: int) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._limit = limit
        self.changes = Changes()
        self.peek: Callable[[K], V | None] = self._entries.get
        """The entry, or None; it does not count as a use."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The entry, or None."""
        entry = self._entries.get(key)
        if entry is not None:
            try:  # suppress() costs more than the look-up
                self._entries.move_to_end(key)
            except KeyError:  # forgotten by another thread since
                return entry
        return entry

    def put(self, key: K, value: V) -> None:
        """Keep an entry."""
        before = len(self._entries)
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)
        if len(self._entries) == before:
            self.changes.count += 1

    def drop(self, key: K) -> None:
        """Forget an entry, if it is there."""
        self._entries.pop(key, None)
        self.changes.count += 1

    def drop_where(self, stale: Callable[[V], bool]) -> None:
        """Forget every entry for which `stale` holds; looks at all of them."""
        for key in [key for key, value in self._entries.items() if stale(value)]:
            del self._entries[key]
        self.changes.count += 1

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.changes.count += 1


class OfProject(Protocol):
    """What was read of a project, and the project's revision then."""

    @property
    def revision(self) -> int:
        """Counts the changes of the project's providers and default model."""


P = TypeVar("P", bound=OfProject)


class _Readings:
    """Readings of one project that are under way, and the newest revision that was noticed meanwhile."""

    under_way = 0
    noticed = 0


Reading = tuple[str, object, int, _Readings]
"""A reading that is under way: its project, and what was so when it began."""


class KeptByProject(Generic[P]):
    """What was read of each of at most `limit` projects, until a notice says that it is old.

    `generation` gives another object whenever the same rows may read otherwise, as after a change of the key ring.
    """

    __slots__ = ("_cleared", "_generation", "_kept", "_under_way", "changes", "get")

    def __init__(self, limit: int, generation: Callable[[], object]) -> None:
        self._kept: Kept[str, P] = Kept(limit)
        self.changes = self._kept.changes
        self._under_way: dict[str, _Readings] = {}
        self._generation = generation
        self._cleared = 0
        self.get: Callable[[str], P | None] = self._kept.get
        """What is kept of a project, or None."""

    async def keep(self, project_id: str, reading: Awaitable[P]) -> P:
        """What `reading` yields; kept, unless a newer revision was noticed, or it may read otherwise, while it was on its way here."""
        begun, value = self.begin(project_id), None
        try:
            value = await reading
            return value
        finally:
            self.end(begun, value)

    def begin(self, project_id: str) -> Reading:
        """A reading begins, and is to come to its end."""
        readings = self._under_way.get(project_id)
        if readings is None:
            readings = self._under_way[project_id] = _Readings()
        readings.under_way += 1
        return project_id, self._generation(), self._cleared, readings

    def end(self, begun: Reading, value: P | None) -> None:
        """What a reading yielded, if anything: see `keep`."""
        project_id, generation, cleared, readings = begun
        readings.under_way -= 1
        if not readings.under_way:
            del self._under_way[project_id]
        if value is None or value.revision < readings.noticed:
            return
        if generation is self._generation() and cleared == self._cleared:
            self._kept.put(project_id, value)

    def forget(self, notices: Sequence[ChangeNotice] | None) -> None:
        """Drop what the notices name, unless what is kept is as new as they are. Revision 0 says that the project itself changed."""
        if notices is None:
            # The database may be another one, restored, in which revisions begin again at older ones.
            self._cleared += 1
            self._kept.clear()
            return
        for notice in notices:
            project_id, revision = notice.project_id, notice.revision
            if project_id is None:
                continue
            readings = self._under_way.get(project_id)
            if readings is not None and revision > readings.noticed:
                readings.noticed = revision
            kept = self._kept.peek(project_id)
            if kept is not None and (kept.revision < revision or not revision):
                self._kept.drop(project_id)
