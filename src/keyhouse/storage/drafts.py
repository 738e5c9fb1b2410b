"""Drafts: what a write would write, were its project still as it is remembered. A database may check that while it writes."""

from collections.abc import Sequence
from typing import Any

from keyhouse.storage.clock import now_us
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.statements import Row, Statement


class CannotDraft(Exception):  # noqa: N818 - it names what happened
    """A write needs to read, or is of a kind that nobody drafts: it must be done in a transaction of its own."""


class Draft:
    """A Transaction that reads nothing, and keeps what it is to write."""

    __slots__ = ("noted", "now", "written")

    is_draft = True

    def __init__(self) -> None:
        self.now = now_us()
        self.written: list[tuple[Statement, dict[str, Any]]] = []
        self.noted: list[ChangeNotice] = []

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        """Raises CannotDraft."""
        raise CannotDraft

    def row(self, statement: Statement, **values: object) -> Row | None:
        """Raises CannotDraft."""
        raise CannotDraft

    def run(self, statement: Statement, **values: object) -> None:
        """See Transaction."""
        self.written.append((statement, values))

    def note(self, statement: Statement, notice: ChangeNotice, **values: object) -> None:
        """See Transaction."""
        self.written.append((statement, values))
        self.noted.append(notice)

    def leave_no_trace(self) -> None:
        """Raises CannotDraft."""
        raise CannotDraft


def notices_of(drafts: Sequence[Draft]) -> list[ChangeNotice]:
    """What was noted in all of them."""
    return [notice for draft in drafts for notice in draft.noted]
