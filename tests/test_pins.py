"""Every dependency is pinned, the indirect ones too, in two places that say the same."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))


def entries(name: str) -> list[str]:
    """The packages of a lock, each with its hashes, and without what says where it is wanted."""
    lock = (ROOT / name).read_text(encoding="utf-8").strip()
    return [re.sub(r" ; [^\\]+", " ", entry) for entry in re.split(r"\n(?=[a-z0-9])", lock)]


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


def test_no_release_of_a_dependency_is_accepted_that_is_older_than_what_was_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = dict(constraint.partition(";")[0].strip().split("==") for constraint in project["tool"]["uv"]["constraint-dependencies"])
    needed = (project["project"]["dependencies"], *project["project"]["optional-dependencies"].values())
    for requirement in map(Requirement, chain.from_iterable(needed)):
        assert [each.operator for each in requirement.specifier] == [">="], f"{requirement} names no oldest release"
        assert pinned[requirement.name] in requirement.specifier


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_a_hash_for_each_version_and_no_address(name: str) -> None:
    lock = (ROOT / name).read_text(encoding="utf-8")
    assert all("--hash=sha256:" in entry for entry in entries(name))
    assert "://" not in lock


def test_the_locks_of_the_image_are_parts_of_the_whole() -> None:
    whole = {*entries("requirements.lock")}
    assert [entry for name in LOCKS for entry in entries(name) if entry not in whole] == []


def test_what_serves_has_every_extra_and_nothing_of_the_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    needed = [*project["project"]["dependencies"], *(name for names in extras for name in names)]
    served = {re.split(r"==|\[", entry)[0] for entry in entries("requirements-serve.lock")}
    assert {re.split(r"[\[;<>=! ]", name)[0].lower() for name in needed} <= served
    assert served.isdisjoint({"pytest", "langwatch", "playwright", "hatchling"})


def test_what_builds_the_package_is_pinned_alike_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]
    assert [entry.split(" ")[0] for entry in entries("requirements-build.lock")][:1] == project["build-system"]["requires"]
