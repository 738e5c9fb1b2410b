"""What must hold of a disk after a power cut, whatever of the unsynced changes is there: the checks, with the product's own code."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from bench.chaos.checks import fits, opened
from bench.chaos.house import FoundError
from bench.chaos.model import State
from bench.power_loss.ledger import Counts, Ledger
from bench.power_loss.plan import HERE, RESTORED, Lane
from bench.power_loss.stage import BACKUPS, BY_HAND, DATA, RESTORING
from bench.power_loss.traced import KEYHOUSE
from bench.serving import Served, free_port, process, send
from keyhouse.app import key_source, opened_storage
from keyhouse.cli.data_folder import make_data_folder
from keyhouse.services.encryption_keys import KeysStatus, opened_as_it_is, status
from keyhouse.services.first_start import furnish
from keyhouse.services.identity import Identity
from keyhouse.settings import Settings
from keyhouse.storage.key_file import read_key_file
from keyhouse.storage.opening import Storage
from keyhouse.storage.organizations import count_organizations

_PRIVATE = 0o600
_Allowed = Mapping[str, Sequence[State]]


def _allowed(lanes: Mapping[str, Lane], ledger: Ledger, providers: Sequence[str], least: Counts, most: Counts) -> _Allowed:
    """The states that a provider may be in: the one after the last acknowledged change, or after those behind it that may be under way."""
    return {name: lanes[name].states[least.get(name, 0) : ledger.next_answered(name, most.get(name, 0)) + 1] for name in providers}


async def check(disk: Path, ledger: Ledger, lanes: Mapping[str, Lane], *, backups: bool) -> None:
    """Look at the house, and at its backups where they can have changed. Raises FoundError for what must not be."""
    acknowledged = ledger.acknowledged
    if ledger.first_keys is None:
        await _starts_anew(disk / DATA)
    elif not _is_in_hands(ledger):
        await _is_whole(disk / DATA, ledger, _allowed(lanes, ledger, (*HERE, *RESTORED), acknowledged, acknowledged))
    if backups:
        for name, (least, most) in ledger.copies().items():
            await _copy_is_whole(disk, name, ledger, _allowed(lanes, ledger, HERE, least, most))


def serve(disk: Path, ledger: Ledger) -> bool:
    """Start a server on the house, and ask it for the providers. Whether there was somebody who could ask. Raises FoundError."""
    if ledger.first_keys is None or _is_in_hands(ledger):
        return False
    port = free_port()
    variables = {"KEYHOUSE_DATA_DIR": str(disk / DATA), "KEYHOUSE_PORT": str(port)}
    try:
        with process(Served([*KEYHOUSE, "serve"], port, variables=variables)):
            answer, _ = send(port, "GET", "/api/model-providers", {"x-auth-token": ledger.first_keys[0]})
    except (SystemExit, OSError) as failure:
        raise FoundError(f"no server starts: {failure}") from failure
    if answer != 200:
        raise FoundError(f"a server answers {answer}")
    return True


def _is_in_hands(ledger: Ledger) -> bool:
    """Whether somebody is just restoring the database by hand, or the key ring: then nobody says anything of it, until it is in use."""
    keys = [name.removeprefix(BY_HAND) for name in ledger.before if name.startswith(BY_HAND)]
    is_restored = RESTORING not in ledger.before or any(ledger.acknowledged[name] for name in RESTORED)
    return not is_restored or bool(set(keys) - set(ledger.rotated))


async def _starts_anew(data: Path) -> None:
    """Nobody was told anything yet. Whatever is there, a start makes a house of it."""
    settings = Settings.model_validate({"data_dir": data})
    make_data_folder(settings)
    async with opened_storage(settings) as storage:
        await furnish(storage)
        if await storage.database.read(count_organizations) != 1:
            raise FoundError("a start on an unfinished first start made no house")
        _require_readable(await status(storage.database, storage.keys))
    _require_private(settings.key_ring_file)
    _require_whole(data / "keyhouse.db")


async def _is_whole(data: Path, ledger: Ledger, allowed: _Allowed) -> None:
    settings = Settings.model_validate({"data_dir": data})
    for path in (data, settings.key_ring_file, data / "keyhouse.db"):
        if not path.exists():
            raise FoundError(f"{path.name} is gone")
    if (data / ".gitignore").read_text() != "*\n":
        raise FoundError("git would see the data folder")
    _require_private(settings.key_ring_file)
    _require_ring(settings.key_ring_file, ledger)
    async with opened_storage(settings) as storage:
        await _require_states(storage, ledger, allowed)
        seen = await status(storage.database, storage.keys)
        _require_readable(seen)
        if known := {key.id for key in seen.keys} & set(ledger.retired):
            raise FoundError(f"retired keys are back: {known}")
    _require_whole(data / "keyhouse.db")


async def _copy_is_whole(disk: Path, name: str, ledger: Ledger, allowed: _Allowed) -> None:
    database = disk / BACKUPS / f"{name}.db"
    if not database.exists():
        raise FoundError(f"{name} is gone")
    settings = Settings.model_validate({"data_dir": disk / DATA, "database_url": f"sqlite:///{database}"})
    async with opened_as_it_is(settings.url) as opened_copy:
        _require_readable(await status(opened_copy, key_source(settings)))
    async with opened_storage(settings) as storage:
        await _require_states(storage, ledger, allowed)
    _require_whole(database)


async def _require_states(storage: Storage, ledger: Ledger, allowed: _Allowed) -> None:
    assert ledger.first_keys is not None
    project_key, admin_key = ledger.first_keys
    identity = Identity(storage)
    await identity.caller_of_organization(admin_key)
    project_id = (await identity.caller_of_project(project_key, None)).project_id
    assert project_id is not None
    for provider, states in allowed.items():
        found = await storage.database.read(lambda tx, name=provider: opened(tx, storage, project_id, name))  # type: ignore[misc]
        if not any(fits(state, found) for state in states):
            versions, acknowledged = len(found.history), len(states[0].history)
            what = f"has {versions} of {acknowledged} acknowledged changes" if versions < acknowledged else "holds what nobody stored"
            raise FoundError(f"{provider} {what}")


def _require_ring(file: Path, ledger: Ledger) -> None:
    ids = read_key_file(file).ids
    if lost := [key for key in ledger.rotated if key not in (*ids, *ledger.retiring)]:
        raise FoundError(f"the key ring lost {lost}")
    if back := [key for key in ledger.retired if key in ids]:
        raise FoundError(f"the key ring has retired keys again: {back}")


def _require_readable(seen: KeysStatus) -> None:
    if seen.problem or seen.unreadable:
        raise FoundError(f"{seen.unreadable} of {seen.values} sealed values do not open: {seen.problem}")


def _require_private(file: Path) -> None:
    if (mode := file.stat().st_mode & 0o777) != _PRIVATE:
        raise FoundError(f"the key ring has the mode {mode:o}")


def _require_whole(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if found != [("ok",)] or broken:
        raise FoundError(f"the database is damaged: {found[:3]} {broken[:3]}")
