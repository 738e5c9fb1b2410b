"""One connection, whose head is known after its first request: whatever comes then, and however, is answered as over a fresh one."""

import json
import random
import socket
from urllib.parse import urlsplit

import pytest

from tests.gateway_road.conftest import storing_in


def connect(house) -> socket.socket:
    parts = urlsplit(house.address)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def chat(house, text: str, *, more: bytes = b"") -> bytes:
    body = json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": text}]}).encode()
    lines = (b"host: a", b"authorization: Bearer " + house.keys.project_key.encode(), b"content-length: %d" % len(body))
    return b"POST /v1/chat/completions HTTP/1.1\r\n" + b"\r\n".join(lines) + more + b"\r\n\r\n" + body


def chunked(house, text: str) -> bytes:
    start, _, body = chat(house, text).partition(b"\r\n\r\n")
    framed = start.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    return framed + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def answers(connection: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """Statuses and bodies."""
    found: list[tuple[int, bytes]] = []
    received = b""
    while len(found) < count:
        start, blank, rest = received.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in start.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        if blank and len(rest) >= length:
            found.append((int(start[9:12]), rest[:length]))
            received = rest[length:]
            continue
        piece = connection.recv(65536)
        assert piece, f"closed after {found} and {received!r}"
        received += piece
    return found


def said(found: list[tuple[int, bytes]]) -> list[str]:
    assert {status for status, _ in found} == {200}
    return [json.loads(body)["choices"][0]["message"]["content"].removeprefix("You said: ") for _, body in found]


@pytest.mark.parametrize("seed", range(6))
def test_every_order_and_every_cut_is_answered_in_turn(road, seed):
    road.store()
    chosen = random.Random(seed)
    with connect(road.house) as connection:
        for turn in range(25):
            texts = [f"{turn} {part} " + "x" * chosen.choice((0, 1, 9, 900)) + "." for part in range(chosen.choice((1, 1, 1, 2, 3)))]
            whole = b"".join(chosen.choice((chat, chat, chunked))(road.house, text) for text in texts)
            cuts = sorted(chosen.sample(range(1, len(whole)), chosen.choice((0, 0, 1, 3))))
            for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
                connection.sendall(whole[start:end])
            assert said(answers(connection, len(texts))) == texts


def test_another_head_between_two_that_are_known(road):
    road.store()
    with connect(road.house) as connection:
        for text in ("one", "two"):
            connection.sendall(chat(road.house, text))
            assert said(answers(connection, 1)) == [text]
        connection.sendall(chat(road.house, "").replace(b"Bearer ", b"Bearer x"))
        assert answers(connection, 1)[0][0] == 401
        connection.sendall(chat(road.house, "").replace(b"/v1/chat/", b"/v1/chats/"))
        assert answers(connection, 1)[0][0] == 404
        connection.sendall(chat(road.house, "three"))
        assert said(answers(connection, 1)) == ["three"]
        connection.sendall(chat(road.house, "four", more=b"\r\nconnection: close"))
        assert said(answers(connection, 1)) == ["four"]
        assert connection.recv(1) == b""


def test_what_is_no_request_behind_known_ones_is_refused(road):
    road.store()
    with connect(road.house) as connection:
        for text in ("one", "two"):
            connection.sendall(chat(road.house, text))
            assert said(answers(connection, 1)) == [text]
        broken = chat(road.house, "three").replace(b"content-length: ", b"content-length: -")
        connection.sendall(broken)
        assert answers(connection, 1)[0][0] == 400
    assert len(road.upstream.requests) == 2


def test_behind_what_is_no_request_a_known_one_is_not_heard(road):
    road.store()
    with connect(road.house) as connection:
        for text in ("one", "two"):
            connection.sendall(chat(road.house, text))
            assert said(answers(connection, 1)) == [text]
        connection.sendall(b"nonsense\r\n\r\n")
        assert answers(connection, 1)[0][0] == 400
        connection.sendall(chat(road.house, "three"))
        assert connection.recv(1) == b""
        connection.sendall(chat(road.house, "four"))
        assert road.chat().status_code == 200
    assert len(road.upstream.requests) == 3


def test_a_key_that_is_replaced_ends_what_is_known(house, upstream):
    storing_in(house, upstream)()
    old = chat(house, "again")
    with connect(house) as connection:
        for _ in range(2):
            connection.sendall(old)
            assert said(answers(connection, 1)) == ["again"]
        path = f"/api/projects/{house.keys.project_id}/regenerate-api-key"
        assert house.client(house.keys.admin_key).post(path).status_code == 200
        connection.sendall(old)
        assert answers(connection, 1)[0][0] == 401
    assert len(upstream.requests) == 2
