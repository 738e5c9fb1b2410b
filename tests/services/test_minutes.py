"""The last sixty minutes: of all workers together, each count in the minute in which it came, and none twice."""

from keyhouse.gateway.wire.answer import Usage
from keyhouse.services.metrics.memory import MetricsMemory
from keyhouse.services.metrics.metrics import ADDED_BOUNDS_S, Metrics
from keyhouse.services.metrics.minutes import SLOTS, LastHour, Minutes, Totals, last_hour
from tests.services.test_metrics import ended, samples

START = 29_000_000


def totals(requests: float, errors: float = 0, tokens: dict[str, float] | None = None) -> Totals:
    return Totals(requests, errors, [requests, 0.0], tokens or {})


def hour(memory: MetricsMemory, minute: int) -> LastHour:
    return last_hour(memory.sections(), minute, 2)


def test_growth_lands_in_the_minute_in_which_it_was_seen() -> None:
    memory = MetricsMemory()
    minutes = Minutes(memory.section(0), totals(100))
    minutes.note(START, totals(103, 1))
    minutes.note(START, totals(104, 1))
    minutes.note(START + 2, totals(110, 3, {"openai": 50}))
    told = hour(memory, START + 2)
    assert told.requests[-3:] == [4, 0, 6]
    assert told.errors[-3:] == [1, 0, 2]
    assert [buckets[0] for buckets in told.added[-3:]] == [4, 0, 6]
    assert told.tokens == {"openai": [0.0] * 59 + [50]}
    assert sum(told.requests) == 10


def test_an_hour_later_a_minute_is_gone_and_its_place_begins_anew() -> None:
    memory = MetricsMemory()
    minutes = Minutes(memory.section(0), totals(0))
    minutes.note(START, totals(5, 5, {"openai": 9}))
    assert hour(memory, START + SLOTS - 1).requests[0] == 5
    assert sum(hour(memory, START + SLOTS).requests) == 0
    minutes.note(START + SLOTS, totals(6, 5, {"openai": 9}))
    told = hour(memory, START + SLOTS)
    assert (told.requests[-1], told.errors[-1], sum(map(sum, told.tokens.values()))) == (1, 0, 0)


def test_workers_are_added_up_and_a_successor_counts_on() -> None:
    memory = MetricsMemory(2)
    Minutes(memory.section(0), totals(0)).note(START, totals(3))
    Minutes(memory.section(1), totals(0)).note(START, totals(4))
    Minutes(memory.section(1), totals(4)).note(START, totals(5))
    assert hour(memory, START).requests[-1] == 8


def test_metrics_tell_the_hour_of_all_workers_and_prometheus_nothing_of_it() -> None:
    memory = MetricsMemory(2)
    one, other = Metrics(memory, 0), Metrics(memory, 1)
    one.observe([ended(usage=Usage(100, 20, 5, None, 7))])
    one.observe([ended(status=429)])
    other.observe([ended(status=0, code="caller_left", answered_at=None)])
    other.refresh()
    told = one.last_hour()
    # The minute may end in the middle of this.
    assert (sum(told.requests), sum(told.errors)) == (3, 1)
    assert {provider: sum(row) for provider, row in told.tokens.items()} == {"openai": 125}
    assert sum(map(sum, told.added)) == 2
    assert all(len(buckets) == len(ADDED_BOUNDS_S) + 1 for buckets in told.added)
    assert not any("minute" in name for name in samples(one.text()))
