"""Whole numbers as callers write them: in headers, queries and forms."""

_MOST_DIGITS = 15
"""Python refuses to read a number of thousands."""


def whole_number(text: str) -> int | None:
    """The number that a text is, 0 or more, in digits alone; None for any other text, and for a number of more than fifteen digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None
