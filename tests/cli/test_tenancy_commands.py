"""Organizations, teams, projects, API keys and the audit log from the command line, in a folder and on a server."""

import contextlib
import json
import re
import shutil
import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from tests.cli.commands import Ran
from tests.cli.conftest import DATA, INSTANCE_KEY, Furnished, Keyhouse, OnServer, StartServer, on_folder

_VARYING = {"id", "token", "adminApiKey", "createdAt", "updatedAt", "archivedAt", "expiresAt", "at", "actor", "fingerprint", "target"}


def _told(keyhouse: Keyhouse, *arguments: str, stdin: str | None = None) -> Any:
    ran = keyhouse(*arguments, "--json", stdin=stdin)
    assert (ran.code, ran.err) == (0, ""), ran.err
    return json.loads(ran.out)


def test_an_organization_has_a_team_and_a_key_that_works(keyhouse: Keyhouse) -> None:
    made = _told(keyhouse, "organization", "create", "Second", "--slug", "second", "--key-name", "first key")
    assert made["organization"] | {"id": ""} == {"id": "", "name": "Second", "slug": "second"}
    assert made["adminApiKey"]["token"].startswith("sk-lw-")
    assert [each["slug"] for each in _told(keyhouse, "organization", "list")["organizations"]] == ["second", "my-organization"]
    assert _told(keyhouse, "organization", "show", made["organization"]["id"])["organization"]["slug"] == "second"
    taken = keyhouse("organization", "create", "Again", "--slug", "second")
    assert taken.code == 1
    assert "second" in taken.sentence


def test_a_team_is_made_renamed_and_deleted(keyhouse: Keyhouse) -> None:
    assert _told(keyhouse, "team", "create", "Red team")["slug"] == "red-team"
    assert _told(keyhouse, "team", "rename", "red-team", "Blue team")["name"] == "Blue team"
    assert _told(keyhouse, "team", "show", "red-team")["name"] == "Blue team"
    assert [each["name"] for each in _told(keyhouse, "team", "list")["data"]] == ["Blue team", "My team"]
    assert "archivedAt" in _told(keyhouse, "team", "delete", "red-team", "--yes")
    assert "my-team" in keyhouse("team", "show", "red-team").sentence


def test_a_project_is_made_changed_and_deleted(keyhouse: Keyhouse) -> None:
    made = _told(keyhouse, "project", "create", "Chat bot", "--language", "python", "--framework", "none", "--new-team", "Bots")
    assert (made["slug"], made["language"], made["serviceApiKey"][:6]) == ("chat-bot", "python", "sk-lw-")
    assert _told(keyhouse, "project", "update", "chat-bot", "--name", "Bot", "--team", "my-team")["name"] == "Bot"
    key = keyhouse("project", "api-key", "chat-bot")
    assert re.fullmatch(r"sk-lw-[A-Za-z0-9]{48}\n", key.out)
    shown = _told(keyhouse, "audit", "--limit", "1")["data"][0]
    way = "command_line" if shown["actor"]["id"] == "command-line" else "api"
    assert (shown["action"], shown["target"]) == (f"project.key_shown_by_{way}", made["id"])
    assert _told(keyhouse, "project", "api-key", made["id"]) == {"apiKey": key.out.strip()}
    again = keyhouse("project", "regenerate-api-key", "chat-bot", "--yes")
    assert re.fullmatch(r"sk-lw-[A-Za-z0-9]{48}\n", again.out)
    assert again.out != key.out
    assert [each["slug"] for each in _told(keyhouse, "project", "list", "--limit", "1")["data"]] == ["chat-bot"]
    assert "archivedAt" in _told(keyhouse, "project", "delete", "chat-bot", "--yes")
    assert "my-project" in keyhouse("project", "show", "chat-bot").sentence


def test_an_api_key_does_what_it_was_made_for(furnished: Furnished, on_server: OnServer) -> None:
    keyhouse = on_server(furnished)
    token = _told(keyhouse, "api-key", "create", "ci", "--role", "VIEWER", "-p", "my-project", "--expires", "1d")["token"]
    endpoint = furnished.run(furnished.folder, "status", "--json", KEYHOUSE_ENDPOINT=_endpoint(keyhouse), KEYHOUSE_API_KEY=token)
    assert json.loads(endpoint.out)["organization"] == "My organization"
    refused = furnished.run(
        furnished.folder, "provider", "set", "openai", "--enabled", KEYHOUSE_ENDPOINT=_endpoint(keyhouse), KEYHOUSE_API_KEY=token
    )
    assert refused.code == 4
    assert "project:update" in refused.sentence


def _endpoint(keyhouse: Keyhouse) -> str:
    return str(_told(keyhouse, "status")["endpoint"])


def test_api_keys_are_listed_changed_and_revoked(keyhouse: Keyhouse) -> None:
    made = _told(keyhouse, "api-key", "create", "reader", "--readonly", "--description", "reads", "--team", "my-team")
    key_id = made["apiKey"]["id"]
    shown = _told(keyhouse, "api-key", "show", key_id)
    assert (shown["name"], shown["description"], shown["permissionMode"]) == ("reader", "reads", "readonly")
    assert [bound["scopeType"] for bound in shown["bindings"]] == ["TEAM"]
    _told(keyhouse, "api-key", "update", key_id, "--name", "viewer", "--permission", "project:view", "--expires", "2099-01-01T00:00:00Z")
    shown = _told(keyhouse, "api-key", "show", key_id)
    assert (shown["name"], shown["permissions"], shown["expiresAt"][:10]) == ("viewer", ["project:view"], "2099-01-01")
    assert made["token"] not in keyhouse("api-key", "list").out
    assert _told(keyhouse, "api-key", "revoke", key_id, "--yes") == {"success": True}
    assert keyhouse("api-key", "revoke", key_id, "--yes").code == 1


def test_a_key_for_the_whole_organization_can_be_less_than_admin(keyhouse: Keyhouse) -> None:
    key_id = _told(keyhouse, "api-key", "create", "viewer", "--role", "VIEWER")["apiKey"]["id"]
    bindings = _told(keyhouse, "api-key", "show", key_id)["bindings"]
    assert [(bound["role"], bound["scopeType"]) for bound in bindings] == [("VIEWER", "ORGANIZATION")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["api-key", "create", "x", "--expires", "soon"], "90d"),
        (["api-key", "create", "x", "--expires", "0001-01-01T00:00:00+14:00"], "90d"),
        (["api-key", "create", "x", "--expires", "2099-01-01T00:00:00"], "zone"),
        (["api-key", "create", "x", "--readonly", "--permission", "project:view"], "--readonly"),
        (["api-key", "revoke", "key_x"], "--yes"),
        (["project", "delete", "my-project"], "--yes"),
        (["project", "regenerate-api-key"], "--yes"),
        (["team", "delete", "my-team"], "--yes"),
        (["project", "update", "my-project"], "--name, --language"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_sentence(furnished: Furnished, arguments: list[str], told: str) -> None:
    refused = on_folder(furnished)(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert told in refused.sentence


def test_a_value_that_cannot_be_is_refused_by_its_name(furnished: Furnished) -> None:
    refused = on_folder(furnished)("project", "update", "my-project", "--name", "")
    assert (refused.code, refused.sentence) == (1, "name: must not be empty.")


def test_a_project_is_chosen_by_id_or_slug(furnished: Furnished) -> None:
    keyhouse = on_folder(furnished)
    made = _told(keyhouse, "project", "create", "Second")
    undecided = keyhouse("provider", "list")
    assert undecided.code == 2
    assert "my-project" in undecided.sentence
    assert "--project" in undecided.sentence
    _told(keyhouse, "provider", "set", "ollama", "--public", "OLLAMA_BASE_URL=http://127.0.0.1:11434", "-p", "second")
    assert "ollama" in keyhouse("provider", "list", "-p", made["id"]).out
    assert "ollama" not in keyhouse("provider", "list", "-p", "my-project").out
    assert "second" in keyhouse("provider", "list", "-p", "third").sentence


def test_projects_that_got_one_slug_at_once_are_told_apart_by_their_ids(keyhouse: Keyhouse, furnished: Furnished) -> None:
    """Two that are made at the same moment may: nothing is found by it but by commands."""
    first = _told(keyhouse, "project", "show", "my-project")["id"]
    second = _told(keyhouse, "project", "create", "Second")["id"]
    with contextlib.closing(sqlite3.connect(furnished.folder / DATA / "keyhouse.db")) as database, database:
        database.execute("UPDATE projects SET slug = 'my-project'")
    undecided = keyhouse("project", "api-key", "my-project")
    assert (undecided.code, undecided.sentence) == (2, f"There are several with this slug. Name one by its id: {second}, {first}.")


def test_of_several_teams_one_is_chosen_by_its_option(furnished: Furnished) -> None:
    keyhouse = on_folder(furnished)
    _told(keyhouse, "team", "create", "Second")
    undecided = keyhouse("project", "create", "Chat bot")
    assert undecided.code == 2
    assert "There are several: second, my-team. Choose one with --team" in undecided.sentence


def test_an_organization_is_chosen_by_id_or_slug(furnished: Furnished) -> None:
    keyhouse = on_folder(furnished)
    made = _told(keyhouse, "organization", "create", "Second")["organization"]
    for wanted in (made["id"], "second"):
        assert _told(keyhouse, "organization", "show", wanted)["organization"]["id"] == made["id"]
    odd = keyhouse("organization", "create", "Third", "--slug", "No Slug")
    assert (odd.code, odd.sentence) == (1, "slug: must be lowercase letters and digits, with single hyphens between them.")
    unknown = keyhouse("organization", "show", "third")
    assert (unknown.code, unknown.sentence) == (
        1,
        "There is no organization with this id or slug. There are: second, my-organization.",
    )
    assert keyhouse("team", "list").code == 2
    assert [each["name"] for each in _told(keyhouse, "team", "list", "--organization", "second")["data"]] == ["Second"]


def test_an_unknown_project_is_not_told_of_as_the_first_one_missing(furnished: Furnished) -> None:
    keyhouse = on_folder(furnished)
    unknown = keyhouse("provider", "list", "--project", "project_unheard_of")
    told = "There is no project with this id or slug. `keyhouse project list` shows those there are."
    assert (unknown.code, unknown.sentence) == (1, told)
    assert _told(keyhouse, "organization", "create", "Second")["organization"]["slug"] == "second"
    empty = furnished.run(furnished.folder, "provider", "list", KEYHOUSE_ORGANIZATION="second")
    assert (empty.code, empty.sentence) == (1, "There is no project yet. Make one with `keyhouse project create NAME`.")


def test_a_server_finds_a_project_by_its_slug(furnished: Furnished, on_server: OnServer) -> None:
    keyhouse = on_server(furnished)
    _told(keyhouse, "project", "create", "Second")
    _told(keyhouse, "provider", "set", "ollama", "--public", "OLLAMA_BASE_URL=http://127.0.0.1:11434", "-p", "second")
    assert "ollama" in keyhouse("provider", "list", "-p", "second").out
    assert "ollama" not in keyhouse("provider", "list").out


def test_an_organizations_key_finds_the_only_project_of_a_server(furnished: Furnished, serving: StartServer) -> None:
    server = serving(furnished.folder)

    def keyhouse(*arguments: str, stdin: str | None = None, key: str = furnished.admin_key) -> Ran:
        return furnished.run(furnished.folder, *arguments, stdin=stdin, KEYHOUSE_ENDPOINT=server.address, KEYHOUSE_API_KEY=key)

    assert keyhouse("provider", "list").code == 0
    assert _told(keyhouse, "project", "create", "Second")["slug"] == "second"
    undecided = keyhouse("provider", "list")
    assert (undecided.code, undecided.sentence) == (2, "There are several: second, my-project. Choose one with --project.")
    unknown = keyhouse("project", "list", key=furnished.project_key)
    assert unknown.code == 4
    assert "--project" not in unknown.sentence


def test_the_audit_log_names_who_did_what(keyhouse: Keyhouse) -> None:
    _told(keyhouse, "team", "create", "Red")
    newest = _told(keyhouse, "audit", "--limit", "1")["data"][0]
    assert newest["action"] == "team.created"
    assert newest["actor"]["name"].startswith(("command line (", "Admin key of the first start"))


def test_a_list_says_when_it_goes_on(keyhouse: Keyhouse) -> None:
    """Nobody takes the first page for everything."""
    of_custom = ("custom", "--project", "my-project")
    for made in (
        ["team", "create", "Red team"],
        ["project", "create", "Chat bot", "--team", "my-team"],
        ["api-key", "create", "builds"],
        ["provider", "set", *of_custom, "--model", "a"],
        ["provider", "set", *of_custom, "--model", "b"],
    ):
        assert keyhouse(*made).code == 0, made
    for command in (["team", "list"], ["project", "list"], ["api-key", "list"], ["audit"], ["provider", "history", *of_custom]):
        total = _told(keyhouse, *command)["pagination"]["total"]
        assert total > 1
        assert keyhouse(*command, "--limit", "1").out.endswith(f"\n\n{total} in all: --page 2 shows more.\n"), command
        assert "in all" not in keyhouse(*command).out
        assert "in all" not in keyhouse(*command, "--limit", "1", "--page", str(total)).out


def test_both_ways_say_the_same(first_start: Furnished, furnished: Furnished, on_server: OnServer) -> None:
    sequence: list[tuple[list[str], str | None]] = [
        (["organization", "list"], None),
        (["project", "create", "Chat bot"], None),
        (["project", "list"], None),
        (["project", "show", "chat-bot"], None),
        (["team", "list"], None),
        (["api-key", "create", "ci", "-p", "chat-bot"], None),
        (["api-key", "list"], None),
        (["provider", "set", "openai", "-p", "my-project", "--secret", "OPENAI_API_KEY=-", "--model", "a"], "sk-planted"),
        (["provider", "set", "openai", "-p", "my-project", "--disabled"], None),
        (["provider", "show", "openai", "-p", "my-project"], None),
        (["provider", "list", "-p", "my-project"], None),
        (["provider", "history", "openai", "-p", "my-project"], None),
        (["provider", "rollback", "openai", "1", "-p", "my-project"], None),
        (["provider", "delete", "openai", "--yes", "-p", "my-project"], None),
        (["audit", "--limit", "3"], None),
        (["provider", "show", "openai", "-p", "my-project"], None),
        (["provider", "rollback", "openai", "1", "-p", "my-project"], None),
        (["provider", "show", "nonsense", "-p", "my-project"], None),
        (["project", "show", "nonsense"], None),
        (["api-key", "show", "key_nonsense"], None),
    ]
    local = [on_folder(furnished)(*arguments, "--json", stdin=stdin) for arguments, stdin in sequence]
    elsewhere = replace(first_start, folder=furnished.folder / "copy")
    shutil.copytree(first_start.folder, elsewhere.folder)
    remotely = on_server(elsewhere)
    remote = [remotely(*arguments, "--json", stdin=stdin) for arguments, stdin in sequence]
    for (arguments, _), here, there in zip(sequence, local, remote, strict=True):
        assert (arguments, here.code, _same(here.out)) == (arguments, there.code, _same(there.out))
        assert (arguments, here.err) == (arguments, there.err)


def _same(text: str) -> Any:
    return _without_varying(json.loads(text)) if text else None


def _without_varying(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "-" if name in _VARYING or name.endswith(("Id", "Key")) else _without_varying(inner) for name, inner in value.items()}
    return [_without_varying(inner) for inner in value] if isinstance(value, list) else value


def test_the_instance_key_is_enough_whatever_project_the_environment_names(furnished: Furnished, serving: StartServer) -> None:
    server = serving(furnished.folder, KEYHOUSE_ADMIN_KEY=INSTANCE_KEY)
    keys = {"KEYHOUSE_ENDPOINT": server.address, "KEYHOUSE_ADMIN_KEY": INSTANCE_KEY}
    listed = furnished.run(furnished.folder, "organization", "list", **keys, KEYHOUSE_PROJECT="my-project")
    assert (listed.code, listed.err) == (0, "")
    assert "my-organization" in listed.out


def test_the_instance_key_is_not_the_organizations(furnished: Furnished, serving: StartServer) -> None:
    server = serving(furnished.folder, KEYHOUSE_ADMIN_KEY=INSTANCE_KEY)
    refused = furnished.run(
        furnished.folder, "organization", "list", KEYHOUSE_ENDPOINT=server.address, KEYHOUSE_API_KEY=furnished.admin_key
    )
    assert refused.code == 4
    assert refused.sentence
    without = serving(furnished.folder)
    absent = furnished.run(furnished.folder, "organization", "list", KEYHOUSE_ENDPOINT=without.address, KEYHOUSE_API_KEY=INSTANCE_KEY)
    assert "KEYHOUSE_ADMIN_KEY" in absent.sentence
