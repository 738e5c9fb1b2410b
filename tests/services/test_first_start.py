"""Servers that start on an empty database at the same time furnish it once."""

import asyncio
from pathlib import Path

from keyhouse.services.first_start import furnish
from keyhouse.storage.organizations import count_organizations, put_organization
from keyhouse.storage.statements import Transaction
from tests.conftest import PostgresServer
from tests.storage.held_writes import Held, waits_for_a_lock
from tests.storage.houses import opened, settings_of


def test_whoever_is_a_moment_late_finds_a_furnished_house(tmp_path: Path, postgres_server: PostgresServer) -> None:
    settings = settings_of(tmp_path, postgres_server.empty_database())

    async def main() -> None:
        async with asyncio.timeout(60), opened(settings) as first, opened(settings) as late:
            held = Held()

            def begun(tx: Transaction) -> None:
                put_organization(tx, "My organization", "my-organization")
                held.wait(tx)

            furnishing = asyncio.create_task(first.database.write(begun))
            await held.done.wait()
            late_one = asyncio.create_task(furnish(late))
            await waits_for_a_lock(settings)
            held.let_go()
            await furnishing
            assert await late_one is None
            assert await late.database.read(count_organizations) == 1

    asyncio.run(main())
