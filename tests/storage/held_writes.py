"""Writes on PostgreSQL that stay open until a test lets them go."""

import asyncio
import threading

import psycopg

from keyhouse.settings import Settings
from keyhouse.storage.statements import Statement, Transaction


async def waits_for_a_lock(settings: Settings) -> None:
    """Until a statement waits for another transaction on PostgreSQL."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with await psycopg.AsyncConnection.connect(settings.url, autocommit=True) as connection, asyncio.timeout(30):
        while await (await connection.execute(query)).fetchone() == (0,):
            pass


class Held:
    """A write on PostgreSQL that stays open until it is let go: `work` is done, the commit is not."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._go = threading.Event()

    def wait(self, tx: Transaction) -> None:
        tx.rows(Statement("SELECT id FROM sealed_values LIMIT 1"))  # what was sent has been done
        self._loop.call_soon_threadsafe(self.done.set)
        assert self._go.wait(30)

    def let_go(self) -> None:
        self._go.set()
