"""`keyhouse keys` and `keyhouse status`: on the folder, with a server running, and where a server would not start."""

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx

from tests.cli.conftest import DATA, Furnished, StartServer, on_folder
from tests.cli.terminal import Terminal


def _status(furnished: Furnished) -> Any:
    return json.loads(on_folder(furnished)("keys", "status", "--json").out)


def test_keys_rotate_and_retire_while_a_server_serves(furnished: Furnished, serving: StartServer) -> None:
    keyhouse = on_folder(furnished)
    server = serving(furnished.folder)
    with httpx.Client(base_url=server.address, headers={"X-Auth-Token": furnished.project_key}, trust_env=False) as client:
        client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-1"}}).raise_for_status()
        old = _status(furnished)["keys"][0]["id"]
        rotated = keyhouse("keys", "rotate", "--json")
        assert (rotated.code, rotated.err) == (0, "")
        new = json.loads(rotated.out)["keyId"]
        after = {key["id"]: key for key in _status(furnished)["keys"]}
        assert (after[new]["writes"], after[old]["writes"], after[old]["values"]) == (True, False, 0)
        retired = keyhouse("keys", "retire", old, "--yes", "--json")
        assert json.loads(retired.out) == {"retired": old, "leftToDo": None}
        assert [key["id"] for key in _status(furnished)["keys"] if key["inRing"]] == [new]
        client.put("/api/model-providers/openai", json={"enabled": False}).raise_for_status()
        assert client.post("/api/model-providers/openai/rollback", json={"version": 1}).status_code == 200
    assert _status(furnished)["unreadable"] == 0


def test_a_key_in_use_cannot_be_retired(furnished: Furnished) -> None:
    refused = on_folder(furnished)("keys", "retire", _status(furnished)["keys"][0]["id"], "--yes")
    assert refused.code == 1
    assert "keyhouse keys rotate" in refused.sentence
    assert "--yes" in on_folder(furnished)("keys", "retire", "x").sentence


def test_a_key_that_was_put_first_by_hand_is_not_told_as_a_rotation_of_before(furnished: Furnished) -> None:
    kept = [line for line in (furnished.folder / DATA / "keyring").read_text().splitlines() if "=" in line]
    ring = ",".join((f"by-hand = {b64encode(bytes(range(32))).decode()}", *kept))
    rotated = furnished.run(furnished.folder, "keys", "rotate", KEYHOUSE_KEYS=ring)
    assert rotated.code == 0, rotated.err
    assert re.fullmatch(r"\d+ values are sealed with by-hand now, which stood first in the ring already\.", rotated.out.splitlines()[0])


def test_rotation_shows_a_bar_to_people(furnished: Furnished) -> None:
    terminal = Terminal(furnished.folder, "keys", "rotate", TERM="xterm")
    assert terminal.ended() == 0
    terminal.see("Rotating")
    terminal.see("values are sealed with key-")


def test_status_tells_what_is_wrong_where_a_server_would_not_start(furnished: Furnished) -> None:
    key = furnished.folder / DATA / "keyring"
    kept = key.read_text()
    key.unlink()
    keyhouse = on_folder(furnished)
    status = json.loads(keyhouse("status", "--json").out)
    assert str(key) in status["encryptionKeys"]["problem"] or "keyring" in status["encryptionKeys"]["problem"]
    assert status["encryptionKeys"]["unreadable"] == status["encryptionKeys"]["values"] > 0
    assert "does not exist" in keyhouse("keys", "status").out
    key.write_text(kept)
    key.chmod(0o600)
    assert json.loads(keyhouse("status", "--json").out)["encryptionKeys"]["problem"] is None


def test_status_tells_where_everything_is(furnished: Furnished) -> None:
    status = json.loads(on_folder(furnished)("status", "--json").out)
    assert Path(status["database"]) == furnished.folder / DATA / "keyhouse.db"
    assert (status["dialect"], status["version"]) == ("sqlite", "0.1.0")
    shown = on_folder(furnished)("status").out
    assert "keyhouse.db" in shown
    assert "0 of " in shown


def test_status_of_a_server_tells_what_the_key_opens(furnished: Furnished, serving: StartServer) -> None:
    server = serving(furnished.folder)
    project = furnished.run(furnished.folder, "status", "--json", KEYHOUSE_ENDPOINT=server.address, KEYHOUSE_API_KEY=furnished.project_key)
    told = json.loads(project.out)
    assert (told["organization"], told["providers"], told["version"]) == ("My organization", [], "0.1.0")
    organization = furnished.run(
        furnished.folder, "status", "--json", KEYHOUSE_ENDPOINT=server.address, KEYHOUSE_API_KEY=furnished.admin_key
    )
    assert json.loads(organization.out)["projects"] == 1
