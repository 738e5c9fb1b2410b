"""A full disk, a folder that cannot be written, a damaged database file: each its sentence, and nothing lost."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.paging import Paging
from keyhouse.services.encryption_keys import retire, status
from keyhouse.services.key_rotation import rotate
from keyhouse.settings import Settings
from keyhouse.storage.key_file import read_key_file, write_key_file
from keyhouse.storage.key_ring import new_key
from keyhouse.storage.opening import Storage
from keyhouse.storage.sqlite import SqliteDatabase
from tests.conftest import PostgresServer, Serve, missing
from tests.safety.disks import fill, read_only, small_disk
from tests.safety.test_kill import check_file
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, sealed_values, settings_of, store_secrets

LARGE = 20_000


def put_until_refused(client, most: int = 2000) -> tuple[int, dict[str, str]]:  # type: ignore[no-untyped-def]
    """Store ever new large secrets; how many were stored, and the first refusal."""
    for number in range(most):
        keys = {"OPENAI_API_KEY": f"sk-{number}-" + "x" * LARGE}
        answer = client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": keys})
        if answer.status_code != 200:
            assert answer.status_code == 507
            return number, answer.json()
    raise AssertionError("it was never full")


FULL = {"error": "storage_full", "message": "The disk that holds the database is full. Nothing was changed; make room and try again."}


def test_a_full_disk_refuses_writes_and_nothing_else(tmp_path: Path, serve: Serve) -> None:
    with small_disk(tmp_path / "disk", 3000) as disk:
        house = serve(data_dir=disk)
        client = house.client()
        reserve = disk / "reserve"
        reserve.write_bytes(b"x" * 400_000)
        stored, refusal = put_until_refused(client)
        assert stored > 10
        assert refusal == FULL
        assert client.get("/api/model-providers").json()["openai"]["enabled"] is True
        history = client.get("/api/model-providers/openai/history?limit=1").json()
        assert history["pagination"]["total"] == stored
        assert client.put("/api/model-providers/groq", json={"enabled": True, "customKeys": {"GROQ_API_KEY": "x" * LARGE}}).json() == FULL
        reserve.unlink()
        answer = client.put("/api/model-providers/groq", json={"enabled": True, "customKeys": {"GROQ_API_KEY": "sk-after"}})
        assert answer.status_code == 200
        house.stop()
        check_file(disk / "keyhouse.db")
        found = run_on(house.settings, lambda storage: status(storage.database, storage.keys))
        assert (found.unreadable, found.values) == (0, stored + 3)


def test_a_rotation_on_a_full_disk_changes_nothing_and_is_taken_up_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 3000) as disk:
        settings = settings_of(disk, f"sqlite:///{disk / 'keyhouse.db'}")

        async def main() -> None:
            async with opened(settings) as storage:
                await store_secrets(storage, *(f"sk-{number}-" + "x" * LARGE for number in range(20)))
                ring, values = read_key_file(settings.key_ring_file), await sealed_values(storage)
                filler = fill(disk)
                with pytest.raises(Error) as refused:
                    async for _ in rotate(storage, settle_s=0):
                        pass
                assert refused.value.code in (Code.STORAGE_FULL, Code.CONFIGURATION)
                assert read_key_file(settings.key_ring_file).equals(ring)
                assert await sealed_values(storage) == values
                filler.unlink()
                *_, last = [progress async for progress in rotate(storage, settle_s=0)]
                assert {value.key_id for value in await sealed_values(storage)} == {last.key_id}
                assert await retire(storage, ring.writing_id) is None

        asyncio.run(main())
        check_file(disk / "keyhouse.db")


def test_a_first_start_on_a_full_disk_says_so_and_works_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1500) as disk:
        settings = settings_of(disk, f"sqlite:///{disk / 'keyhouse.db'}")
        sentences = set()
        for room in range(0, 400_000, 40_000):
            (disk / "reserve").write_bytes(b"x" * room)
            filler = fill(disk)
            (disk / "reserve").unlink()
            try:
                run_on(settings, lambda storage: store_secrets(storage, "sk-planted"))
            except Error as stopped:
                sentences.add(stopped.message)
            else:
                break
            finally:
                filler.unlink()
        assert sentences
        assert all("is full" in sentence or "No space left" in sentence for sentence in sentences)
        run_on(settings, lambda storage: store_secrets(storage, "sk-planted"))
        check_file(disk / "keyhouse.db")


def test_a_full_postgresql_refuses_writes_and_nothing_else(tmp_path: Path, postgres_server: PostgresServer, serve: Serve) -> None:
    import psycopg

    name = "full_disk"
    with small_disk(postgres_server.folder / "disk", 16_000) as disk:
        if postgres_server.user is not None:
            shutil.chown(disk, postgres_server.user)
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE {name} LOCATION '{disk}'")
            connection.execute(f"CREATE DATABASE {name} TABLESPACE {name}")
            try:
                house = serve(database_url=postgres_server.url(name))
                client = house.client()
                stored, refusal = put_until_refused(client)
                assert stored > 10
                assert refusal == FULL
                assert client.get("/api/model-providers").json()["openai"]["enabled"] is True
                assert client.get("/api/model-providers/openai/history?limit=1").json()["pagination"]["total"] == stored
                house.stop()
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
                connection.execute(f"DROP TABLESPACE {name}")


def test_a_full_database_refuses_a_write_and_those_that_shared_its_commit(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")

    async def main(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        await store_secrets(storage, "sk-planted")
        before = await sealed_values(storage)
        assert isinstance(storage.database, SqliteDatabase)
        writer = storage.database._writer
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count={pages + 2}")
        writes = [providers.upsert(caller, "openai", openai_key(f"sk-{number}" + "x" * LARGE), None) for number in range(4)]
        refused = await asyncio.gather(*writes, return_exceptions=True)
        assert {error.code if isinstance(error, Error) else error for error in refused} == {Code.STORAGE_FULL}
        assert await sealed_values(storage) == before
        writer.execute(f"PRAGMA max_page_count={pages + 1000}")
        await providers.upsert(caller, "openai", openai_key("sk-after"), None)

    run_on(settings, main)
    check_file(tmp_path / "keyhouse.db")


def stopped(settings: Settings) -> str:
    with pytest.raises(Error) as refused:
        run_on(settings, lambda storage: store_secrets(storage, "sk-never"))
    return refused.value.message


def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 3000) as disk:
        settings = settings_of(disk, f"sqlite:///{disk / 'keyhouse.db'}")
        with read_only(disk):
            assert "Read-only file system" in stopped(settings)
            assert list(disk.iterdir()) == []
        run_on(settings, lambda storage: store_secrets(storage, "sk-planted"))
        before = {path.name: path.read_bytes() for path in disk.iterdir()}
        with read_only(disk):
            assert f"The database {disk / 'keyhouse.db'} cannot be opened for writing" in stopped(settings)
        assert {path.name: path.read_bytes() for path in disk.iterdir()} == before


def test_a_key_file_that_cannot_be_written_stops_a_rotation_and_not_the_house(tmp_path: Path, database_url: str) -> None:
    with small_disk(tmp_path / "keys", 100) as keys:
        settings = settings_of(tmp_path, database_url, key_file=keys / "keyring")

        async def main(storage: Storage) -> None:
            await store_secrets(storage, "sk-planted")
            before = storage.box.ring
            with read_only(keys):
                with pytest.raises(Error, match=r"cannot be written \(Read-only file system\)"):
                    async for _ in rotate(storage, settle_s=0):
                        pass
                await store_secrets(storage, "sk-after")
            assert storage.box.ring.equals(before)
            assert read_key_file(keys / "keyring").equals(before)

        run_on(settings, main)
        with read_only(keys):
            run_on(settings, lambda storage: store_secrets(storage, "sk-again"))


def test_a_key_file_that_is_mounted_to_be_read_takes_part_in_rotation_and_retirement(tmp_path: Path, database_url: str) -> None:
    with small_disk(tmp_path / "keys", 100) as keys:
        settings = settings_of(tmp_path, database_url, key_file=keys / "keyring")
        run_on(settings, lambda storage: store_secrets(storage, "sk-planted"))
        former = read_key_file(keys / "keyring")
        write_key_file(keys / "keyring", former.with_first(*new_key()))
        (keys / "keyring.lock").unlink()

        async def main(storage: Storage) -> str | None:
            assert [progress.unreadable async for progress in rotate(storage, settle_s=0)][-1] == ()
            return await retire(storage, former.writing_id)

        with read_only(keys):
            assert run_on(settings, main) == f"Now take the key {former.writing_id} out of the key file {keys / 'keyring'}."
            run_on(settings, lambda storage: store_secrets(storage, "sk-again"))


AS_NOBODY = """
import asyncio, concurrent.futures.thread, os, sys
from pathlib import Path
from keyhouse.domain.errors import Error
from tests.storage.houses import run_on, settings_of, store_secrets
# Imported before: nobody may be unable to read this Python.
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    run_on(settings_of(Path(sys.argv[1]), sys.argv[2]), lambda storage: store_secrets(storage, "sk-never"))
except Error as error:
    print(error.message)
"""


@pytest.mark.parametrize("mode", [0o555, 0o500])
def test_a_folder_of_somebody_else_stops_the_start(mode: int) -> None:
    import tempfile

    if os.geteuid() != 0:
        missing("the rights of root, to become somebody else")
    with tempfile.TemporaryDirectory(prefix="keyhouse-") as name:
        folder = Path(name)
        folder.chmod(mode)
        command = [sys.executable, "-c", AS_NOBODY, name, f"sqlite:///{folder / 'keyhouse.db'}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        assert f"The database {folder / 'keyhouse.db'} cannot be opened for writing (Permission denied)" in said.stdout
        assert list(folder.iterdir()) == []


def test_a_damaged_database_file_is_named_and_never_makes_a_failure_without_a_name(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")
    run_on(settings, lambda storage: store_secrets(storage, *(f"sk-{number}" for number in range(10))))
    path = tmp_path / "keyhouse.db"
    whole = path.read_bytes()
    outcomes = set()
    for page in range(len(whole) // 4096):
        path.write_bytes(whole[: page * 4096] + b"\xa5" * 4096 + whole[(page + 1) * 4096 :])
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        try:
            run_on(settings, use)
        except Error as error:
            outcomes.add((error.code, error.message))
    assert {code for code, _ in outcomes} == {Code.CONFIGURATION, Code.STORAGE_UNAVAILABLE}
    assert any("the file is damaged. Restore it from a backup" in message for _, message in outcomes)
    assert any("cannot be used" in message for _, message in outcomes)


async def use(storage: Storage) -> None:
    caller, providers = await project_caller(storage), providers_of(storage)
    await providers.list(caller.project_id or "")
    await providers.history(caller.project_id or "", "openai", Paging(1, 10))
    await providers.upsert(caller, "openai", openai_key("sk-after"), None)
    await status(storage.database, storage.keys)
