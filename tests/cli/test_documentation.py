"""The documents say what the commands do: reference, settings, exit codes, and the example, which is run."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from keyhouse.cli.exit_codes import ExitCode
from tests.cli.commands import bash
from tests.cli.conftest import Furnished

ROOT = Path(__file__).parent.parent.parent
COMMAND_LINE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
OBSERVABILITY = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def documenting() -> ModuleType:
    """The script that writes the reference parts."""
    spec = importlib.util.spec_from_file_location("document_commands", ROOT / "scripts" / "document_commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_and_option_is_documented(documenting: ModuleType) -> None:
    assert documenting.replaced(COMMAND_LINE, "commands", documenting.commands()) == COMMAND_LINE
    assert "### `keyhouse provider set PROVIDER`" in COMMAND_LINE


def test_every_setting_is_documented(documenting: ModuleType) -> None:
    assert documenting.replaced(SETTINGS, "settings", documenting.settings()) == SETTINGS
    assert "`KEYHOUSE_ADMIN_KEY_FILE`" in SETTINGS


def test_help_of_every_command_lists_its_options(furnished: Furnished) -> None:
    sections = re.findall(r"^### `keyhouse ([a-z -]+?)(?: \[?[A-Z][^`\n]*)?`\n(.*?)(?=^### |\Z)", COMMAND_LINE, re.MULTILINE | re.DOTALL)
    assert len(sections) > 30
    for command, section in sections:
        helped = furnished.run(furnished.folder, *command.split(), "--help", COLUMNS="200")
        assert helped.code == 0
        options = re.findall(r"`(--[a-z-]+)", section)
        assert [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", helped.out)] == [], command
        defaults = re.findall(r"[Dd]efault:? ([\w.-]+)", section)
        assert [default for default in defaults if default not in helped.out] == [], command


def test_exit_codes_are_documented() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", COMMAND_LINE, re.MULTILINE)] == [code.value for code in ExitCode]


def _example() -> list[tuple[str, str]]:
    """The commands of the document's example and what they are said to print."""
    block = re.search(r"```console\n(.*?)```", COMMAND_LINE, re.DOTALL)
    assert block is not None
    parts = re.split(r"^\$ (.*)\n", block[1], flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def _without_chance(text: str, folder: Path | None = None) -> str:
    """What does not differ from one house to another, nor by the width of what does."""
    if folder is not None:
        text = text.replace(str(folder), "/home/you")
    for pattern, stands_for in (
        (r"sk-lw-[A-Za-z0-9_.]+", "TOKEN"),
        (r"\b(project|team|key|provider|organization)_(\.\.\.|[A-Za-z0-9]{24})", r"\1_ID"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r"key-\d{8}-[0-9a-f]{8}", "KEY"),
        (r"#[0-9a-f]{8}", "FINGERPRINT"),
        (r"command line \(\w+\)", "command line (you)"),
        (r" +", " "),
    ):
        text = re.sub(pattern, stands_for, text)
    return text.strip()


def test_the_example_is_what_happens(furnished: Furnished) -> None:
    for command, told in _example():
        words = shlex.split(command)
        if words[0] == "keyhouse":
            ran = furnished.run(furnished.folder, *words[1:])
        else:
            ran = bash(furnished.folder, f"export OPENAI_API_KEY=sk-planted\n{command}")
        assert (command, _without_chance(ran.out + ran.err, furnished.folder)) == (command, _without_chance(told))


def test_the_log_line_of_the_document_is_one(capfd: pytest.CaptureFixture[str]) -> None:
    from keyhouse.log import AccessLines

    shown = re.search(r"^(\d{4}-.* info request .*)$", OBSERVABILITY, re.MULTILINE)
    assert shown is not None
    AccessLines("text").request("GET", "/api/model-providers/{provider}", 200, 0.219, "req_e7c577c5560d00000001")
    # A house of another test, stopped in this process, may have left lines that are written first.
    assert _without_chance(capfd.readouterr().err.splitlines()[-1]) == _without_chance(shown[1])
