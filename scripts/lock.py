"""Pins every dependency, the indirect ones too: versions into pyproject.toml, versions and hashes into lock files. No addresses.

`uv run scripts/lock.py` holds what is pinned and adds what is new; `--upgrade` takes the newest versions that fit.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "pyproject.toml"
LOCKS = {
    "requirements.lock": ["--all-extras", "--all-groups"],
    "requirements-serve.lock": ["--all-extras", "--no-default-groups"],
    "requirements-build.lock": ["--only-group", "build"],
}
"""Everything; what a server needs, extras included; what builds our own package."""
BLOCK = re.compile(r"\[tool\.uv\]\nconstraint-dependencies = \[\n.*?\n\]\n", re.DOTALL)
EXPORT = ["uv", "export", "--format", "requirements-txt", "--no-emit-project", "--no-header", "--no-annotate"]


def pins(uv_lock: str) -> list[str]:
    """`name==version` of everything that uv resolved, but the project itself; with a marker where it took several versions."""
    packages = [package for package in tomllib.loads(uv_lock)["package"] if package["name"] != "keyhouse"]
    return sorted(f"{package['name']}=={package['version']}{_marker(package)}" for package in packages)


def _marker(package: dict[str, object]) -> str:
    markers = package.get("resolution-markers")
    return " ; " + " or ".join(f"({marker})" for marker in markers) if isinstance(markers, list) else ""


def write_pins(names: list[str]) -> None:
    """Put the pins into pyproject.toml."""
    block = "[tool.uv]\nconstraint-dependencies = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n"
    text = PROJECT.read_text(encoding="utf-8")
    PROJECT.write_text(BLOCK.sub("", text).rstrip() + "\n\n" + block, encoding="utf-8")


def main() -> None:
    """Resolve, pin, export."""
    if "--upgrade" in sys.argv:
        PROJECT.write_text(BLOCK.sub("", PROJECT.read_text(encoding="utf-8")), encoding="utf-8")
    subprocess.run(["uv", "lock", "--quiet"], cwd=ROOT, check=True)
    write_pins(pins((ROOT / "uv.lock").read_text(encoding="utf-8")))
    subprocess.run(["uv", "lock", "--quiet"], cwd=ROOT, check=True)
    for name, what in LOCKS.items():
        exported = subprocess.run([*EXPORT, *what], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        (ROOT / name).write_text(exported, encoding="utf-8")


if __name__ == "__main__":
    main()
