"""The command line: the same services as the API, for people and scripts."""

import resource


def main() -> None:
    """Run the command line."""
    # A core file would hold, in clear, what is sealed on the disk. What a command starts inherits this.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from keyhouse.cli.main import run

    run()


__all__ = ["main"]
