"""How the server's process is called. Loads nothing, for what becomes it."""

import sys

# -P: the folder that the command runs in is no place to import from.
COMMAND = (sys.executable, "-P", "-m", "keyhouse.cli.server")
