"""What is done with a connection's socket itself, past its transport, whose detour costs a microsecond or two. Knows no HTTP."""

import asyncio
import select
from collections.abc import Callable
from os import write as write_to

Write = Callable[[bytes], object]


def straight_write(transport: asyncio.WriteTransport) -> Write:
    """What does the same as the transport's `write`: the system takes what it can at once, and the transport sees to everything else, to
    what is encrypted first of all."""
    own = transport.get_extra_info("socket")
    if own is None or transport.get_extra_info("sslcontext") is not None:
        return transport.write
    descriptor: int = own.fileno()

    def write(data: bytes) -> None:
        # The descriptor is this connection's own for as long as it is not closing; afterwards the system may give it to another.
        if not transport.is_closing() and not transport.get_write_buffer_size():
            try:
                sent = write_to(descriptor, data)
            except OSError:
                # Nothing could be sent now, or ever: the transport finds out which, and acts on it.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    return write


def reading_poll(transport: asyncio.BaseTransport) -> "select.poll | None":
    """What tells at once whether something waits to be read; None where the system has none."""
    if not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return poll
