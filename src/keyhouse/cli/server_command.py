"""How the server's process is called and become. Loads nothing, for what becomes it."""

import os
import signal
import sys
from typing import NoReturn

from keyhouse.environment import environment_with

REPLACE = signal.SIGUSR2
"""Says that a server is to be replaced in place."""
# -P: the folder that the command runs in is no place to import from.
COMMAND = (sys.executable, "-P", "-m", "keyhouse.cli.server")


def become_server(**options: object) -> NoReturn:
    """Become the server, with these settings beside those of the environment. What was loaded until now is gone then.

    Whoever wants it replaced before it can act on that is heard as soon as it can.
    """
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, {REPLACE})
    os.execve(sys.executable, COMMAND, environment_with(**options))  # noqa: S606
