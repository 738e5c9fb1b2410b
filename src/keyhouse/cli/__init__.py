"""The command line: the same services as the API, for people and scripts."""

import resource
import sys

from keyhouse.cli.exit_codes import ExitCode
from keyhouse.cli.server_command import become_server
from keyhouse.cli.standard_streams import prepare_standard_streams


def main() -> None:
    """Run the command line."""
    # A core file would hold, in clear, what is sealed on the disk. What a command starts inherits this.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prepare_standard_streams()
    if sys.argv[1:] == ["serve"]:
        # Nothing is left to read on such a line, and what reads others takes a quarter of a start.
        become_server()
    try:
        from keyhouse.cli.main import run
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    run()


__all__ = ["main"]
