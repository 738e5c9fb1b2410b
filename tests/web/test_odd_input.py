"""Input that nobody should send: each has its answer, none is a failure of ours, and none comes back in an answer."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import ServedHouse
from tests.web.wire import Reply, chunked, exchange, request_bytes

PLANTED = "sk-planted-by-the-caller"
JSON = [("content-type", "application/json")]
LIMIT = 1024 * 1024


def put(house: ServedHouse, body: bytes | None, provider: str = "openai", headers: list[tuple[str, str]] | None = None) -> Reply:
    credential = [("x-auth-token", house.keys.project_key)]
    reply = exchange(
        house.address, request_bytes("PUT", f"/api/model-providers/{provider}", credential + (JSON if headers is None else headers), body)
    )
    assert PLANTED.encode() not in reply.body
    assert reply.headers["content-type"] == "application/json"
    assert isinstance(reply.json, dict)
    return reply


def with_key(value: str) -> bytes:
    return f'{{"enabled": true, "customKeys": {{"OPENAI_API_KEY": {value}}}, "defaultModel": "{PLANTED}"}}'.encode()


NOT_JSON = {
    "empty": b"",
    "blank": b" \n",
    "cut off": with_key('"a"')[:-1],
    "followed by more": with_key('"a"') + b"{}",
    "lone surrogate, escaped": with_key('"\\ud800"'),
    "lone low surrogate, escaped": with_key('"\\udc00"'),
    "lone surrogate, raw": with_key('"a"').replace(b'"a"', b'"\xed\xa0\x80"'),
    "raw control character": with_key('"\n"'),
    "beyond doubles": with_key("1e999"),
    "below doubles": with_key("-1e999"),
    "not a number": with_key("NaN"),
    "infinity": with_key("Infinity"),
    "more digits than anybody counts": with_key("1" * 5000),
    "bottomless": b'{"enabled": true, "x": ' + b"[" * 100_000,
    "bottomless and closed": b'{"enabled": true, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "byte order mark": b"\xef\xbb\xbf" + with_key('"a"'),
    "UTF-16": with_key('"a"').decode().encode("utf-16"),
    "UTF-32": with_key('"a"').decode().encode("utf-32-le"),
    "Latin-1": with_key('"caf\xe9"').decode().encode("latin-1"),
    "single quotes": b"{'enabled': true}",
    "compressed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_json_is_malformed(shared_sqlite_house: ServedHouse, body: bytes) -> None:
    reply = put(shared_sqlite_house, body)
    assert (reply.status, reply.json["error"], reply.json["target"]) == (400, "malformed_request", "json")
    assert "without a byte order mark" in reply.json["message"]


BROKEN_SCHEMA: dict[str, tuple[Any, list[str]]] = {
    "null": (None, ["(root)"]),
    "list": ([], ["(root)"]),
    "string": (PLANTED, ["(root)"]),
    "nothing named": ({}, ["enabled"]),
    "words for booleans": ({"enabled": "yes"}, ["enabled"]),
    "number for a boolean": ({"enabled": 1}, ["enabled"]),
    "null for an optional field": (
        {"enabled": True, "customKeys": None, "customModels": None, "extraHeaders": None, "defaultModel": None},
        ["customKeys", "customModels", "extraHeaders", "defaultModel"],
    ),
    "list for keys": ({"enabled": True, "customKeys": [PLANTED]}, ["customKeys"]),
    "empty id": ({"enabled": True, "customModels": ["a", ""]}, ["customModels.1"]),
    "empty id of an object": (
        {"enabled": True, "customEmbeddingsModels": [{"modelId": "", "displayName": "", "mode": "chat"}]},
        ["customEmbeddingsModels.0.modelId", "customEmbeddingsModels.0.displayName"],
    ),
    "same id twice": ({"enabled": True, "customModels": ["a", "b", "a"]}, ["customModels.2"]),
    "strings and objects": (
        {"enabled": True, "customModels": ["a", {"modelId": "b", "displayName": "b", "mode": "chat"}]},
        ["customModels.0"],
    ),
    "unknown mode": ({"enabled": True, "customModels": [{"modelId": "a", "displayName": "a", "mode": PLANTED}]}, ["customModels.0.mode"]),
    "tokens of no number": (
        {"enabled": True, "customModels": [{"modelId": "a", "displayName": "a", "mode": "chat", "maxTokens": PLANTED}]},
        ["customModels.0.maxTokens"],
    ),
    "no tokens": (
        {"enabled": True, "customModels": [{"modelId": "a", "displayName": "a", "mode": "chat", "maxTokens": 0}]},
        ["customModels.0.maxTokens"],
    ),
    "tokens without end": (
        {"enabled": True, "customModels": [{"modelId": "a", "displayName": "a", "mode": "chat", "maxTokens": 10**400}]},
        ["customModels.0.maxTokens"],
    ),
    "header name with a blank": ({"enabled": True, "extraHeaders": [{"key": "X A", "value": PLANTED}]}, ["extraHeaders.0.key"]),
    "header value with a line break": (
        {"enabled": True, "extraHeaders": [{"key": "X-A", "value": f"{PLANTED}\r\nX-B: 1"}]},
        ["extraHeaders.0.value"],
    ),
    "header value with NUL": ({"enabled": True, "extraHeaders": [{"key": "X-A", "value": f"{PLANTED}\0"}]}, ["extraHeaders.0.value"]),
    "hop-by-hop header": ({"enabled": True, "extraHeaders": [{"key": "Connection", "value": PLANTED}]}, ["extraHeaders.0.key"]),
    "host": ({"enabled": True, "extraHeaders": [{"key": "hOsT", "value": PLANTED}]}, ["extraHeaders.0.key"]),
    "length": ({"enabled": True, "extraHeaders": [{"key": "Content-Length", "value": "1"}]}, ["extraHeaders.0.key"]),
    "header without a value": ({"enabled": True, "extraHeaders": [{"key": "X-A"}]}, ["extraHeaders.0.value"]),
    "1001 models": ({"enabled": True, "customModels": [f"m{number}" for number in range(1001)]}, ["customModels"]),
    "1001 embedding models": (
        {"enabled": True, "customEmbeddingsModels": [f"m{number}" for number in range(1001)]},
        ["customEmbeddingsModels"],
    ),
    "101 headers": ({"enabled": True, "extraHeaders": [{"key": "X-A", "value": PLANTED}] * 101}, ["extraHeaders"]),
    "default model with NUL": ({"enabled": True, "defaultModel": "a\0b"}, ["defaultModel"]),
}


@pytest.mark.parametrize(("body", "fields"), BROKEN_SCHEMA.values(), ids=BROKEN_SCHEMA.keys())
def test_what_breaks_the_schema_is_named_by_field(shared_sqlite_house: ServedHouse, body: object, fields: list[str]) -> None:
    reply = put(shared_sqlite_house, json.dumps(body).encode())
    assert (reply.status, reply.json["error"], reply.json["target"]) == (422, "validation_error", "json")
    assert reply.json["fields"] == fields
    assert [reason["meta"]["field"] for reason in reply.json["reasons"]] == fields
    assert {reason["code"] for reason in reply.json["reasons"]} == {"schema_failure"}


@pytest.mark.parametrize("levels", [33, 400])
def test_keys_nested_too_deep_are_refused(shared_house: ServedHouse, levels: int) -> None:
    reply = put(shared_house, f'{{"enabled": true, "customKeys": {{"MINE": {"[" * levels}{"]" * levels}}}}}'.encode(), provider="azure")
    assert (reply.status, reply.json["fields"]) == (422, ["customKeys.MINE"])


@pytest.mark.parametrize(
    "value", ['"a\\u0000b"', "1" * 400, "[[[[{}]]]]", "1e308", "-0.0", '"\\ud83d\\ude00"', '{"__proto__": 1, "\\u0000": ""}', "false"]
)
def test_a_field_of_any_json_keeps_what_it_is_given(shared_house: ServedHouse, value: str) -> None:
    body = f'{{"enabled": true, "customKeys": {{"AZURE_OPENAI_API_KEY": "k", "MINE": {value}}}}}'.encode()
    first = put(shared_house, body, provider="azure")
    assert (first.status, sorted(first.json["azure"]["customKeys"])) == (200, ["AZURE_OPENAI_API_KEY", "MINE"])
    assert put(shared_house, body, provider="azure").headers["etag"] == first.headers["etag"]


def test_a_provider_does_not_take_up_fields_without_end(shared_house: ServedHouse) -> None:
    def sent(numbers: range) -> Any:
        keys = {f"MINE_{number:03}": "mine" for number in numbers}
        return put(
            shared_house, json.dumps({"enabled": True, "customKeys": {"AZURE_OPENAI_API_KEY": "k", **keys}}).encode(), provider="azure"
        )

    shared_house.client().delete("/api/model-providers/azure")
    assert sent(range(99)).status == 200
    for further in (range(99, 100), range(5000)):
        reply = sent(further)
        assert (reply.status, reply.json["fields"]) == (400, ["customKeys.MINE_099"])
        assert "no more than 100" in reply.json["reasons"][0]["meta"]["message"]
    assert shared_house.client().delete("/api/model-providers/azure").status_code == 200


def test_as_many_models_as_may_be_are_kept(shared_house: ServedHouse) -> None:
    reply = put(shared_house, json.dumps({"enabled": True, "customModels": [f"m{number}" for number in range(1000)]}).encode())
    assert (reply.status, len(reply.json["openai"]["customModels"])) == (200, 1000)
    assert put(shared_house, b'{"enabled": true, "customModels": []}').json["openai"]["customModels"] is None


def test_as_many_headers_as_may_be_are_kept(shared_house: ServedHouse) -> None:
    headers = [{"key": f"X-{number}", "value": "v"} for number in range(100)]
    reply = put(shared_house, json.dumps({"enabled": True, "extraHeaders": headers}).encode())
    assert (reply.status, len(reply.json["openai"]["extraHeaders"])) == (200, 100)
    assert put(shared_house, b'{"enabled": true, "extraHeaders": []}').json["openai"]["extraHeaders"] == []


def test_nul_in_a_name_is_a_character_like_any_other(shared_house: ServedHouse) -> None:
    models = [{"modelId": "a\0b", "displayName": "\0", "mode": "chat"}]
    reply = put(shared_house, json.dumps({"enabled": True, "customModels": models, "customKeys": {"OPENAI_API_KEY": "\0"}}).encode())
    assert (reply.status, reply.json["openai"]["customModels"]) == (200, models)


def test_of_a_key_given_twice_the_last_counts(shared_sqlite_house: ServedHouse) -> None:
    assert put(shared_sqlite_house, b'{"enabled": true, "enabled": false, "customModels": ["m"]}').json["openai"]["enabled"] is False
    assert put(shared_sqlite_house, b'{"enabled": true, "enabled": "no"}').status == 422


def test_unknown_fields_are_ignored_at_every_level(shared_sqlite_house: ServedHouse) -> None:
    model = {"modelId": "m", "displayName": "M", "mode": "chat", "more": {"deep": [1]}}
    body = {
        "enabled": True,
        "customModels": [model],
        "extraHeaders": [{"key": "A", "value": "b", "c": 1}],
        "__proto__": {"enabled": 0},
        "": None,
    }
    reply = put(shared_sqlite_house, json.dumps(body).encode())
    assert (reply.status, reply.json["openai"]["customModels"]) == (200, [{"modelId": "m", "displayName": "M", "mode": "chat"}])


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json;charset=utf-8",
        "application/json ; charset=UTF-8",
        "APPLICATION/JSON",
        "application/vnd.v2+json",
        "application/a_b.c-d+json",
    ],
)
def test_json_goes_by_several_names(shared_sqlite_house: ServedHouse, content_type: str) -> None:
    assert put(shared_sqlite_house, b'{"enabled": true}', headers=[("content-type", content_type)]).status == 200


OTHER_TYPES = ["", "text/plain", "application/jsonx", "json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=json"]


@pytest.mark.parametrize("headers", [[], *([("content-type", name)] for name in OTHER_TYPES)])
def test_a_body_of_another_type_counts_as_empty(shared_sqlite_house: ServedHouse, headers: list[tuple[str, str]]) -> None:
    for body in (b'{"enabled": true}', b"\xff\xfe", None):
        reply = put(shared_sqlite_house, body, headers=headers)
        assert (reply.status, reply.json["fields"]) == (422, ["enabled"])


def sized(size: int) -> bytes:
    frame = b'{"enabled": true, "ignored": "%s"}'
    return frame % (b"x" * (size - len(frame) + 2))


def test_the_body_may_be_exactly_one_mebibyte(shared_sqlite_house: ServedHouse) -> None:
    assert len(sized(LIMIT)) == LIMIT
    assert put(shared_sqlite_house, sized(LIMIT)).status == 200
    refused = put(shared_sqlite_house, sized(LIMIT + 1))
    assert (refused.status, refused.json["error"]) == (413, "payload_too_large")


def test_a_body_in_chunks_is_one_body(shared_sqlite_house: ServedHouse) -> None:
    head = [("x-auth-token", shared_sqlite_house.keys.project_key), *JSON]

    def sent(body: bytes, size: int) -> Reply:
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        return exchange(shared_sqlite_house.address, chunked("PUT", "/api/model-providers/openai", head, chunks))

    assert sent(b'{"enabled": true}', 1).status == 200
    assert sent(sized(LIMIT), 70_000).status == 200
    assert sent(sized(LIMIT + 1), 70_000).status == 413


def test_a_body_that_ends_early_changes_nothing(shared_sqlite_house: ServedHouse) -> None:
    head = [("x-auth-token", shared_sqlite_house.keys.project_key), *JSON, ("content-length", "1000")]
    place = urlsplit(shared_sqlite_house.address)
    with socket.create_connection((place.hostname, place.port or 0), timeout=30) as connection:
        connection.sendall(request_bytes("PUT", "/api/model-providers/voyage", head) + b'{"enabled": true, "customModels": ["m"]}')
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    assert shared_sqlite_house.client().get("/api/model-providers/voyage").json()["enabled"] is False


NO_PROVIDERS = [
    "nonsense",
    "OPENAI",
    "openai%2Fx",
    "..%2Fopenai",
    "toString",
    "__proto__",
    "constructor",
    "%00",
    "openai%00",
    "%ff",
    "%",
    "..",
    "openai;a=1",
    "%20openai",
    "a" * 5000,
]


@pytest.mark.parametrize("provider", NO_PROVIDERS)
def test_unknown_providers(shared_house: ServedHouse, provider: str) -> None:
    reply = put(shared_house, b'{"enabled": true}', provider=provider)
    assert (reply.status, reply.json) == (400, {"error": "Invalid provider", "message": "Invalid provider"})
    credential = [("x-auth-token", shared_house.keys.project_key)]
    for method, suffix in (("GET", ""), ("DELETE", ""), ("GET", "/history")):
        assert exchange(shared_house.address, request_bytes(method, f"/api/model-providers/{provider}{suffix}", credential)).status == 404


@pytest.mark.parametrize("spelling", ["%6fpenai", "open%61i"])
def test_a_provider_may_be_percent_encoded(shared_sqlite_house: ServedHouse, spelling: str) -> None:
    assert put(shared_sqlite_house, b'{"enabled": true}', provider=spelling).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/model-providers/"),
        ("PUT", "/api/model-providers/openai/"),
        ("PUT", "/api/model-providers//openai"),
        ("GET", "/api/model-providers/"),
        ("POST", "/api/model-providers"),
        ("PATCH", "/api/model-providers/openai"),
        ("HEAD", "/api/model-providers"),
        ("OPTIONS", "/api/model-providers"),
        ("GET", "/api/model-providers/openai/nothing"),
        ("GET", "/api/"),
        ("GET", "/api/me/project"),
    ],
)
def test_everything_else_is_not_found(shared_sqlite_house: ServedHouse, method: str, path: str) -> None:
    answer = shared_sqlite_house.anonymous().request(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    if method != "HEAD":
        assert answer.json() == {"error": "Not Found"}


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=1.5", "page=", "limit=0", "limit=1001", "page=99999999999", "page=%D9%A1", "limit=1e2", "page=%00"]
)
def test_pages_outside_the_limits_are_refused(shared_house: ServedHouse, query: str) -> None:
    answer = shared_house.client().get(f"/api/model-providers/openai/history?{query}")
    assert (answer.status_code, answer.json()["fields"]) == (422, [query.partition("=")[0]])


def test_the_largest_page_is_empty(shared_house: ServedHouse) -> None:
    answer = shared_house.client().get("/api/model-providers/openai/history?page=2147483647&limit=1000&unknown=%00")
    assert (answer.status_code, answer.json()["data"]) == (200, [])
    assert answer.json()["pagination"] | {"total": 0} == {"page": 2147483647, "limit": 1000, "total": 0}


@pytest.mark.parametrize("version", [0, -1, 2**53, 2**70, True, 1.5, "1", None])
def test_versions_that_cannot_be(shared_house: ServedHouse, version: object) -> None:
    answer = shared_house.client().post("/api/model-providers/openai/rollback", json={"version": version})
    assert (answer.status_code, answer.json()["fields"]) == (422, ["version"])
    assert shared_house.client().post("/api/model-providers/openai/rollback", json={"version": 2**53 - 1}).status_code == 404
