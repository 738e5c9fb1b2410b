"""Requests a second at so many connections: by `wrk` where it is installed, else by bench/load.py, which itself tires sooner."""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.serving import LOAD_CORE, environment, pinned

HERE = Path(__file__).resolve().parent
_SCRIPT = """
local prepared = %s
request = function() return prepared end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %%d, "seconds": %%f, "failures": %%d}\\n', summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Throughput:
    """What a run saw. Answers that were on their way when it ended are not counted."""

    requests: int
    seconds: float
    failures: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def generator() -> str:
    """Which load generator is used."""
    return "wrk" if shutil.which("wrk") else "bench/load.py"


def throughput(port: int, request: bytes, connections: int, seconds: float) -> Throughput:
    """Send the same request over and over, each connection the next one when it has its answer."""
    return _wrk(port, request, connections, seconds) if shutil.which("wrk") else _own(port, request, connections, seconds)


def _wrk(port: int, request: bytes, connections: int, seconds: float) -> Throughput:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % _lua_text(request))
        script.flush()
        options = ["-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s", "--timeout", "60s", "-s", script.name]
        command = pinned(LOAD_CORE, ["wrk", *options, f"http://127.0.0.1:{port}/"])
        text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout
    return Throughput(**json.loads(text.rstrip().rpartition("\n")[2]))


def _lua_text(data: bytes) -> str:
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}" for byte in data) + '"'


def _own(port: int, request: bytes, connections: int, seconds: float) -> Throughput:
    order = {"port": port, "seconds": seconds, "kind": "raw", "requests": [request.decode("latin-1")] * connections}
    command = pinned(LOAD_CORE, [sys.executable, str(HERE / "load.py"), "-"])
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment(), input=json.dumps(order)).stdout
    found = json.loads(text)
    return Throughput(found["requests"], found["seconds"], found["failures"])
