"""How often somebody may do something, kept in this process's memory: several workers each allow as much."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from keyhouse.domain.errors import Code, Error

_REMEMBERED = 10_000


class RateLimit:
    """At most `limit` times in any `window_s` seconds for each key. `now` is a clock that only goes forward, in seconds."""

    def __init__(self, limit: int, window_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._window_s = window_s
        self._now = now
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, key: str, what: str) -> None:
        """Count one more. Raises Error `too_many_requests`, whose detail `retryAfter` is in seconds, where it would be one too many.

        `what` is for the sentence, in the plural.
        """
        now = self._now()
        taken = self._taken.setdefault(key, deque())
        self._taken.move_to_end(key)
        while taken and taken[0] <= now - self._window_s:
            taken.popleft()
        if len(taken) >= self._limit:
            wait_s = math.ceil(taken[0] + self._window_s - now)
            message = f"No more than {self._limit} {what} in {self._window_s:g} seconds. Try again in {wait_s} seconds."
            raise Error(Code.TOO_MANY_REQUESTS, message, retryAfter=wait_s)
        taken.append(now)
        if len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)
