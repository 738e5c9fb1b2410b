"""What this process takes of the machine. Where a system does not tell, the figure is 0."""

import os
import time
from pathlib import Path

import msgspec

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessFigures(msgspec.Struct, frozen=True):
    """Bytes of resident memory, open file descriptors, seconds of processor time."""

    memory_bytes: int
    files: int
    cpu_s: float


def process_figures() -> ProcessFigures:
    """The figures now."""
    return ProcessFigures(_memory_bytes(), _files(), time.process_time())


def _memory_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def _files() -> int:
    try:
        # One of them is the listing itself.
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return 0
