"""What the tests of the gateway's road share: a house in front of an upstream, and the official clients."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import NO_CERTIFICATES, ServedHouse
from tests.gateway.fault_upstream import ReceivedRequest, Script
from tests.gateway_road import openai_api
from tests.gateway_road.upstreams import Answering, Upstream, answered_by, running_upstream

Store = Callable[..., None]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An OpenAI-shaped upstream; a test may replace its script."""
    with running_upstream(answered_by(openai_api.answer)) as running:
        yield running


@pytest.fixture
def store(sqlite_house: ServedHouse, upstream: Upstream) -> Store:
    """Stores a provider in the house, the upstream behind it."""
    return storing_in(sqlite_house, upstream)


def storing_in(house: ServedHouse, upstream: Upstream) -> Store:
    """See `store`."""
    return Road(house, upstream, house.client()).store


def openai_client(address: str, key: str, **options: Any) -> openai.OpenAI:
    """The official client, unmodified, without retries of its own."""
    transport = httpx.Client(trust_env=False, verify=NO_CERTIFICATES)
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, **{"max_retries": 0, "http_client": transport, **options})


@pytest.fixture
def client(sqlite_house: ServedHouse) -> Iterator[openai.OpenAI]:
    """The official client on the house, with the project's key."""
    with openai_client(sqlite_house.address, sqlite_house.keys.project_key) as made:
        yield made


@dataclass
class Road:
    """A house that the tests of a module share, and an upstream behind it. Each test finds no provider stored, and no request noted."""

    house: ServedHouse
    upstream: Upstream
    http: httpx.Client

    def put(self, provider: str, keys: Mapping[str, Any] | None = None, **update: Any) -> None:
        """Store and enable a provider."""
        given = {"enabled": True, **({} if keys is None else {"customKeys": keys}), **update}
        answer = self.http.put(f"/api/model-providers/{provider}", json=given)
        assert answer.status_code == 200, answer.text

    def store(self, provider: str = "openai", **update: Any) -> None:
        """Store the provider whose API the upstream's default script speaks, or another one of which `update` says what is different."""
        self.put(provider, {"OPENAI_API_KEY": openai_api.KEY, "OPENAI_BASE_URL": f"{self.upstream.address}/v1"}, **update)

    def store_custom(self, **update: Any) -> None:
        """Store a provider of the team's own, under the same key."""
        self.put("custom", {"CUSTOM_API_KEY": openai_api.KEY, "CUSTOM_BASE_URL": f"{self.upstream.address}/v1"}, **update)

    def answers(self, answering: Answering | bytes) -> None:
        """From now on the upstream answers like this."""
        self.upstream.follow(answered_by(answering if callable(answering) else lambda request: answering))

    def follows(self, script: Script) -> None:
        """From now on the upstream follows this script, on new connections."""
        self.upstream.follow(script)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A request of a caller with the project's key."""
        given = {"authorization": f"Bearer {self.house.keys.project_key}", **{name.replace("_", "-"): v for name, v in headers.items()}}
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return httpx.post(f"{self.house.address}{path}", headers=given, timeout=30, trust_env=False, verify=NO_CERTIFICATES, **content)

    def chat(self, model: str | None = "gpt-5-mini", **further: Any) -> httpx.Response:
        """A chat completion; members whose name ends in `_header` are headers."""
        headers = {name.removesuffix("_header"): value for name, value in further.items() if name.endswith("_header")}
        body = {"messages": [{"role": "user", "content": "Hi"}], **{n: v for n, v in further.items() if not n.endswith("_header")}}
        return self.post("/v1/chat/completions", {**body, **({} if model is None else {"model": model})}, **headers)

    @property
    def request(self) -> ReceivedRequest:
        """The only request that came."""
        [request] = self.upstream.requests
        return request

    @property
    def sent(self) -> Any:
        """The body of the only request that came."""
        [body] = self.upstream.bodies()
        return body


@pytest.fixture(scope="module")
def shared_upstream() -> Iterator[Upstream]:
    """An upstream that the tests of a module share."""
    with running_upstream(answered_by(openai_api.answer)) as running:
        yield running


@pytest.fixture
def road(shared_sqlite_house: ServedHouse, shared_upstream: Upstream) -> Iterator[Road]:
    """See Road."""
    shared_upstream.follow(answered_by(openai_api.answer))
    shared_upstream.requests.clear()
    http = shared_sqlite_house.client()
    yield Road(shared_sqlite_house, shared_upstream, http)
    for provider, entry in http.get("/api/model-providers").json().items():
        if "id" in entry:
            assert http.delete(f"/api/model-providers/{provider}").status_code == 200
    assert http.put("/api/model-providers/custom", json={"enabled": False, "defaultModel": ""}).status_code == 200
