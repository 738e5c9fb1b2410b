"""A models file of a test's own, whose models end on days that no clock of a tester will reach."""

import json
from pathlib import Path

ENDED = {"id": "gpt-ended", "retires_on": "2001-02-03"}
ENDING = {"id": "gpt-ending", "retires_on": "2999-12-31"}
LASTING = {"id": "gpt-lasting"}


def write_models_file(folder: Path, *models: dict[str, object] | dict[str, str], provider: str = "openai") -> Path:
    """Writes the file, with these models of the provider."""
    path = folder / "models.json"
    source = {"name": "our own list", "version": "1", "licence": "internal"}
    path.write_text(json.dumps({"source": source, "generated_at": "2030-01-02", "models": {provider: models}}), encoding="utf-8")
    return path
