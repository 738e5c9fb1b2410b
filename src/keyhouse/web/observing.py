"""Who is told of each request of the gateway: the metrics, what was last used, the log, and the spans where they are wanted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from keyhouse.gateway.observation import Observation
from keyhouse.gateway.upstream import Upstream
from keyhouse.log import AccessLines
from keyhouse.services.last_uses import LastUses
from keyhouse.services.metrics.metrics import Metrics
from keyhouse.services.tracing import open_tracing
from keyhouse.web.gateway.call_lines import CallLines

_MEASURED_EVERY_S = 5.0

Observe = Callable[[Observation], None]


@contextlib.asynccontextmanager
async def observing(
    metrics: Metrics, last_uses: LastUses, upstream: Upstream, lines: AccessLines | None, traced_names: Mapping[str, str] | None
) -> AsyncIterator[Observe]:
    """What tells all of them, while it is open. `lines` is None at a log level that leaves requests out; `traced_names` are the providers'
    names in spans, by id, None where no spans are wanted. Raises Error `configuration` where the library for spans is missing."""
    observers: list[Observe] = [metrics.observe, last_uses.observe]
    metrics.connections = lambda: (upstream.connections(), upstream.counters)
    if lines is not None:
        observers.append(CallLines(lines).observe)
    tracing = None if traced_names is None else open_tracing(traced_names)
    if tracing is not None:
        observers.append(tracing.observe)
    measuring = asyncio.create_task(_measure(metrics))
    try:
        yield _all(observers)
    finally:
        measuring.cancel()
        if tracing is not None:
            # It may wait for a receiver that is gone.
            await asyncio.to_thread(tracing.close)


async def _measure(metrics: Metrics) -> None:
    """Keep fresh what other workers tell of this one."""
    while True:
        metrics.refresh()
        await asyncio.sleep(_MEASURED_EVERY_S)


def _all(observers: Sequence[Observe]) -> Observe:
    if len(observers) == 1:
        return observers[0]

    def observe(observation: Observation) -> None:
        for each in observers:
            each(observation)

    return observe
