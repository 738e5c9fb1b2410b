"""When keys and providers were last used: noted off the road, stored late, never set back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyhouse.domain.errors import Error
from keyhouse.gateway.observation import Observation
from keyhouse.services.last_uses import LastUses, provider_use
from keyhouse.storage.last_uses import list_last_uses, put_last_uses
from keyhouse.storage.opening import Storage
from tests.conftest import ServedHouse
from tests.storage.houses import run_on, settings_of

HOUR_US = 3600 * 1_000_000


def ended(**fields: str) -> Observation:
    return Observation("req_1", "POST", "/v1/chat/completions", **fields)  # type: ignore[arg-type]


def test_a_call_is_a_use_of_its_key_and_of_its_provider(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        uses = LastUses(storage)
        before = datetime.now(UTC)
        uses.observe([ended(actor_id="key_1", project_id="project_1", provider="openai")])
        uses.observe([ended(actor_id="project_2", project_id="project_2")])
        uses.observe([ended()])
        ids = ["key_1", provider_use("project_1", "openai"), "project_2", "project_1", provider_use("project_2", "openai")]
        assert await storage.database.read(lambda tx: list_last_uses(tx, ids)) == {}
        told = await uses.of(ids)
        assert sorted(told) == ["key_1", "project_1/openai", "project_2"]
        assert before - timedelta(milliseconds=1) <= min(told.values()) <= datetime.now(UTC)
        await uses.store()
        assert await LastUses(storage).of(ids) == told

    run_on(settings_of(tmp_path, database_url), work)


def test_an_earlier_use_that_is_stored_later_changes_nothing(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        for uses in ({"key_1": 2 * HOUR_US, "key_2": HOUR_US}, {"key_1": HOUR_US, "key_2": 2 * HOUR_US}):
            await storage.database.write(lambda tx, uses=uses: put_last_uses(tx, uses))  # type: ignore[misc]
        stored = await storage.database.read(lambda tx: list_last_uses(tx, ["key_1", "key_2"]))
        assert {each.hour for each in stored.values()} == {2}

    run_on(settings_of(tmp_path, database_url), work)


def test_what_cannot_be_stored_now_is_kept(tmp_path: Path) -> None:
    async def work(storage: Storage) -> None:
        uses = LastUses(storage)
        uses.note_key("key_1")
        noted = await uses.of(["key_1"])
        storage.database._writer.execute("PRAGMA query_only=ON")  # type: ignore[attr-defined]
        with pytest.raises(Error):
            await uses.store()
        assert await uses.of(["key_1"]) == noted
        storage.database._writer.execute("PRAGMA query_only=OFF")  # type: ignore[attr-defined]
        await uses.store()
        assert await LastUses(storage).of(["key_1"]) == noted

    run_on(settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}"), work)


def test_a_server_stores_what_it_noted_before_it_ends(house: ServedHouse) -> None:
    admin = house.client(house.keys.admin_key)
    key = admin.get("/api/api-keys").json()["data"][0]
    assert key["lastUsedAt"] is None
    house.client().post("/v1/chat/completions", json={"model": "nothing-like-it", "messages": []})
    house.stop()
    ids = [key["id"], house.keys.project_id]

    async def work(storage: Storage) -> None:
        assert sorted(await LastUses(storage).of(ids)) == sorted(ids)

    run_on(house.settings, work)
