"""How often somebody may do something, kept in this process's memory: several workers each allow as much."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from keyhouse.domain.errors import Code, Error

_REMEMBERED = 10_000
_WINDOW_S = 60.0


class RateLimit:
    """At most `limit` times in any minute for each key. `now` is a clock that only goes forward, in seconds."""

    def __init__(self, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, key: str, what: str) -> None:
        """Count one more. Raises Error `too_many_requests`, whose detail `retryAfter` is in seconds, where it would be one too many.

        `what` is for the sentence, in the plural.
        """
        now = self._now()
        taken = self._taken.setdefault(key, deque())
        self._taken.move_to_end(key)
        while taken and taken[0] <= now - _WINDOW_S:
            taken.popleft()
        if len(taken) >= self._limit:
            wait_s = math.ceil(taken[0] + _WINDOW_S - now)
            message = f"No more than {self._limit} {what} in {_WINDOW_S:g} seconds. Try again in {wait_s} seconds."
            raise Error(Code.TOO_MANY_REQUESTS, message, retryAfter=wait_s)
        taken.append(now)
        if len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)
