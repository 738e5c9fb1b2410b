"""Working against a server: which exit code when it does not answer, where the key comes from, and where it never goes."""

import contextlib
import http.server
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.commands import ForkServer, environment
from tests.cli.conftest import Furnished, StartServer
from tests.conftest import UNKNOWN_HOST, free_port
from tests.gateway.conftest import Authority, authority  # noqa: F401 - a fixture

KEY = "sk-lw-" + "k" * 48
KEY_OF_SEVERAL_PROJECTS = "sk-lw-" + "k" * 16 + "_" + "k" * 48


class _Odd(http.server.BaseHTTPRequestHandler):
    """Answers as something that is no Keyhouse would."""

    asked: list[str]
    status = 200
    body = b"<html>"

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Authorization", ""))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", str(len(self.server.body)))  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(self.server.body)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def odd() -> Iterator[http.server.ThreadingHTTPServer]:
    """A server that answers `status` and `body`, and notes in `asked` with which key it was asked."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Odd)
    server.asked, server.status, server.body = [], 200, b"<html>"  # type: ignore[attr-defined]
    # It looks that often whether it should end.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("endpoint", "code", "told"),
    [
        ("http://127.0.0.1:{port}", 3, "refused"),
        (f"http://{UNKNOWN_HOST}", 3, "name is not known"),
        ("https://127.0.0.1:{port}", 3, "refused"),
        ("127.0.0.1:5560", 2, "http://"),
        ("ftp://127.0.0.1", 2, "http://"),
        ("http://user:planted@127.0.0.1", 2, "http://"),
        ("http://[::1", 2, "http://"),
        ("http://127.0.0.1/schl\u00fcssel", 2, "http://"),
        ("http://127.0.0.1/a key", 2, "http://"),
        ("http://keyhouse..example", 3, "does not answer: its address is none."),
    ],
)
def test_an_endpoint_that_does_not_answer_is_told_of(fork_server: ForkServer, tmp_path: Path, endpoint: str, code: int, told: str) -> None:
    refused = fork_server.run(tmp_path, "provider", "list", "--endpoint", endpoint.format(port=free_port()), KEYHOUSE_API_KEY=KEY)
    assert (refused.code, refused.out) == (code, "")
    assert told in refused.err
    assert "planted" not in refused.err
    assert "Traceback" not in refused.err


def test_what_is_no_keyhouse_is_told_of(fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer) -> None:
    refused = fork_server.run(tmp_path, "provider", "list", "--endpoint", f"http://127.0.0.1:{odd.server_port}", KEYHOUSE_API_KEY=KEY)
    assert refused.code == 3
    assert "no Keyhouse" in refused.sentence


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'{"openai":{},"scope":{"projectId":"project_1"}}'])
@pytest.mark.parametrize(
    "arguments",
    [
        ("provider", "show", "openai"),
        ("provider", "show", "openai", "--project", "project_1"),
        ("project", "list", "--organization", "organization_1"),
    ],
    ids=" ".join,
)
def test_json_of_another_server_is_told_of(
    fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer, arguments: tuple[str, ...], body: bytes
) -> None:
    odd.body = body  # type: ignore[attr-defined]
    refused = fork_server.run(tmp_path, *arguments, "--endpoint", f"http://127.0.0.1:{odd.server_port}", KEYHOUSE_API_KEY=KEY)
    assert refused.code == 3
    assert "no Keyhouse" in refused.sentence


def test_a_server_without_tls_is_told_of(fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer) -> None:
    refused = fork_server.run(tmp_path, "provider", "list", "--endpoint", f"https://127.0.0.1:{odd.server_port}", KEYHOUSE_API_KEY=KEY)
    assert refused.code == 3
    assert "speaks no TLS" in refused.err
    assert "http://" in refused.err


def test_a_certificate_that_is_not_accepted_is_told_of(fork_server: ForkServer, tmp_path: Path, authority: Authority) -> None:  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:

        def refused_by_the_client() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                authority.server_context("127.0.0.1").wrap_socket(connection, server_side=True)

        serving = thread.submit(refused_by_the_client)
        address = f"https://127.0.0.1:{listening.getsockname()[1]}"
        refused = fork_server.run(tmp_path, "provider", "list", "--endpoint", address, KEYHOUSE_API_KEY=KEY)
        serving.result()
    assert refused.code == 3
    assert "its certificate is not accepted" in refused.err
    assert "SSL_CERT_FILE" in refused.err


def test_no_redirect_takes_the_key_elsewhere(fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer) -> None:
    odd.status, odd.body = 302, b""  # type: ignore[attr-defined]
    refused = fork_server.run(tmp_path, "provider", "list", "--endpoint", f"http://127.0.0.1:{odd.server_port}", KEYHOUSE_API_KEY=KEY)
    assert refused.code == 1
    assert "sends elsewhere" in refused.sentence
    assert odd.asked == [f"Bearer {KEY}"]  # type: ignore[attr-defined]


def test_a_proxy_is_not_asked_for_this_machine(fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer) -> None:
    odd.body = b"{}"  # type: ignore[attr-defined]
    ran = fork_server.run(
        tmp_path,
        *("provider", "list", "--json", "--endpoint", f"http://127.0.0.1:{odd.server_port}"),
        KEYHOUSE_API_KEY=KEY,
        http_proxy="http://127.0.0.1:1",
    )
    assert (ran.code, json.loads(ran.out)) == (0, {})


@pytest.mark.parametrize(
    ("endpoint", "proxy", "told"),
    [
        ("http://keyhouse.example", "http://127.0.0.1:{closed}", "{endpoint} does not answer{way}: connection refused."),
        ("http://keyhouse.example", "socks5://127.0.0.1:1", "{endpoint} does not answer{way}: unknown url type: socks5."),
        ("http://keyhouse.example", "http:/me:planted@proxy", "{endpoint} does not answer{way}: its address is none."),
        ("http://keyhouse.example", "http://me:planted@[::1", "{endpoint} does not answer{way}: "),
        ("http://keyhouse.example", "http://127.0.0.1:{odd}", "this endpoint{way} is no Keyhouse (status 403, and no JSON)."),
        ("https://keyhouse.example", "http://127.0.0.1:{odd}", "{endpoint} does not answer{way}: tunnel connection failed: 501"),
    ],
)
def test_a_proxy_that_is_in_the_way_is_named(
    fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer, endpoint: str, proxy: str, told: str
) -> None:
    odd.status = 403  # type: ignore[attr-defined]
    variable = f"{endpoint.partition(':')[0]}_proxy"
    given = {variable: proxy.format(closed=free_port(), odd=odd.server_port)}
    refused = fork_server.run(tmp_path, "provider", "list", "--endpoint", endpoint, KEYHOUSE_API_KEY=KEY, **given)
    assert (refused.code, refused.out) == (3, "")
    assert told.format(endpoint=endpoint, way=f" through the proxy that {variable} names") in refused.err
    assert "planted" not in refused.err


@pytest.mark.parametrize("command", ["provider list", "status"])
def test_a_key_comes_from_a_variable_a_file_or_standard_input(furnished: Furnished, serving: StartServer, command: str) -> None:
    server = serving(furnished.folder)
    (furnished.folder / "key").write_text(f"{furnished.project_key}\n")
    arguments = (*command.split(), "--endpoint", server.address)
    assert furnished.run(furnished.folder, *arguments, KEYHOUSE_API_KEY=furnished.project_key).code == 0
    assert furnished.run(furnished.folder, *arguments, KEYHOUSE_API_KEY_FILE=str(furnished.folder / "key")).code == 0
    assert furnished.run(furnished.folder, *arguments, "--api-key", "-", stdin=furnished.project_key).code == 0
    missing = furnished.run(furnished.folder, *arguments)
    assert missing.code == 2
    assert "KEYHOUSE_API_KEY" in missing.sentence


@pytest.mark.parametrize("key", ["planted\nkey", "planted\rkey", "planted key", "planted-\u20ac", "planted-\udcff", "planted-\u00e9"])
def test_a_key_that_no_request_can_carry_is_told_of_without_it(
    fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer, key: str
) -> None:
    arguments = ("provider", "list", "--endpoint", f"http://127.0.0.1:{odd.server_port}")
    (tmp_path / "key").write_bytes(key.encode("utf-8", "surrogateescape"))
    for given in ({"KEYHOUSE_API_KEY": key}, {"KEYHOUSE_API_KEY_FILE": "key"}):
        refused = fork_server.run(tmp_path, *arguments, **given)
        assert refused.code in (1, 2)
        assert refused.sentence
        assert "planted" not in refused.err
    assert odd.asked == []  # type: ignore[attr-defined]


def test_what_stands_around_a_key_is_no_part_of_it(fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer) -> None:
    """A line's end of another system, for one."""
    odd.body = b"{}"  # type: ignore[attr-defined]
    ran = fork_server.run(
        tmp_path, "provider", "list", KEYHOUSE_ENDPOINT=f"http://127.0.0.1:{odd.server_port}", KEYHOUSE_API_KEY=f"{KEY}\r\n"
    )
    assert ran.code == 0, ran.err
    assert odd.asked == [f"Bearer {KEY}"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments",
    [
        ("provider", "show", "open\udcffai"),
        ("provider", "explain", "gpt-\udcff"),
        ("provider", "list", "--project", "a\nX-Other: b"),
        ("provider", "list", "--project", "\udcff"),
        ("project", "create", "name\udcff"),
    ],
)
def test_an_argument_that_is_no_text_is_told_of(
    fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer, arguments: tuple[str, ...]
) -> None:
    odd.body = b'{"data":[],"pagination":{"total":0}}'  # type: ignore[attr-defined]
    endpoint = f"http://127.0.0.1:{odd.server_port}"
    refused = fork_server.run(tmp_path, *arguments, KEYHOUSE_ENDPOINT=endpoint, KEYHOUSE_API_KEY=KEY_OF_SEVERAL_PROJECTS)
    assert refused.code in (1, 2)
    assert "Traceback" not in refused.err
    assert "mistake" not in refused.err
    assert not any("X-Other" in asked for asked in odd.asked)  # type: ignore[attr-defined]


def test_a_body_nested_without_end_is_no_json(fork_server: ForkServer, furnished: Furnished) -> None:
    (furnished.folder / "body").write_text("[" * 100_000)
    refused = furnished.run(furnished.folder, "provider", "set", "openai", "--body", "body")
    assert refused.code == 2
    assert "not JSON" in refused.sentence


def test_an_answer_nested_without_end_is_none_of_keyhouse(
    fork_server: ForkServer, tmp_path: Path, odd: http.server.ThreadingHTTPServer
) -> None:
    odd.body = b"[" * 100_000  # type: ignore[attr-defined]
    refused = fork_server.run(tmp_path, "provider", "list", "--endpoint", f"http://127.0.0.1:{odd.server_port}", KEYHOUSE_API_KEY=KEY)
    assert refused.code == 3
    assert "no Keyhouse" in refused.sentence


def test_a_mistake_of_ours_shows_the_place_and_not_the_message() -> None:
    """The library of the command line puts a hook of its own in the place of ours, which would print the message."""
    program = (
        "import sys; from keyhouse.cli.main import app, run\n"
        "@app.command()\n"
        "def fall(): raise ValueError('planted')\n"
        "sys.argv = ['keyhouse', 'fall']; run()"
    )
    fallen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment())
    assert fallen.returncode == 1
    assert "mistake of Keyhouse" in fallen.stderr
    assert "builtins.ValueError at " in fallen.stderr
    assert "planted" not in fallen.stderr


def test_a_projects_key_works_on_no_other_project(furnished: Furnished, serving: StartServer) -> None:
    """The API passes over `X-Project-Id` with such a key, so that a command would change the key's own project."""
    server = serving(furnished.folder)
    where = {"KEYHOUSE_ENDPOINT": server.address, "KEYHOUSE_API_KEY": furnished.project_key}
    for other in ("project_of_somebody_else", "my-project"):
        refused = furnished.run(furnished.folder, "provider", "list", "--project", other, **where)
        assert (refused.code, refused.out) == (4, "")
        assert "opens that project alone" in refused.sentence
    own = refused.sentence.split()[6].rstrip(",")
    assert furnished.run(furnished.folder, "provider", "list", "--project", own, **where).code == 0


def test_a_key_works_on_no_other_organization(furnished: Furnished, serving: StartServer) -> None:
    """No request names an organization, so that a command would change the key's own."""
    server = serving(furnished.folder)
    assert furnished.run(furnished.folder, "organization", "create", "Second").code == 0
    where = {"KEYHOUSE_ENDPOINT": server.address, "KEYHOUSE_API_KEY": furnished.admin_key}
    for asked in (("team", "create", "T"), ("api-key", "create", "K"), ("project", "list")):
        refused = furnished.run(furnished.folder, *asked, "--organization", "second", **where)
        assert (refused.code, refused.out) == (4, "")
        assert "Leave --organization away" in refused.sentence
    own = next(word for word in refused.sentence.split() if word.startswith("organization_"))
    assert furnished.run(furnished.folder, "team", "list", **where, KEYHOUSE_ORGANIZATION=own).code == 0
    assert furnished.run(furnished.folder, "provider", "list", **where, KEYHOUSE_ORGANIZATION="second").code == 4
    project_key = {**where, "KEYHOUSE_API_KEY": furnished.project_key}
    assert furnished.run(furnished.folder, "provider", "list", **project_key, KEYHOUSE_ORGANIZATION="second").code == 0


def test_a_wrong_key_is_not_permitted(furnished: Furnished, serving: StartServer) -> None:
    server = serving(furnished.folder)
    refused = furnished.run(furnished.folder, "provider", "list", KEYHOUSE_ENDPOINT=server.address, KEYHOUSE_API_KEY=KEY)
    assert refused.code == 4
    assert KEY not in refused.err
    project = furnished.run(furnished.folder, "project", "list", KEYHOUSE_ENDPOINT=server.address, KEYHOUSE_API_KEY=furnished.project_key)
    assert project.code == 4


def test_a_folder_named_on_the_command_line_comes_before_an_endpoint_in_the_environment(furnished: Furnished) -> None:
    ran = furnished.run(furnished.folder, "provider", "list", "--data-dir", "keyhouse-data", KEYHOUSE_ENDPOINT="http://127.0.0.1:1")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("folder", [("--data-dir", "keyhouse-data"), ("--database-url", "sqlite:///keyhouse-data/keyhouse.db")])
def test_a_folder_and_a_server_at_once_are_refused(furnished: Furnished, folder: tuple[str, str]) -> None:
    refused = furnished.run(furnished.folder, "provider", "list", *folder, "--endpoint", "http://127.0.0.1:1", KEYHOUSE_API_KEY=KEY)
    assert (refused.code, refused.out) == (2, "")
    assert "--endpoint, or --data-dir" in refused.sentence


def test_a_folder_without_a_house_is_told_of_and_stays_empty(fork_server: ForkServer, tmp_path: Path) -> None:
    for arguments in (["provider", "list"], ["organization", "list"], ["status"], ["keys", "status"], ["keys", "rotate"]):
        refused = fork_server.run(tmp_path, *arguments)
        assert refused.code == 3
        assert "keyhouse serve" in refused.sentence
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_a_house_is_told_of_and_stays_empty(
    fork_server: ForkServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_server").empty_database()
    refused = fork_server.run(tmp_path, "provider", "list", KEYHOUSE_DATABASE_URL=url)
    assert refused.code == 1
    assert "no schema" in refused.sentence
    assert list(tmp_path.iterdir()) == []


def test_commands_work_on_postgresql(fork_server: ForkServer, tmp_path: Path, serving: StartServer, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_server").empty_database()
    serving(tmp_path, KEYHOUSE_DATABASE_URL=url)
    stored = fork_server.run(
        tmp_path, "provider", "set", "openai", "--secret", "OPENAI_API_KEY=-", stdin="sk-planted", KEYHOUSE_DATABASE_URL=url
    )
    assert stored.code == 0, stored.err
    assert json.loads(fork_server.run(tmp_path, "status", "--json", KEYHOUSE_DATABASE_URL=url).out)["dialect"] == "postgresql"


@pytest.mark.parametrize("command", [("provider", "list"), ("status",), ("keys", "status"), ("keys", "rotate")], ids=" ".join)
def test_a_postgresql_that_does_not_answer_is_told_of(fork_server: ForkServer, tmp_path: Path, command: tuple[str, ...]) -> None:
    port = free_port()
    refused = fork_server.run(tmp_path, *command, KEYHOUSE_DATABASE_URL=f"postgresql://keyhouse:planted@127.0.0.1:{port}/keyhouse")
    assert (refused.code, refused.out) == (3, "")
    assert f"PostgreSQL at 127.0.0.1:{port} does not answer, or refuses the user or the database." in refused.sentence
    assert "planted" not in refused.err
