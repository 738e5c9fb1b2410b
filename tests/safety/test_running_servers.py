"""Servers go on serving while keys are rotated and retired, and take up what changed in the key file, if it is whole."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from keyhouse.domain.credentials import MASK
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.services.encryption_keys import retire, status
from keyhouse.services.key_rotation import rotate
from keyhouse.services.upkeep import look_at_keys
from keyhouse.settings import Settings
from keyhouse.storage.key_file import read_key_file, write_key_file
from keyhouse.storage.key_ring import KeyRing, key_ring_text, new_key
from keyhouse.storage.opening import Storage
from tests.conftest import Serve, ServedHouse
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, sealed_values, settings_of, store_secrets

ADDRESS = "https://llm.example.com/v1"


async def replace_keys(storage: Storage) -> str:
    """Rotate, and retire all older keys, which a server may still be writing with; the new key's id."""
    newest = await rotated(storage)
    for key_id in storage.box.ring.ids[1:]:
        while not await is_retired(storage, key_id):
            newest = await rotated(storage)
    return newest


async def rotated(storage: Storage) -> str:
    return [progress async for progress in rotate(storage, settle_s=0)][-1].key_id


async def is_retired(storage: Storage, key_id: str) -> bool:
    try:
        await retire(storage, key_id)
    except Error as refused:
        if refused.code is not Code.CONFLICT:
            raise
        return False
    return True


@contextmanager
def writing(clients: list[httpx.Client]) -> Iterator[list[int]]:
    """Each client stores a new credential again and again; the statuses."""
    done, statuses = threading.Event(), list[int]()

    def write(client: httpx.Client, number: int) -> None:
        for attempt in range(1_000_000):
            keys = {"OPENAI_API_KEY": f"sk-{number}-{attempt}"}
            statuses.append(client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": keys}).status_code)
            if done.is_set():
                return

    threads = [threading.Thread(target=write, args=(client, number)) for number, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_keys_are_replaced_under_load(serve: Serve, database_url: str) -> None:
    houses: list[ServedHouse] = [serve(database_url=database_url), serve(database_url=database_url)]
    settings = houses[0].settings

    async def replace_and_look(storage: Storage) -> None:
        with writing([house.client() for house in houses]) as statuses:
            newest = [await replace_keys(storage) for _ in range(3)][-1]
            so_far = len(statuses)
            while len(statuses) < so_far + 4:
                await asyncio.sleep(0)
        assert set(statuses) == {200}
        assert {value.key_id for value in await sealed_values(storage)} == {newest}
        found = await status(storage.database, storage.keys)
        assert (found.unreadable, [key.id for key in found.keys]) == (0, [newest])

    run_on(settings, replace_and_look)
    listed = [house.client().get("/api/model-providers").json()["openai"]["customKeys"] for house in houses]
    assert listed == [{"OPENAI_API_KEY": MASK}] * 2
    assert read_key_file(settings.key_ring_file).ids == run_on(settings, _ids)


async def _ids(storage: Storage) -> tuple[str, ...]:
    return storage.box.ring.ids


def test_a_value_sealed_with_a_new_key_is_read_at_once(serve: Serve, database_url: str) -> None:
    house = serve(database_url=database_url)
    client = house.client()
    assert client.get("/api/model-providers/openai").json()["customKeys"] is None

    async def rotate_and_write(storage: Storage) -> None:
        caller, old = await project_caller(storage), storage.box.ring.writing_id
        ring = read_key_file(house.settings.key_ring_file).with_first(*new_key())
        write_key_file(house.settings.key_ring_file, ring)
        await storage.key_watch.take_up()
        update = ModelProviderUpdate(True, {"OPENAI_API_KEY": "sk-planted", "OPENAI_BASE_URL": ADDRESS})
        await providers_of(storage).upsert(caller, "openai", update, None)
        assert storage.box.ring.writing_id != old
        # No time for the house to look at the file by itself: the request is the next thing that happens.
        found = client.get("/api/model-providers/openai").json()["customKeys"]
        assert found == {"OPENAI_API_KEY": MASK, "OPENAI_BASE_URL": ADDRESS}

    run_on(house.settings, rotate_and_write)


@pytest.mark.parametrize(
    "broken",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-12],
        lambda content: content.replace(b" = ", b" "),
        lambda content: key_ring_text(KeyRing({"other": new_key()[1]}, "")).encode(),
        lambda content: None,
    ],
    ids=["empty", "first half", "half a key", "no sign between", "another key alone", "gone"],
)
def test_a_broken_file_never_replaces_a_good_ring(tmp_path: Path, broken) -> None:  # type: ignore[no-untyped-def]
    settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")

    async def main() -> None:
        async with opened(settings) as storage:
            caller, providers = await project_caller(storage), providers_of(storage)
            await store_secrets(storage, "sk-planted")
            content, ids = settings.key_ring_file.read_bytes(), storage.box.ring.ids
            await look_at_keys(storage)
            spoilt = broken(content)
            settings.key_ring_file.unlink() if spoilt is None else settings.key_ring_file.write_bytes(spoilt)
            with capture_logs() as logs:
                for _ in range(5):
                    await look_at_keys(storage)
            assert [entry["log_level"] for entry in logs] == ["warning"]
            assert str(settings.key_ring_file) in logs[0]["reason"]
            key_text = content.rpartition(b" = ")[2].strip().decode()
            assert key_text[:20] not in str(logs)
            await providers.upsert(caller, "openai", openai_key("sk-after"), None)
            assert storage.box.ring.ids == ids
            settings.key_ring_file.write_bytes(content)
            settings.key_ring_file.chmod(0o600)
            with capture_logs() as logs:
                await look_at_keys(storage)
            assert logs == []
        async with opened(settings) as storage:
            assert (await status(storage.database, storage.keys)).unreadable == 0

    asyncio.run(main())


def wrong_ring(settings: Settings) -> KeyRing:
    """Store something, then put a ring in place that does not open it; returns the right one."""

    async def store(storage: Storage) -> None:
        caller = await project_caller(storage)
        update = ModelProviderUpdate(True, {"OPENAI_API_KEY": "sk-planted", "OPENAI_BASE_URL": ADDRESS})
        await providers_of(storage).upsert(caller, "openai", update, None)

    run_on(settings, store)
    right = read_key_file(settings.key_ring_file)
    write_key_file(settings.key_ring_file, KeyRing(dict([new_key()]), right.where))
    return right


def test_what_was_kept_is_dropped_when_further_keys_open_other_values(tmp_path: Path, database_url: str) -> None:
    settings = settings_of(tmp_path, database_url, accept_unreadable=True)
    right = wrong_ring(settings)

    async def main(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        storage.database.on_changes = providers.forget
        project = caller.project_id or ""
        assert ADDRESS.encode() not in (await providers.list(project)).body
        assert await providers.list(project) is await providers.list(project), "it is kept"
        fresh = storage.box.ring
        write_key_file(settings.key_ring_file, fresh.with_first(right.writing_id, right.key(right.writing_id) or b""))
        await look_at_keys(storage)
        assert ADDRESS.encode() in (await providers.list(project)).body
        write_key_file(settings.key_ring_file, fresh)
        await look_at_keys(storage)
        assert ADDRESS.encode() in (await providers.list(project)).body, "a key in use is not let go of"

    run_on(settings, main)


def test_a_served_house_takes_up_the_right_ring_by_itself(serve: Serve, tmp_path: Path, database_url: str) -> None:
    first = serve(database_url=database_url)
    right = wrong_ring(first.settings)
    client = serve(database_url=database_url, accept_unreadable=True).client()
    assert client.get("/api/model-providers").json()["openai"]["customKeys"] == dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL"), MASK)
    ring = read_key_file(first.settings.key_ring_file)
    write_key_file(first.settings.key_ring_file, ring.with_first(right.writing_id, right.key(right.writing_id) or b""))
    for _ in range(100_000):
        found = client.get("/api/model-providers").json()["openai"]["customKeys"]
        if found["OPENAI_BASE_URL"] == ADDRESS:
            return
    raise AssertionError("it was not taken up")
