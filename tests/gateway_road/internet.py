"""All providers' fixed addresses on loopback: an HTTPS proxy whose every tunnel ends at one upstream, certified by a private authority."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ServedHouse, _serving
from tests.gateway.conftest import Authority
from tests.gateway.fault_upstream import Peer, ReceivedRequest
from tests.gateway_road.upstreams import running_upstream

Answering = Callable[[str, ReceivedRequest], bytes]
"""From the host that was called and the request to the answer."""


@dataclass
class Internet:
    """What was asked of which host. `refusals` is how many tunnels are refused before one is dug."""

    answering: Answering
    contexts: Callable[[str], ssl.SSLContext]
    asked: list[tuple[str, ReceivedRequest]] = field(default_factory=list)
    tunnels: int = 0
    refusals: int = 0

    async def script(self, peer: Peer) -> None:
        """What the proxy does with each connection."""
        tunnel = await peer.request()
        self.tunnels += 1
        if self.refusals:
            self.refusals -= 1
            await peer.send(b"HTTP/1.1 503 Not now\r\ncontent-length: 0\r\n\r\n")
            return
        host = tunnel.line.split(b" ")[1].decode().rpartition(":")[0]
        await peer.send(b"HTTP/1.1 200 Dug\r\n\r\n")
        await peer.writer.start_tls(self.contexts(host))
        while True:
            request = await peer.request()
            self.asked.append((host, request))
            await peer.send(self.answering(host, request))


@contextmanager
def house_in(internet: Internet, folder: Path, authority: Authority) -> Iterator[ServedHouse]:
    """A house whose way out leads to that proxy."""
    with running_upstream(internet.script) as proxy, _serving(folder) as start:
        yield start(https_proxy=proxy.address, ca_file=authority.ca_file)
