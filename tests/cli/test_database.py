"""`keyhouse database`: a house moves from SQLite to PostgreSQL by two commands, and is backed up while it serves."""

import json
import os
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import BOUND_BY_MODES, run
from tests.cli.conftest import DATA, Furnished, StartServer, on_folder
from tests.cli.terminal import Terminal
from tests.conftest import PostgresServer


def _store(address: str, key: str) -> None:
    with httpx.Client(base_url=address, headers={"X-Auth-Token": key}, trust_env=False) as client:
        body = {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-planted", "OPENAI_BASE_URL": "https://llm.example.com/v1"}}
        client.put("/api/model-providers/openai", json=body).raise_for_status()


def _stored(address: str, key: str) -> object:
    answer = httpx.get(f"{address}/api/model-providers/openai", headers={"X-Auth-Token": key}, trust_env=False)
    return answer.raise_for_status().json()["customKeys"]["OPENAI_BASE_URL"]


def test_a_house_moves_to_postgresql(furnished: Furnished, serving: StartServer, postgres_server: PostgresServer) -> None:
    server = serving(furnished.folder)
    _store(server.address, furnished.project_key)
    url, keyhouse = postgres_server.empty_database(), on_folder(furnished)
    refused = keyhouse("database", "copy", url)
    assert refused.code == 1
    assert "1 process serves on this database" in refused.sentence
    assert server.stop() == 0
    copied = keyhouse("database", "copy", "-", stdin=f"{url}\n")
    assert (copied.code, copied.err) == (0, "")
    assert "rows were copied and read back the same.\n" in copied.out
    assert "sealed values, 0 of them unreadable. The ring: the key file" in copied.out
    moved = serving(furnished.folder, KEYHOUSE_DATABASE_URL=url)
    assert _stored(moved.address, furnished.project_key) == "https://llm.example.com/v1"
    _store(moved.address, furnished.project_key)
    again = keyhouse("database", "copy", url)
    assert "is not empty. Copy into a new one" in again.sentence


def test_a_backup_is_made_while_a_server_serves_and_is_a_house_with_its_key_ring(furnished: Furnished, serving: StartServer) -> None:
    server = serving(furnished.folder)
    _store(server.address, furnished.project_key)
    backup = furnished.folder / "backup"
    backup.mkdir()
    copied = on_folder(furnished)("database", "copy", f"sqlite:///{backup}/keyhouse.db", "--while-serving", "--json")
    assert json.loads(copied.out)["unreadable"] == 0
    assert (backup / "keyhouse.db").stat().st_mode & 0o777 == 0o600
    (backup / "keyring").write_bytes((furnished.folder / DATA / "keyring").read_bytes())
    (backup / "keyring").chmod(0o600)
    restored = serving(furnished.folder, "--data-dir", str(backup))
    assert _stored(restored.address, furnished.project_key) == "https://llm.example.com/v1"


def test_a_backup_whose_secrets_do_not_open_is_no_success_unless_that_is_accepted(furnished: Furnished) -> None:
    (furnished.folder / DATA / "keyring").rename(furnished.folder / "keyring")
    for name, accepted, code in (("one.db", "false", 1), ("other.db", "true", 0)):
        copied = furnished.run(
            furnished.folder, "database", "copy", f"sqlite:///{furnished.folder}/{name}", "--json", KEYHOUSE_ACCEPT_UNREADABLE=accepted
        )
        assert copied.code == code
        assert json.loads(copied.out)["unreadable"] == json.loads(copied.out)["values"] > 0
        assert ("sealed values do not open" in copied.err) == (code == 1)


@pytest.mark.parametrize("command", ["status", "keys status", "provider list", "database prune --history-days 9 --yes"])
def test_a_folder_that_somebody_else_keeps_closed_is_one_sentence(furnished: Furnished, command: str) -> None:
    data = furnished.folder / DATA
    data.chmod(0)
    refused = run(furnished.folder, *command.split(), through=BOUND_BY_MODES)
    data.chmod(0o700)
    assert refused.code == 3
    assert f"{data / 'keyhouse.db'} cannot be looked at by user {os.geteuid()} (Permission denied)" in refused.sentence


def test_copying_shows_a_bar_to_people(furnished: Furnished, tmp_path: Path) -> None:
    terminal = Terminal(furnished.folder, "database", "copy", f"sqlite:///{tmp_path}/copy.db", TERM="xterm")
    assert terminal.ended() == 0
    terminal.see("Copying")
    terminal.see("read back the same")


def test_pruning_says_what_went_and_asks_before(furnished: Furnished, serving: StartServer) -> None:
    server, keyhouse = serving(furnished.folder), on_folder(furnished)
    _store(server.address, furnished.project_key)
    assert "--history-days" in keyhouse("database", "prune").sentence
    assert "--yes" in keyhouse("database", "prune", "--audit-days", "1").sentence
    pruned = keyhouse("database", "prune", "--history-days", "1", "--audit-days", "1", "--yes")
    assert pruned.out == "Forgotten: 0 states of providers, 0 sealed values, 0 records of the audit log.\n"
    assert json.loads(keyhouse("database", "prune", "--history-days", "1", "--yes", "--json").out) == {
        "states": 0,
        "values": 0,
        "records": 0,
    }
    assert [entry["action"] for entry in json.loads(keyhouse("audit", "--json").out)["data"]][:1] == ["history.pruned"]
    assert keyhouse("database", "prune", "--history-days", "0", "--yes").code == 2
