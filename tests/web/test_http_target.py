"""What the server takes a request's target for."""

import pytest

from keyhouse.web.http_target import target_of


def test_a_target_is_a_path_and_a_query():
    assert target_of(b"/v1/%6dodels?a=%20b") == ("/v1/models", b"/v1/%6dodels", b"a=%20b")
    assert target_of(b"http://host:1/v1/models") == ("/v1/models", b"/v1/models", b"")


@pytest.mark.parametrize(("size", "remembered"), [(100, True), (60_000, False)])
def test_targets_are_remembered_unless_they_are_long(size, remembered):
    first, second = target_of(b"/" + b"a" * size), target_of(b"/" + b"a" * size)
    assert first == second
    assert (first is second) is remembered
