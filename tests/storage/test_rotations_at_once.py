"""Rotations that others overtake, on both databases: another rotation, a retirement, a server that does not notice the new key."""

import asyncio
from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.services.encryption_keys import retire
from keyhouse.services.key_rotation import Progress, rotate
from keyhouse.settings import Settings
from keyhouse.storage.encryption_keys import known_key_ids
from keyhouse.storage.key_file import read_key_file, write_key_file
from keyhouse.storage.opening import Storage
from tests.storage.filled_houses import filled, keys_in_use, plaintexts, rotated
from tests.storage.houses import openai_key, opened, project_caller, providers_of, settings_of


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path, database_url)


async def replace_every_key(storage: Storage) -> None:
    await rotated(storage)
    for key_id in storage.box.ring.ids[1:]:
        await retire(storage, key_id)


@pytest.mark.parametrize("meanwhile", [rotated, replace_every_key])
@pytest.mark.parametrize("moved", [0, 5, 14])
def test_a_rotation_that_another_one_overtakes_goes_on_with_the_newer_key(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, meanwhile: object, moved: int
) -> None:
    """Otherwise each of them would move back what the other one moved, and none would end."""
    monkeypatch.setattr("keyhouse.services.key_rotation._BATCH", 5)

    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as other:
            before, said, overtaken = await plaintexts(storage), list[Progress](), False
            async for progress in rotate(storage, settle_s=0):
                if progress.done >= moved and not overtaken:
                    overtaken = True
                    await meanwhile(other)  # type: ignore[operator]
                said.append(progress)
                assert len(said) < 100
            ring = read_key_file(settings.key_ring_file)
            assert (said[-1].key_id, said[-1].finished, said[-1].unreadable) == (ring.writing_id, True, ())
            assert await keys_in_use(storage) == {ring.writing_id}
            assert await plaintexts(storage) == await plaintexts(other) == before
            assert set(await storage.database.read(known_key_ids)) == set(ring.ids)

    asyncio.run(main())


def test_a_rotation_that_others_write_against_again_and_again_ends_with_a_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the key file of another machine, which nobody brought up to date."""
    monkeypatch.setattr("keyhouse.services.key_rotation._PATIENCE_S", 0)

    async def main() -> None:
        elsewhere = settings_of(settings.data_dir, settings.url, key_file=settings.data_dir / "elsewhere")
        async with filled(settings) as storage:
            write_key_file(elsewhere.key_ring_file, storage.box.ring)
            async with opened(elsewhere) as stale:
                caller, providers = await project_caller(stale), providers_of(stale)

                async def rotate_against_it() -> None:
                    async for progress in rotate(storage, settle_s=0):
                        if progress.done == progress.total:  # and nothing seems to be left
                            await providers.upsert(caller, "openai", openai_key(f"sk-{progress.done}"), None)

                with pytest.raises(Error, match=r"seals with another key than .+ again and again, 1 value just now") as refused:
                    await rotate_against_it()
                assert refused.value.code is Code.CONFLICT
            last = await rotated(storage)
            assert (last.resumed, await keys_in_use(storage)) == (True, {last.key_id})

    asyncio.run(main())
