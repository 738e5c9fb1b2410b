"""Waiting for what a house does by itself."""

import time
from collections.abc import Callable

_HANGS_S = 20.0


def until(holds: Callable[[], bool]) -> None:
    """Ask until something holds. A second is promised; far more than that is a hang, and all that a test may tell apart."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < _HANGS_S
