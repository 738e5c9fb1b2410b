"""What a process that serves holds of the libraries that it does not need."""

import subprocess
import sys
from pathlib import Path

import httpx

from keyhouse.services.first_start import furnish
from tests.cli.commands import Server, environment
from tests.storage.houses import run_on, settings_of

NOT_NEEDED = {"alembic", "mako", "sqlalchemy", "typer"}
SERVE = """
import os, sys
told = open("told", "a", buffering=1)
sys.addaudithook(lambda event, of: told.write(f"{os.getpid()} {of[0]}\\n") if event == "import" else None)
os.register_at_fork(after_in_child=lambda: told.write(f"{os.getpid()} forked\\n"))
from keyhouse.cli.server import main
main()
"""


def test_a_start_on_a_schema_of_today_loads_nothing_that_migrates(tmp_path: Path, database_url: str) -> None:
    keys = run_on(settings_of(tmp_path, database_url), furnish)
    assert keys is not None
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", SERVE],
        cwd=tmp_path,
        env=environment(KEYHOUSE_PORT="0", KEYHOUSE_DATA_DIR=".", KEYHOUSE_DATABASE_URL=database_url),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        server = Server(process, next(line for line in process.stdout if "serves" in line))
        with httpx.Client(base_url=server.address, headers={"X-Auth-Token": keys.project_key}, trust_env=False, timeout=30) as client:
            assert client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-1"}}).is_success
            assert client.get("/api/model-providers").is_success
        assert server.stop() == 0
    told = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    assert len({process_id for process_id, _ in told}) == 2  # the process that serves, and the one that prepared the data for it
    loaded = {name for _, name in told}
    assert "keyhouse.storage.opening" in loaded
    assert {name.partition(".")[0] for name in loaded} & NOT_NEEDED == set()
