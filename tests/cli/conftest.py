"""What the tests of the command line share: servers of their own, stopped when a test ends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Server, start

StartServer = Callable[..., Server]


@pytest.fixture
def serving() -> Iterator[StartServer]:
    """Starts servers: `serving(folder, *arguments, **variables)`."""
    servers: list[Server] = []

    def started(folder: Path, *arguments: str, **variables: str) -> Server:
        server = start(folder, *arguments, **variables)
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.process.kill()
        server.process.wait()
        for stream in (server.process.stdout, server.process.stderr):
            if stream is not None:
                stream.close()
