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
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.encryption_keys import known_key_ids
from keyhouse.storage.opening import open_database
from tests.conftest import PostgresServer, free_port, missing
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, settings_of, store_secrets


@contextlib.contextmanager
def bouncer(server: PostgresServer, folder: Path, mode: str, *, prepares: bool = True) -> Iterator[int]:
    """A PgBouncer before a server, by its port. `prepares`: each statement wherever it runs, if it can; that is from 1.21 on."""
    binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if binary is None:
        missing("PgBouncer (Debian's package pgbouncer)")
        return
    port = free_port()
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=keyhouse\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n"
        + ("" if prepares or _version(binary) < (1, 21) else "max_prepared_statements = 0\n")
    )
    command = [binary, "-q", *(["-u", server.user] if server.user else []), config]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"postgresql://keyhouse@127.0.0.1:{port}/postgres", process)
            yield port
        finally:
            process.kill()


def _version(binary: str) -> tuple[int, ...]:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(number) for number in said.split()[1].split("."))


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
            return
        assert process.poll() is None, "PgBouncer did not start"
        threading.Event().wait(0.05)
    raise AssertionError("PgBouncer does not answer")


def test_sessions_of_a_pooler_serve(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.empty_database()
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


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_without_sessions_is_named_at_the_start(tmp_path: Path, postgres_server: PostgresServer, mode: str) -> None:
    url = postgres_server.empty_database()
    with bouncer(postgres_server, tmp_path, mode) as port:
        settings = settings_of(tmp_path, url.replace(f":{postgres_server.port}/", f":{port}/"))
        with pytest.raises(Error, match="as PgBouncer does with pool_mode=session") as refused:
            run_on(settings, project_caller)
        assert refused.value.code is Code.STORAGE_UNAVAILABLE
        run_on(settings_of(tmp_path, url), project_caller)


def test_a_pooler_that_loses_prepared_statements_is_named_when_it_does(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.empty_database()
    run_on(settings_of(tmp_path, url), project_caller)
    with bouncer(postgres_server, tmp_path, "transaction", prepares=False) as port:

        async def use() -> None:
            database = open_database(parse_database_url(url.replace(f":{postgres_server.port}/", f":{port}/")))
            try:
                for _ in range(20):
                    await asyncio.gather(*(database.read(known_key_ids) for _ in range(20)))
                    await database.catch_up()
            finally:
                await database.close()

        with pytest.raises(Error, match="as PgBouncer does with pool_mode=session"):
            asyncio.run(use())
