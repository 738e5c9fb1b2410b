"""The first minute: what a stranger's first start makes and says, and what a later one no longer says."""

import json
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from keyhouse.cli.welcome import welcome
from keyhouse.domain.credentials import MASK
from keyhouse.services.first_start import FirstKeys
from keyhouse.settings import Settings
from tests.cli.commands import Server, bash
from tests.cli.conftest import Furnished, StartServer
from tests.conftest import need_curl


def _examples(server: Server, word: str) -> str:
    """The printed lines of the example that begins with a word, continued lines included."""
    lines = server.said.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(word))
    last = next(number for number in range(first, len(lines)) if not lines[number].endswith("\\"))
    return "\n".join(lines[first : last + 1])


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_printed_curl_lines_store_and_read_back(tmp_path: Path, serving: StartServer) -> None:
    need_curl()
    server = serving(tmp_path)
    stored = bash(tmp_path, _examples(server, "curl -X PUT") + " --silent --fail")
    assert (stored.code, json.loads(stored.out)["openai"]["customKeys"]) == (0, {"OPENAI_API_KEY": MASK})
    read = bash(tmp_path, _examples(server, f"curl {server.address}/api") + " --silent --fail")
    assert json.loads(read.out)["openai"] == json.loads(stored.out)["openai"]
    assert "sk-your-key" not in stored.out + read.out


def test_printed_python_lines_store_with_the_langwatch_client(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path)
    away_from_home = f"export UV_NO_CACHE=1 UV_OFFLINE=1 VIRTUAL_ENV={sys.prefix}"
    ran = bash(tmp_path, "\n".join((away_from_home, _examples(server, "export LANGWATCH"), _examples(server, "uv run python3 -c"))))
    assert ran.code == 0, ran.err
    entry = httpx.get(f"{server.address}/api/model-providers", headers={"X-Auth-Token": server.project_key}, trust_env=False).json()[
        "openai"
    ]
    assert (entry["enabled"], entry["customKeys"]) == (True, {"OPENAI_API_KEY": MASK})


def test_printed_keys_open_what_they_say(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path)
    with httpx.Client(base_url=server.address, trust_env=False) as client:
        assert client.get("/api/model-providers", headers={"X-Auth-Token": server.project_key}).status_code == 200
        assert client.get("/api/projects", headers={"Authorization": f"Bearer {server.admin_key}"}).json()["pagination"]["total"] == 1


def test_printed_documents_are_served(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path)
    for path in ("/docs", "/openapi.json"):
        assert f"{server.address}{path}" in server.said
        assert httpx.get(f"{server.address}{path}", trust_env=False).status_code == 200


def test_everything_made_is_for_its_owner_alone(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path)
    httpx.get(f"{server.address}/api/model-providers", headers={"X-Auth-Token": server.project_key}, trust_env=False).raise_for_status()
    folder = tmp_path / "keyhouse-data"
    assert _mode(folder) == 0o700
    files = {path.name: _mode(path) for path in folder.iterdir()}
    assert {"keyring", "keyhouse.db", ".gitignore"} <= files.keys()
    assert {name: mode for name, mode in files.items() if mode & 0o077} == {}


def test_git_never_sees_the_data_folder(tmp_path: Path, serving: StartServer) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    serving(tmp_path, "--data-dir", "data")
    status = subprocess.run(["git", "-C", str(tmp_path), "status", "--porcelain"], check=True, capture_output=True, text=True)
    assert status.stdout == ""


def test_a_folder_of_somebody_else_keeps_its_files_and_its_gitignore(tmp_path: Path, serving: StartServer) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    serving(tmp_path, "--data-dir", ".").stop()
    status = subprocess.run(["git", "-C", str(tmp_path), "status", "--porcelain"], check=True, capture_output=True, text=True)
    assert {line[3:] for line in status.stdout.splitlines()} == {"mine.txt", ".gitignore"}
    (tmp_path / ".gitignore").write_text("# mine\n")
    serving(tmp_path, "--data-dir", ".")
    assert (tmp_path / ".gitignore").read_text() == "# mine\n"


@pytest.mark.parametrize("folder", ["keyhouse-data", "our data"])
@pytest.mark.parametrize("database", [None, "our house.db"])
def test_commands_that_a_later_start_prints_find_the_data(furnished: Furnished, folder: str, database: str | None) -> None:
    data = furnished.folder / folder
    (furnished.folder / "keyhouse-data").rename(data)
    url = None
    if database is not None:
        (data / "keyhouse.db").rename(furnished.folder / database)
        url = SecretStr(f"sqlite:///{furnished.folder / database}")
    given = Path(folder) if folder == "keyhouse-data" else data
    said = welcome(Settings(data_dir=given, database_url=url), "http://127.0.0.1:5560", None)
    regenerate, create = re.findall(r"^uv run keyhouse (.*)$", said, re.MULTILINE)
    for command in (f"{regenerate} --yes", create):
        made = furnished.run(furnished.folder if folder == "keyhouse-data" else Path("/"), *shlex.split(command))
        assert made.code == 0, made.err
        assert "sk-lw-" in made.out


@pytest.mark.parametrize(
    ("url", "option"),
    [
        ("postgresql://keyhouse@db.example.com/house", " --database-url postgresql://keyhouse@db.example.com/house"),
        ("postgresql://keyhouse:geheim@db.example.com/house", ""),
        ("postgresql://db.example.com/house?password=geheim", ""),
        ("postgresql://keyhouse:geheim/2@db.example.com/house", ""),
        ("postgresql://keyhouse:geheim?2@db.example.com/house", ""),
        ("postgresql://keyhouse:geheim#2@db.example.com/house", ""),
        ("postgresql://keyhouse:geheim[2@db.example.com/house", ""),
    ],
)
def test_a_later_start_prints_no_password_of_the_database(url: str, option: str) -> None:
    said = welcome(Settings(data_dir=Path("/srv/house"), database_url=SecretStr(url)), "http://127.0.0.1:5560", None)
    assert "geheim" not in said
    assert "  database         postgresql://db.example.com/house\n" in said
    assert f"uv run keyhouse api-key create NAME --data-dir /srv/house{option}\n" in said
    # Without the URL the commands would work on an SQLite file in the folder, one that was moved to PostgreSQL perhaps.
    needed = "" if option else ", with KEYHOUSE_DATABASE_URL or KEYHOUSE_DATABASE_URL_FILE as this server has it"
    assert f"To make new ones{needed}:\n" in said


def test_where_it_is_installed_no_command_of_a_clone_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("keyhouse.cli.welcome._ROOT", tmp_path)
    first = welcome(Settings(), "http://127.0.0.1:5560", FirstKeys("project_1", "sk-lw-project", "sk-lw-admin", "once"))
    assert "uv run" not in first + welcome(Settings(), "http://127.0.0.1:5560", None)
    assert re.findall("^keyhouse .*|^python3 ", first, re.MULTILINE) == ["python3 ", "keyhouse demo-upstream"]


def test_second_start_tells_where_things_are_and_no_secret(tmp_path: Path, serving: StartServer) -> None:
    first = serving(tmp_path)
    assert first.stop() == 0
    second = serving(tmp_path)
    assert "sk-lw-" not in second.said
    for told in (f"{second.address}/", "/docs", "/openapi.json", str(tmp_path / "keyhouse-data" / "keyhouse.db"), "keyring"):
        assert told in second.said
    answer = httpx.get(f"{second.address}/api/model-providers", headers={"X-Auth-Token": first.project_key}, trust_env=False)
    assert answer.status_code == 200


def test_the_backup_of_the_key_file_is_asked_for(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path)
    assert str(tmp_path / "keyhouse-data" / "keyring") in server.said
    assert "Back this file up" in server.said


def test_postgresql_is_a_url_away(tmp_path: Path, serving: StartServer, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_server").empty_database().replace("keyhouse@", "keyhouse:some-password@")
    server = serving(tmp_path, KEYHOUSE_DATABASE_URL=url)
    assert re.search(r"database +postgresql://127\.0\.0\.1:\d+/test_", server.said)
    assert "some-password" not in server.said
    assert not (tmp_path / "keyhouse-data" / "keyhouse.db").exists()
    answer = httpx.get(f"{server.address}/api/model-providers", headers={"X-Auth-Token": server.project_key}, trust_env=False)
    assert answer.status_code == 200


def test_no_data_folder_is_made_where_nothing_would_be_in_it(tmp_path: Path, serving: StartServer, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_server").empty_database()
    server = serving(tmp_path, KEYHOUSE_DATABASE_URL=url, KEYHOUSE_KEYS="first=" + "A" * 43 + "=")
    assert server.project_key
    assert list(tmp_path.iterdir()) == []
    assert "KEYHOUSE_KEYS" in server.said
