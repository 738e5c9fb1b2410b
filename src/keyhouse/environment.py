"""How settings are called in the environment, and how one process hands them to another. Loads nothing; `settings.py` reads them."""

import os

PREFIX = "KEYHOUSE_"


def environment_with(**options: object) -> dict[str, str]:
    """This process's environment with options put into it, those that are None left out: for a process that reads its settings there."""
    given = {PREFIX + name.upper(): str(value) for name, value in options.items() if value is not None}
    return {**os.environ, **given}
