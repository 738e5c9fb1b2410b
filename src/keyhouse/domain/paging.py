"""Pages of lists, as every list of the house is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list: a `page`, counted from 1, of `limit` entries."""

    page: int
    limit: int

    @property
    def offset(self) -> int:
        """How many entries come before it."""
        return (self.page - 1) * self.limit
