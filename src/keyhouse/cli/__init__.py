"""The command line: the same services as the API, for people and scripts."""


def main() -> None:
    """Run the command line."""
    from keyhouse.cli.main import run

    run()


__all__ = ["main"]
