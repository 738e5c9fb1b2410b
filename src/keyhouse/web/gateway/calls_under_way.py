"""How many calls each project has under way in this process: one project alone never takes every connection to its providers."""

from keyhouse.domain.errors import Code, Error

_AGAIN_AFTER_S = 1


class CallsUnderWay:
    """At most `most` at once for each project."""

    __slots__ = ("_counts", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def begin(self, project_id: str) -> None:
        """Count one more, to be ended. Raises Error `too_many_requests`, whose detail `retryAfter` is in seconds; then it is not."""
        count = self._counts.get(project_id, 0)
        if count >= self._most:
            raise Error(
                Code.TOO_MANY_REQUESTS,
                f"This project has {self._most} calls under way in this process, as many as it may have. "
                "Try again when one of them has ended; KEYHOUSE_MAX_CALLS_PER_PROJECT sets the limit.",
                retryAfter=_AGAIN_AFTER_S,
            )
        self._counts[project_id] = count + 1

    def end(self, project_id: str) -> None:
        """One that had begun is over."""
        count = self._counts.pop(project_id) - 1
        if count:
            self._counts[project_id] = count
