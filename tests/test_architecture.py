"""The rules of the house that a linter cannot hold, executed."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyhouse.catalog.catalog import load_catalog

SOURCE = Path(__file__).parent.parent / "src" / "keyhouse"
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = [path for path in FILES if "migrations/versions" not in path.as_posix()]


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_files_and_functions_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    long = [f"{node.name}: {size}" for node in _functions(_tree(path)) if (size := (node.end_lineno or 0) - node.lineno + 1) > 50]
    assert long == []


def test_the_repository_holds_plain_files_with_plain_names() -> None:
    # A link to somebody's own folder once slipped in, and nothing could be packed any more.
    root = SOURCE.parent.parent
    if not (root / ".git").exists():
        pytest.skip("This is no clone of the repository.")
    listed = subprocess.run(["git", "ls-files", "--stage"], cwd=root, capture_output=True, text=True, check=True).stdout
    files = [line.split(maxsplit=3) for line in listed.splitlines()]
    odd = [path for mode, _, _, path in files if mode not in {"100644", "100755"} or not re.fullmatch(r"[\w.@+/-]+", path)]
    assert len(files) > 100
    assert odd == []


@pytest.mark.parametrize("path", sorted((SOURCE / "domain").glob("*.py")), ids=_name)
def test_domain_knows_the_standard_library_only(path: Path) -> None:
    roots = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
    assert roots - {"keyhouse"} <= set(sys.stdlib_module_names)


def test_no_provider_is_named_in_code() -> None:
    # Two ids are also plain words of wire formats and of the catalogue's own files.
    providers = set(load_catalog().providers) - {"custom", "together"}
    named = {
        f"{_name(path)}:{node.lineno} {node.value!r}"
        for path in MODULES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant) and node.value in providers
    }
    assert named == set()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_each_module_says_what_it_is_for(path: Path) -> None:
    if path.name == "__init__.py" and not path.read_text(encoding="utf-8").strip():
        return
    docstring = ast.get_docstring(_tree(path)) or ""
    assert 1 <= len(docstring.splitlines()) <= 6


def test_the_repository_names_no_package_host() -> None:
    root = SOURCE.parent.parent
    hosts = re.compile(r"pypi" + r"\.org|pythonhosted" + r"\.org|registry\.npmjs" + r"\.org|deb\.debian" + r"\.org")
    kept = [
        path
        for pattern in ("*.toml", "*.lock", "*.md", "src/**/*.py", "docs/**/*.md", "scripts/*.py", ".ci/*")
        for path in root.glob(pattern)
    ]
    assert [path for path in kept if path.name != "uv.lock" and hosts.search(path.read_text(encoding="utf-8"))] == []
