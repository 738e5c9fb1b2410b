"""Everything that goes out of this process: one client of upstreams and what signs for it, made when first needed."""

from collections.abc import Callable
from functools import cached_property

from keyhouse.gateway.signing import Signatures
from keyhouse.gateway.upstream import Upstream, UpstreamSettings


class Outgoing:
    """One for a process. `settings` is asked once, when the client is made. `close` it at the end."""

    def __init__(self, settings: Callable[[], UpstreamSettings] = UpstreamSettings) -> None:
        self._settings = settings

    @cached_property
    def upstream(self) -> Upstream:
        """The client. Raises Error `configuration` when a file of certificates cannot be read, and what `settings` raises."""
        return Upstream(self._settings())

    @cached_property
    def signatures(self) -> Signatures:
        """The signatures."""
        return Signatures(self.upstream)

    async def close(self) -> None:
        """End what is under way, and close every connection."""
        if "signatures" in vars(self):
            await self.signatures.close()
        if "upstream" in vars(self):
            await self.upstream.close()
