"""PgBouncer in front of PostgreSQL: with sessions of its clients' own it is not noticed, without them a start says what to change."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from keyhouse.domain.errors import Code, Error
from tests.conftest import PostgresServer, free_port, missing
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, settings_of, store_secrets


@contextlib.contextmanager
def bouncer(server: PostgresServer, folder: Path, mode: str) -> Iterator[int]:
    """A PgBouncer before a server, by its port."""
    binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if binary is None:
        missing("PgBouncer (Debian's package pgbouncer)")
        return
    port = free_port()
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=keyhouse\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n"
    )
    command = [binary, "-q", *(["-u", server.user] if server.user else []), config]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"postgresql://keyhouse@127.0.0.1:{port}/postgres", process)
            yield port
        finally:
            process.kill()


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
            return
        assert process.poll() is None, "PgBouncer did not start"
        threading.Event().wait(0.05)
    raise AssertionError("PgBouncer does not answer")


def test_sessions_of_a_pooler_serve(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    with bouncer(postgres_server, tmp_path, "session") as port:
        settings = settings_of(tmp_path, url.replace(f":{postgres_server.port}/", f":{port}/"))

        async def main() -> None:
            async with opened(settings) as storage:
                caller, providers = await project_caller(storage), providers_of(storage)
                await store_secrets(storage, "sk-one", "sk-two")
                await asyncio.gather(*(providers.upsert(caller, "openai", openai_key(f"sk-{number}"), None) for number in range(20)))
                await storage.database.catch_up()

        for _ in range(2):
            asyncio.run(main())


def test_a_pooler_without_sessions_is_named_and_holds_no_lock(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    with bouncer(postgres_server, tmp_path, "transaction") as port:
        settings = settings_of(tmp_path, url.replace(f":{postgres_server.port}/", f":{port}/"))

        async def use() -> None:
            async with opened(settings) as storage:
                caller, providers = await project_caller(storage), providers_of(storage)
                for number in range(20):
                    await asyncio.gather(*(providers.get(caller.project_id or "", "openai") for _ in range(20)))
                    await providers.upsert(caller, "openai", openai_key(f"sk-{number}"), None)

        with pytest.raises(Error, match="as PgBouncer does with pool_mode=session") as refused:
            asyncio.run(use())
        assert refused.value.code is Code.STORAGE_UNAVAILABLE
        run_on(settings_of(tmp_path, url), project_caller)
