"""The demo upstream that ships with Keyhouse, as its command runs it."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def demo_upstream() -> Iterator[str]:
    """Its address, until the block ends."""
    command = [sys.executable, "-m", "keyhouse", "demo-upstream", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PATH": ""}) as running:
        assert running.stdout is not None
        printed = re.search(r"(http://127\.0\.0\.1:\d+)/v1", running.stdout.readline())
        assert printed is not None
        try:
            yield printed[1]
        finally:
            running.send_signal(signal.SIGTERM)
            running.stdout.read()
        assert running.wait(30) == 0
