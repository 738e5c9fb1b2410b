"""What the tests of the gateway's road share: a house in front of an upstream, and the official clients."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import NO_CERTIFICATES, ServedHouse
from tests.gateway_road import openai_api
from tests.gateway_road.upstreams import Upstream, answered_by, running_upstream

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
    client = house.client()

    def put(provider: str = "openai", **update: Any) -> None:
        given = {"enabled": True, "customKeys": {"OPENAI_API_KEY": openai_api.KEY, "OPENAI_BASE_URL": f"{upstream.address}/v1"}, **update}
        answer = client.put(f"/api/model-providers/{provider}", json=given)
        assert answer.status_code == 200, answer.text

    return put


def openai_client(address: str, key: str, **options: Any) -> openai.OpenAI:
    """The official client, unmodified, without retries of its own."""
    transport = httpx.Client(trust_env=False, verify=NO_CERTIFICATES)
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, http_client=transport, **options)


@pytest.fixture
def client(sqlite_house: ServedHouse) -> Iterator[openai.OpenAI]:
    """The official client on the house, with the project's key."""
    with openai_client(sqlite_house.address, sqlite_house.keys.project_key) as made:
        yield made
