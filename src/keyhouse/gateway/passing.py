"""How a body in pieces is handed on: each piece the moment it comes, without a task being woken for it. Holds nothing."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

Take = Callable[[bytes], bool]
"""Takes a piece, at least one byte of it; False: no more for now. It must not wait, and what it raises ends the passing."""


class PassedBody(Protocol):
    """A body that comes in pieces."""

    async def pass_to(self, take: Take) -> bool:
        """Give `take` each piece as it comes. True: that was all; False: `take` wants no more, and the rest waits for the next call.

        While nobody calls, what comes is held, and beyond a bound the upstream is not read. Raises UpstreamError where the body breaks off
        and cannot say so in its own format, and what `take` raises. One call at a time.
        """


async def pieces(body: PassedBody) -> AsyncIterator[bytes]:
    """The pieces, for a reader that waits between them."""
    taken: list[bytes] = []

    def take(piece: bytes) -> bool:
        taken.append(piece)
        return False

    is_all = False
    while not is_all:
        is_all = await body.pass_to(take)
        for piece in taken:
            yield piece
        taken.clear()
