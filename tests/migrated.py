"""The schema of today, as most tests find it: migrated to once, and copied from then on."""

import functools
import tempfile
from pathlib import Path

from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.schema import migrate


def write_migrated_file(path: Path) -> None:
    """Make a SQLite database that has the schema and nothing else."""
    path.touch(0o600)
    path.write_bytes(_migrated_file())


@functools.cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keyhouse.db"
        migrate(parse_database_url(f"sqlite:///{path}"))
        return path.read_bytes()
