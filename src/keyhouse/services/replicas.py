"""Which processes use the database: each of them notes itself while it serves, and all of them are told."""

import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime

from keyhouse.storage.identifiers import new_id
from keyhouse.storage.opening import Storage
from keyhouse.storage.replicas import Replica, delete_replica, list_replicas, see_replica

SEEN_EVERY_S = 12.0


class Replicas:
    """This process among them. Several workers of one server are as many processes. `version` is the release that runs."""

    def __init__(self, storage: Storage, version: str) -> None:
        self._storage = storage
        now = datetime.now(UTC)
        self._self = Replica(new_id("replica"), socket.gethostname(), os.getpid(), version, now, now)

    async def note(self) -> None:
        """Say that this process is there. Raises Error `storage_unavailable` or `storage_full`."""
        await self._storage.database.write(lambda tx: see_replica(tx, self._self))

    async def leave(self) -> None:
        """Say that it ends. Raises Error `storage_unavailable` or `storage_full`; then it is forgotten a little later."""
        await self._storage.database.write(lambda tx: delete_replica(tx, self._self.id))

    async def list(self) -> Sequence[Replica]:
        """Every process that was seen lately. Raises Error `storage_unavailable`."""
        return await self._storage.database.read(list_replicas)
