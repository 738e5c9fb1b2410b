"""`keyhouse provider`, over the data folder and against a server: what is named changes, what is not stays, and no secret is seen."""

import json
from pathlib import Path

import pytest

from keyhouse.domain.credentials import MASK
from tests.cli.commands import run
from tests.cli.conftest import Furnished, Keyhouse, StartServer, on_folder
from tests.cli.terminal import Terminal

SECRET = "sk-planted-secret"


def _stored(keyhouse: Keyhouse, *arguments: str, stdin: str | None = None) -> dict[str, object]:
    ran = keyhouse("provider", "set", "openai", *arguments, "--json", stdin=stdin)
    assert (ran.code, ran.err) == (0, "")
    assert "planted" not in ran.out
    entry: dict[str, object] = json.loads(ran.out)
    return entry


def test_what_is_not_named_stays(keyhouse: Keyhouse) -> None:
    entry = _stored(
        keyhouse,
        "--secret",
        "OPENAI_API_KEY",
        "--public",
        "OPENAI_BASE_URL=https://llm.example.com/v1",
        "--model",
        "a",
        "--stdin",
        stdin=SECRET,
    )
    assert entry["enabled"] is True
    assert _stored(keyhouse, "--disabled") == {**entry, "enabled": False}
    entry = _stored(keyhouse, "--header", "X-One=-", "--embeddings-model", "e", stdin="planted-header")
    assert entry["enabled"] is False
    assert entry["customKeys"] == {"OPENAI_API_KEY": MASK, "OPENAI_BASE_URL": "https://llm.example.com/v1"}
    assert entry["extraHeaders"] == [{"key": "X-One", "value": MASK}]
    assert entry["customEmbeddingsModels"] == [{"modelId": "e", "displayName": "e", "mode": "embedding"}]
    # A new secret alone: a PUT that names keys would drop the public field, the command keeps it.
    assert _stored(keyhouse, "--secret", "OPENAI_API_KEY=-", stdin="sk-planted-again")["customKeys"] == entry["customKeys"]


def test_what_is_cleared_is_gone(keyhouse: Keyhouse) -> None:
    _stored(
        keyhouse,
        *("--secret", "OPENAI_API_KEY", "--header", "X-One", "--header", "X-Two", "--stdin"),
        *("--model", "a", "--model", "b", "--embeddings-model", "e", "--default-model", "a"),
        stdin=f"{SECRET}\nplanted-1\nplanted-2\n",
    )
    entry = _stored(keyhouse, "--clear", "x-one", "--clear", "embeddings-models", "--clear", "default-model")
    assert entry["extraHeaders"] == [{"key": "X-Two", "value": MASK}]
    assert (entry["customEmbeddingsModels"], len(entry["customModels"] or [])) == (None, 2)  # type: ignore[arg-type]
    assert _stored(keyhouse, "--clear", "headers", "--clear", "models")["extraHeaders"] == []
    refused = keyhouse("provider", "set", "openai", "--clear", "OPENAI_API_KEY")
    assert refused.code == 1
    assert "openai" in refused.sentence


def test_models_keep_what_was_declared_of_them(keyhouse: Keyhouse) -> None:
    declared = {"modelId": "a", "displayName": "Model A", "mode": "chat", "maxTokens": 4096, "supportedParameters": ["temperature"]}
    body = {"enabled": True, "customKeys": {"OPENAI_API_KEY": SECRET}, "customModels": [declared]}
    _stored(keyhouse, "--body", "-", stdin=json.dumps(body))
    entry = _stored(keyhouse, "--model", "b", "--model", "a")
    assert entry["customModels"] == [{"modelId": "b", "displayName": "b", "mode": "chat"}, declared]


def test_secrets_come_from_files(keyhouse: Keyhouse, tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text('{\n  "type": "service_account",\n  "private_key": "planted\\nkey"\n}\n')
    ran = keyhouse(
        *("provider", "set", "vertex_ai", "--secret-file", f"GOOGLE_APPLICATION_CREDENTIALS={tmp_path}/account.json"),
        *("--public", "VERTEXAI_PROJECT=p", "--public", "VERTEXAI_LOCATION=global", "--json"),
    )
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["customKeys"] == {
        "GOOGLE_APPLICATION_CREDENTIALS": MASK,
        "VERTEXAI_PROJECT": "p",
        "VERTEXAI_LOCATION": "global",
    }


def test_the_mark_that_windows_puts_before_text_is_no_part_of_a_secret(keyhouse: Keyhouse, tmp_path: Path) -> None:
    """What the first file stores is what the second one does, so that nothing changed."""
    (tmp_path / "plain").write_text(SECRET)
    (tmp_path / "marked").write_text(f"\ufeff{SECRET}\r\n")
    (tmp_path / "body").write_text('\ufeff{"enabled": true}')
    for name in ("plain", "marked"):
        _stored(keyhouse, "--secret-file", f"OPENAI_API_KEY={tmp_path / name}")
    _stored(keyhouse, "--secret", "OPENAI_API_KEY=-", stdin=f"\ufeff{SECRET}")
    _stored(keyhouse, "--body", str(tmp_path / "body"))
    history = json.loads(keyhouse("provider", "history", "openai", "--json").out)
    assert [entry["action"] for entry in history["data"]] == ["created"]


def test_history_rollback_and_delete(keyhouse: Keyhouse) -> None:
    _stored(keyhouse, "--secret", "OPENAI_API_KEY=-", stdin="sk-planted-1")
    _stored(keyhouse, "--secret", "OPENAI_API_KEY=-", "--disabled", stdin="sk-planted-2")
    back = keyhouse("provider", "rollback", "openai", "1", "--json")
    assert (back.code, json.loads(back.out)["enabled"]) == (0, True)
    history = json.loads(keyhouse("provider", "history", "openai", "--json").out)
    assert [entry["action"] for entry in history["data"]] == ["rolled_back", "updated", "created"]
    prints = [
        {change["name"]: change.get("fingerprint") for change in entry["fields"]}["customKeys.OPENAI_API_KEY"] for entry in history["data"]
    ]
    assert prints[0] == prints[2] != prints[1]
    assert keyhouse("provider", "history", "openai", "--limit", "1").out.count("rolled_back") == 1
    gone = keyhouse("provider", "delete", "openai", "--yes", "--json")
    assert (gone.code, json.loads(gone.out)["customKeys"]) == (0, None)
    destroyed = keyhouse("provider", "rollback", "openai", "1")
    assert destroyed.code == 1
    assert "destroyed" in destroyed.sentence


def test_lists_are_for_people_and_for_programs(keyhouse: Keyhouse) -> None:
    _stored(keyhouse, "--secret", "OPENAI_API_KEY=-", "--model", "a", stdin=SECRET)
    people, programs = keyhouse("provider", "list"), keyhouse("provider", "list", "--json")
    lines = people.out.splitlines()
    assert lines[0].split() == ["PROVIDER", "ENABLED", "CREDENTIALS", "MODELS", "HEADERS"]
    assert lines[1].split() == ["openai", "yes", "OPENAI_API_KEY", "a", "-"]
    assert len(json.loads(programs.out)) == len(keyhouse("provider", "list", "--all").out.splitlines()) - 1
    shown = keyhouse("provider", "show", "openai").out
    assert MASK in shown
    assert "planted" not in people.out + programs.out + shown


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_fields_are_called_moves_no_terminals_cursor(keyhouse: Keyhouse, options: tuple[str, ...]) -> None:
    name = "a\x1b[2J\x9b2Jb\x7f\u202e\u2028"
    assert keyhouse("provider", "set", "azure", "--secret", f"{name}=-", stdin=SECRET).code == 0
    for command in ("show", "history"):
        told = keyhouse("provider", command, "azure", *options)
        assert told.code == 0
        assert "2J" in told.out
        assert all(character.isprintable() for character in told.out.replace("\n", ""))


def test_an_old_encoding_of_standard_output_is_no_obstacle(furnished: Furnished) -> None:
    assert on_folder(furnished)("provider", "set", "openai", "--secret", "OPENAI_API_KEY=-", stdin=SECRET).code == 0
    shown = run(furnished.folder, "provider", "show", "openai", PYTHONIOENCODING="latin-1")
    assert (shown.code, shown.err) == (0, "")
    assert "HAS_KEY?" in shown.out
    told = run(furnished.folder, "provider", "show", "openai", "--json", PYTHONIOENCODING="latin-1")
    assert json.loads(told.out)["customKeys"] == {"OPENAI_API_KEY": MASK}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["set", "openai", "--secret", f"OPENAI_API_KEY={SECRET}"], 2, "--stdin"),
        (["set", "openai", "--header", "X-One=planted"], 2, "--header-file"),
        (["set", "openai", "--public", f"OPENAI_API_KEY={SECRET}"], 2, "--secret OPENAI_API_KEY"),
        (["set", "openai", "--header", "X-One: planted"], 2, "--header-file"),
        (["set", "openai", "--public", "OPENAI_API_BASE=planted"], 2, "Its public fields: OPENAI_BASE_URL."),
        (["set", "azure", "--public", "AZURE_API_BASE=planted"], 2, "AZURE_API_BASE. Its public fields: AZURE_OPENAI_ENDPOINT,"),
        (["set", "azure", "--public", "AZURE_API_KEY=planted"], 2, "--secret AZURE_API_KEY"),
        (["set", "mistral", "--public", "MISTRAL_API_BASE=planted"], 2, "Its public fields: none."),
        (["set", "openai", "--public", "planted"], 2, "NAME=VALUE"),
        (["set", "openai", "--secret", "OPENAI_API_KY", "--stdin"], 2, "OPENAI_API_KEY?"),
        (["set", "openai", "--secret", "OPENAI_API_KEY"], 2, "--secret-file"),
        (["set", "openai", "--secret", "OPENAI_API_KEY", "--stdin"], 2, "empty"),
        (["set", "openai", "--secret-file", "OPENAI_API_KEY=/nonexistent"], 2, "/nonexistent"),
        (["set", "openai", "--clear", "OPENAI_BASE_URL"], 2, "OPENAI_BASE_URL"),
        (["set", "openai", "--secret", "OPENAI_API_KEY", "--clear", "OPENAI_API_KEY"], 2, "OPENAI_API_KEY is given and cleared"),
        (["set", "openai", "--public", "OPENAI_BASE_URL=planted", "--clear", "OPENAI_BASE_URL"], 2, "is given and cleared"),
        (["set", "openai", "--body", "/nonexistent", "--enabled"], 2, "--body"),
        (["set", "openai"], 2, "--help"),
        (["set", "openai", "--public", "OPENAI_BASE_URL=nonsense"], 1, "customKeys.OPENAI_BASE_URL"),
        (["set", "no-such-provider", "--enabled"], 1, "keyhouse catalog providers"),
        (["set", "together_ai", "--enabled"], 1, "It is called together here."),
        (["show", "../projects"], 1, "keyhouse catalog providers"),
        (["delete", "openai"], 2, "--yes"),
        (["delete", "openai", "--yes"], 1, "keyhouse provider list"),
        (["set", "openai", "--public", "OPENAI_BASE_URL="], 1, "OPENAI_API_KEY or OPENAI_BASE_URL is required."),
        (["set", "openai", "--header", "X-One"], 2, "No X-One was given"),
        (["rollback", "openai", "7"], 1, "version 7"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_refusal_is_one_sentence_that_says_what_to_do(furnished: Furnished, arguments: list[str], code: int, told: str) -> None:
    refused = on_folder(furnished)("provider", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert told in refused.sentence
    assert "planted" not in refused.err


def test_a_changed_address_asks_for_the_secrets(keyhouse: Keyhouse) -> None:
    _stored(keyhouse, "--secret", "OPENAI_API_KEY=-", stdin=SECRET)
    refused = keyhouse("provider", "set", "openai", "--public", "OPENAI_BASE_URL=https://other.example/v1")
    assert refused.code == 1
    assert "customKeys.OPENAI_API_KEY" in refused.sentence
    assert "--secret NAME" in refused.sentence
    entry = _stored(keyhouse, "--public", "OPENAI_BASE_URL=https://other.example/v1", "--secret", "OPENAI_API_KEY=-", stdin=SECRET)
    assert entry["customKeys"] == {"OPENAI_API_KEY": MASK, "OPENAI_BASE_URL": "https://other.example/v1"}


def test_a_secret_is_typed_and_not_shown(furnished: Furnished) -> None:
    terminal = Terminal(furnished.folder, "provider", "set", "openai", "--secret", "OPENAI_API_KEY", "--header", "X-One")
    terminal.see("OPENAI_API_KEY: ")
    terminal.type(SECRET)
    terminal.see("X-One: ")
    terminal.type("planted-header")
    assert terminal.ended() == 0
    terminal.see("Stored openai.")
    assert "planted" not in terminal.seen


def test_without_options_each_field_is_asked_for(furnished: Furnished) -> None:
    terminal = Terminal(furnished.folder, "provider", "set", "openai")
    terminal.see("API key: ")
    terminal.type(SECRET)
    terminal.see("Base URL: ")
    terminal.type("https://llm.example.com/v1")
    terminal.see("Enabled [Y/n]: ")
    terminal.type("")
    assert terminal.ended() == 0
    assert "planted" not in terminal.seen
    again = Terminal(furnished.folder, "provider", "set", "openai")
    again.see("API key [stored]: ")
    again.type("")
    again.see("Base URL [https://llm.example.com/v1]: ")
    again.type("")
    again.see("Enabled [Y/n]: ")
    again.type("n")
    assert again.ended() == 0
    for told in ("enabled           no", f"OPENAI_API_KEY    {MASK}", "OPENAI_BASE_URL   https://llm.example.com/v1"):
        assert told in again.seen


def test_deleting_asks_once(furnished: Furnished) -> None:
    terminal = Terminal(furnished.folder, "provider", "set", "openai", "--secret", "OPENAI_API_KEY")
    terminal.see("OPENAI_API_KEY: ")
    terminal.type(SECRET)
    assert terminal.ended() == 0
    asked = Terminal(furnished.folder, "provider", "delete", "openai")
    asked.see("[y/N]: ")
    asked.type("n")
    assert asked.ended() == 1
    assert "Nothing was changed." in asked.seen


def test_interrupting_a_question_changes_nothing(furnished: Furnished) -> None:
    terminal = Terminal(furnished.folder, "provider", "set", "openai", "--secret", "OPENAI_API_KEY")
    terminal.see("OPENAI_API_KEY: ")
    terminal.type("\x03")
    assert terminal.ended() == 130
    assert "Traceback" not in terminal.seen


def test_the_key_for_a_server_is_asked_for(furnished: Furnished, serving: StartServer) -> None:
    server = serving(furnished.folder)
    terminal = Terminal(furnished.folder, "provider", "list", "--endpoint", server.address)
    terminal.see(f"API key for {server.address}: ")
    terminal.type(furnished.project_key)
    assert terminal.ended() == 0
    assert "PROVIDER" in terminal.seen
    assert furnished.project_key not in terminal.seen
