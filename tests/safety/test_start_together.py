"""Several processes that start at once on nothing make one house."""

import shutil
from pathlib import Path

import pytest

from keyhouse.domain.errors import Error
from keyhouse.services.encryption_keys import status
from keyhouse.storage.key_file import read_key_file
from keyhouse.storage.opening import Storage
from keyhouse.storage.organizations import count_organizations
from tests.conftest import PostgresServer
from tests.safety.conftest import Nursery
from tests.storage.houses import opened, run_on, settings_of

PROCESSES = 6


async def look(storage: Storage) -> tuple[int, int, int, tuple[str, ...]]:
    """Organizations, sealed values, unreadable ones, keys."""
    found = await status(storage.database, storage.keys)
    organizations = await storage.database.read(count_organizations)
    return organizations, found.values, found.unreadable, tuple(key.id for key in found.keys)


def test_one_house_is_made_of_nothing(tmp_path: Path, empty_database_url: str, nursery: Nursery) -> None:
    settings = settings_of(tmp_path, empty_database_url)
    victims = [nursery.start("start", settings) for _ in range(PROCESSES)]
    assert sorted(line for victim in victims for line in victim.listen_to_the_end()) == ["found"] * (PROCESSES - 1) + ["made"]
    ring = read_key_file(settings.key_ring_file)
    assert run_on(settings, look) == (1, 2, 0, ring.ids)
    assert len(ring.ids) == 1


def test_hosts_that_start_at_once_on_one_server_make_one_house(tmp_path: Path, postgres_server: PostgresServer, nursery: Nursery) -> None:
    """Each has a data folder of its own. Whoever comes first makes the key; the others say that they need it, and make none."""
    url = postgres_server.empty_database()
    hosts = [settings_of(tmp_path / f"host-{number}", url) for number in range(PROCESSES)]
    for host in hosts:
        host.data_dir.mkdir()
    said = [victim.listen_to_the_end() for victim in [nursery.start("start", host) for host in hosts]]
    assert sorted(said) == [[]] * (PROCESSES - 1) + [["made"]]
    first = hosts[said.index(["made"])]
    assert [host for host in hosts if host.key_ring_file.exists()] == [first]
    other = hosts[said.index([])]
    with pytest.raises(Error, match=f"was written with the key {read_key_file(first.key_ring_file).writing_id}"):
        run_on(other, look)
    shutil.copy(first.key_ring_file, other.key_ring_file)
    assert run_on(other, look) == run_on(first, look) == (1, 2, 0, read_key_file(first.key_ring_file).ids)


def test_preparing_twice_in_one_process_waits_its_turn(tmp_path: Path, empty_database_url: str) -> None:
    import asyncio

    settings = settings_of(tmp_path, empty_database_url)

    async def main() -> None:
        async with asyncio.timeout(60), opened(settings) as first:
            found = await asyncio.gather(*(_opened_keys(settings) for _ in range(3)))
            assert set(found) == {first.box.ring.ids}

    async def _opened_keys(settings) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
        async with opened(settings) as storage:
            return storage.box.ring.ids

    asyncio.run(main())
