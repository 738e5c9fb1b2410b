"""Times as storage keeps them: whole microseconds since 1970 UTC."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """Now, in microseconds."""
    return time.time_ns() // 1000


def to_datetime(microseconds: int) -> datetime:
    """The moment, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(moment: datetime) -> int:
    """The moment, in microseconds; it must know its time zone."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
