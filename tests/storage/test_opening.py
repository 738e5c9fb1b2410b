"""Opening a house: what it makes, and with which sentence it stops when a key is missing, wrong or retired. Nothing is lost either way."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from keyhouse.domain.credentials import MASK
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.services.encryption_keys import inspect, retire, status
from keyhouse.services.key_rotation import rotate
from keyhouse.settings import Settings
from keyhouse.storage.key_file import KeySource, read_key_file, write_key_file
from keyhouse.storage.key_ring import KeyRing, key_ring_text, new_key
from keyhouse.storage.opening import Storage
from keyhouse.storage.sealed_values import destroy_one
from tests.storage.houses import openai_key, project_caller, providers_of, run_on, sealed_values, settings_of, store_secrets


@pytest.fixture
def settings(tmp_path: Path, empty_database_url: str) -> Settings:
    """A house with a stored secret."""
    settings = settings_of(tmp_path, empty_database_url)
    run_on(settings, lambda storage: store_secrets(storage, "sk-planted"))
    return settings


@pytest.fixture
def key_file(settings: Settings) -> Path:
    return settings.key_ring_file


def accepting(settings: Settings) -> Settings:
    return settings.model_copy(update={"accept_unreadable": True})


async def nothing(storage: Storage) -> None:
    """Just open it."""


async def list_openai(storage: Storage) -> bytes:
    caller = await project_caller(storage)
    return (await providers_of(storage).get(caller.project_id or "", "openai")).body


def stopped(settings: Settings) -> str:
    """The sentence that a start stops with. It names no secret."""
    with pytest.raises(Error) as refused:
        run_on(settings, nothing)
    assert refused.value.code is Code.CONFIGURATION
    return refused.value.message


def spoil(key_file: Path) -> KeyRing:
    """Put another key under the same id; returns the right ring."""
    right = read_key_file(key_file)
    write_key_file(key_file, KeyRing({right.writing_id: new_key()[1]}, right.where))
    return right


def test_a_missing_key_file_stops_the_start_and_nothing_is_made(settings: Settings, key_file: Path) -> None:
    key_id = read_key_file(key_file).writing_id
    content = key_file.read_bytes()
    key_file.unlink()
    sentence = stopped(settings)
    assert (str(key_file) in sentence, key_id in sentence, "Put the key file back from your backup" in sentence) == (True, True, True)
    assert not key_file.exists()
    assert "make a key file, mode 600, with a line `my-new-id = KEY`" in stopped(accepting(settings))
    assert not key_file.exists()
    key_file.write_bytes(content)
    key_file.chmod(0o600)
    run_on(settings, nothing)


def test_a_wrong_key_stops_the_start(settings: Settings, key_file: Path) -> None:
    right = spoil(key_file)
    sentence = stopped(settings)
    assert f"The key {right.writing_id} in the key file {key_file} is not the one" in sentence
    assert "--accept-unreadable" in sentence
    write_key_file(key_file, right)
    run_on(settings, nothing)


def test_a_ring_without_the_key_in_use_stops_the_start(settings: Settings, key_file: Path) -> None:
    right = read_key_file(key_file)
    write_key_file(key_file, KeyRing({"other": new_key()[1]}, right.where))
    sentence = stopped(settings)
    assert f"sealed with the key {right.writing_id}, which is not in the key file {key_file} (it holds other)" in sentence


def test_a_key_that_seals_nothing_may_be_missing(settings: Settings, key_file: Path) -> None:
    ring = read_key_file(key_file)
    extra = KeyRing({ring.writing_id: ring.key(ring.writing_id) or b"", "extra": new_key()[1]}, ring.where)
    write_key_file(key_file, extra)
    run_on(settings, nothing)
    write_key_file(key_file, ring)
    run_on(settings, nothing)


def test_no_right_key_at_all_says_what_to_do(settings: Settings, key_file: Path) -> None:
    right = spoil(key_file)
    sentence = stopped(accepting(settings))
    assert right.writing_id in sentence
    assert "Put a new key in front, under an id that was never used: a line `my-new-id = KEY`" in sentence


def test_with_accept_unreadable_a_wrong_key_is_not_used(settings: Settings, key_file: Path) -> None:
    right = spoil(key_file)
    wrong = read_key_file(key_file)
    write_key_file(key_file, wrong.with_first("fresh", new_key()[1]))

    async def write(storage: Storage) -> None:
        assert storage.box.ring.ids == ("fresh",)
        body = await list_openai(storage)
        assert MASK.encode() in body
        caller = await project_caller(storage)
        with pytest.raises(Error) as refused:
            await providers_of(storage).upsert(caller, "openai", openai_key(MASK), None)
        assert refused.value.code is Code.CREDENTIALS_UNREADABLE
        await providers_of(storage).upsert(caller, "openai", ModelProviderUpdate(enabled=False), None)
        await providers_of(storage).upsert(caller, "anthropic", ModelProviderUpdate(True, {"ANTHROPIC_API_KEY": "sk-new"}), None)

    run_on(accepting(settings), write)
    write_key_file(key_file, right.with_first("fresh", read_key_file(key_file).key("fresh") or b""))

    async def read(storage: Storage) -> None:
        values = await sealed_values(storage)
        opened = [storage.box.open(value.blob, value.context) for value in values if value.context.field == "customKeys"]
        assert sorted(opened) == [b'{"ANTHROPIC_API_KEY":"sk-new"}', b'{"OPENAI_API_KEY":"sk-planted"}']

    run_on(settings, read)


def test_fingerprints_are_the_same_when_the_right_ring_is_back(settings: Settings, key_file: Path) -> None:
    async def fingerprint(storage: Storage) -> str:
        return storage.fingerprint("field", "value")

    first = run_on(settings, fingerprint)
    right = read_key_file(key_file)
    write_key_file(key_file, KeyRing({"fresh": new_key()[1]}, right.where))
    in_between = run_on(accepting(settings), fingerprint)
    assert (in_between == first, run_on(accepting(settings), fingerprint)) == (False, in_between)
    write_key_file(key_file, right.with_first("fresh", read_key_file(key_file).key("fresh") or b""))
    assert run_on(settings, fingerprint) == first


def test_after_a_lost_key_the_house_can_be_made_whole_again(settings: Settings, key_file: Path) -> None:
    """Whatever the lost key sealed is given up piece by piece; then the house starts without any permission, and the key can be retired."""
    lost = read_key_file(key_file).writing_id
    write_key_file(key_file, KeyRing({"fresh": new_key()[1]}, ""))

    async def give_up(storage: Storage) -> None:
        with pytest.raises(Error, match=f"The key {lost} still seals 2 values"):
            await retire(storage, lost)
        await providers_of(storage).delete(await project_caller(storage), "openai", None)
        for value in await sealed_values(storage):
            if value.context.field == "apiKey":
                await storage.database.write(lambda tx, value=value: destroy_one(tx, *value.place))  # as a new project key does

    run_on(accepting(settings), give_up)

    async def retire_lost(storage: Storage) -> tuple[list[str], int]:
        assert await retire(storage, lost) is None
        found = await status(storage.database, storage.keys)
        return [key.id for key in found.keys], found.unreadable

    assert run_on(settings, retire_lost) == (["fresh"], 0)
    run_on(settings, nothing)


def test_an_old_ring_whose_first_key_was_retired_stops_the_start(settings: Settings, key_file: Path) -> None:
    old = read_key_file(key_file)

    async def replace_key(storage: Storage) -> None:
        async for _ in rotate(storage, settle_s=0):
            pass
        await retire(storage, old.writing_id)

    run_on(settings, replace_key)
    new = read_key_file(key_file)
    assert old.writing_id not in new.ids
    write_key_file(key_file, KeyRing({key_id: ring.key(key_id) or b"" for ring in (old, new) for key_id in ring.ids}, old.where))
    assert f"The key {old.writing_id}, the first one in the key file {key_file}, was retired" in stopped(settings)
    write_key_file(key_file, new)
    run_on(settings, nothing)


def test_a_ring_from_a_setting_needs_no_file(tmp_path: Path, empty_database_url: str) -> None:
    entries = ",".join(line for line in key_ring_text(KeyRing(dict([new_key()]), "")).splitlines() if "#" not in line)
    settings = settings_of(tmp_path, empty_database_url, keys=entries)
    run_on(settings, lambda storage: store_secrets(storage, "sk-planted"))
    assert not settings.key_ring_file.exists()
    assert "KEYHOUSE_KEYS" in stopped(settings_of(tmp_path, empty_database_url, keys=f"other={entries.partition('=')[2].strip()}"))


def test_a_key_file_that_everybody_may_read_is_warned_of(settings: Settings, key_file: Path) -> None:
    key_file.chmod(0o644)

    async def warnings(storage: Storage) -> tuple[str, ...]:
        return storage.warnings

    assert "chmod 600" in run_on(settings, warnings)[0]


def test_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")
    modes: dict[str, int] = {}

    async def look(storage: Storage) -> None:
        await store_secrets(storage, "sk-planted")
        modes.update({path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()})

    before = os.umask(0)
    try:
        run_on(settings, look)
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(
        ("keyhouse.db", "keyhouse.db-shm", "keyhouse.db-wal", "keyhouse.db.lock", "keyring", "keyring.lock"), 0o600
    )
    (tmp_path / "keyhouse.db").chmod(0o644)
    run_on(settings, look)
    assert modes["keyhouse.db"] == modes["keyhouse.db-wal"] == 0o600


async def status_without_start(settings: Settings) -> tuple[str | None, list[tuple[str, str, int]], int]:
    found = await inspect(settings.url, KeySource(settings.key_ring_file))
    return found.problem, [(key.id, key.canary, key.values) for key in found.keys], found.unreadable


def test_what_does_not_start_can_still_be_looked_into(settings: Settings, key_file: Path) -> None:
    right, values = spoil(key_file), len(("the fingerprint key", "the project's key", "OpenAI's key"))
    assert asyncio.run(status_without_start(settings)) == (None, [(right.writing_id, "wrong", values)], values)
    key_file.unlink()
    problem, keys, unreadable = asyncio.run(status_without_start(settings))
    assert "does not exist" in (problem or "")
    assert (keys, unreadable) == ([(right.writing_id, "not in the ring", values)], values)
    assert not key_file.exists()
