"""What is kept in memory: by which notices it is dropped, and read by several threads at once, as a write on PostgreSQL does."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from keyhouse.services.kept import Kept, KeptByProject
from keyhouse.storage.database import ChangeNotice


class Key(str):
    """A key that lets another thread in whenever it is looked up."""

    __slots__ = ("meanwhile",)

    meanwhile: Callable[[], None]

    def __hash__(self) -> int:
        self.meanwhile()
        return super().__hash__()


def test_what_another_thread_forgets_meanwhile_is_still_given() -> None:
    kept: Kept[str, str] = Kept(3)
    kept.put("project", "what is known of it")
    looked_up = []

    def forget() -> None:
        looked_up.append(1)
        if len(looked_up) == 2:
            kept.drop("project")

    key = Key("project")
    key.meanwhile = forget
    assert kept.get(key) == "what is known of it"
    assert len(looked_up) == 2
    assert kept.get("project") is None


def test_what_was_used_last_is_kept_longest() -> None:
    kept: Kept[str, int] = Kept(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c"), len(kept)) == (1, None, 3, 2)
    kept.put("a", 4)
    kept.put("d", 5)
    assert (kept.get("a"), kept.get("c"), kept.get("d")) == (4, None, 5)


def test_whatever_is_forgotten_or_replaced_is_counted() -> None:
    kept: Kept[str, int] = Kept(3)
    counts = [kept.changes.count]

    def is_counted() -> bool:
        counts.append(kept.changes.count)
        return counts[-1] > counts[-2]

    for name in ("a", "b", "c"):
        kept.put(name, 1)
        assert not is_counted()
    assert (kept.get("a"), is_counted()) == (1, False)
    kept.put("a", 2)
    assert is_counted()
    kept.put("d", 1)
    assert is_counted()
    kept.drop("d")
    assert is_counted()
    kept.drop_where(lambda value: value == 2)
    assert is_counted()
    kept.clear()
    assert is_counted()


@dataclass(frozen=True)
class Read:
    """What was read of a project."""

    revision: int


class Projects:
    """A memory of projects, and a read that something happens to on its way into it."""

    def __init__(self) -> None:
        self.generation = object()
        self.kept: KeptByProject[Read] = KeptByProject(10, lambda: self.generation)

    def keep(self, revision: int, meanwhile: Callable[[], None] = lambda: None) -> Read | None:
        """What is kept once a read of this revision has arrived."""

        async def reading() -> Read:
            meanwhile()
            return Read(revision)

        assert asyncio.run(self.kept.keep("project", reading())) == Read(revision)
        return self.kept.get("project")

    def notice(self, *revisions: int, project: str | None = "project") -> None:
        self.kept.forget([ChangeNotice("organization", project, revision) for revision in revisions])


@pytest.mark.parametrize(("revision", "stays"), [(3, True), (4, True), (5, False), (0, False)])
def test_a_notice_drops_what_is_older_and_that_the_project_changed_drops_all(revision: int, stays: bool) -> None:
    projects = Projects()
    assert projects.keep(4) is not None
    projects.notice(revision)
    assert (projects.kept.get("project") is not None) == stays


def test_a_notice_of_another_project_or_of_none_drops_nothing() -> None:
    projects = Projects()
    projects.keep(4)
    projects.notice(9, 0, project="another")
    projects.notice(9, 0, project=None)
    assert projects.kept.get("project") == Read(4)


def test_what_grew_old_while_it_was_read_is_not_kept() -> None:
    projects = Projects()
    assert projects.keep(4, lambda: projects.notice(5)) is None
    assert projects.keep(5, lambda: projects.notice(4)) == Read(5)
    projects.kept.forget(None)
    assert projects.kept.get("project") is None
    assert projects.keep(5, lambda: projects.kept.forget(None)) is None


def test_of_readings_at_once_each_hears_what_was_noticed_since_it_began() -> None:
    kept: KeptByProject[Read] = KeptByProject(10, lambda: None)
    first, second = kept.begin("project"), kept.begin("project")
    kept.forget([ChangeNotice("organization", "project", 6)])
    kept.end(second, Read(6))
    kept.end(first, Read(5))
    assert kept.get("project") == Read(6)


def test_a_reading_that_yields_nothing_leaves_nothing() -> None:
    kept: KeptByProject[Read] = KeptByProject(10, lambda: None)
    failed = kept.begin("project")
    kept.forget([ChangeNotice("organization", "project", 6)])
    kept.end(failed, None)
    kept.end(kept.begin("project"), Read(2))
    assert kept.get("project") == Read(2)


def test_a_notice_of_another_project_hides_none_of_this_one() -> None:
    projects = Projects()

    def notice_both() -> None:
        projects.notice(5)
        projects.notice(7, project="another")

    assert projects.keep(4, notice_both) is None


def test_notices_in_any_order_name_the_newest_revision() -> None:
    projects = Projects()
    assert projects.keep(5, lambda: projects.notice(6, 5)) is None


def test_what_may_read_otherwise_by_now_is_not_kept() -> None:
    projects = Projects()

    def other_keys() -> None:
        projects.generation = object()

    assert projects.keep(4, other_keys) is None
    assert projects.keep(4) == Read(4)


def test_after_a_restored_database_what_is_older_is_kept_again() -> None:
    kept: KeptByProject[Read] = KeptByProject(3, lambda: None)

    async def read(revision: int) -> Read:
        return Read(revision)

    async def main() -> None:
        await kept.keep("project", read(6))
        kept.forget(None)
        await kept.keep("project", read(5))
        assert kept.get("project") == Read(5)

    asyncio.run(main())
