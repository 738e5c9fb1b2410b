"""Runs commands in processes forked from one that has everything loaded: the same code, without a second of imports for each.

Reads a request a line from standard input (folder, arguments, variables, files for the three standard streams), and answers each with the
exit code of its process.
"""

import json
import os
import sys
from io import FileIO, TextIOWrapper
from typing import Any

from keyhouse.cli.main import run


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


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
