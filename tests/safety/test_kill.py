"""kill -9 at random points: after a restart every acknowledged write is there, every value opens, database and key file are whole."""

import random
import sqlite3
from pathlib import Path

import pytest

from keyhouse.domain.model_provider import ModelProvider
from keyhouse.services.encryption_keys import status
from keyhouse.services.first_start import furnish
from keyhouse.settings import Settings
from keyhouse.storage.key_file import read_key_file
from keyhouse.storage.model_providers import StoredProvider, list_stored
from keyhouse.storage.opening import Storage
from tests.conftest import PostgresServer
from tests.safety.conftest import Nursery, Victim
from tests.safety.victim import LANES, secret_at
from tests.storage.houses import project_caller, run_on, settings_of, store_secrets

NOBODY = dict.fromkeys(LANES, 0)


def rounds(sqlite: int, postgresql: int, database_url: str) -> int:
    return sqlite if database_url.startswith("sqlite") else postgresql


class Ledger:
    """How far each lane is known to be."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sequences = dict(NOBODY)
        self.heard = 0

    def listen(self, victim: Victim, lines: int, more_bytes: int) -> None:
        """Let somebody who writes say so many lines, each an acknowledged change."""
        assert victim.listen(lines, more_bytes)
        self.heard += lines

    def acknowledge(self, lines: list[str]) -> None:
        for line in lines:
            provider, _, sequence = line.partition(" ")
            assert int(sequence) == self.sequences[provider] + 1
            self.sequences[provider] = int(sequence)

    def check(self) -> None:
        """Start again and look at everything. A change that was under way may have been made, whole, or not at all."""
        if self.settings.url.startswith("sqlite"):
            check_file(Path(self.settings.url.removeprefix("sqlite:///")))
        assert read_key_file(self.settings.key_ring_file).ids
        run_on(self.settings, self._check_storage)

    async def _check_storage(self, storage: Storage) -> None:
        caller = await project_caller(storage)
        stored = await storage.database.read(lambda tx: list_stored(tx, storage.box, caller.project_id or ""))
        for provider, acknowledged in self.sequences.items():
            found = stored.get(provider) or StoredProvider(ModelProvider(provider))
            secrets = {secret_at(provider, sequence): sequence for sequence in (acknowledged + 1, acknowledged)}
            secret = found.provider.credentials.text(LANES[provider]) or None
            assert secret in secrets, f"{provider} holds {secret!r} after {acknowledged} acknowledged changes"
            self.sequences[provider] = secrets[secret]
            assert found.provider.version in (0, self.sequences[provider])
        seen = await status(storage.database, storage.keys)
        assert (seen.problem, seen.unreadable) == (None, 0)
        assert {key.canary for key in seen.keys if key.in_ring} <= {"right", "retired"}


def check_file(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


@pytest.fixture
def settings(tmp_path: Path, empty_database_url: str) -> Settings:
    return settings_of(tmp_path, empty_database_url)


def test_killed_while_it_writes(settings: Settings, nursery: Nursery) -> None:
    ledger, dice = Ledger(settings), random.Random(1)
    for _ in range(rounds(50, 8, settings.url)):
        victim = nursery.start("write", settings, ledger.sequences)
        ledger.listen(victim, dice.randrange(0, 25), dice.randrange(0, 40))
        ledger.acknowledge(victim.kill())
        ledger.check()
    assert sum(ledger.sequences.values()) >= ledger.heard > 50


def test_killed_while_it_rotates_and_another_one_writes(settings: Settings, nursery: Nursery) -> None:
    ledger, dice = Ledger(settings), random.Random(2)
    run_on(settings, lambda storage: store_secrets(storage, *(f"sk-{number}" for number in range(12))))
    for _ in range(rounds(30, 6, settings.url)):
        victims = [nursery.start("write", settings, ledger.sequences), nursery.start("replace_keys", settings)]
        waiting = dice.choice(victims)
        assert waiting.listen(dice.randrange(0, 14), dice.randrange(0, 12))
        dice.shuffle(victims)
        lines = {victim.pid: victim.kill() for victim in victims}
        written = [line for said in lines.values() for line in said if line.partition(" ")[0] in LANES]
        ledger.acknowledge(written)
        ledger.check()
    # Whatever was left behind, a key is replaced at last.
    survivor = nursery.start("replace_keys", settings)
    while b"retired" not in survivor.said:
        assert survivor.listen(1)
    survivor.kill()
    ledger.check()


def test_killed_at_each_step_of_a_first_start(tmp_path: Path, nursery: Nursery) -> None:
    killed = 0
    for call in range(0, 1000, 7):
        folder = tmp_path / str(call)
        folder.mkdir()
        settings = settings_of(folder, f"sqlite:///{folder / 'keyhouse.db'}")
        if nursery.start("start", settings, die_at=call).listen_to_the_end() == ["made"]:
            break
        killed += 1
        run_on(settings, furnish)
        ledger = Ledger(settings)
        ledger.check()
        assert {path.name for path in folder.iterdir()} >= {"keyhouse.db", "keyring"}
    assert killed > 10


def test_killed_at_each_step_of_a_rotation(tmp_path: Path, nursery: Nursery) -> None:
    settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")
    run_on(settings, lambda storage: store_secrets(storage, *(f"sk-{number}" for number in range(8))))
    ledger, killed = Ledger(settings), 0
    for call in range(0, 1000, 9):
        if nursery.start("replace_keys_to_the_end", settings, die_at=call).listen_to_the_end()[-1:] == ["replaced"]:
            break
        killed += 1
        ledger.check()
    assert killed > 10
    assert nursery.start("replace_keys_to_the_end", settings).listen_to_the_end()[-1] == "replaced"
    ledger.check()


def test_postgresql_stops_at_once_while_it_is_written_to(tmp_path: Path, lonely_server: PostgresServer, nursery: Nursery) -> None:
    settings = settings_of(tmp_path, lonely_server.empty_database())
    ledger, dice = Ledger(settings), random.Random(3)
    for _ in range(4):
        victims: list[Victim] = [nursery.start("write", settings, ledger.sequences), nursery.start("replace_keys", settings)]
        ledger.listen(victims[0], dice.randrange(1, 20), dice.randrange(0, 12))
        lonely_server.stop()
        try:
            lines = [victim.listen_to_the_end() for victim in victims]
        finally:
            lonely_server.start()
        ledger.acknowledge(lines[0])
        ledger.check()
    assert sum(ledger.sequences.values()) >= ledger.heard > 10
