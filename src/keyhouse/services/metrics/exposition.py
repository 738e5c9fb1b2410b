"""Metrics as text, in Prometheus' format: https://prometheus.io/docs/instrumenting/exposition_formats/ (2026-11-23). Counts nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metric(msgspec.Struct, frozen=True):
    """What a metric is called and says. Of a histogram `buckets` are the upper bounds, in the metric's unit; its row of values is the
    count of each bucket and of what lies above, then the sum."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many values a series has."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1


Samples = Mapping[str, Mapping[tuple[str, ...], Sequence[float]]]
"""Values by metric and by the values of its labels."""


def exposition(metrics: Iterable[Metric], samples: Samples) -> bytes:
    """The text of all metrics. One without labels is there before anything was counted."""
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric, samples.get(metric.name, {}))).encode()


def _lines(metric: Metric, series: Mapping[tuple[str, ...], Sequence[float]]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    if not series and not metric.labels:
        series = {(): [0.0] * metric.width}
    for values in sorted(series):
        labels = [f'{name}="{_escaped(value)}"' for name, value in zip(metric.labels, values, strict=True)]
        if metric.kind == "histogram":
            yield from _histogram(metric, labels, series[values])
        else:
            yield _sample(metric.name, labels, series[values][0])


def _histogram(metric: Metric, labels: list[str], row: Sequence[float]) -> Iterator[str]:
    total = 0.0
    for bound, count in zip((*map(_number, metric.buckets), "+Inf"), row[:-1], strict=True):
        total += count
        yield _sample(f"{metric.name}_bucket", [*labels, f'le="{bound}"'], total)
    yield _sample(f"{metric.name}_sum", labels, row[-1])
    yield _sample(f"{metric.name}_count", labels, total)


def _sample(name: str, labels: list[str], value: float) -> str:
    return f"{name}{'{' + ','.join(labels) + '}' if labels else ''} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
