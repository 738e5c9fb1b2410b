"""What is counted of the gateway, for Prometheus. Labels are bounded: never a model, a project, or anything else that a caller chose."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from operator import attrgetter

from keyhouse.domain.errors import Code
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.pool import Counters
from keyhouse.gateway.upstream import ConnectionCounts
from keyhouse.gateway.wire.answer import Usage
from keyhouse.services.metrics.exposition import Metric, exposition
from keyhouse.services.metrics.memory import MetricsMemory
from keyhouse.services.metrics.minutes import LastHour, Minutes, Totals, last_hour
from keyhouse.services.metrics.process import process_figures

_DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
ADDED_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""The upper bounds of the buckets of added latency."""
_CALL = ("endpoint", "provider")

REQUESTS = Metric(
    "keyhouse_requests_total",
    "counter",
    "Requests of the gateway that have ended. Status 0: the caller left before its answer.",
    (*_CALL, "status"),
)
ERRORS = Metric("keyhouse_errors_total", "counter", "Requests of the gateway that ended in an error of Keyhouse, by its code.", ("code",))
DURATION = Metric(
    "keyhouse_request_duration_seconds",
    "histogram",
    "From a request's head to the last byte of its answer.",
    (*_CALL, "stream"),
    _DURATIONS_S,
)
ADDED = Metric(
    "keyhouse_added_latency_seconds",
    "histogram",
    "From a request's head to that of its answer, without the time that the upstream made it wait.",
    _CALL,
    ADDED_BOUNDS_S,
)
TOKENS = Metric(
    "keyhouse_tokens_total",
    "counter",
    "Tokens as providers count them. Kind input leaves out cache_read and cache_write, output includes reasoning.",
    ("provider", "kind"),
)
RETRIES = Metric("keyhouse_retries_total", "counter", "Calls of upstreams that were tried again.", ("provider",))
CONNECTIONS = Metric("keyhouse_upstream_connections", "gauge", "Open connections to upstreams.", ("state",))
WAITING = Metric("keyhouse_upstream_waiting_requests", "gauge", "Requests that wait for a connection to their upstream.")
CONNECTION_EVENTS = Metric(
    "keyhouse_upstream_connection_events_total",
    "counter",
    "Connections to upstreams that were opened, reused, failed to open, or were closed under a request and replaced.",
    ("event",),
)
WORKERS = Metric("keyhouse_workers", "gauge", "Processes whose counts are added up here.")
MEMORY = Metric("keyhouse_resident_memory_bytes", "gauge", "Resident memory of a worker.", ("worker",))
FILES = Metric("keyhouse_open_file_descriptors", "gauge", "Open file descriptors of a worker.", ("worker",))
CPU = Metric("keyhouse_cpu_seconds_total", "counter", "Processor time that a worker has used.", ("worker",))
STARTED = Metric("keyhouse_start_time_seconds", "gauge", "When a worker started, in seconds since 1970.", ("worker",))

METRICS = (
    *(REQUESTS, ERRORS, DURATION, ADDED, TOKENS, RETRIES, CONNECTIONS, WAITING, CONNECTION_EVENTS),
    *(WORKERS, MEMORY, FILES, CPU, STARTED),
)
NONE = "none"
"""The label where there is nothing to name: a request that reached no endpoint, or no provider."""
_OTHER = "other"
_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")
_COUNTS: tuple[Callable[[Usage], int | None], ...] = tuple(attrgetter(f"{kind}_tokens") for kind in _KINDS)
# Reasoning is a part of the output.
_KINDS_OF_ALL = ("input", "output", "cache_read", "cache_write")
_STATUSES = frozenset(status.value for status in HTTPStatus) | {0, 529}
_CODES = frozenset({*Code, "caller_left"})
# More than any answer counts; beyond it a count is a mistake or a joke.
_MOST_TOKENS = 10**8

Connections = Callable[[], tuple[ConnectionCounts, Counters]]
_CallPlaces = tuple[int, int, int]


class Metrics:
    """The counts of one worker, and the text with those of all. `connections` asks the client of upstreams, once there is one;
    `before_reading` is called before counts are looked at, for requests that nobody told of yet."""

    def __init__(self, memory: MetricsMemory | None = None, worker: int = 0) -> None:
        self._memory = memory or MetricsMemory()
        self._section = self._memory.section(worker)
        self._values = self._section.values
        self._worker = str(worker)
        self._calls: dict[tuple[str, str, int, bool], _CallPlaces] = {}
        self._tokens: dict[str, tuple[int, ...]] = {}
        self._counted = Counters()
        self._started_at = time.time()
        self._minutes = Minutes(self._section, self._totals())
        self.connections: Connections | None = None
        self.before_reading: Callable[[], None] = lambda: None

    def observe(self, observations: Iterable[Observation]) -> None:
        """Count requests that have ended. The shared memory is written once for all that were alike: about a microsecond each."""
        alike: dict[tuple[str, str, int, bool], list[Observation]] = {}
        for observation in observations:
            key = (observation.endpoint, observation.provider or NONE, observation.status, observation.streams)
            if key in alike:
                alike[key].append(observation)
            else:
                alike[key] = [observation]
            if observation.retries:
                self._values[self._row(RETRIES, key[1])] += observation.retries
            if observation.code:
                self._values[self._row(ERRORS, observation.code if observation.code in _CODES else _OTHER)] += 1
        for key, noted in alike.items():
            requests, duration, added = self._calls.get(key) or self._call_places(key)
            self._values[requests] += len(noted)
            self._count_times(duration, _DURATIONS_S, [each.ended_at - each.started_at for each in noted])
            answered = [(each.answered_at, each) for each in noted if each.answered_at is not None]
            self._count_times(added, ADDED_BOUNDS_S, [at - each.started_at - each.upstream_s for at, each in answered])
            self._count_tokens(key[1], [each.usage for each in noted if each.usage is not None])

    def _count_times(self, place: int, bounds: Sequence[float], times: Sequence[float]) -> None:
        """Add to the histogram that begins at a place."""
        values = self._values
        for bucket, count in Counter([bisect_left(bounds, each) for each in times]).items():
            values[place + bucket] += count
        values[place + len(bounds) + 1] += sum(times)

    def text(self) -> bytes:
        """The metrics of all workers. Gauges of the others are as old as their last `refresh`."""
        self.refresh()
        merged: dict[str, dict[tuple[str, ...], list[float]]] = {metric.name: {} for metric in METRICS}
        for section in self._memory.sections():
            for (name, labels), row in section.rows():
                if name not in merged:
                    continue
                known = merged[name].get(labels)
                merged[name][labels] = row if known is None else [one + other for one, other in zip(known, row, strict=True)]
        return exposition(METRICS, merged)

    def last_hour(self) -> LastHour:
        """The last sixty minutes of all workers. Those of the others are as old as their last `refresh`."""
        self.refresh()
        return last_hour(self._memory.sections(), _minute(), len(ADDED_BOUNDS_S) + 1)

    def refresh(self) -> None:
        """Note what is measured rather than counted, connections, memory, files, processor time, and what the running minute counted."""
        self.before_reading()
        self._minutes.note(_minute(), self._totals())
        figures = process_figures()
        measured = ((MEMORY, figures.memory_bytes), (FILES, figures.files), (CPU, figures.cpu_s), (STARTED, self._started_at))
        for metric, figure in measured:
            self._values[self._row(metric, self._worker)] = figure
        self._values[self._row(WORKERS)] = 1
        if self.connections is not None:
            self._note_connections(*self.connections())

    def _totals(self) -> Totals:
        totals = Totals(added=[0.0] * (len(ADDED_BOUNDS_S) + 1))
        tokens: dict[str, float] = {}
        for (name, labels), row in self._section.own_rows():
            if name == REQUESTS.name:
                totals.requests += row[0]
                totals.errors += row[0] if _is_error(labels[2]) else 0
            elif name == ADDED.name:
                totals.added = [one + other for one, other in zip(totals.added, row, strict=False)]
            elif name == TOKENS.name and labels[1] in _KINDS_OF_ALL:
                tokens[labels[0]] = tokens.get(labels[0], 0) + row[0]
        totals.tokens = tokens
        return totals

    def _note_connections(self, now: ConnectionCounts, counted: Counters) -> None:
        values = self._values
        values[self._row(CONNECTIONS, "idle")] = now.idle
        values[self._row(CONNECTIONS, "busy")] = now.open - now.idle
        values[self._row(WAITING)] = now.waiting
        for event in ("opened", "reused", "failed", "replaced"):
            values[self._row(CONNECTION_EVENTS, event)] += getattr(counted, event) - getattr(self._counted, event)
            setattr(self._counted, event, getattr(counted, event))

    def _count_tokens(self, provider: str, usages: Sequence[Usage]) -> None:
        if not usages:
            return
        places = self._tokens.get(provider)
        if places is None:
            places = self._tokens[provider] = tuple(self._row(TOKENS, provider, kind) for kind in _KINDS)
        for place, count_of in zip(places, _COUNTS, strict=True):
            total = sum([count for count in map(count_of, usages) if count and 0 < count < _MOST_TOKENS])
            if total:
                self._values[place] += total

    def _call_places(self, key: tuple[str, str, int, bool]) -> _CallPlaces:
        endpoint, provider, status, streams = key
        call = (endpoint or NONE, provider)
        shown = str(status) if status in _STATUSES else _OTHER
        places = (self._row(REQUESTS, *call, shown), self._row(DURATION, *call, "yes" if streams else "no"), self._row(ADDED, *call))
        # An upstream may answer with any number: those that nobody knows share a series, and are looked up anew each time.
        if status in _STATUSES:
            self._calls[key] = places
        return places

    def _row(self, metric: Metric, *labels: str) -> int:
        return self._section.row((metric.name, labels), metric.width)


def _is_error(status: str) -> bool:
    """Whether a request ended in an answer that says so. The caller's leaving is none."""
    return status == _OTHER or int(status) >= 400


def _minute() -> int:
    return int(time.time()) // 60
