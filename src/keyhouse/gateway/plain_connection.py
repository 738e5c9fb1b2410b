"""A connection to an upstream without TLS. The same as any other, but for how it is handed what is read."""

import asyncio

from keyhouse.gateway.connection import Connection


class PlainConnection(Connection, asyncio.Protocol):
    """What comes is handed over as it was read. TLS reads into the buffer, where it would make a new one of 256 KiB for each read."""

    __slots__ = ()
