"""Waiting for a lock of another process, which is seldom long: where it is, a person is told what nothing moves for."""

import logging
import time
from collections.abc import Callable

SAID_AFTER_S = 3.0
_PAUSE_S = 0.05
_log = logging.getLogger("keyhouse.storage")


def take_lock(attempt: Callable[[], bool], wait: Callable[[], object], what: str) -> None:
    """Attempt it for a while; then say `what` is waited for, and wait as long as it takes."""
    latest = time.monotonic() + SAID_AFTER_S
    while not attempt():
        if time.monotonic() >= latest:
            _log.warning(f"Waiting for another process that {what}. Where none should be running, look for one that hangs.")
            wait()
            return
        time.sleep(_PAUSE_S)
