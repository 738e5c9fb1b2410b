"""The page on projects and keys: its commands are sent in their order, and its answers have the fields that it shows."""

import itertools
import json
import re
import shlex
from pathlib import Path
from string import Template
from typing import Any

from tests.conftest import ADMIN_KEY, ServedHouse

PAGE = Path(__file__).parent.parent.parent / "docs" / "projects-and-keys.md"
BLOCK = re.compile(r"```sh\n(?P<command>.*?)```\n(?:```json\n(?P<answer>.*?)```)?", re.DOTALL)
# What the page tells its reader to keep, by the path of the answer that holds it.
KEPT = {"/api/teams": ("TEAM", "id"), "/api/projects": ("PROJECT", "id"), "/api/api-keys": ("KEY", "apiKey")}


def shape(value: Any) -> Any:
    """The fields of an answer, and of the first entry of each list in it."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_commands_work_in_their_order_and_answer_as_shown(sqlite_house: ServedHouse) -> None:
    variables = {"KEYHOUSE": sqlite_house.address, "ADMIN": sqlite_house.keys.admin_key, "KEYHOUSE_ADMIN_KEY": ADMIN_KEY}
    client = sqlite_house.anonymous()
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(blocks) == 11
    for block in blocks:
        words = shlex.split(Template(block["command"].replace("\\\n", " ")).substitute(variables))
        assert words.pop(0) == "curl"
        method, body, headers = "GET", "", {}
        url = next(word for word in words if word.startswith("http"))
        for option, value in itertools.pairwise(words):
            if option == "-X":
                method = value
            elif option == "-d":
                body = value
            elif option == "-H":
                headers.update([value.split(": ", 1)])
        answer = client.request(method, url, content=body, headers=headers)
        assert answer.is_success, (block["command"], answer.text)
        if block["answer"]:
            assert shape(answer.json()) == shape(json.loads(block["answer"])), block["command"]
        path = url.removeprefix(sqlite_house.address)
        if path in KEPT:
            name, field = KEPT[path]
            found = answer.json()[field]
            variables[name] = found["id"] if isinstance(found, dict) else found
