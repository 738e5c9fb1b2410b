"""What is installed on demand: without it, what needs it is one sentence that says how to get it."""

from pathlib import Path

import pytest

from tests.cli.commands import Ran, hooked, run
from tests.cli.conftest import Furnished


def run_without(package: str, folder: Path, *arguments: str, **variables: str) -> Ran:
    """Run `keyhouse` as where a package is not installed."""
    path = hooked(folder, f"import sys\nsys.modules[{package!r}] = None\n")
    return run(folder, *arguments, PYTHONPATH=path, **variables)


DATABASE = "postgresql://keyhouse@127.0.0.1:1/keyhouse"
NO_DRIVER = "PostgreSQL needs an extra: run `uv sync --extra postgres` in a clone, else install `keyhouse[postgres]`."


@pytest.mark.parametrize("arguments", [["serve", "--port", "0"], ["status"], ["provider", "list"], ["keys", "rotate"]], ids=" ".join)
def test_postgresql_without_its_driver_is_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    refused = run_without("psycopg", tmp_path, *arguments, KEYHOUSE_DATABASE_URL=DATABASE)
    assert (refused.code, refused.out) == (1, "")
    assert refused.sentence == NO_DRIVER


def test_a_copy_to_postgresql_without_its_driver_is_one_sentence(furnished: Furnished) -> None:
    refused = run_without("psycopg", furnished.folder, "database", "copy", DATABASE)
    assert (refused.code, refused.out, refused.sentence) == (1, "", NO_DRIVER)


def test_tracing_without_its_packages_stops_the_start_before_anything_is_made(tmp_path: Path) -> None:
    refused = run_without("opentelemetry.exporter.otlp.proto.http", tmp_path, "serve", "--port", "0", KEYHOUSE_TRACING="true")
    assert (refused.code, refused.out) == (1, "")
    assert (
        refused.sentence == "KEYHOUSE_TRACING needs an extra: run `uv sync --extra tracing` in a clone, else install `keyhouse[tracing]`."
    )
    assert not (tmp_path / "keyhouse-data" / "keyhouse.db").exists()
