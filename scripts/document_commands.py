"""Writes the reference parts of docs/command-line.md and docs/settings.md from the code. A test holds them to it.

Run it after a change of a command or a setting: uv run python scripts/document_commands.py
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from keyhouse.cli.main import app
from keyhouse.settings import PREFIX, SECRETS, Settings

DOCS = Path(__file__).parent.parent / "docs"


def commands() -> str:
    """Every command with its help, its arguments and its options."""
    return "\n".join(_command(path, command) for path, command in _all_commands(typer.main.get_command(app), "keyhouse"))


def settings() -> str:
    """Every setting with its variable, its default and what it means."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = _variable(name, field)
        file = f" or `{variable}_FILE`" if name in SECRETS else ""
        default = "" if field.default in (None, "") else f"`{_plain(field.default)}`"
        rows.append(f"| `{variable}`{file} | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def replaced(text: str, part: str, new: str) -> str:
    """A document with the part between its two markers replaced."""
    begin, end = f"<!-- {part}: begin -->\n", f"<!-- {part}: end -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"the document has no part {part}"
    return f"{before}{begin}{new}{end}{after}"


def _all_commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None or command.invoke_without_command:
        yield path, command
    for name, each in (inner or {}).items():
        yield from _all_commands(each, f"{path} {name}")


def _command(path: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option" and parameter.name != "help"]
    usage = " ".join([path, *(name.upper() if each.required else f"[{name.upper()}]" for each in arguments for name in [each.name])])
    lines = [f"### `{usage}`", "", re.sub(r"\s+", " ", command.help.strip()), ""]
    if options:
        lines += ["| Option | |", "|---|---|", *(f"| {_names(option)} | {_cell(option.help)} |" for option in options), ""]
    return "\n".join(lines)


def _names(option: Any) -> str:
    names = [*reversed(option.opts), *option.secondary_opts]
    value = "" if option.is_flag else f" {option.metavar or _kind(option)}"
    return ", ".join(f"`{name}{value if name.startswith('--') else ''}`" for name in names)


def _kind(option: Any) -> str:
    kind = option.display_type_rich(None).strip("<>")
    # A bar would end the table's cell.
    return {"str": "TEXT", "list[str]": "TEXT", "int": "NUMBER", "int range": "NUMBER", "path": "PATH"}.get(kind, kind.replace("|", "\\|"))


def _cell(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|")


def _variable(name: str, field: Any) -> str:
    alias = field.validation_alias
    return f"{PREFIX}{name.upper()}" if alias is None else str(alias if isinstance(alias, str) else alias.choices[0]).upper()


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """Write both documents."""
    for name, part, new in (("command-line.md", "commands", commands()), ("settings.md", "settings", settings())):
        path = DOCS / name
        path.write_text(replaced(path.read_text(encoding="utf-8"), part, new), encoding="utf-8")


if __name__ == "__main__":
    main()
