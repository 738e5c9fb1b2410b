"""Rotating and retiring keys, on both databases: every value moves and none is lost. Their races are beside this file."""

import asyncio
from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.services.encryption_keys import retire, status
from keyhouse.services.key_rotation import rotate
from keyhouse.settings import Settings
from keyhouse.storage.encryption_keys import known_key_ids, register_keys, require_usable, retire_key, retired_key_ids
from keyhouse.storage.key_file import read_key_file, write_key_file
from keyhouse.storage.key_ring import KeyRing, key_ring_text, new_key
from keyhouse.storage.opening import Storage
from keyhouse.storage.schema import HEAD
from keyhouse.storage.sealed_values import SealedValue, destroy_one, rewrap
from keyhouse.storage.secret_box import SecretBox
from keyhouse.storage.statements import Statement
from tests.storage.filled_houses import filled, keys_in_use, plaintexts, rotated
from tests.storage.houses import openai_key, opened, project_caller, providers_of, sealed_values, settings_of, store_secrets

_SPOIL = Statement("UPDATE sealed_values SET blob = :blob WHERE id = :value_id")


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path, database_url)


async def spoil(storage: Storage, value: SealedValue) -> None:
    """Flip a byte of its wrapped data key."""
    at = 2 + len(value.key_id) + 20
    blob = value.blob[:at] + bytes([value.blob[at] ^ 1]) + value.blob[at + 1 :]
    await storage.database.write(lambda tx: tx.run(_SPOIL, value_id=value.context.id, blob=blob))


def test_rotation_wraps_everything_with_a_new_key(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            before, old = await plaintexts(storage), storage.box.ring.writing_id
            last = await rotated(storage)
            assert (last.finished, last.resumed, last.done, last.total, last.unreadable) == (True, False, 14, 14, ())
            assert storage.box.ring.ids == (last.key_id, old)
            assert await keys_in_use(storage) == {last.key_id}
            assert await plaintexts(storage) == before
        async with opened(settings) as storage:
            assert await plaintexts(storage) == before
            found = await status(storage.database, storage.keys)
            assert [(key.id, key.in_ring, key.writes, key.canary, key.values) for key in found.keys] == [
                (last.key_id, True, True, "right", 14),
                (old, True, False, "right", 0),
            ]
            assert (found.values, found.unreadable, found.problem, found.schema) == (14, 0, None, HEAD)
            assert found.database == ("sqlite" if settings.url.startswith("sqlite") else "postgresql")

    asyncio.run(main())


def test_payloads_are_not_touched(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            before = {value.context: value.blob for value in await sealed_values(storage)}
            await rotated(storage)
            for value in await sealed_values(storage):
                old = before[value.context]
                head = 2 + len(value.key_id) + 60
                assert value.blob[head:] == old[2 + old[1] + 60 :]
                assert value.blob[:head] != old[:head]

    asyncio.run(main())


def test_a_rotation_that_was_left_is_taken_up_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhouse.services.key_rotation._BATCH", 5)

    async def main() -> None:
        async with filled(settings) as storage:
            before = await plaintexts(storage)
            async for progress in rotate(storage, settle_s=0):
                if progress.done == 5:
                    break
            assert len(await keys_in_use(storage)) == 2
            last = await rotated(storage)
            assert (last.key_id, last.resumed, last.done) == (progress.key_id, True, 9)
            assert await keys_in_use(storage) == {last.key_id}
            assert await plaintexts(storage) == before
            assert len(read_key_file(settings.key_ring_file).ids) == 2

    asyncio.run(main())


def test_rotations_at_once_are_one_rotation(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as other:
            before = await plaintexts(storage)
            first, second = await asyncio.gather(rotated(storage), rotated(other))
            assert await keys_in_use(storage) == {second.key_id} or await keys_in_use(storage) == {first.key_id}
            assert await plaintexts(storage) == await plaintexts(other) == before
            ring = read_key_file(settings.key_ring_file)
            assert set(await storage.database.read(known_key_ids)) == set(ring.ids)

    asyncio.run(main())


def test_what_another_server_seals_meanwhile_is_caught(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhouse.services.key_rotation._BATCH", 3)

    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            caller, providers = await project_caller(lagging), providers_of(lagging)
            old = lagging.box.ring.writing_id
            written = 0
            async for progress in rotate(storage, settle_s=0):
                if written < 20 and not progress.finished:
                    written += 1
                    await providers.upsert(caller, "openai", openai_key(f"sk-meanwhile-{written}"), None)
                    assert lagging.box.ring.writing_id == old
            assert written > 3
            assert await keys_in_use(storage) == {progress.key_id}
            secrets = b"".join(await plaintexts(storage))
            assert all(f"sk-meanwhile-{number}".encode() in secrets for number in range(1, written + 1))

    asyncio.run(main())


def test_what_is_sealed_after_everything_seemed_done_is_caught(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            caller, providers = await project_caller(lagging), providers_of(lagging)
            before, written = None, False
            async for progress in rotate(storage, settle_s=0):
                if progress == before and not written:
                    written = True
                    await providers.upsert(caller, "openai", openai_key("sk-late"), None)
                before = progress
            assert (written, progress.done) == (True, 15)
            assert await keys_in_use(storage) == {progress.key_id}

    asyncio.run(main())


def test_values_that_cannot_be_opened_are_named_and_stay(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            old = storage.box.ring.writing_id
            spoilt = sorted((await sealed_values(storage))[3:6], key=lambda value: value.context.id)
            for value in spoilt:
                await spoil(storage, value)
            before = {value.context.id: value.blob for value in await sealed_values(storage)}
            first = await rotated(storage)
            assert (first.done, first.total, sorted(first.unreadable)) == (11, 11, [value.context.id for value in spoilt])
            after = {value.context.id: value.blob for value in await sealed_values(storage)}
            assert {value_id for value_id in before if before[value_id] == after[value_id]} == {value.context.id for value in spoilt}
            found = await status(storage.database, storage.keys)
            assert {key.id: key.values for key in found.keys} == {first.key_id: 11, old: 3}
            assert found.unreadable == 3
            second = await rotated(storage)
            assert (second.resumed, second.key_id != first.key_id, second.done) == (False, True, 11)
            with pytest.raises(Error, match=f"The key {old} still seals 3 values"):
                await retire(storage, old)
            assert await retire(storage, first.key_id) is None

    asyncio.run(main())


def test_a_rewrap_loses_to_whoever_changed_the_value(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            stale, key_id = (await sealed_values(storage))[0], storage.box.ring.writing_id
            await rotated(storage)
            newer = (await sealed_values(storage))[0]
            old_box = SecretBox(KeyRing({key_id: storage.box.ring.key(key_id) or b""}, "the test's ring"))
            await storage.database.write(lambda tx: rewrap(tx, old_box, stale))
            assert (await sealed_values(storage))[0] == newer
            await storage.database.write(lambda tx: destroy_one(tx, *newer.place))
            await storage.database.write(lambda tx: rewrap(tx, storage.box, newer))
            assert newer.context not in {value.context for value in await sealed_values(storage)}

    asyncio.run(main())


def test_of_two_keys_under_one_id_the_first_is_the_right_one(settings: Settings) -> None:
    """Two machines make a key known at once, each its own under the same id: the database decides, whatever was checked before."""

    async def main() -> None:
        async with opened(settings) as storage:
            rings = [storage.box.ring.with_first("shared", new_key()[1]) for _ in range(2)]
            outcomes = await asyncio.gather(
                *(storage.database.write(lambda tx, ring=ring: register_keys(tx, ring)) for ring in rings), return_exceptions=True
            )
            (refused,) = [outcome for outcome in outcomes if outcome is not None]
            assert isinstance(refused, Error)
            assert "The key shared in" in refused.message
            right = rings[outcomes.index(None)]
            assert await storage.database.read(lambda tx: require_usable(tx, right, accept_unreadable=False).ids) == right.ids

    asyncio.run(main())


def entries(ring: KeyRing) -> str:
    return ",".join(line for line in key_ring_text(ring).splitlines() if not line.startswith("#"))


def test_a_ring_in_a_setting_is_rotated_to_and_not_written(settings: Settings) -> None:
    first = KeyRing({"first": new_key()[1]}, "")
    both = first.with_first("second", new_key()[1])

    async def main() -> None:
        async with filled(settings_of(settings.data_dir, settings.url, keys=entries(first))) as storage:
            with pytest.raises(Error, match="Put a new key in front of it, as in KEYHOUSE_KEYS="):
                await rotated(storage)
            assert await storage.database.read(known_key_ids) == ("first",)
        async with opened(settings_of(settings.data_dir, settings.url, keys=entries(both))) as storage:
            last = await rotated(storage)
            assert (last.key_id, last.resumed, last.done) == ("second", True, 14)
            assert await retire(storage, "first") == "Now take the key first out of KEYHOUSE_KEYS."
            assert await retire(storage, "first") == "Now take the key first out of KEYHOUSE_KEYS."
            await store_secrets(storage, "sk-after")
        assert not settings.key_ring_file.exists()

    asyncio.run(main())


def test_a_file_that_cannot_be_replaced_leaves_no_key_behind(settings: Settings) -> None:
    async def main() -> None:
        # With so long a name there is room for the lock's name beside it, but not for that of the file that would replace it.
        key_file = settings.data_dir / ("k" * 250)
        key_file.write_text(key_ring_text(KeyRing(dict([new_key()]), "")), encoding="ascii")
        key_file.chmod(0o600)
        content = key_file.read_bytes()
        async with filled(settings_of(settings.data_dir, settings.url, key_file=key_file)) as storage:
            before = await storage.database.read(known_key_ids)
            with pytest.raises(Error, match=r"cannot be written \(File name too long\)\. Nothing was changed"):
                await rotated(storage)
            assert await storage.database.read(known_key_ids) == before
            assert key_file.read_bytes() == content

    asyncio.run(main())


def test_a_key_that_writes_or_seals_or_is_unknown_is_not_retired(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhouse.services.key_rotation._BATCH", 5)

    async def main() -> None:
        async with filled(settings) as storage:
            old = storage.box.ring.writing_id
            for key_id, code, words in ((old, Code.CONFLICT, "is the one that writes"), ("nobody", Code.NOT_FOUND, f"There are: {old}.")):
                with pytest.raises(Error, match=words) as refused:
                    await retire(storage, key_id)
                assert refused.value.code is code
            async for progress in rotate(storage, settle_s=0):
                if progress.done == 5:
                    break
            with pytest.raises(Error, match=f"The key {old} still seals 9 values"):
                await retire(storage, old)
            await rotated(storage)
            assert await retire(storage, old) is None
            assert read_key_file(settings.key_ring_file).ids == storage.box.ring.ids == (progress.key_id,)
            assert await storage.database.read(known_key_ids) == (progress.key_id,)
            with pytest.raises(Error, match="There is no key"):
                await retire(storage, old)

    asyncio.run(main())


def test_a_retirement_that_was_killed_before_the_file_is_finished_by_the_next_one(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            old = storage.box.ring.writing_id
            await rotated(storage)
            await storage.database.write(lambda tx: retire_key(tx, old))
        async with opened(settings) as storage:
            assert old in read_key_file(settings.key_ring_file).ids
            assert old not in await storage.database.read(known_key_ids)
            assert [key.canary for key in (await status(storage.database, storage.keys)).keys] == ["right", "retired"]
            assert await retire(storage, old) is None
            assert old not in read_key_file(settings.key_ring_file).ids

    asyncio.run(main())


def test_a_server_that_writes_with_a_retired_key_takes_up_the_new_one(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            caller, providers = await project_caller(lagging), providers_of(lagging)
            old = lagging.box.ring.writing_id
            last = await rotated(storage)
            await retire(storage, old)
            assert lagging.box.ring.writing_id == old
            await providers.upsert(caller, "openai", openai_key("sk-after"), None)
            assert lagging.box.ring.ids == (last.key_id,)
            assert await keys_in_use(storage) == {last.key_id}
            assert b'{"OPENAI_API_KEY":"sk-after"}' in await plaintexts(storage)

    asyncio.run(main())


def test_a_write_outlives_one_retirement_after_the_other(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            caller, providers = await project_caller(lagging), providers_of(lagging)
            take_newer, replaced = lagging.database.on_retired_key, []

            async def replace_once_more() -> None:
                await rotated(storage)
                await retire(storage, lagging.box.ring.writing_id)

            async def retired_again() -> None:
                await take_newer()
                replaced.append(lagging.box.ring.writing_id)
                if len(replaced) == 1:
                    await replace_once_more()

            lagging.database.on_retired_key = retired_again
            await replace_once_more()
            await providers.upsert(caller, "openai", openai_key("sk-after"), None)
            assert len(replaced) == 2
            assert b'{"OPENAI_API_KEY":"sk-after"}' in await plaintexts(storage)

    asyncio.run(main())


def test_a_retired_key_with_nothing_newer_is_no_way_to_write(settings: Settings) -> None:
    """The ring of another machine, which nobody brought up to date: it must not bring the key back."""

    async def main() -> None:
        async with filled(settings) as storage:
            old_ring = read_key_file(settings.key_ring_file)
            elsewhere = settings_of(settings.data_dir, settings.url, key_file=settings.data_dir / "elsewhere")
            write_key_file(elsewhere.key_ring_file, old_ring)
            async with opened(elsewhere) as stale:
                caller, providers = await project_caller(stale), providers_of(stale)
                last = await rotated(storage)
                await retire(storage, old_ring.writing_id)
                with pytest.raises(Error, match="its key ring holds no newer one") as refused:
                    await providers.upsert(caller, "openai", openai_key("sk-lost"), None)
                assert refused.value.code is Code.STORAGE_UNAVAILABLE
                assert await storage.database.read(known_key_ids) == (last.key_id,)
                assert await storage.database.read(retired_key_ids) == {old_ring.writing_id}

    asyncio.run(main())
