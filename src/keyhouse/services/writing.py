"""A write that a unique index may refuse: the index decides, and the caller is told in words what was taken."""

from typing import TypeVar

from keyhouse.domain.errors import Error
from keyhouse.storage.database import ConstraintBroken, Work
from keyhouse.storage.opening import Storage

T = TypeVar("T")


async def write(storage: Storage, work: Work[T], taken: Error) -> T:
    """Run a write. Raises `taken` where a unique index refuses it; then nothing was written."""
    try:
        return await storage.database.write(work)
    except ConstraintBroken:
        raise taken from None
