"""When a call is tried again: only where no work can have been done, or where the provider asks for it. Opens nothing itself."""

import math
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from keyhouse.gateway.headers import RawHeaders, value_of
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure

LONGEST_RETRY_AFTER_S = 2.0
RETRIED_STATUSES = frozenset({429, 503})
"""Of answers that may be tried again."""
_FIRST_WAIT_S = 0.2
_UNMADE_CONNECTIONS = frozenset({UpstreamFailure.CONNECT_FAILED, UpstreamFailure.CONNECT_TIMEOUT})


class Retries:
    """The tries of one request; `count` is how often it was tried again."""

    __slots__ = ("_limit", "_plain_503", "count")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._plain_503 = False
        self.count = 0

    def wait_after_error(self, error: UpstreamError) -> float | None:
        """Seconds to wait before the next try, or None where there is none: the request may have been acted on, or never will be."""
        if self.count >= self._limit or error.request_sent or error.kind not in _UNMADE_CONNECTIONS:
            return None
        return self._wait()

    def wait_after_answer(self, status: int, headers: RawHeaders) -> float | None:
        """The same for an answer: a 429 or 503 that asks to come back soon; a 503 that says nothing, once."""
        if status not in RETRIED_STATUSES or self.count >= self._limit or value_of(headers, b"x-should-retry") == b"false":
            return None
        asked = retry_after_s(headers)
        if asked is not None:
            if asked > LONGEST_RETRY_AFTER_S:
                return None
            self.count += 1
            return asked + random.uniform(0, 0.1)  # noqa: S311 - spreads load
        if status == 429 or self._plain_503:
            return None
        self._plain_503 = True
        return self._wait()

    def _wait(self) -> float:
        wait = _FIRST_WAIT_S * (1 << self.count) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load
        self.count += 1
        return wait


def retry_after_s(headers: RawHeaders) -> float | None:
    """What an answer's `retry-after-ms` or `retry-after` (seconds or a date) asks for, not below 0; None for neither, or nonsense."""
    milliseconds, given = value_of(headers, b"retry-after-ms"), value_of(headers, b"retry-after")
    seconds = _number(milliseconds)
    if seconds is not None:
        return max(0.0, seconds / 1000)
    seconds = _number(given)
    if seconds is None and given is not None:
        seconds = _seconds_until(given.decode("latin-1"))
    return None if seconds is None else max(0.0, seconds)


def _number(value: bytes | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
