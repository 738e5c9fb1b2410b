"""The langwatch package, as it is published, makes projects and teams here."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.conftest import ServedHouse

PROGRAM = """
import json
import langwatch
from langwatch.api_errors import LangWatchApiError

team = langwatch.teams.create("Research")
made = langwatch.projects.create(name="Assistant", language="python", framework="langchain", team_id=team["id"])
beside = langwatch.projects.create(name="Assistant", language="python", framework="langchain", new_team_name="Support")
try:
    langwatch.projects.create(name="Assistant", language="python", framework="langchain", team_id=team["id"])
except LangWatchApiError as refused:
    conflict = [refused.status, "Choose another name" in str(refused)]
listed = langwatch.projects.list(limit=2)
archived = langwatch.projects.archive(beside["id"])
left = [project["id"] for project in langwatch.projects.list()]
print(json.dumps([team, made, beside, conflict, listed, archived, left, langwatch.teams.list()]))
"""


def run(program: str, endpoint: str, api_key: str) -> Any:
    """What a program prints at last, as JSON, run as a user runs it."""
    here = {name: value for name, value in os.environ.items() if not name.startswith(("LANGWATCH_", "OTEL_", "PYTHONWARNINGS"))}
    settings = {"LANGWATCH_ENDPOINT": endpoint, "LANGWATCH_API_KEY": api_key, "LANGWATCH_SKIP_OTEL_SETUP": "true", "NO_PROXY": "*"}
    done = subprocess.run([sys.executable, "-c", program], env=here | settings, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_projects_are_made_listed_and_archived(shared_house: ServedHouse) -> None:
    team, made, beside, conflict, listed, archived, left, teams = run(PROGRAM, shared_house.address, shared_house.keys.admin_key)
    assert (made["name"], made["language"], made["framework"], made["teamId"]) == ("Assistant", "python", "langchain", team["id"])
    assert conflict == [409, True]
    assert [project["id"] for project in listed] == [beside["id"], made["id"], shared_house.keys.project_id]
    assert (archived["id"], archived["name"], set(archived)) == (beside["id"], "Assistant", {"id", "name", "archivedAt"})
    assert left == [made["id"], shared_house.keys.project_id]
    assert [found["name"] for found in teams] == ["Support", "Research", "My team"]
    assert shared_house.client(made["serviceApiKey"]).get("/api/model-providers").status_code == 200
