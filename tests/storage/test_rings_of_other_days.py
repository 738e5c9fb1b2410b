"""Rings and databases that are not of the same day, on both databases: restored, copied, lost and found again."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from keyhouse.domain.errors import Code, Error
from keyhouse.services.encryption_keys import retire, status
from keyhouse.services.key_rotation import Progress, rotate
from keyhouse.settings import Settings
from keyhouse.storage.copying import copy
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.encryption_keys import forget_unused_key, known_key_ids
from keyhouse.storage.key_file import read_key_file, write_key_file
from keyhouse.storage.key_ring import KeyRing, key_ring_text, new_key
from keyhouse.storage.opening import Storage
from keyhouse.storage.sealed_values import destroy_one
from tests.conftest import PostgresServer
from tests.storage.filled_houses import filled, keys_in_use, plaintexts, rotated
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, sealed_values, settings_of


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path, database_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings) -> Settings:
    """An empty database that has the same ring."""
    if request.param == "sqlite":
        return settings_of(tmp_path, f"sqlite:///{tmp_path / 'target.db'}")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return settings_of(tmp_path, server.empty_database())


async def replace_every_key(storage: Storage) -> None:
    await rotated(storage)
    for key_id in storage.box.ring.ids[1:]:
        await retire(storage, key_id)


def copied(settings: Settings, target: Settings) -> None:
    for _ in copy(parse_database_url(settings.url), parse_database_url(target.url)):
        pass


def stopped(settings: Settings) -> str:
    with pytest.raises(Error) as refused:
        run_on(settings, plaintexts)
    assert refused.value.code is Code.CONFIGURATION
    return refused.value.message


def put_last(file: Path, ring: KeyRing) -> None:
    """Append the keys of another ring, as a person does."""
    present = read_key_file(file)
    write_key_file(file, KeyRing({key_id: each.key(key_id) or b"" for each in (present, ring) for key_id in each.ids}, ""))


def rotated_with_key_of_its_day(house: Settings, old: KeyRing, values: set[bytes]) -> Progress:
    """A house that stops for want of an old key, starts with it, and then goes over to its own."""
    assert f"sealed with the key {old.writing_id}, which is not in the key file" in stopped(house)
    put_last(house.key_ring_file, old)
    assert run_on(house, plaintexts) == values
    return run_on(house, rotated)


def test_a_backup_from_before_a_retirement_opens_with_the_key_of_its_day(settings: Settings, target: Settings) -> None:
    async def fill() -> tuple[set[bytes], KeyRing]:
        async with filled(settings) as storage:
            before, old = await plaintexts(storage), storage.box.ring
            await asyncio.to_thread(copied, settings, target)
            await replace_every_key(storage)
            return before, old

    before, old = asyncio.run(fill())
    last = rotated_with_key_of_its_day(target, old, before)
    assert (last.resumed, last.key_id, last.unreadable) == (True, read_key_file(target.key_ring_file).writing_id, ())


def test_a_database_copied_in_the_middle_of_a_rotation_is_whole(
    settings: Settings, target: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on by itself: its rotation is taken up there; a key that it still needs is named where the other house retired it."""
    monkeypatch.setattr("keyhouse.services.key_rotation._BATCH", 5)

    async def fill() -> tuple[set[bytes], KeyRing]:
        async with filled(settings) as storage:
            before, ring = await plaintexts(storage), storage.box.ring
            async for progress in rotate(storage, settle_s=0):
                if progress.done == 5:
                    await asyncio.to_thread(copied, settings, target)
            await retire(storage, ring.writing_id)
            assert await plaintexts(storage) == before
            return before, ring

    before, old = asyncio.run(fill())
    last = rotated_with_key_of_its_day(target, old, before)
    assert (last.resumed, last.done, last.unreadable) == (True, 9, ())
    run_on(target, lambda storage: retire(storage, old.writing_id))
    for house in (settings, target):
        assert run_on(house, plaintexts) == before
        assert run_on(house, lambda storage: storage.database.read(known_key_ids)) == read_key_file(house.key_ring_file).ids


def test_a_backup_from_before_a_key_was_made_opens_with_the_newer_ring(settings: Settings, target: Settings) -> None:
    async def fill() -> tuple[set[bytes], KeyRing]:
        async with filled(settings) as storage:
            before, old = await plaintexts(storage), storage.box.ring
            await asyncio.to_thread(copied, settings, target)
            await rotated(storage)
            await rotated(storage)
            return before, old

    before, old = asyncio.run(fill())
    ring = read_key_file(target.key_ring_file)

    async def look(storage: Storage) -> None:
        assert await plaintexts(storage) == before
        assert (await keys_in_use(storage), storage.box.ring.writing_id) == ({old.writing_id}, ring.writing_id)
        assert set(await storage.database.read(known_key_ids)) == set(ring.ids)
        assert (await rotated(storage)).key_id == ring.writing_id

    run_on(target, look)


def test_a_ring_from_before_a_rotation_stops_the_start_and_says_what_it_lacks(settings: Settings) -> None:
    async def fill() -> tuple[set[bytes], KeyRing]:
        async with filled(settings) as storage:
            before, old = await plaintexts(storage), storage.box.ring
            await rotated(storage)
            write_key_file(storage.keys.file, old)
            # A server that has the newer one keeps it, and says so.
            assert "which is not in the key file" in (await storage.key_watch.look() or "")
            assert await plaintexts(storage) == before
            return before, storage.box.ring

    before, ring = asyncio.run(fill())
    assert f"sealed with the key {ring.writing_id}, which is not in the key file" in stopped(settings)
    write_key_file(settings.key_ring_file, ring)
    assert run_on(settings, plaintexts) == before


def test_a_server_under_which_an_older_database_is_restored_makes_its_key_known_again(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as server:
            key_id, key = new_key()
            write_key_file(settings.key_ring_file, server.box.ring.with_first(key_id, key))
            assert await server.key_watch.look() is None
            await server.database.write(lambda tx: forget_unused_key(tx, key_id))  # as the older database has it
            await providers_of(server).upsert(await project_caller(server), "openai", openai_key("sk-after"), None)
            assert b'{"OPENAI_API_KEY":"sk-after"}' in await plaintexts(server)
            assert key_id in await keys_in_use(server)

    asyncio.run(main())


def accepting(settings: Settings) -> Settings:
    return settings.model_copy(update={"accept_unreadable": True})


def test_keys_are_rotated_without_a_lost_one_and_it_may_come_back(settings: Settings) -> None:
    async def fill() -> tuple[set[bytes], str, KeyRing]:
        async with filled(settings) as storage:
            return await plaintexts(storage), storage.fingerprint("field", "value"), storage.box.ring

    before, fingerprint, lost = asyncio.run(fill())
    write_key_file(settings.key_ring_file, KeyRing({"fresh": new_key()[1]}, ""))

    async def go_on(storage: Storage) -> None:
        last = await rotated(storage)
        # The fingerprint key that was made in between.
        assert (last.done, len(last.unreadable)) == (1, len(before))
        await retire(storage, "fresh")
        with pytest.raises(Error, match=f"The key {lost.writing_id} still seals {len(before) - 1} values"):
            await retire(storage, lost.writing_id)

    run_on(accepting(settings), go_on)
    put_last(settings.key_ring_file, lost)

    async def look(storage: Storage) -> None:
        assert before < await plaintexts(storage)
        assert storage.fingerprint("field", "value") == fingerprint
        assert (await status(storage.database, storage.keys)).unreadable == 0
        last = await rotated(storage)
        assert (last.resumed, last.unreadable) == (True, ())
        await retire(storage, lost.writing_id)

    run_on(settings, look)


def test_a_server_to_which_a_lost_ring_comes_back_makes_the_fingerprints_of_before(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            fingerprint, lost = storage.fingerprint("field", "value"), storage.box.ring
        write_key_file(settings.key_ring_file, KeyRing({"fresh": new_key()[1]}, ""))
        async with opened(accepting(settings)) as server:
            assert server.fingerprint("field", "value") != fingerprint
            put_last(settings.key_ring_file, lost)
            assert await server.key_watch.look() is None
            assert server.fingerprint("field", "value") == fingerprint

    asyncio.run(main())


def test_a_server_that_goes_on_without_a_lost_key_still_keeps_those_it_has(settings: Settings) -> None:
    """Here while somebody writes the file line by line: the first one is a ring in itself."""

    async def main() -> None:
        async with filled(settings) as storage:
            before = await plaintexts(storage)
        write_key_file(settings.key_ring_file, read_key_file(settings.key_ring_file).with_first(*new_key()))
        async with opened(accepting(settings)) as server:
            ring = server.box.ring
            write_key_file(settings.key_ring_file, ring.only(ring.writing_id))
            assert "and this process still has it" in (await server.key_watch.look() or "")
            assert await plaintexts(server) == before
            wrong = KeyRing({ring.writing_id: ring.key(ring.writing_id) or b"", ring.ids[1]: new_key()[1]}, "")
            write_key_file(settings.key_ring_file, wrong)
            assert await server.key_watch.look() is None  # said already
            assert await plaintexts(server) == before
            write_key_file(settings.key_ring_file, ring)
            assert await server.key_watch.look() is None
            assert server.box.ring.equals(ring)

    asyncio.run(main())


def test_a_lost_key_can_be_retired_while_a_wrong_one_has_its_id(settings: Settings) -> None:
    async def fill() -> KeyRing:
        async with filled(settings) as storage:
            for value in await sealed_values(storage):
                if value.context.owner_id != "installation":
                    await storage.database.write(lambda tx, value=value: destroy_one(tx, *value.place))  # type: ignore[misc]
            return storage.box.ring

    lost = asyncio.run(fill())
    write_key_file(settings.key_ring_file, KeyRing({"fresh": new_key()[1], lost.writing_id: new_key()[1]}, ""))
    assert f"The key {lost.writing_id} in the key file" in stopped(settings)
    run_on(accepting(settings), lambda storage: retire(storage, lost.writing_id))
    assert read_key_file(settings.key_ring_file).ids == ("fresh",)
    assert len(run_on(settings, plaintexts)) == 1


def in_setting(settings: Settings, ring: KeyRing) -> Settings:
    entries = ",".join(line for line in key_ring_text(ring).splitlines() if not line.startswith("#"))
    return settings.model_copy(update={"keys": SecretStr(entries)})


def test_a_ring_in_a_setting_is_replaced_server_by_server(settings: Settings) -> None:
    """The new key behind the old one everywhere, then in front of it: at no time does a server seal what another one cannot open."""
    first, second = (KeyRing(dict([new_key()]), "") for _ in range(2))
    in_front = first.with_first(second.writing_id, second.key(second.writing_id) or b"")
    behind = KeyRing({key_id: in_front.key(key_id) or b"" for key_id in reversed(in_front.ids)}, "")
    rings = [(first, first), (behind, first), (behind, behind), (in_front, behind), (in_front, in_front)]

    async def main() -> None:
        written = set[str]()
        for pair in rings:
            async with opened(in_setting(settings, pair[0])) as one, opened(in_setting(settings, pair[1])) as other:
                for server in (one, other):
                    secret = f"sk-{len(written)}"
                    await providers_of(server).upsert(await project_caller(server), "openai", openai_key(secret), None)
                    written.add(secret)
                seen = await plaintexts(one)
                assert seen == await plaintexts(other)
                assert all(f'{{"OPENAI_API_KEY":"{secret}"}}'.encode() in seen for secret in written)
        async with opened(in_setting(settings, in_front)) as server:
            last = await rotated(server)
            assert (last.key_id, last.unreadable) == (second.writing_id, ())
            assert await retire(server, first.writing_id) == f"Now take the key {first.writing_id} out of KEYHOUSE_KEYS."

    asyncio.run(main())
    assert run_on(in_setting(settings, second), plaintexts)
