"""The use cases of a database as a whole: copy it into another one."""

from collections.abc import Iterator
from dataclasses import dataclass

from keyhouse.storage.database_url import parse_database_url


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy is. Each of `rows` is done twice: written, and read back."""

    done: int
    rows: int

    @property
    def steps(self) -> int:
        """What `done` comes to at the end."""
        return 2 * self.rows


def copy_database(source_url: str, target_url: str, *, while_serving: bool = False) -> Iterator[CopyProgress]:
    """Copy all that one database holds, as it is at one moment, into an empty one, and read it back there. Either may be of either kind.

    All or nothing. Raises Error `configuration` for a target that is not empty, `conflict` where processes serve on the source unless
    `while_serving`, `storage_unavailable` or `storage_full`.
    """
    # Loads SQLAlchemy, which no server needs.
    from keyhouse.storage.copying import copy

    for copied in copy(parse_database_url(source_url), parse_database_url(target_url), while_serving=while_serving):
        yield CopyProgress(copied.written + copied.read_back, copied.total)
