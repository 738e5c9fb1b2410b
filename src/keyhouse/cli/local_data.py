"""The data of a house, as commands open it that work on its folder or database themselves. Nothing is made where nothing is."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from keyhouse.app import key_source, opened_storage
from keyhouse.cli.exit_codes import CommandError, ExitCode
from keyhouse.cli.options import Folder
from keyhouse.log import configure_logging
from keyhouse.services.encryption_keys import KeysStatus, inspect
from keyhouse.settings import Settings, read_settings
from keyhouse.storage.database_url import PostgresServer, parse_database_url
from keyhouse.storage.opening import Storage
from keyhouse.storage.schema import require_schema

T = TypeVar("T")


def settings_of(folder: Folder) -> Settings:
    """The settings of the data folder that the options name."""
    return read_settings(data_dir=folder.data_dir, database_url=folder.database_url)


def inspected(settings: Settings) -> KeysStatus:
    """What can be said of the keys and the database, whether or not they fit together. Raises CommandError, Error."""
    require_data(settings)
    return asyncio.run(inspect(settings.url, key_source(settings)))


def with_storage(settings: Settings, work: Callable[[Storage], Awaitable[T]]) -> T:
    """What `work` returns, given the opened storage. Raises CommandError, Error, and what `work` raises."""
    require_data(settings)
    prepare_process()

    async def run() -> T:
        async with opened_storage(settings) as storage:
            return await work(storage)

    return asyncio.run(run())


def worked_off(settings: Settings, work: Callable[[Storage], AsyncIterator[T]], tell: Callable[[T], object] = lambda progress: None) -> T:
    """The same for a work that says how far it is, of which `tell` is told: returns the last that it said."""

    async def run(storage: Storage) -> T:
        async for progress in work(storage):
            tell(progress)
        return progress

    return with_storage(settings, run)


def prepare_process() -> None:
    """What this process writes: warnings on standard error, and files for their owner alone."""
    configure_logging("text", "warning")
    os.umask(0o077)


def require_data(settings: Settings) -> None:
    """Raise CommandError where there is no data folder, or a closed one: a command makes none."""
    url = parse_database_url(settings.url)
    if isinstance(url, PostgresServer):
        require_schema(url)
        return
    try:
        url.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise CommandError(
            f"There is no Keyhouse in {settings.shown_database}. Start one with `keyhouse serve`, name its folder with --data-dir, "
            "or a running server with --endpoint.",
            ExitCode.UNREACHABLE,
        ) from None
    except OSError as problem:
        raise CommandError(
            f"The database {settings.shown_database} cannot be looked at by user {os.geteuid()} ({problem.strerror}). "
            "Run this as the user whom the server runs as, or name a running server with --endpoint.",
            ExitCode.UNREACHABLE,
        ) from None
