"""Standard input, output and error, as whoever started this process left them: closed, full, or of an encoding that lacks characters."""

import os
import sys
from io import TextIOWrapper


def prepare_standard_streams() -> None:
    """Put something in the place of each that is closed: input is at its end, output cannot be written, what errors say goes nowhere.

    Else what is opened next would have its number, and be written to. Where a terminal lacks a character it shows a question mark.
    """
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            # The lowest number that is free: that of the stream itself.
            descriptor = os.open(os.devnull, flags)
            setattr(sys, name, open(descriptor, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - it stays
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def drop_output() -> None:
    """Standard output takes nothing more. What it still holds goes nowhere: Python would try once more, and tell of that failure too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
