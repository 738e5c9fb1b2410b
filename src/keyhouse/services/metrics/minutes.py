"""What was counted in each of the last sixty minutes, beside the counts in a worker's section of memory. Makes no request slower: it looks
at the counts every few seconds, and notes how they grew."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from keyhouse.services.metrics.memory import Section, Series

SLOTS = 60
_STAMPS, _REQUESTS, _ERRORS, _ADDED, _TOKENS = (f"minute {name}" for name in ("number", "requests", "errors", "added", "tokens"))


@dataclass(slots=True)
class Totals:
    """Counts so far. `added` are the requests in each bucket of added latency, `tokens` those of each provider."""

    requests: float = 0.0
    errors: float = 0.0
    added: Sequence[float] = ()
    tokens: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LastHour:
    """Sixty values of each kind, the oldest minute first and the running one last. `added` holds a minute's buckets."""

    requests: list[float]
    errors: list[float]
    added: list[list[float]]
    tokens: dict[str, list[float]]


class Minutes:
    """The minutes of one worker, in its section. What its predecessor counted before it died is no part of its own growth."""

    def __init__(self, section: Section, totals: Totals) -> None:
        self._section = section
        self._seen = totals

    def note(self, minute: int, totals: Totals) -> None:
        """Add to a minute, counted from 1970, what came since the last note."""
        slot = minute % SLOTS
        if self._section.values[self._section.row((_STAMPS, ()), SLOTS) + slot] != minute:
            self._begin(slot, minute)
        self._add((_REQUESTS, ()), slot, totals.requests - self._seen.requests)
        self._add((_ERRORS, ()), slot, totals.errors - self._seen.errors)
        for number, count in enumerate(totals.added):
            self._add((_ADDED, (str(number),)), slot, count - (self._seen.added[number] if self._seen.added else 0))
        for provider, count in totals.tokens.items():
            self._add((_TOKENS, (provider,)), slot, count - self._seen.tokens.get(provider, 0))
        self._seen = totals

    def _begin(self, slot: int, minute: int) -> None:
        for name, labels in [series for series, _ in self._section.own_rows()]:
            if name in (_REQUESTS, _ERRORS, _ADDED, _TOKENS):
                self._section.values[self._section.row((name, labels), SLOTS) + slot] = 0
        self._section.values[self._section.row((_STAMPS, ()), SLOTS) + slot] = minute

    def _add(self, series: Series, slot: int, count: float) -> None:
        if count:
            self._section.values[self._section.row(series, SLOTS) + slot] += count


def last_hour(sections: Iterable[Section], minute: int, buckets: int) -> LastHour:
    """The hour that ends with `minute`, of all workers together."""
    hour = LastHour([0.0] * SLOTS, [0.0] * SLOTS, [[0.0] * buckets for _ in range(SLOTS)], {})
    for section in sections:
        rows = dict(section.rows())
        places = _places(rows.get((_STAMPS, ()), ()), minute)
        for (name, labels), row in rows.items():
            for slot, place in places:
                _sum(hour, name, labels, place, row[slot] if len(row) > slot else 0.0)
    return hour


def _places(stamps: Sequence[float], minute: int) -> list[tuple[int, int]]:
    """(slot, place in the hour) of each minute that a worker noted and that lies in the hour."""
    first = minute - SLOTS + 1
    return [(slot, int(stamp) - first) for slot, stamp in enumerate(stamps) if first <= stamp <= minute]


def _sum(hour: LastHour, name: str, labels: tuple[str, ...], place: int, count: float) -> None:
    if name == _REQUESTS:
        hour.requests[place] += count
    elif name == _ERRORS:
        hour.errors[place] += count
    elif name == _ADDED:
        hour.added[place][int(labels[0])] += count
    elif name == _TOKENS:
        hour.tokens.setdefault(labels[0], [0.0] * SLOTS)[place] += count
