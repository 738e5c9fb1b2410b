"""What a server of one format refuses is left out, or sent under its own name."""

import pytest

from keyhouse.domain.calling import Dialect
from keyhouse.domain.errors import Error
from keyhouse.gateway.wire.dialect import foreign_keys, in_dialect
from keyhouse.gateway.wire.losses import Losses

DIALECT = Dialect(
    refuses=("stream_options", "user", "reasoning_effort"), renames={"max_completion_tokens": "max_tokens", "seed": "random_seed"}
)


def test_what_is_refused_is_left_out_and_named_and_the_rest_renamed() -> None:
    losses = Losses()
    body = {"model": "m", "user": "u", "max_completion_tokens": 5, "seed": 3, "stream_options": {"include_usage": True}}
    assert in_dialect(body, DIALECT, losses) == {"model": "m", "max_tokens": 5, "random_seed": 3}
    assert losses.dropped == ("stream_options", "user")


def test_nothing_foreign_is_the_very_body() -> None:
    body = {"model": "m", "max_tokens": 5, "reasoning_effort": "low"}
    assert in_dialect(body, DIALECT, Losses(drops_allowed=False)) is body


def test_the_servers_own_name_counts_and_null_is_not_named() -> None:
    losses = Losses(drops_allowed=False)
    body = {"max_tokens": 5, "max_completion_tokens": 9, "seed": None, "user": None}
    assert in_dialect(body, DIALECT, losses) == {"max_tokens": 5}
    assert losses.dropped == ()


def test_a_caller_who_wants_nothing_dropped_is_refused() -> None:
    with pytest.raises(Error, match="user"):
        in_dialect({"user": "u"}, DIALECT, Losses(drops_allowed=False))


def test_a_body_is_looked_into_for_what_changes_only() -> None:
    assert foreign_keys(DIALECT) == (b'"stream_options"', b'"user"', b'"max_completion_tokens"', b'"seed"')
