"""Pages of other origins call the gateway where a setting names them, and nowhere else."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from keyhouse.settings import Settings
from tests.conftest import NO_CERTIFICATES, ServedHouse
from tests.gateway_road import openai_api
from tests.gateway_road.upstreams import Upstream

ORIGIN = "https://chat.example.com"
Serve = Callable[..., ServedHouse]


@pytest.fixture
def asked(serve: Serve, upstream: Upstream) -> Iterator[Callable[..., httpx.Response]]:
    """Asks a house that knows one origin, as a browser would."""
    house = serve(allowed_origins=f"{ORIGIN}, app://obsidian.md")
    keys = {"OPENAI_API_KEY": openai_api.KEY, "OPENAI_BASE_URL": f"{upstream.address}/v1"}
    assert house.client().put("/api/model-providers/openai", json={"enabled": True, "customKeys": keys}).status_code == 200
    with httpx.Client(base_url=house.address, trust_env=False, verify=NO_CERTIFICATES) as client:
        client.headers["authorization"] = f"Bearer {house.keys.project_key}"

        def ask(method: str, path: str, origin: str = ORIGIN, **further: Any) -> httpx.Response:
            return client.request(method, path, **{"headers": {"origin": origin}, **further})

        yield ask


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type,x-stainless-lang"}


def test_a_browser_that_asks_first_is_told_what_it_may_send(asked: Callable[..., httpx.Response]) -> None:
    answer = asked("OPTIONS", "/v1/chat/completions", headers={"origin": ORIGIN, "authorization": "", **PREFLIGHT})
    assert (answer.status_code, answer.content) == (204, b"")
    told = {name: answer.headers[f"access-control-{name}"] for name in ("allow-origin", "allow-methods", "allow-headers", "max-age")}
    assert told == {
        "allow-origin": ORIGIN,
        "allow-methods": "GET, POST",
        "allow-headers": PREFLIGHT["access-control-request-headers"],
        "max-age": "600",
    }
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_may_be_read_by_the_page(asked: Callable[..., httpx.Response], stream: bool) -> None:
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    whole = asked("POST", "/v1/chat/completions", json=body)
    refused = asked("POST", "/v1/chat/completions", json={**body, "model": "openai/error-429"})
    missing = asked("GET", "/v1/nothing")
    models = asked("GET", "/v1/models")
    assert [answer.status_code for answer in (whole, refused, missing, models)] == [200, 429, 404, 200]
    for answer in (whole, refused, missing, models):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert (answer.headers["vary"], answer.headers["access-control-expose-headers"]) == ("origin", "*")


def test_another_origin_is_told_nothing(asked: Callable[..., httpx.Response]) -> None:
    for answer in (
        asked("GET", "/v1/models", "https://elsewhere.example"),
        asked("GET", "/v1/models", f"{ORIGIN}.elsewhere.example"),
        asked("OPTIONS", "/v1/models", headers={"origin": "null", **PREFLIGHT}),
    ):
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "origin"


def test_the_api_and_the_pages_stay_closed(asked: Callable[..., httpx.Response]) -> None:
    for path in ("/api/model-providers", "/sign-in"):
        assert "access-control-allow-origin" not in asked("GET", path).headers
        assert asked("OPTIONS", path, headers={"origin": ORIGIN, **PREFLIGHT}).status_code >= 400


def test_without_the_setting_nothing_is_said(sqlite_house: ServedHouse) -> None:
    answer = sqlite_house.client().get("/v1/models", headers={"origin": ORIGIN})
    assert not {"access-control-allow-origin", "vary"} & set(answer.headers)
    assert sqlite_house.client().request("OPTIONS", "/v1/models", headers={"origin": ORIGIN, **PREFLIGHT}).status_code == 405


def test_everybodys_pages_may_call_where_that_is_said(serve: Serve) -> None:
    answer = serve(allowed_origins="*").client().get("/v1/models", headers={"origin": "https://anywhere.example"})
    assert (answer.headers["access-control-allow-origin"], "vary" in answer.headers) == ("*", False)
    assert answer.headers["access-control-expose-headers"] == "*"


def test_only_a_browser_that_asks_first_is_answered_without_a_key(asked: Callable[..., httpx.Response]) -> None:
    assert asked("OPTIONS", "/v1/models", headers={"origin": ORIGIN}).status_code == 405
    assert asked("GET", "/v1/models", headers={"origin": ORIGIN, "authorization": "", **PREFLIGHT}).status_code == 401


@pytest.mark.parametrize(
    "text", ["chat.example.com", "https://a.example/", "https://", "https://u@a.example", "https://a.example?x", "https://ä.example"]
)
def test_what_no_browser_calls_an_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="each must be an origin such as"):
        Settings(allowed_origins=f"https://b.example, {text}")


def test_origins_are_read_as_browsers_spell_them() -> None:
    settings = Settings(allowed_origins=" HTTPS://A.example:8443,null , app://obsidian.md,")
    assert settings.origins == {b"https://a.example:8443", b"null", b"app://obsidian.md"}
    assert Settings().origins == frozenset()
