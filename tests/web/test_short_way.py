"""Requests of the API whose head came before go a short way: they are answered as on the long one, and never before their commit."""

import asyncio
import json
import select
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest

from keyhouse.storage.side_threads import SideThreads
from keyhouse.storage.sqlite import SqliteDatabase
from keyhouse.web.control.short_way import ShortWay
from keyhouse.web.http_exchange import HttpExchange
from tests.conftest import Serve, ServedHouse
from tests.storage.no_room import TOLD, no_further_thread
from tests.web.tenant import Tenant, new_tenant

LIST = "/api/model-providers"
OPENAI = f"{LIST}/openai"
_numbers = count(1)
_OF_ONE_REQUEST = {"date", "x-keyhouse-request-id"}


@dataclass
class Line:
    """One connection with a project's key. `repeats`: each request has the same head as the one before, but for the length of its body."""

    socket: socket.socket
    token: str
    repeats: bool = True

    def send(self, method: str, path: str, body: bytes | None, *lines: str) -> None:
        own = () if self.repeats else (f"x-turn: {next(_numbers)}",)
        framed = () if body is None else ("content-type: application/json", f"content-length: {len(body)}")
        head = "\r\n".join([f"{method} {path} HTTP/1.1", "host: a", f"x-auth-token: {self.token}", *own, *lines, *framed])
        self.socket.sendall(head.encode() + b"\r\n\r\n" + (body or b""))

    def answer(self, method: str = "PUT") -> tuple[int, dict[str, str], bytes]:
        with HTTPResponse(self.socket, method=method) as response:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, response.read()

    def ask(self, method: str, path: str, body: bytes | None, *lines: str) -> tuple[int, dict[str, str], bytes]:
        self.send(method, path, body, *lines)
        return self.answer(method)

    def put(self, *lines: str, **fields: object) -> int:
        """Upsert a provider; the status."""
        return self.ask("PUT", OPENAI, json.dumps({"enabled": True, **fields}).encode(), *lines)[0]


@contextmanager
def line_to(house: ServedHouse, token: str, *, repeats: bool = True) -> Iterator[Line]:
    parts = urlsplit(house.address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Line(connection, token, repeats)


@dataclass
class Ways:
    """Whether the short way took each request whose head was known, and the database of the last."""

    begun: list[bool] = field(default_factory=list)
    database: Any = None


@pytest.fixture(autouse=True)
def ways(monkeypatch: pytest.MonkeyPatch) -> Ways:
    watched, begin = Ways(), ShortWay.begin

    def begun(self: ShortWay, exchange: HttpExchange) -> bool:
        watched.database = self._gate._database
        watched.begun.append(begin(self, exchange))
        return watched.begun[-1]

    monkeypatch.setattr(ShortWay, "begin", begun)
    return watched


@pytest.fixture
def tenant(sqlite_house: ServedHouse) -> Tenant:
    return new_tenant(sqlite_house)


@pytest.fixture
def token(tenant: Tenant) -> str:
    return tenant.project_key(tenant.project()["id"])


@pytest.fixture
def line(sqlite_house: ServedHouse, token: str, ways: Ways) -> Iterator[Line]:
    """A connection whose next PUT goes the short way."""
    with line_to(sqlite_house, token) as opened:
        assert [opened.put(customKeys={"OPENAI_API_KEY": f"sk-{number}"}) for number in range(3)] == [200] * 3
        assert ways.begun[-1]
        ways.begun.clear()
        yield opened


BODIES = [
    {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-first"}},
    {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-second"}, "customModels": ["one", "two"], "defaultModel": "one"},
    {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-second"}, "customModels": ["one", "two"], "defaultModel": "one"},
    {"enabled": False, "extraHeaders": [{"key": "X-Team", "value": "platform"}]},
    {"enabled": True, "customKeys": {}},
    {"enabled": True, "customKeys": {"OPENAI_API_KEY": 5}},
    {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-third", "OPENAI_BASE_URL": "https://elsewhere.example"}},
    {"enabled": "yes"},
    {"enabled": True, "customModels": ["one", "one"]},
    [],
]


@pytest.mark.parametrize("lines", [(), ("if-match: *",), ("if-none-match: *",), ('if-match: "1"',), ("x-auth-token: none",)])
def test_both_ways_answer_alike(sqlite_house: ServedHouse, tenant: Tenant, ways: Ways, lines: tuple[str, ...]) -> None:
    def told(repeats: bool) -> list[object]:
        project, found = tenant.project(f"Project {repeats}")["id"], list[object]()
        token = tenant.project_key(project)
        with line_to(sqlite_house, token, repeats=repeats) as line:
            for text in (*(json.dumps(body).encode() for body in BODIES), b"{", b""):
                status, headers, answer = line.ask("PUT", OPENAI, text, *lines)
                shown = json.loads(answer)
                if "openai" in shown:
                    shown["openai"].pop("id", None)
                    del headers["content-length"]
                found += [status, {name: value for name, value in headers.items() if name not in _OF_ONE_REQUEST}, shown]
        history = sqlite_house.client(token).get(f"{OPENAI}/history").json()["data"]
        found += [(entry["version"], entry["action"], entry["fields"], entry["actor"]["id"] == project) for entry in history]
        return [*found, [action for action, target in tenant.audit() if target == f"{project}/openai"]]

    long = told(False)
    assert not any(ways.begun)
    assert told(True) == long
    assert any(ways.begun)


def test_a_list_is_read_on_the_short_way_as_on_the_long_one(sqlite_house: ServedHouse, line: Line, token: str, ways: Ways) -> None:
    ways.begun.clear()
    answers = [line.ask("GET", LIST, None) for _ in range(4)]
    assert ways.begun[-2:] == [True] * 2
    with line_to(sqlite_house, token, repeats=False) as other:
        answers.append(other.ask("GET", LIST, None))
    for _, headers, _ in answers:
        assert headers.pop("x-keyhouse-request-id").startswith("req_")
        del headers["date"]
    assert all(answer == answers[0] for answer in answers)
    tag = answers[0][1]["etag"]
    assert [line.ask("GET", LIST, None, f"if-none-match: {tag}")[0] for _ in range(3)] == [304] * 3
    assert line.put(enabled=False) == 200
    assert line.ask("GET", LIST, None)[1]["etag"] != tag


def test_nothing_is_acknowledged_before_its_commit(line: Line, ways: Ways) -> None:
    committing, may_commit = threading.Event(), threading.Event()

    def hold(statement: str) -> None:
        if statement == "COMMIT":
            committing.set()
            assert may_commit.wait(30)

    ways.database._writer.set_trace_callback(hold)
    line.send("PUT", OPENAI, b'{"enabled":true,"customKeys":{"OPENAI_API_KEY":"sk-held"}}')
    assert committing.wait(30)
    assert select.select([line.socket], [], [], 0.2)[0] == []
    may_commit.set()
    assert line.answer()[0] == 200
    ways.database._writer.set_trace_callback(None)
    assert ways.begun == [True]


def test_what_another_process_changed_is_in_force_for_the_next_request(
    serve: Serve, sqlite_house: ServedHouse, line: Line, token: str, ways: Ways
) -> None:
    other = serve().client(token)
    tag = other.put(OPENAI, json={"enabled": False}).headers["etag"]
    status, headers, body = line.ask("PUT", OPENAI, b'{"enabled":false}')
    assert (status, headers["etag"], json.loads(body)["openai"]["enabled"]) == (200, tag, False)
    assert ways.begun == [True]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_key_that_was_revoked_or_may_do_less_opens_nothing(
    serve: Serve, sqlite_house: ServedHouse, tenant: Tenant, ways: Ways, elsewhere: bool
) -> None:
    project = tenant.project()["id"]
    binding = {"role": "MEMBER", "scopeType": "PROJECT", "scopeId": project}
    made = tenant.admin.post("/api/api-keys", json={"keyType": "service", "name": "key", "bindings": [binding]}).json()
    admin = serve().client(tenant.admin_token) if elsewhere else tenant.admin
    with line_to(sqlite_house, made["token"]) as line:
        assert [line.put(f"x-project-id: {project}") for _ in range(3)] == [200] * 3
        assert ways.begun[-1]
        viewer = {**binding, "role": "VIEWER"}
        assert admin.patch(f"/api/api-keys/{made['apiKey']['id']}", json={"bindings": [viewer]}).status_code == 200
        assert line.put(f"x-project-id: {project}", enabled=False) == 403
        assert admin.delete(f"/api/api-keys/{made['apiKey']['id']}").status_code == 200
        assert line.put(f"x-project-id: {project}", enabled=False) == 401


def test_a_caller_who_leaves_has_written(sqlite_house: ServedHouse, line: Line, token: str, ways: Ways) -> None:
    with closing(sqlite3.connect(sqlite_house.settings.data_dir / "keyhouse.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        line.send("PUT", OPENAI, b'{"enabled":true,"customKeys":{"OPENAI_API_KEY":"sk-left"}}')
        client = sqlite_house.client(token)
        while not ways.begun:
            assert client.get(LIST).status_code == 200
        line.socket.close()
        assert client.get(LIST).status_code == 200
        other.execute("COMMIT")
    # The next write is behind it.
    assert client.put(OPENAI, json={"enabled": False}).status_code == 200
    assert ways.begun[0]
    assert [entry["version"] for entry in client.get(f"{OPENAI}/history").json()["data"]] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("times", [1, 2])
def test_a_write_whose_keys_changed_meanwhile_is_made_again(line: Line, ways: Ways, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Once more in the same batch, where the others are made apart from it; then on the long way."""
    generations = [object()]
    monkeypatch.setattr(ways.database, "key_generation", lambda: generations[0])

    def change(statement: str) -> None:
        if "INTO sealed_values" in statement and len(generations) <= times:
            generations.insert(0, object())

    ways.database._writer.set_trace_callback(change)
    status, headers, _ = line.ask("PUT", OPENAI, b'{"enabled":true,"customKeys":{"OPENAI_API_KEY":"sk-again"}}')
    ways.database._writer.set_trace_callback(None)
    assert (status, headers["etag"].partition(".")[0], len(generations)) == (200, '"4', times + 1)
    assert ways.begun == [True]
    assert line.put(enabled=False) == 200


def test_a_failure_is_told_and_the_next_write_is_made(line: Line, ways: Ways) -> None:
    connection = ways.database._writer
    connection.set_trace_callback(lambda statement: connection.execute("PRAGMA query_only=ON") if statement == "BEGIN IMMEDIATE" else None)
    status, headers, body = line.ask("PUT", OPENAI, b'{"enabled":true,"customKeys":{"OPENAI_API_KEY":"sk-refused"}}')
    assert (status, "not writable" in json.loads(body)["message"]) == (503, True)
    assert headers["content-type"] == "application/json"
    connection.set_trace_callback(None)
    connection.execute("PRAGMA query_only=OFF")
    status, headers, _ = line.ask("PUT", OPENAI, b'{"enabled":true,"customKeys":{"OPENAI_API_KEY":"sk-next"}}')
    assert (status, headers["etag"].partition(".")[0]) == (200, '"4')
    assert ways.begun == [True, True]


def test_what_the_system_has_no_room_for_is_told_and_the_next_write_is_made(line: Line, ways: Ways) -> None:
    writer, put = ways.database._writes, b'{"enabled":true,"customKeys":{"OPENAI_API_KEY":"sk-refused"}}'
    before, writer._committer = writer._committer, SideThreads("test-commit")
    before.close()
    with no_further_thread():
        status, headers, body = line.ask("PUT", OPENAI, put)
    assert (status, headers["content-type"]) == (503, "application/json")
    assert json.loads(body) == {"error": "storage_unavailable", "message": TOLD}
    status, headers, _ = line.ask("PUT", OPENAI, put.replace(b"refused", b"next"))
    assert (status, headers["etag"].partition(".")[0]) == (200, '"4')
    assert ways.begun == [True, True]


def test_writes_of_many_connections_share_commits_and_each_is_made_once(sqlite_house: ServedHouse, token: str, ways: Ways) -> None:
    """And what fails beside them undoes nothing of theirs."""

    def ask(number: int) -> list[int]:
        with line_to(sqlite_house, token) as line:
            refused = {"customKeys": {"OPENAI_API_KEY": 5}}
            return [line.put(**(refused if turn == 5 else {"customKeys": {"OPENAI_API_KEY": f"sk-{number}-{turn}"}})) for turn in range(10)]

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(asyncio.to_thread(ask, number) for number in range(12)))

    statuses = asyncio.run(main())
    assert statuses == [[200] * 5 + [400] + [200] * 4] * 12
    history = sqlite_house.client(token).get(f"{OPENAI}/history?limit=200").json()
    assert [entry["version"] for entry in history["data"]] == list(range(108, 0, -1))
    assert sum(ways.begun) > 60


def test_on_postgresql_all_requests_go_the_long_way(house: ServedHouse, ways: Ways) -> None:
    tenant = new_tenant(house)
    token = tenant.project_key(tenant.project()["id"])
    with line_to(house, token) as line:
        assert [line.put() for _ in range(4)] == [200] * 4
    assert any(ways.begun) == isinstance(ways.database, SqliteDatabase)


def test_a_request_counts_from_its_head(line: Line, ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, noted = ShortWay.begin, []

    def later(self: ShortWay, exchange: HttpExchange) -> bool:
        exchange.head_at = 7.0
        monkeypatch.setattr(self.lines, "note", lambda *given: noted.append(given[3]))
        return begin(self, exchange)

    monkeypatch.setattr(ShortWay, "begin", later)
    assert line.put(customKeys={"OPENAI_API_KEY": "sk-last"}) == 200
    assert line.put(customKeys={"OPENAI_API_KEY": "sk-last"}) == 200
    assert noted[0] == 7.0
    assert ways.begun == [True, True]
