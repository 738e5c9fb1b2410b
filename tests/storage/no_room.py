"""A system that has no room for a further file or thread."""

import contextlib
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TOLD = "The database cannot be used now: its process can open no further file or start no further thread. Nothing was changed; try again."
"""What whoever writes is told then."""


@contextmanager
def no_further_file() -> Iterator[None]:
    """No number of a file is left below the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, hard))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_further_thread() -> Iterator[None]:
    """No machine has room for a thread's stack."""
    before = threading.stack_size(1 << 50)
    try:
        yield
    finally:
        threading.stack_size(before)
