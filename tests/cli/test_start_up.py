"""What is loaded when: the command line begins light, and a server carries nothing that serving does not need."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cli.commands import environment, hooked, run
from tests.cli.conftest import Furnished, StartServer

_HEAVY = {"sqlalchemy", "alembic", "pydantic", "cryptography", "structlog", "starlette", "uvicorn", "msgspec", "jinja2", "asyncio"}
_BECOMES_A_SERVER = """
sys.argv = ["keyhouse", "serve", *{options}]
def loaded(event, _arguments):
    if event == "os.exec":
        sys.exit(print(" ".join({{name.split(".")[0] for name in sys.modules}})))
sys.addaudithook(loaded)
from keyhouse.cli import main
main()
"""


def _loaded(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    ended = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True, timeout=60)
    return set(ended.stdout.split())


def test_reading_the_command_line_loads_no_house() -> None:
    assert _loaded("import keyhouse.cli.main") & _HEAVY == set()


@pytest.mark.parametrize(
    ("options", "needed"),
    # typer reads options by pydantic.
    [([], set()), (["--port", "0"], {"typer", "pydantic"})],
)
def test_becoming_a_server_loads_no_more_than_reading_the_command_line(options: list[str], needed: set[str]) -> None:
    loaded = _loaded(_BECOMES_A_SERVER.format(options=options))
    assert loaded & (_HEAVY | {"typer", "rich", "pydantic_settings"}) == needed


def test_a_server_loads_neither_the_command_line_nor_migrations() -> None:
    serving = "from types import ModuleType\nsys.modules['rich'] = None\nimport keyhouse.cli.serving, uvicorn.protocols.http.httptools_impl"
    loaded = _loaded(serving + "\ndel sys.modules['rich']")
    assert loaded & {"typer", "alembic", "sqlalchemy", "rich", "pygments", "markdown_it", "psycopg", "mako"} == set()
    assert {"structlog", "uvicorn"} <= loaded


def test_a_server_shows_no_option_in_the_process_list(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path, "--database-url", f"sqlite:///{tmp_path}/planted.db", KEYHOUSE_ADMIN_KEY_FILE=_key_file(tmp_path))
    process = psutil.Process(server.process.pid)
    assert "planted" not in " ".join(process.cmdline())
    assert "planted-instance-key" not in " ".join(process.environ().values())


def _key_file(folder: Path) -> str:
    path = folder / "admin-key"
    path.write_text("planted-instance-key")
    return str(path)


def test_nothing_is_imported_from_the_folder_that_a_server_starts_in(tmp_path: Path, serving: StartServer) -> None:
    (tmp_path / "sqlalchemy.py").write_text("raise SystemExit('taken from the folder')")
    assert serving(tmp_path).project_key


@pytest.mark.parametrize(("shell", "told"), [("bash", "complete"), ("zsh", "#compdef keyhouse"), ("fish", "complete")])
def test_a_completion_script_is_produced(tmp_path: Path, shell: str, told: str) -> None:
    shown = run(tmp_path, "--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert shown.code == 0, shown.err
    assert told in shown.out
    assert "KEYHOUSE_COMPLETE" in shown.out


def test_completion_knows_commands_options_and_providers(furnished: Furnished) -> None:
    def completed(*words: str) -> set[str]:
        variables = {"_KEYHOUSE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["keyhouse", *words]), "COMP_CWORD": str(len(words))}
        return set(furnished.run(furnished.folder, **variables).out.split())

    assert {"serve", "provider", "keys"} <= completed("")
    assert {"set", "rollback"} <= completed("provider", "")
    assert completed("provider", "set", "open") >= {"openai", "openrouter"}
    assert "--secret-file" in completed("provider", "set", "openai", "--sec")


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").out == "keyhouse 0.1.0\n"


@pytest.mark.parametrize("module", ["keyhouse.cli.main", "keyhouse.cli.serve", "keyhouse.cli.serving"])
def test_ctrl_c_while_a_server_loads_is_no_traceback(tmp_path: Path, module: str) -> None:
    path = hooked(
        tmp_path,
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n",
    )
    ended = run(tmp_path, "serve", "--port", "0", PYTHONPATH=path)
    assert (ended.code, ended.out, ended.err) == (130, "", "")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_starts_under_a_parent_that_overlooks_how_children_end(tmp_path: Path, serving: StartServer, workers: str) -> None:
    """What is ignored stays so in whatever a process becomes, and those who ignore that signal are told nothing of their children."""
    script = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    server = serving(tmp_path, "--workers", workers, through=(sys.executable, "-c", script))
    assert server.project_key
    assert server.stop() == 0
