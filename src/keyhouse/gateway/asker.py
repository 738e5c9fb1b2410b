"""Who waits for the answer of a request that is perhaps a known one. Values cross here, and nothing is decided."""

import asyncio
from typing import Protocol

from keyhouse.gateway.response import UpstreamResponse


class Asker(Protocol):
    """Sent a request and waits for its answer: is told once, by one of these, unless it abandons the connection. They must not raise."""

    def answered(self, lines: bytes, body: bytes) -> None:
        """The answer has come whole, one that is known: see `KnownAnswers`."""

    def go_on(self, opened: "asyncio.Future[UpstreamResponse]") -> None:
        """Anything else: this ends as the future of `exchange` does."""
