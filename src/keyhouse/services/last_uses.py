"""When keys and providers were last used: noted in memory where requests have ended, and stored about once a minute."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from keyhouse.gateway.observation import Observation
from keyhouse.storage.clock import now_us, to_datetime
from keyhouse.storage.last_uses import list_last_uses, put_last_uses
from keyhouse.storage.opening import Storage

STORED_EVERY_S = 60.0


def provider_use(project_id: str, provider: str) -> str:
    """What a project's use of a provider is called."""
    return f"{project_id}/{provider}"


class LastUses:
    """See the module. `before_reading` is called before what was noted is looked at, for requests that nobody told of yet.

    What is noted here and not stored yet is told by this process alone, and lost where the process is killed."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._noted: dict[tuple[str, str], int] = {}
        self.before_reading: Callable[[], None] = lambda: None

    def observe(self, observations: Iterable[Observation]) -> None:
        """Note requests of the gateway that have just ended: their callers' keys, and the providers that they chose."""
        now = now_us()
        for observation in observations:
            if observation.actor_id:
                self._noted[observation.actor_id, ""] = now
            if observation.provider:
                self._noted[observation.project_id, observation.provider] = now

    def note_key(self, actor_id: str) -> None:
        """Note that a key was used, by the id of the actor that it makes its caller."""
        self._noted[actor_id, ""] = now_us()

    async def store(self) -> None:
        """Store what was noted. Raises Error `storage_unavailable` or `storage_full`; then it is kept for the next time."""
        self.before_reading()
        noted, self._noted = self._noted, {}
        if not noted:
            return
        try:
            await self._storage.database.write(lambda tx: put_last_uses(tx, _named(noted)))
        except BaseException:
            self._noted = noted | self._noted
            raise

    async def of(self, ids: Sequence[str]) -> Mapping[str, datetime]:
        """The last uses of keys by their id (a project's key by the project's) and of providers by `provider_use`, where there was one."""
        self.before_reading()
        stored = await self._storage.database.read(lambda tx: list_last_uses(tx, ids))
        fresh = _named(self._noted)
        return stored | {use_id: to_datetime(fresh[use_id]) for use_id in ids if use_id in fresh}


def _named(noted: Mapping[tuple[str, str], int]) -> dict[str, int]:
    return {provider_use(owner, provider) if provider else owner: used_at for (owner, provider), used_at in noted.items()}
