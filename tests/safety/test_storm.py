"""Writes, deletions, rollbacks, rotations and retirements at once, in two processes' stead: nothing fails, and every version stays true."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from keyhouse.domain.errors import Code, Error
from keyhouse.services.encryption_keys import retire, status
from keyhouse.services.key_rotation import rotate
from keyhouse.storage.model_providers import list_stored
from keyhouse.storage.opening import Storage
from tests.conftest import Serve
from tests.safety.test_kill import check_file
from tests.storage.houses import project_caller, run_on

PROVIDERS = ("groq", "xai")
WRITERS, CHANGES = 6, 25
# A rollback to what was destroyed, to a version that never was, a deletion of nothing, a condition that no longer holds.
FORESEEN = {200, 404, 409, 412}


def change(client: httpx.Client, dice: random.Random, number: int) -> int:
    """One change of some kind; its status."""
    provider = dice.choice(PROVIDERS)
    path = f"/api/model-providers/{provider}"
    kind = dice.choices(("put", "conditional", "delete", "rollback", "read"), (8, 3, 1, 5, 3))[0]
    key = {"enabled": True, "customKeys": {f"{provider.upper()}_API_KEY": f"sk-{number}-{dice.random()}"}}
    if kind == "put":
        return client.put(path, json=key).status_code
    if kind == "conditional":
        return client.put(path, json=key, headers={"if-match": client.get(path).headers["etag"]}).status_code
    if kind == "delete":
        return client.delete(path).status_code
    if kind == "rollback":
        versions = client.get(f"{path}/history?limit=5").json()["data"]
        version = dice.choice(versions)["version"] if versions else 1
        return client.post(f"{path}/rollback", json={"version": version}).status_code
    return client.get(f"{path}/history").status_code


def replace_keys(settings: Any, done: threading.Event) -> int:
    """Rotate and retire in a storage of its own until the rest is done; how often."""

    async def work(storage: Storage) -> int:
        times = 0
        while not done.is_set() or times == 0:
            async for _ in rotate(storage, settle_s=0):
                pass
            for key_id in storage.box.ring.ids[1:]:
                try:
                    await retire(storage, key_id)
                except Error as refused:
                    if refused.code is not Code.CONFLICT:
                        raise
            times += 1
        return times

    return run_on(settings, work)


def test_everything_at_once(serve: Serve, database_url: str) -> None:
    houses = [serve(database_url=database_url), serve(database_url=database_url)]
    done = threading.Event()

    def write(writer: int) -> set[int]:
        dice = random.Random(writer)
        client = houses[writer % 2].client()
        return {change(client, dice, number) for number in range(CHANGES)}

    with ThreadPoolExecutor(WRITERS + 1) as threads:
        rotating = threads.submit(replace_keys, houses[0].settings, done)
        try:
            statuses = set().union(*threads.map(write, range(WRITERS)))
        finally:
            done.set()
        assert rotating.result() > 0
    assert statuses <= FORESEEN
    assert {200, 409} <= statuses
    client = houses[1].client()
    for provider in PROVIDERS:
        require_true_versions(client, provider)
    run_on(houses[0].settings, require_readable)
    if database_url.startswith("sqlite"):
        check_file(Path(database_url.removeprefix("sqlite:///")))


def require_true_versions(client: httpx.Client, provider: str) -> None:
    """Each version once, without a gap; and each can be brought back, or says that its secrets are destroyed."""
    history = client.get(f"/api/model-providers/{provider}/history?limit=1000").json()["data"]
    versions = [entry["version"] for entry in history]
    assert versions == list(range(len(versions), 0, -1))
    for entry in history:
        answer = client.post(f"/api/model-providers/{provider}/rollback", json={"version": entry["version"]})
        refusal = "Conflict" if entry["action"] == "deleted" else "secrets_destroyed"
        assert answer.status_code == 200 or (answer.status_code, answer.json()["error"]) == (409, refusal), answer.text


async def require_readable(storage: Storage) -> None:
    """Every value opens, with keys that are the right ones."""
    seen = await status(storage.database, storage.keys)
    assert (seen.problem, seen.unreadable) == (None, 0)
    caller = await project_caller(storage)
    await storage.database.read(lambda tx: list_stored(tx, storage.box, caller.project_id or ""))
