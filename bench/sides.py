"""What is measured against what: the mock upstream, nginx in front of it, ours, and the peers. Configurations only; measures nothing."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.serving import LOAD_CORE, Served, free_port, seeded, send
from bench.upstream import reply_body

HERE = Path(__file__).resolve().parent
PEERS = Path.home() / ".cache" / "keyhouse-peers"
"""Where bench/peers.sh puts the peers."""
MODEL = "gpt-5-mini"
KEY_OF_PROVIDER = "sk-0123456789abcdefghijklmnopqrstuvwxyz"
_QUESTION = "Tell me in a few sentences what a house of keys is good for. "
_REQUEST_BYTES = 1100


@dataclass(frozen=True)
class Upstreams:
    """The ports of the mock upstream: whole answers plain and encrypted (nginx), and streams."""

    plain: int
    encrypted: int
    streams: int
    ca_file: Path


@dataclass(frozen=True)
class Way:
    """How one kind of call reaches a side: its path, its headers, and the model's name there."""

    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = MODEL
    path: str = "/v1/chat/completions"

    def body(self, *, stream: bool = False) -> bytes:
        """A chat request of 1.1 KB."""
        asked = {"model": self.model, "messages": [{"role": "user", "content": ""}], "max_tokens": 400, "stream": stream}
        room = _REQUEST_BYTES - len(json.dumps(asked))
        asked["messages"][0]["content"] = (_QUESTION * (room // len(_QUESTION) + 1))[:room]  # type: ignore[index]
        return json.dumps(asked, separators=(",", ":")).encode()

    def request(self, *, stream: bool = False) -> bytes:
        """The call as it goes over the wire."""
        body = self.body(stream=stream)
        head = f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return (head + "".join(f"{name}: {value}\r\n" for name, value in self.headers.items()) + "\r\n").encode() + body


@dataclass(frozen=True)
class Side:
    """One of those that are compared. `encrypted` is the way to the HTTPS upstream, `plain` to the other, `streams` to the streams."""

    name: str
    served: Served | None
    plain: Way
    streams: Way
    encrypted: Way | None = None
    port: int = 0
    streams_port: int = 0

    def stream_port(self) -> int:
        return self.streams_port or self.port


def make_certificates(folder: Path) -> None:
    """An authority that lives as long as the run, and a certificate of its for 127.0.0.1: ca.pem, server.pem, server.key."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=Bench authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *key, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
    openssl("x509", "-req", "-in", "server.csr", *signing, "-out", "server.pem")


_NGINX = """
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.err crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; keepalive_timeout 600s; keepalive_requests 1000000000;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy; fastcgi_temp_path {folder}/{name}-f;
  uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
  {content}
}}
"""


def nginx(folder: Path, name: str, content: str) -> list[str]:
    """The command of an nginx with this configuration."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise SystemExit("nginx is the mock upstream and the yardstick, and is not installed. On Debian: apt-get install nginx-light")
    configuration = folder / f"{name}.conf"
    configuration.write_text(_NGINX.format(folder=folder, name=name, content=content))
    return [program, "-p", str(folder), "-c", str(configuration)]


def mock(folder: Path, ports: Upstreams) -> Served:
    """Whole answers, from memory."""
    content = f"""
  server {{
    listen 127.0.0.1:{ports.plain} backlog=2048;
    listen 127.0.0.1:{ports.encrypted} ssl backlog=2048;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key; ssl_session_cache shared:s:1m;
    default_type application/json;
    add_header x-request-id req_0123456789abcdef; add_header openai-processing-ms 12; add_header openai-version 2020-10-01;
    add_header x-ratelimit-limit-requests 10000; add_header x-ratelimit-remaining-requests 9999;
    location / {{ return 200 '{reply_body().decode()}'; }}
  }}"""
    return Served(nginx(folder, "mock", content), ports.plain, core=LOAD_CORE)


def stream_mock(ports: Upstreams, events: int, interval_s: float) -> Served:
    return Served(
        [sys.executable, str(HERE / "upstream.py"), str(ports.streams), str(events), str(interval_s)], ports.streams, core=LOAD_CORE
    )


def direct(ports: Upstreams) -> Side:
    """Straight to the mock: what the load generator and the mock can do together."""
    return Side("direct", None, Way(), Way(), port=ports.plain, streams_port=ports.streams)


def nginx_proxy(folder: Path, ports: Upstreams) -> Side:
    """nginx as a reverse proxy that puts the provider's key in, keeps connections, and writes no log."""
    port = free_port()
    to = "proxy_http_version 1.1; proxy_set_header Connection ''; " + f"proxy_set_header Authorization 'Bearer {KEY_OF_PROVIDER}';"
    verified = f"proxy_ssl_trusted_certificate {ports.ca_file}; proxy_ssl_verify on; proxy_ssl_name 127.0.0.1; proxy_ssl_session_reuse on;"
    content = f"""
  upstream plain {{ server 127.0.0.1:{ports.plain}; keepalive 512; keepalive_requests 1000000000; }}
  upstream encrypted {{ server 127.0.0.1:{ports.encrypted}; keepalive 512; keepalive_requests 1000000000; }}
  upstream streams {{ server 127.0.0.1:{ports.streams}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location /v1/ {{ proxy_pass http://plain; {to} }}
    location /tls/ {{ proxy_pass https://encrypted/; {verified} {to} }}
    location /streams/ {{ proxy_pass http://streams/; proxy_buffering off; {to} }}
  }}"""
    served = Served(nginx(folder, "proxy", content), port)
    encrypted, streams = Way(path="/tls/v1/chat/completions"), Way(path="/streams/v1/chat/completions")
    return Side("nginx", served, Way(), streams, encrypted, port=port)


class House:
    """Ours, complete: a seeded house whose last project has three providers, one for each upstream."""

    def __init__(self, name: str, folder: Path, projects: int, ports: Upstreams) -> None:
        self._ports = ports
        port = free_port()
        self._key = seeded(folder, projects, 1)[0]
        headers = {"authorization": f"Bearer {self._key}"}
        served = Served(
            [sys.executable, "-P", "-m", "keyhouse", "serve"],
            port,
            variables={"KEYHOUSE_PORT": str(port), "KEYHOUSE_DATA_DIR": str(folder), "KEYHOUSE_CA_FILE": str(ports.ca_file)},
            log=folder.parent / f"{folder.name}.log",
        )
        plain, streams, encrypted = (Way(headers, f"{provider}/{MODEL}") for provider in ("openai", "vllm", "custom"))
        self.side = Side(name, served, plain, streams, encrypted, port=port)

    def furnish(self) -> None:
        """Store the providers; the house must be served."""
        for provider, scheme, port in (
            ("openai", "http", self._ports.plain),
            ("custom", "https", self._ports.encrypted),
            ("vllm", "http", self._ports.streams),
        ):
            name = provider.upper()
            keys = {f"{name}_API_KEY": KEY_OF_PROVIDER, f"{name}_BASE_URL": f"{scheme}://127.0.0.1:{port}/v1"}
            body = {"enabled": True, "customKeys": keys}
            status, answer = send(self.side.port, "PUT", f"/api/model-providers/{provider}", {"x-auth-token": self._key}, body)
            if status != 200:
                raise SystemExit(f"PUT {provider}: {status} {answer.decode()}")


def litellm(folder: Path, ports: Upstreams, peers: Path) -> Side | None:
    """LiteLLM's proxy in file mode with one worker, where it is installed."""
    program = peers / "litellm" / "bin" / "litellm"
    if not program.exists():
        return None
    port = free_port()
    models = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{at}/v1", "api_key": KEY_OF_PROVIDER},
        }
        for name, at in (("plain", ports.plain), ("streams", ports.streams))
    ]
    key = "sk-bench-0123456789"
    # JSON is YAML.
    configuration = {"model_list": models, "general_settings": {"master_key": key}, "litellm_settings": {"telemetry": False}}
    (folder / "litellm.yaml").write_text(json.dumps(configuration))
    command = [str(program), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DISABLE_ADMIN_UI": "True"}
    served = Served(command, port, variables=offline, log=folder / "litellm.log", patience_s=180)
    headers = {"authorization": f"Bearer {key}"}
    return Side("LiteLLM", served, Way(headers, "plain"), Way(headers, "streams"), port=port)


def portkey(folder: Path, ports: Upstreams, peers: Path) -> Side | None:
    """Portkey's gateway, where it is installed. It keeps no keys: each request brings the provider's own."""
    program = peers / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    node = shutil.which("node")
    if node is None or not program.exists():
        return None
    port = free_port()

    def way(upstream: int) -> Way:
        to = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"}
        return Way({"authorization": f"Bearer {KEY_OF_PROVIDER}", **to})

    served = Served([node, str(program), "--headless", f"--port={port}"], port, log=folder / "portkey.log", patience_s=60)
    return Side("Portkey", served, way(ports.plain), way(ports.streams), port=port)
