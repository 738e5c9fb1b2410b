"""The command line: the same services as the API, for people and scripts."""

from keyhouse.cli.main import main

__all__ = ["main"]
