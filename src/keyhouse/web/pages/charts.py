"""From the last hour's counts to the shapes of small charts: places in a box of 600 by 100, and what they say in words. Draws nothing."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import msgspec

from keyhouse.services.metrics.minutes import SLOTS, LastHour

WIDTH, HEIGHT = 600, 100
_STEP = WIDTH // SLOTS
_GAP = 2
_MOST_PARTS = 5
_SPAN = 5
"""Minutes to a row in words."""


class Bar(msgspec.Struct, frozen=True):
    """A rectangle of series `tone`, and what it stands for."""

    x: float
    y: float
    height: float
    tone: int
    title: str
    width: int = _STEP - _GAP


class Part(msgspec.Struct, frozen=True):
    """A series of a chart: its name and its figure for the whole hour."""

    name: str
    figure: str
    tone: int


class Chart(msgspec.Struct, frozen=True):
    """One chart. `kind` names its colours; `top` is the value at its upper edge. `lines` are paths, one a series."""

    kind: str
    title: str
    figure: str
    top: str
    label: str
    parts: tuple[Part, ...] = ()
    bars: tuple[Bar, ...] = ()
    lines: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """Five minutes in words, for whoever reads rather than looks."""

    minutes_ago: str
    cells: tuple[str, ...]


def hour_charts(hour: LastHour, bounds_s: Sequence[float], name_of: Callable[[str], str]) -> list[Chart]:
    """Requests, errors, added latency, tokens by provider."""
    requests, errors = hour.requests, hour.errors
    share = sum(errors) / sum(requests) if sum(requests) else 0
    return [
        _counted("requests", "Requests", requests, _number(sum(requests))),
        _counted("errors", "Errors", errors, f"{_number(sum(errors))} ({share:.1%})" if sum(errors) else "0"),
        _latency(hour.added, bounds_s),
        _tokens({name_of(provider): row for provider, row in hour.tokens.items() if any(row)}),
    ]


def hour_rows(hour: LastHour, bounds_s: Sequence[float]) -> list[Row]:
    """The same in twelve rows, the newest first."""
    rows = []
    for start in range(SLOTS - _SPAN, -1, -_SPAN):
        places = range(start, start + _SPAN)
        added = [sum(hour.added[place][bucket] for place in places) for bucket in range(len(bounds_s) + 1)]
        tokens = sum(row[place] for row in hour.tokens.values() for place in places)
        counts = (sum(hour.requests[place] for place in places), sum(hour.errors[place] for place in places))
        cells = (*map(_number, counts), *(_shown_ms(quantile(added, bounds_s, share)) for share in (0.5, 0.95)), _number(tokens))
        rows.append(Row(f"{SLOTS - start - _SPAN} to {SLOTS - start} minutes ago", cells))
    return rows


def quantile(counts: Sequence[float], bounds_s: Sequence[float], share: float) -> float | None:
    """The value in milliseconds that a share of what was counted in buckets does not exceed, evenly spread in each; None: nothing counted.

    What lies above the last bound counts as that bound.
    """
    wanted, below, lower = sum(counts) * share, 0.0, 0.0
    if not wanted:
        return None
    for count, bound in zip(counts, bounds_s, strict=False):
        if count and below + count >= wanted:
            return (lower + (bound - lower) * (wanted - below) / count) * 1000
        below, lower = below + count, bound
    return bounds_s[-1] * 1000


def _counted(kind: str, title: str, row: Sequence[float], figure: str) -> Chart:
    top = _nice(max(row))
    bars = tuple(_bar(place, 0, count, top, 0, f"{_when(place)}: {_number(count)}") for place, count in enumerate(row) if count)
    label = f"{title} a minute over the last hour: {figure} in all, at most {_number(max(row))} in one minute."
    return Chart(kind, title, figure, _number(top), label, bars=bars)


def _latency(added: Sequence[Sequence[float]], bounds_s: Sequence[float]) -> Chart:
    whole = [sum(column) for column in zip(*added, strict=True)]
    series = [[quantile(counts, bounds_s, share) for counts in added] for share in (0.5, 0.95)]
    figures = [_shown_ms(quantile(whole, bounds_s, share)) for share in (0.5, 0.95)]
    top = _nice(max((value for row in series for value in row if value is not None), default=0.0), least=0.1)
    parts = tuple(Part(name, figure, tone) for tone, (name, figure) in enumerate(zip(("half below", "95% below"), figures, strict=True)))
    lines = tuple(_line(row, top) for row in series)
    label = f"Latency added by Keyhouse over the last hour: half of the requests below {figures[0]}, 95% below {figures[1]}."
    return Chart("latency", "Added latency", "", f"{top:g} ms", label, parts=parts, lines=lines)


def _tokens(by_provider: Mapping[str, Sequence[float]]) -> Chart:
    ranked = sorted(by_provider.items(), key=lambda item: -sum(item[1]))
    shown = ranked[:_MOST_PARTS]
    if len(ranked) > _MOST_PARTS:
        rest = [row for _, row in ranked[_MOST_PARTS - 1 :]]
        shown = [*ranked[: _MOST_PARTS - 1], (f"{len(rest)} others", [sum(column) for column in zip(*rest, strict=True)])]
    sums = [sum(row[place] for _, row in shown) for place in range(SLOTS)]
    top = _nice(max(sums))
    bars, below = [], [0.0] * SLOTS
    for tone, (name, row) in enumerate(shown):
        for place, count in enumerate(row):
            if count:
                bars.append(_bar(place, below[place], count, top, tone, f"{name}, {_when(place)}: {_number(count)}"))
                below[place] += count
    parts = tuple(Part(name, _number(sum(row)), tone) for tone, (name, row) in enumerate(shown))
    told = "; ".join(f"{part.name} {part.figure}" for part in parts) or "none"
    figure = _number(sum(sums))
    return Chart("tokens", "Tokens", figure, _number(top), f"Tokens by provider over the last hour: {told}.", parts, tuple(bars))


def _bar(place: int, below: float, count: float, top: float, tone: int, title: str) -> Bar:
    height = max(count / top * HEIGHT, 1.0)
    return Bar(place * _STEP + _GAP / 2, round(HEIGHT - below / top * HEIGHT - height, 2), round(height, 2), tone, title)


def _line(row: Sequence[float | None], top: float) -> str:
    """A path through the minutes that have a value, broken where one has none. A minute on its own is a line as wide as a bar."""
    commands = []
    for has_value, run in groupby(enumerate(row), key=lambda item: item[1] is not None):
        points = [f"{place * _STEP + _STEP / 2:g} {HEIGHT - (value or 0) / top * HEIGHT:.4g}" for place, value in run]
        if has_value:
            commands.append(f"M{points[0]}m{_GAP / 2 - _STEP / 2:g} 0h{_STEP - _GAP}" if len(points) == 1 else f"M{'L'.join(points)}")
    return "".join(commands)


def _nice(value: float, least: float = 1.0) -> float:
    """The first of 1, 2, 5, 10, 20, ... that is not below a value."""
    step = least
    while True:
        for factor in (1, 2, 5):
            if step * factor >= value:
                return step * factor
        step *= 10


def _number(count: float) -> str:
    if count >= 1_000_000:
        return f"{count / 1_000_000:.3g} M"
    return f"{count:,.0f}"


def _shown_ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g} ms" if value < 10 else f"{value:.0f} ms"


def _when(place: int) -> str:
    ago = SLOTS - 1 - place
    return "in this minute" if ago == 0 else "a minute ago" if ago == 1 else f"{ago} minutes ago"
