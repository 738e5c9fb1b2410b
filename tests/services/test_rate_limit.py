"""The rate limit: a sliding window for each key."""

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.services import rate_limit
from keyhouse.services.rate_limit import RateLimit


class Clock:
    """A clock that a test moves on."""

    moment = 1000.0

    def __call__(self) -> float:
        return self.moment


def test_no_more_than_the_limit_in_any_window() -> None:
    clock = Clock()
    limit = RateLimit(2, clock)
    limit.take("a", "tests")
    clock.moment += 50
    limit.take("a", "tests")
    limit.take("b", "tests")
    with pytest.raises(Error, match=r"No more than 2 tests in 60 seconds\. Try again in 10 seconds\.") as caught:
        limit.take("a", "tests")
    assert (caught.value.code, caught.value.details["retryAfter"]) == (Code.TOO_MANY_REQUESTS, 10)
    clock.moment += 10
    limit.take("a", "tests")
    with pytest.raises(Error):
        limit.take("a", "tests")


def test_it_remembers_a_bounded_number_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "_REMEMBERED", 3)
    limit = RateLimit(1, Clock())
    for key in "abcd":
        limit.take(key, "tests")
    assert len(limit._taken) == 3
