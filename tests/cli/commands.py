"""Runs the real command in processes of its own, in an environment that holds nothing of the tester's."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keyhouse

PATIENCE_S = 60
_SOURCE = Path(str(keyhouse.__file__)).parent.parent
_COMPILED = Path(tempfile.gettempdir()) / f"keyhouse-compiled-{os.getuid()}"
COMMAND = [sys.executable, "-P", "-m", "keyhouse"]
# Root may write anywhere; without these rights the modes of files hold for it too.
BOUND_BY_MODES = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def environment(**variables: str) -> dict[str, str]:
    """This Python and this source, and what is given. Compiled modules are kept: each process starts as an installed one does."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(_SOURCE),
        "PYTHONPYCACHEPREFIX": str(_COMPILED),
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        **variables,
    }


def hooked(folder: Path, code: str) -> str:
    """The PYTHONPATH by which each process of Python runs this code before its own. It is kept in the folder."""
    (folder / "sitecustomize.py").write_text(code)
    return f"{folder}:{_SOURCE}"


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What it said on standard error, which must be one line that is no traceback."""
        assert self.err.startswith("keyhouse: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err.removeprefix("keyhouse: ").strip()


def run(folder: Path, *arguments: str, stdin: str | None = None, through: Sequence[str] = (), **variables: str) -> Ran:
    """Run `keyhouse` in a folder to its end, `through` another command."""
    ended = subprocess.run(
        [*through, *COMMAND, *arguments],
        cwd=folder,
        env=environment(**variables),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


class ForkServer:
    """Runs commands much faster than `run`, in processes forked from one that has everything loaded."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).parent / "fork_server.py"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, *arguments: str, stdin: str | None = None, **variables: str) -> Ran:
        """See `run`."""
        files = {name: self._scratch / name for name in ("stdin", "stdout", "stderr")}
        for name, file in files.items():
            file.write_text((stdin or "") if name == "stdin" else "")
        request = {"folder": str(folder), "arguments": arguments, "variables": environment(**variables)}
        request |= {name: str(file) for name, file in files.items()}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ran(int(self._process.stdout.readline()), files["stdout"].read_text(), files["stderr"].read_text())

    def close(self) -> None:
        """End it."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


@dataclass
class Server:
    """A running `keyhouse serve`, what it said on standard output, and what it says on standard error."""

    process: "subprocess.Popen[str]"
    said: str
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def address(self) -> str:
        return found(r"serves (http://\S+)", self.said)

    @property
    def project_key(self) -> str:
        return found(r"project key +(\S+)", self.said)

    @property
    def admin_key(self) -> str:
        return found(r"admin key +(\S+)", self.said)

    @property
    def variables(self) -> Mapping[str, str]:
        """What a command needs to work against it."""
        return {"KEYHOUSE_ENDPOINT": self.address, "KEYHOUSE_API_KEY": self.admin_key}

    def wait_for_line(self, pattern: str) -> str:
        """The first line on standard error that matches, once it is there."""

        def matching() -> str | None:
            return next((line for line in self.lines if re.search(pattern, line)), None)

        with self.changed:
            self.changed.wait_for(lambda: matching() is not None, PATIENCE_S)
        line = matching()
        assert line is not None, f"nothing like {pattern} in {self.lines}"
        return line

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(PATIENCE_S)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        # Whoever is done with the server closes this while it is read.
        with contextlib.suppress(ValueError):
            for line in self.process.stderr:
                with self.changed:
                    self.lines.append(line.rstrip("\n"))
                    self.changed.notify_all()


def start(folder: Path, *arguments: str, through: Sequence[str] = (), **variables: str) -> Server:
    """Start `keyhouse serve` in a folder, on any free port, `through` another command, and wait until it has said everything."""
    process = subprocess.Popen(
        [*through, *COMMAND, "serve", "--port", "0", *arguments],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "encryption keys" in line:
            said += process.stdout.readline()
            break
    server = Server(process, said)
    threading.Thread(target=server._read_errors, daemon=True).start()
    return server


def found(pattern: str, text: str) -> str:
    """The first group of a pattern, which must be there."""
    matched = re.search(pattern, text)
    assert matched is not None, f"nothing like {pattern} in {text!r}"
    return matched[1]


def bash(folder: Path, script: str) -> Ran:
    """Run a script as a person who pastes it into a shell."""
    arguments: Sequence[str] = ["bash", "-c", script]
    ended = subprocess.run(
        arguments,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


@contextlib.contextmanager
def heard(number: signal.Signals) -> Iterator[None]:
    """What is started meanwhile hears a signal that the tests themselves may have been told to ignore, as by `nohup`."""
    before = signal.signal(number, signal.SIG_DFL) if signal.getsignal(number) is signal.SIG_IGN else None
    yield
    if before is not None:
        signal.signal(number, before)
