"""The shapes of the status page's charts, from counts that are known."""

from collections.abc import Mapping

import pytest

from keyhouse.services.metrics.minutes import SLOTS, LastHour
from keyhouse.web.pages.charts import HEIGHT, hour_charts, hour_rows, quantile

BOUNDS = (0.001, 0.002, 0.004)


def hour(
    requests: Mapping[int, float] | None = None,
    errors: Mapping[int, float] | None = None,
    added: Mapping[int, list[float]] | None = None,
    tokens: Mapping[str, Mapping[int, float]] | None = None,
) -> LastHour:
    """An hour with these values, by how many minutes ago they came."""
    minutes = range(SLOTS - 1, -1, -1)
    return LastHour(
        [(requests or {}).get(ago, 0.0) for ago in minutes],
        [(errors or {}).get(ago, 0.0) for ago in minutes],
        [(added or {}).get(ago, [0.0] * 4) for ago in minutes],
        {provider: [counts.get(ago, 0.0) for ago in minutes] for provider, counts in (tokens or {}).items()},
    )


def test_bars_stand_where_their_minute_is_and_as_high_as_their_share() -> None:
    [requests, errors, _, _] = hour_charts(hour(requests={0: 40.0, 59: 10.0}, errors={0: 5.0}), BOUNDS, str.title)
    assert [(bar.x, bar.height, bar.title) for bar in requests.bars] == [(1, 20.0, "59 minutes ago: 10"), (591, 80.0, "in this minute: 40")]
    assert all(bar.y + bar.height == HEIGHT for bar in requests.bars)
    assert (requests.top, requests.figure, errors.figure) == ("50", "50", "5 (10.0%)")
    assert requests.label == "Requests a minute over the last hour: 50 in all, at most 40 in one minute."


def test_tokens_are_stacked_by_provider_and_the_small_ones_together() -> None:
    tokens = {f"p{number}": {0: 10.0 ** (6 - number)} for number in range(7)}
    chart = hour_charts(hour(requests={0: 1.0}, tokens=tokens), BOUNDS, str.title)[3]
    assert [part.name for part in chart.parts] == ["P0", "P1", "P2", "P3", "3 others"]
    assert [part.figure for part in chart.parts] == ["1 M", "100,000", "10,000", "1,000", "111"]
    for below, above in zip(chart.bars, chart.bars[1:], strict=False):
        assert above.y + above.height <= below.y + 1


def test_latency_is_a_line_that_breaks_where_nothing_came() -> None:
    added = {0: [1.0, 0.0, 0.0, 0.0], 1: [0.0, 1.0, 0.0, 0.0], 5: [0.0, 0.0, 0.0, 1.0]}
    chart = hour_charts(hour(requests={0: 1.0}, added=added), BOUNDS, str.title)[2]
    assert [line.count("M") for line in chart.lines] == [2, 2]
    assert chart.lines[0].startswith("M545 20m-4 0h8M585")
    assert chart.top == "5 ms"


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((4, 0, 0, 0), 0.5, 0.5),
        ((0, 4, 0, 0), 1.0, 2.0),
        ((1, 1, 2, 0), 0.75, 3.0),
        ((0, 0, 0, 9), 0.95, 4.0),
    ],
)
def test_a_share_lies_where_the_buckets_say(counts: tuple[float, ...], share: float, expected: float | None) -> None:
    found = quantile(counts, BOUNDS, share)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_rows_say_the_same_in_words() -> None:
    rows = hour_rows(hour(requests={0: 2.0, 4: 3.0, 5: 7.0}, added={0: [2.0, 0.0, 0.0, 0.0]}, tokens={"a": {3: 12.0}}), BOUNDS)
    assert len(rows) == 12
    assert (rows[0].minutes_ago, rows[0].cells) == ("0 to 5 minutes ago", ("5", "0", "0.5 ms", "0.95 ms", "12"))
    assert (rows[1].cells[0], rows[1].cells[2]) == ("7", "–")
