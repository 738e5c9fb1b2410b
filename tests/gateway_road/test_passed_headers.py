"""Which headers pass the gateway, both ways, and that nothing else does."""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.gateway.fault_upstream import response
from tests.gateway_road import openai_api
from tests.gateway_road.upstreams import json_answer

AUTHORIZATION = f"Bearer {openai_api.KEY}".encode()
PAGE = (Path(__file__).parents[2] / "docs/gateway.md").read_text()


def listed(row: str) -> list[str]:
    """The names of headers that a row of the document's table says, of a group one that belongs to it."""
    [cell] = re.findall(rf"^\| {row} \| (.*?)(?:; |\. |\|)", PAGE, re.MULTILINE)
    return [name.replace("*", "any") for name in re.findall("`([a-z*-]+)`", cell)]


def test_the_callers_credentials_and_cookies_stay_behind(road):
    road.store()
    road.chat(
        x_api_key_header="another-key",
        api_key_header="another-key",
        x_auth_token_header="another-key",
        cookie_header="session=1",
        x_project_id_header="project_1",
        x_forwarded_for_header="10.0.0.1",
        openai_organization_header="org-of-the-caller",
        x_stainless_lang_header="python",
        proxy_authorization_header="Basic abc",
    )
    names = {line.partition(b":")[0] for line in road.request.head.split(b"\r\n")[1:]}
    assert names == {b"host", b"accept-encoding", b"user-agent", b"content-type", b"authorization", b"accept", b"content-length"}
    assert road.request.header(b"authorization") == [AUTHORIZATION]
    assert road.request.header(b"host") == [urlsplit(road.upstream.address).netloc.encode()]


def test_headers_of_the_api_go_on(road):
    road.store()
    road.chat(openai_beta_header="assistants=v2", idempotency_key_header="once", http_referer_header="https://app", x_title_header="App")
    assert road.request.header(b"openai-beta") == [b"assistants=v2"]
    assert road.request.header(b"idempotency-key") == [b"once"]
    assert road.request.header(b"http-referer") == [b"https://app"]
    assert road.request.header(b"x-title") == [b"App"]


def test_what_names_the_app_or_keeps_a_conversation_together_goes_on_where_the_format_is_another(road):
    road.store()
    names = ("http-referer", "x-title", "x-openrouter-title", "x-openrouter-categories", "x-grok-conv-id", "x-session-affinity")
    body = {"model": "gpt-5-mini", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    road.post("/v1/messages", body, **{name: f"a {name}" for name in (*names, "x-openrouter-metadata")})
    assert [road.request.header(name.encode()) for name in names] == [[f"a {name}".encode()] for name in names]
    assert road.request.header(b"x-openrouter-metadata") == []


def test_each_header_that_the_document_lists_passes(road):
    to_provider = {name: f"a {name}" for name in listed("To the provider, of the caller's")}
    # These two the client and the server would read as well.
    to_caller = {name: f"a {name}" for name in listed("To the caller, of the provider's")}
    del to_caller["content-length"], to_caller["content-encoding"]
    assert (len(to_provider), len(to_caller)) == (13, 14)
    road.store()
    lines = "".join(f"{name}: {value}\r\n" for name, value in to_caller.items() if name != "content-type")
    road.answers(response(b"{}", headers=f"content-type: {to_caller['content-type']}\r\n{lines}".encode()))
    answer = road.chat(**{f"{name}_header": value for name, value in to_provider.items()})
    assert {name: [value.encode()] for name, value in to_provider.items()} == {n: road.request.header(n.encode()) for n in to_provider}
    assert to_caller == {name: answer.headers.get(name) for name in to_caller}


def test_extra_headers_go_with_every_call_and_replace_the_callers(road):
    road.store(extraHeaders=[{"key": "X-Team", "value": "blue"}, {"key": "X-Team", "value": "red"}, {"key": "X-Title", "value": "House"}])
    road.chat(x_title_header="App", x_team_header="mine")
    assert road.request.header(b"x-team") == [b"blue", b"red"]
    assert road.request.header(b"x-title") == [b"House"]


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_an_extra_header_of_the_credentials_name_replaces_them_and_is_sent_once(road, name):
    road.store(extraHeaders=[{"key": name, "value": "Custom gateway-token"}, {"key": name, "value": "second"}])
    road.answers(json_answer({}))
    road.chat()
    assert road.request.header(b"authorization") == [b"Custom gateway-token"]
    assert openai_api.KEY.encode() not in road.request.head


def test_the_key_of_an_api_gateway_replaces_azures(road):
    keys = {"AZURE_OPENAI_API_KEY": "azure-own-key", "AZURE_API_GATEWAY_BASE_URL": f"{road.upstream.address}/gate"}
    road.put("azure", keys, extraHeaders=[{"key": "Api-Key", "value": "gateway-key"}])
    road.answers(json_answer({}))
    road.chat("azure/my-deployment")
    assert road.request.header(b"api-key") == [b"gateway-key"]


def test_answers_bear_what_clients_read_and_nothing_of_the_upstreams_own(road):
    road.store()
    road.answers(
        json_answer(
            {},
            headers=b"x-request-id: req_7\r\nopenai-processing-ms: 5\r\nx-ratelimit-remaining-tokens: 9\r\nretry-after: 7\r\n"
            b"set-cookie: a=b\r\nserver: theirs\r\nopenai-organization: org-of-the-team\r\nx-internal: 1\r\nalt-svc: h3\r\n",
        )
    )
    answer = road.chat()
    assert (answer.headers["x-request-id"], answer.headers["x-ratelimit-remaining-tokens"]) == ("req_7", "9")
    assert (answer.headers["openai-processing-ms"], answer.headers["retry-after"]) == ("5", "7")
    assert not {"set-cookie", "openai-organization", "x-internal", "alt-svc"} & set(answer.headers)
    assert answer.headers.get("server") != "theirs"


@pytest.mark.parametrize(("sent", "expected"), [(b"x-request-id:\r\n", None), (b"x-request-id: \r\nrequest-id: req_8\r\n", "req_8")])
def test_an_empty_request_id_is_none(road, sent, expected):
    road.store()
    road.answers(json_answer({}, headers=sent))
    answer = road.chat()
    assert answer.headers.get_list("x-request-id") == [expected or answer.headers["x-keyhouse-request-id"]]


def raw(road, request: bytes) -> bytes:
    """What a caller gets that writes bytes of its own."""
    parts = urlsplit(road.house.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connected:
        connected.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = connected.recv(65536)
            if not piece:
                break
            answer += piece
        return answer


BODY = b'{"model":"gpt-5-mini","messages":[{"role":"user","content":"Hi"}]}'


@pytest.mark.parametrize(
    "header",
    [
        b"openai-beta: a\rx-evil: 1",
        b"openai-beta: a\x00b",
        b"openai-beta : a",
        b"transfer-encoding: chunked\r\nopenai-beta: a",
        b"content-length: 5",
        b"transfer-encoding: xchunked",
    ],
)
def test_a_request_that_could_be_two_never_reaches_the_upstream(road, header):
    road.store()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n%b\r\n\r\n%b"
    answer = raw(road, request % (road.house.keys.project_key.encode(), len(BODY), header, BODY))
    assert answer.startswith(b"HTTP/1.1 400")
    assert road.upstream.requests == []


@pytest.mark.parametrize("model", ["a\r\nx-evil: 1", "ü/../x", "a b", "\u2028", "x" * 2000])
def test_a_models_name_cannot_write_headers_or_paths(road, model):
    keys = {
        "AZURE_OPENAI_API_KEY": "azure-own-key",
        "AZURE_OPENAI_ENDPOINT": road.upstream.address,
        "AZURE_OPENAI_API_VERSION": "2024-10-21",
    }
    road.put("azure", keys)
    road.answers(json_answer({}))
    answer = road.chat(f"azure/{model}")
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    path = road.request.line.split(b" ")[1]
    assert path.startswith(b"/openai/deployments/")
    assert path.endswith(b"/chat/completions?api-version=2024-10-21")
    assert path.count(b"/") == 5


@pytest.mark.parametrize(
    ("model", "segment"), [("../../x", b"..%2F..%2Fx"), ("dep?api-version=1", b"dep%3Fapi-version%3D1"), ("a#b", b"a%23b")]
)
def test_model_ids_in_a_path_are_percent_encoded(road, model, segment):
    keys = {
        "AZURE_OPENAI_API_KEY": "azure-own-key",
        "AZURE_OPENAI_ENDPOINT": road.upstream.address,
        "AZURE_OPENAI_API_VERSION": "2024-10-21",
    }
    road.put("azure", keys)
    road.answers(json_answer({}))
    road.chat(f"azure/{model}")
    assert road.request.line == b"POST /openai/deployments/%b/chat/completions?api-version=2024-10-21 HTTP/1.1" % segment


@pytest.mark.parametrize("model", [".", ".."])
def test_a_dot_segment_is_no_model(road, model):
    keys = {
        "AZURE_OPENAI_API_KEY": "azure-own-key",
        "AZURE_OPENAI_ENDPOINT": road.upstream.address,
        "AZURE_OPENAI_API_VERSION": "2024-10-21",
    }
    road.put("azure", keys)
    answer = road.chat(f"azure/{model}")
    assert (answer.status_code, road.upstream.requests) == (400, [])


def test_azure_has_three_modes(road):
    road.answers(json_answer({}))
    base = {"AZURE_OPENAI_API_KEY": "azure-own-key", "AZURE_OPENAI_ENDPOINT": f"{road.upstream.address}/resource"}
    gate = {"AZURE_API_GATEWAY_BASE_URL": f"{road.upstream.address}/gate"}
    for keys in (base, {**base, "AZURE_OPENAI_API_VERSION": "v1"}, {**base, "AZURE_OPENAI_API_VERSION": "2024-10-21"}, {**base, **gate}):
        road.http.delete("/api/model-providers/azure")
        road.put("azure", keys)
        assert road.chat("azure/dep").status_code == 200
    assert [request.line.split(b" ")[1] for request in road.upstream.requests] == [
        b"/resource/openai/v1/chat/completions",
        b"/resource/openai/v1/chat/completions?api-version=v1",
        b"/resource/openai/deployments/dep/chat/completions?api-version=2024-10-21",
        b"/gate/openai/deployments/dep/chat/completions?api-version=2024-05-01-preview",
    ]
    assert {request.header(b"api-key")[0] for request in road.upstream.requests} == {b"azure-own-key"}


@pytest.mark.parametrize("ending", ["/openai/v1", "/openai/v1/", "/openai", "/openai/", "/openai/deployments"])
def test_azures_endpoint_as_the_portal_shows_it_is_the_resources_address(road, ending):
    road.answers(json_answer({"data": []}))
    keys = {"AZURE_OPENAI_API_KEY": "azure-own-key", "AZURE_OPENAI_ENDPOINT": f"{road.upstream.address}/resource{ending}"}
    for version in ({}, {"AZURE_OPENAI_API_VERSION": "2024-10-21"}):
        road.put("azure", {**keys, **version})
        assert road.chat("azure/dep").status_code == 200
        assert road.http.post("/api/model-providers/azure/test").json()["verdict"] == "verified"
    assert [request.line.split(b" ")[1] for request in road.upstream.requests] == [
        b"/resource/openai/v1/chat/completions",
        b"/resource/openai/v1/models",
        b"/resource/openai/deployments/dep/chat/completions?api-version=2024-10-21",
        b"/resource/openai/models?api-version=2024-10-21",
    ]


def test_anthropics_base_url_may_end_in_the_version_as_openais_does(road):
    road.answers(json_answer({"data": []}))
    for base in ("/proxy", "/proxy/v1", "/proxy/v1/"):
        road.put("anthropic", {"ANTHROPIC_API_KEY": "anthropic-own-key", "ANTHROPIC_BASE_URL": f"{road.upstream.address}{base}"})
        assert road.post("/v1/messages", {"model": "anthropic/claude-x", "max_tokens": 1, "messages": []}).status_code == 200
        assert road.http.post("/api/model-providers/anthropic/test").json()["verdict"] == "verified"
    assert [request.line.split(b" ")[1] for request in road.upstream.requests] == [b"/proxy/v1/messages", b"/proxy/v1/models"] * 3


def test_a_query_behind_azures_endpoint_stays(road):
    road.put("azure", {"AZURE_OPENAI_API_KEY": "azure-own-key", "AZURE_OPENAI_ENDPOINT": f"{road.upstream.address}/openai/v1?tenant=a"})
    road.chat("azure/dep")
    assert road.request.line.split(b" ")[1] == b"/openai/v1/chat/completions?tenant=a"


def test_the_body_goes_on_byte_for_byte_but_for_the_model(road):
    road.store_custom()
    body = b'{ "messages" : [{"role":"user","content":"\\u00e9 \\"model\\": 1"}],\n "model"\t: "custom/m\\u00f6del" , "n":1.0 }'
    road.post("/v1/chat/completions", body)
    assert (
        road.request.body == b'{ "messages" : [{"role":"user","content":"\\u00e9 \\"model\\": 1"}],\n "model"\t: "m\xc3\xb6del" , "n":1.0 }'
    )


def test_our_own_switch_never_reaches_an_upstream(road):
    road.store_custom()
    road.post("/v1/chat/completions", b'{"drop_tuning_params":false,"model":"custom/m","messages":[]}')
    assert road.request.body == b'{"model":"m","messages":[]}'
