"""Bounded memories of what can always be read again, and the rule by which notices of changes empty them."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from keyhouse.storage.database import ChangeNotice

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """At most `limit` entries; the least recently used is forgotten first. Threads may read while one changes it."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._limit = limit

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
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget an entry, if it is there."""
        self._entries.pop(key, None)

    def drop_where(self, stale: Callable[[V], bool]) -> None:
        """Forget every entry for which `stale` holds; looks at all of them."""
        for key in [key for key, value in self._entries.items() if stale(value)]:
            del self._entries[key]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


class OfProject(Protocol):
    """What was read of a project, and the project's revision then."""

    @property
    def revision(self) -> int:
        """Counts the changes of the project's providers and default model."""


P = TypeVar("P", bound=OfProject)


class KeptByProject(Generic[P]):
    """What was read of each of at most `limit` projects, until a notice says that it is old.

    `generation` gives another object whenever the same rows may read otherwise, as after a change of the key ring.
    """

    __slots__ = ("_cleared", "_generation", "_kept", "_noticed", "get")

    def __init__(self, limit: int, generation: Callable[[], object]) -> None:
        self._kept: Kept[str, P] = Kept(limit)
        self._noticed: Kept[str, int] = Kept(limit)
        self._generation = generation
        self._cleared = 0
        self.get: Callable[[str], P | None] = self._kept.get
        """What is kept of a project, or None."""

    async def keep(self, project_id: str, reading: Awaitable[P]) -> P:
        """What `reading` yields; kept, unless a newer revision was noticed, or it may read otherwise, while it was on its way here."""
        generation, cleared = self._generation(), self._cleared
        value = await reading
        is_newest = value.revision >= (self._noticed.get(project_id) or 0)
        if is_newest and generation is self._generation() and cleared == self._cleared:
            self._kept.put(project_id, value)
        return value

    def forget(self, notices: Sequence[ChangeNotice] | None) -> None:
        """Drop what the notices name, unless what is kept is as new as they are. Revision 0 says that the project itself changed."""
        if notices is None:
            # The database may be another one, restored, in which revisions begin again at older ones.
            self._cleared += 1
            self._kept.clear()
            self._noticed.clear()
            return
        for notice in notices:
            if notice.project_id is not None:
                self._forget_one(notice.project_id, notice.revision)

    def _forget_one(self, project_id: str, revision: int) -> None:
        if revision and revision > (self._noticed.get(project_id) or 0):
            self._noticed.put(project_id, revision)
        kept = self._kept.get(project_id)
        if kept is not None and (kept.revision < revision or not revision):
            self._kept.drop(project_id)
