"""Which failed calls are tried again, of all kinds that there are."""

import pytest

from keyhouse.gateway.retry import Retries
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
