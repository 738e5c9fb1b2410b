"""Every dependency is pinned, the indirect ones too, in two places that say the same."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_constraints_and_lock_name_the_same_versions() -> None:
    constraints = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["constraint-dependencies"]
    pinned = {constraint.partition(";")[0].strip() for constraint in constraints}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+(?:\[[a-z,]+\])?==[^\s;\\]+)", lock, flags=re.MULTILINE))
    assert {re.sub(r"\[.*?\]", "", name) for name in locked} == pinned


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    declared += [name for names in project["project"]["optional-dependencies"].values() for name in names]
    names = {re.split(r"[\[;<>=! ]", name)[0].lower() for name in declared}
    pinned = {constraint.split("==")[0] for constraint in project["tool"]["uv"]["constraint-dependencies"]}
    assert names <= pinned


def test_the_lock_holds_a_hash_for_each_version_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", lock)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock
