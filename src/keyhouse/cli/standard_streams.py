"""Standard input, output and error of a process that was started with some of them closed.

What it opens next would have their numbers, and be written to in their place.
"""

import os
import sys


def replace_closed_streams() -> None:
    """Put something in the place of each that is closed: input is at its end, output cannot be written, what errors say goes nowhere."""
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            # The lowest number that is free: that of the stream itself.
            descriptor = os.open(os.devnull, flags)
            setattr(sys, name, open(descriptor, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - it stays


def drop_output() -> None:
    """Standard output takes nothing more. What it still holds goes nowhere: Python would try once more, and tell of that failure too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
