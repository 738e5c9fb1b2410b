"""Runs commands in processes forked from one that has everything loaded: the same code, without a second of imports for each.

Reads a request a line from standard input (folder, arguments, variables, files for the three standard streams), and answers each with the
exit code of its process.
"""

import json
import os
import pkgutil
import sys
from importlib import import_module
from io import FileIO, TextIOWrapper
from typing import Any

import keyhouse
from keyhouse.cli.main import run

_MIGRATIONS = "keyhouse.storage.migrations"
_ALSO = ("httpx", "rich.progress", "rich.table", "alembic.command", "sqlalchemy.dialects.sqlite.pysqlite", "psycopg")
"""Of other packages, what commands load when they need it."""


def _run(request: Any) -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        descriptor = os.open(request[name], os.O_RDONLY if number == 0 else os.O_WRONLY)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = TextIOWrapper(FileIO(0, closefd=False), encoding="utf-8")  # type: ignore[type-var]
    sys.stdout, sys.stderr = (TextIOWrapper(FileIO(number, "w", closefd=False), encoding="utf-8") for number in (1, 2))  # type: ignore[type-var]
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    sys.argv = ["keyhouse", *request["arguments"]]
    code: object = 1
    try:
        run()
    except SystemExit as ended:
        code = ended.code
    except BaseException as cause:  # noqa: BLE001 - what the end of a process does
        sys.excepthook(type(cause), cause, cause.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _load_everything() -> None:
    """What commands load on the way, a second of the machine's time for most."""
    for module in pkgutil.walk_packages(keyhouse.__path__, "keyhouse."):
        if not module.name.startswith(_MIGRATIONS) and not module.name.endswith("__main__"):
            import_module(module.name)
    for name in _ALSO:
        import_module(name)


def main() -> None:
    """Serve until standard input ends."""
    _load_everything()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
