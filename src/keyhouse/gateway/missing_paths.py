"""Which endpoints upstreams turned out not to have. Remembered for a while: a server may be replaced by one that has them."""

from collections.abc import Callable
from time import monotonic

NO_SUCH_PATH = frozenset({404, 405})
"""Statuses by which servers say that they have not what a path names. A model that they have not is told of by the first as well."""

_REMEMBERED_S = 600.0
_MOST = 1024


class MissingPaths:
    """Addresses of endpoints that are not there, at most a thousand of them. `now` is a clock in seconds."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._until: dict[str, float] = {}

    def knows(self, url: str) -> bool:
        """Whether there is nothing at this address."""
        return self._now() < self._until.get(url, 0.0)

    def note(self, url: str) -> None:
        """There is nothing at this address."""
        if len(self._until) >= _MOST:
            self._until.clear()
        self._until[url] = self._now() + _REMEMBERED_S
