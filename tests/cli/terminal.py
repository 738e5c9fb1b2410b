"""A terminal in which a command runs, and a person who waits for its questions and types."""

import os
import select
import signal
import subprocess
from pathlib import Path

from tests.cli.commands import COMMAND, PATIENCE_S, environment


class Terminal:
    """`see` waits for a text, `type` sends a line."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self._screen, self._inside = os.openpty()
        # What the first process of a session opens becomes its terminal: the one that hidden questions are asked on.
        opening = 'exec "$@" <"$0" >"$0" 2>&1'
        self.process = subprocess.Popen(
            ["bash", "-c", opening, os.ttyname(self._inside), *COMMAND, *arguments],
            cwd=folder,
            env=environment(**{"TERM": "dumb", **variables}),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # Who runs the tests in the background may ignore interrupts, and would pass that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it only sets a signal
        )
        self._life = os.pidfd_open(self.process.pid)
        self.seen = ""
        self._looked_at = 0

    def see(self, text: str) -> None:
        """Wait until a text stands on the screen, after what was waited for before."""
        while text not in self.seen[self._looked_at :]:
            assert self._read(), f"{text!r} never came; the screen says {self.seen!r}"
        self._looked_at = self.seen.index(text, self._looked_at) + len(text)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._screen, f"{line}\n".encode())

    def ended(self) -> int:
        """The exit code, once the command has ended."""
        while self._read():
            pass
        for descriptor in (self._screen, self._inside, self._life):
            os.close(descriptor)
        return self.process.wait(PATIENCE_S)

    def _read(self) -> bool:
        """Read what is there, or wait for it; False once the command has ended and nothing is left."""
        readable = select.select([self._screen, self._life], [], [], PATIENCE_S)[0]
        assert readable, f"nothing more came; the screen says {self.seen!r}"
        if self._screen not in readable:
            return False
        self.seen += os.read(self._screen, 65536).decode()
        return True
