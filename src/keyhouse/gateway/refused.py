"""What is no HTTP, or none that is taken: how a parser is stopped, and what is told of it."""

from httptools import HttpParserCallbackError, HttpParserUpgrade


class RefusedError(Exception):
    """Raised inside a parser's callback to stop it; the text tells why."""


def reason_of(error: Exception) -> str:
    """Why a parser stopped."""
    if isinstance(error, HttpParserUpgrade):
        return "a change of protocol"
    refused = error.__context__
    return str(refused if isinstance(error, HttpParserCallbackError) and refused is not None else error)
