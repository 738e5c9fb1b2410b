"""Which failed calls are tried again, of all kinds that there are."""

import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, formatdate

import pytest

from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.retry import Retries, retry_after_s
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure

UNMADE = [UpstreamFailure.CONNECT_FAILED, UpstreamFailure.CONNECT_TIMEOUT]


@pytest.mark.parametrize("kind", UpstreamFailure)
def test_only_a_connection_that_was_not_made_is_tried_again(kind: UpstreamFailure) -> None:
    assert (Retries(2).wait_after_error(UpstreamError(kind, "It failed.")) is not None) == (kind in UNMADE)


@pytest.mark.parametrize("kind", UNMADE)
def test_what_may_have_been_acted_on_is_never_tried_again(kind: UpstreamFailure) -> None:
    assert Retries(2).wait_after_error(UpstreamError(kind, "It failed.", request_sent=True)) is None


def test_each_wait_is_longer_and_their_number_has_an_end() -> None:
    retries = Retries(2)
    first, second, third = (retries.wait_after_error(UpstreamError(UNMADE[0], "It failed.")) for _ in range(3))
    assert first is not None
    assert second is not None
    assert 0.15 <= first <= 0.25
    assert 0.3 <= second <= 0.5
    assert (third, retries.count) == (None, 2)


SOON = 0.1
"""What is added at most to a wait that was asked for, so that not all come back at once."""


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ([(b"retry-after", b"0")], 0.0),
        ([(b"retry-after", b"2")], 2.0),
        ([(b"retry-after", b"1.5")], 1.5),
        ([(b"retry-after", b"-7")], 0.0),
        ([(b"retry-after-ms", b"1500")], 1.5),
        ([(b"retry-after-ms", b"2000")], 2.0),
        ([(b"retry-after-ms", b"-1500")], 0.0),
        ([(b"retry-after", b"60"), (b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after-ms", b"soon"), (b"retry-after", b"1")], 1.0),
        ([(b"retry-after", b"Mon, 01 Jan 2024 00:00:00 GMT")], 0.0),
        ([(b"retry-after", b"Mon, 01 Jan 2024 00:00:00 -0000")], 0.0),
        ([(b"x-should-retry", b"true"), (b"retry-after", b"1")], 1.0),
    ],
)
def test_an_answer_that_asks_to_come_back_soon_is_obeyed(status: int, headers: RawHeaders, least: float) -> None:
    retries = Retries(1)
    wait = retries.wait_after_answer(status, headers)
    assert wait is not None
    assert least <= wait <= least + SOON
    assert retries.count == 1
    assert retries.wait_after_answer(status, headers) is None


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (500, [(b"retry-after", b"0")]),
        (200, [(b"retry-after", b"0")]),
        (429, []),
        (429, [(b"retry-after", b"2.001")]),
        (503, [(b"retry-after", b"2.001")]),
        (503, [(b"retry-after-ms", b"2001")]),
        (503, [(b"retry-after", b"Mon, 01 Jan 2999 00:00:00 GMT")]),
        (503, [(b"x-should-retry", b"false")]),
        (429, [(b"retry-after", b"0"), (b"x-should-retry", b"false")]),
    ],
)
def test_an_answer_that_does_not_ask_for_it_is_the_callers(status: int, headers: RawHeaders) -> None:
    retries = Retries(2)
    assert retries.wait_after_answer(status, headers) is None
    assert retries.count == 0


def test_an_answer_is_the_callers_where_no_other_try_is_allowed() -> None:
    assert Retries(0).wait_after_answer(503, []) is None
    assert Retries(0).wait_after_answer(429, [(b"retry-after", b"0")]) is None


def test_a_503_that_says_nothing_is_tried_once_again_and_no_sooner_for_it() -> None:
    retries = Retries(9)
    assert retries.wait_after_answer(503, [(b"retry-after", b"0")]) is not None
    wait = retries.wait_after_answer(503, [(b"retry-after", b"nonsense")])
    assert wait is not None
    assert 0.3 <= wait <= 0.5
    assert retries.wait_after_answer(503, []) is None
    assert retries.count == 2


def test_a_date_is_read_in_its_zone_and_without_one_in_greenwichs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        told = [formatdate(time.time() + 3600), format_datetime(datetime.now(timezone(timedelta(hours=9))) + timedelta(hours=1))]
        assert [date[-5:] for date in told] == ["-0000", "+0900"]
        asked = [retry_after_s([(b"retry-after", date.encode())]) for date in told]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert all(seconds is not None and 1800 < seconds <= 3600 for seconds in asked)
