"""Who is told of each request of the gateway: the metrics, what was last used, the log, and the spans where they are wanted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from keyhouse.gateway.answer_facts import NOTHING_READ
from keyhouse.gateway.observation import Observation, Observe
from keyhouse.gateway.upstream import Upstream
from keyhouse.gateway.usage_reader import WholeRead
from keyhouse.log import AccessLines
from keyhouse.services.last_uses import LastUses
from keyhouse.services.metrics.metrics import Metrics
from keyhouse.services.tracing import open_tracing
from keyhouse.web.gateway.call_lines import CallLines

_MEASURED_EVERY_S = 5.0
_TOLD_AFTER_S = 0.05
_TOLD_AT = 256
_LARGEST_HELD_BYTES = 16 * 1024
"""Of an answer that is held until others end too: what is larger is read at once."""

ObserveAll = Callable[[Sequence[Observation]], None]


class Ended:
    """Requests that have ended and of which nobody was told yet: they are told of together, off the road of those that are under way."""

    def __init__(self, observers: Sequence[ObserveAll], *, keeps_answers: bool) -> None:
        self._observers = observers
        self._keeps_answers = keeps_answers
        self._waiting: list[Observation] = []
        self._is_due = False
        self._loop = asyncio.get_running_loop()

    def observe(self, observation: Observation) -> None:
        """Tell of a request within a twentieth of a second. Its tokens are read then too, where much the same is read of others; those of
        a large answer are read now, and it is let go where nobody looks into it."""
        answer = observation.answer
        if not (isinstance(answer, WholeRead) and len(answer.body) <= _LARGEST_HELD_BYTES):
            self._read(observation)
        elif not self._keeps_answers:
            # Memory that is given back at once is warm for the next answer.
            observation.answer = answer.cut()
        waiting = self._waiting
        waiting.append(observation)
        if len(waiting) >= _TOLD_AT:
            self.tell()
        elif not self._is_due:
            # One at a time: it tells of what waits then, whenever the first of them came.
            self._is_due = True
            self._loop.call_later(_TOLD_AFTER_S, self._tell_due)

    def tell(self) -> None:
        """Tell of all that wait."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        for observation in waiting:
            if observation.usage is None:
                observation.usage = observation.answer.usage()
        for each in self._observers:
            each(waiting)

    def _tell_due(self) -> None:
        self._is_due = False
        self.tell()

    def _read(self, observation: Observation) -> None:
        observation.usage = observation.answer.usage()
        if not self._keeps_answers:
            observation.answer = NOTHING_READ


@contextlib.asynccontextmanager
async def observing(
    metrics: Metrics, last_uses: LastUses, upstream: Upstream, lines: AccessLines | None, traced_names: Mapping[str, str] | None
) -> AsyncIterator[Observe]:
    """What tells all of them, while it is open. `lines` is None at a log level that leaves requests out; `traced_names` are the providers'
    names in spans, by id, None where no spans are wanted. Raises Error `configuration` where the library for spans is missing."""
    observers: list[ObserveAll] = [metrics.observe, last_uses.observe]
    metrics.connections = lambda: (upstream.connections(), upstream.counters)
    if lines is not None:
        observers.append(CallLines(lines).write)
    tracing = None if traced_names is None else open_tracing(traced_names)
    if tracing is not None:
        observers.append(tracing.observe)
    ended = Ended(observers, keeps_answers=tracing is not None)
    metrics.before_reading = last_uses.before_reading = ended.tell
    measuring = asyncio.create_task(_measure(metrics))
    try:
        yield ended.observe
    finally:
        measuring.cancel()
        ended.tell()
        if tracing is not None:
            # It may wait for a receiver that is gone.
            await asyncio.to_thread(tracing.close)


async def _measure(metrics: Metrics) -> None:
    """Keep fresh what other workers tell of this one."""
    while True:
        metrics.refresh()
        await asyncio.sleep(_MEASURED_EVERY_S)
