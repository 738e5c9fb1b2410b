"""Rows that somebody who can write to the database puts together of several states: no stored value is sent where it was not meant for."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from keyhouse.domain.credentials import MASK
from keyhouse.storage.opening import Storage
from keyhouse.storage.sealed_values import put_sealed
from keyhouse.storage.statements import Row, Statement, Transaction
from tests.conftest import Serve, ServedHouse
from tests.gateway_road import openai_api
from tests.gateway_road.upstreams import Upstream, answered_by, running_upstream
from tests.storage.houses import run_on

SECRET = "planted-header-value"
HEADERS = [{"key": "X-Team", "value": SECRET}]
_READ = Statement("SELECT credential_names, credentials_id, header_names, headers_id FROM model_providers WHERE provider = 'custom'")
_WRITE = Statement(
    "UPDATE model_providers SET credential_names = :credential_names, credentials_id = :credentials_id, header_names = :header_names,"
    " headers_id = :headers_id WHERE provider = 'custom'"
)
_REMEMBER = Statement(
    "UPDATE model_provider_history SET header_names = :header_names, headers_id = :headers_id",
    "WHERE provider = 'custom' AND version = :version",
)
_OWNER = Statement("SELECT id, project_id FROM model_providers WHERE provider = 'custom'")
_PUT_HEADERS = Statement("UPDATE model_providers SET headers_id = :headers_id WHERE provider = 'custom'")


class Intruder:
    """Holds the project's key and a server of its own, and can write to the database."""

    def __init__(self, serve: Serve, database_url: str, upstream: Upstream, own: Upstream) -> None:
        self.upstream, self.own = upstream, own
        self._serve, self._database_url = serve, database_url
        self.house: ServedHouse = serve(database_url=database_url)
        self.client: httpx.Client = self.house.client()

    def put(self, **update: Any) -> httpx.Response:
        return self.client.put("/api/model-providers/custom", json={"enabled": True, **update})

    def keys(self, upstream: Upstream) -> Mapping[str, str]:
        return {"CUSTOM_API_KEY": openai_api.KEY, "CUSTOM_BASE_URL": f"{upstream.address}/v1"}

    def row(self) -> Row:
        async def read(storage: Storage) -> Row:
            return (await storage.database.read(lambda tx: tx.rows(_READ)))[0]

        return run_on(self.house.settings, read)

    def write(self, statement: Statement, **values: object) -> None:
        """Write behind the server's back; another one starts after it."""

        async def written(storage: Storage) -> None:
            await storage.database.write(lambda tx: tx.run(statement, **values))

        run_on(self.house.settings, written)
        self.restart()

    def restart(self) -> None:
        self.house = self._serve(database_url=self._database_url)
        self.client = self.house.client()

    def combine(self, credentials: Row, headers: Row) -> None:
        """The credentials of one state with the headers of another."""
        names = ("credential_names", "credentials_id", "header_names", "headers_id")
        self.write(_WRITE, **dict(zip(names, (*credentials[:2], *headers[2:]), strict=True)))

    def call(self) -> httpx.Response:
        return self.client.post("/v1/chat/completions", json={"model": "custom/m", "messages": [{"role": "user", "content": "Hi"}]})

    def received(self) -> list[bytes]:
        return [value for request in self.own.requests for value in request.header(b"x-team")]


@pytest.fixture
def intruder(serve: Serve, database_url: str) -> Iterator[Intruder]:
    with running_upstream(answered_by(openai_api.answer)) as upstream, running_upstream(answered_by(openai_api.answer)) as own:
        yield Intruder(serve, database_url, upstream, own)


@pytest.fixture
def combined(intruder: Intruder) -> Intruder:
    """The headers of the team's server, beside the address of the intruder's own."""
    intruder.put(customKeys=intruder.keys(intruder.upstream), extraHeaders=HEADERS).raise_for_status()
    assert intruder.call().status_code == 200
    assert [value for request in intruder.upstream.requests for value in request.header(b"x-team")] == [SECRET.encode()]
    before = intruder.row()
    intruder.put(customKeys=intruder.keys(intruder.own), extraHeaders=[]).raise_for_status()
    intruder.combine(intruder.row(), before)
    return intruder


def test_header_values_are_sent_to_no_address_they_were_not_given_for(combined: Intruder) -> None:
    refused = combined.call()
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "credentials_unreadable")
    assert "given for another address" in refused.json()["error"]["message"]
    tested = combined.client.post("/api/model-providers/custom/test")
    assert (tested.status_code, tested.json()["error"]) == (400, "credentials_unreadable")
    assert not combined.own.requests


@pytest.mark.parametrize(
    "update",
    [
        {"extraHeaders": [{"key": "X-Team", "value": MASK}]},
        {"extraHeaders": [{"key": "X-Other", "value": "more"}, {"key": "X-Team", "value": MASK}]},
        {"customKeys": {"CUSTOM_API_KEY": "again"}, "extraHeaders": [{"key": "X-Team", "value": MASK}]},
        {"customKeys": {"CUSTOM_API_KEY": "again"}},
        {"customModels": ["m"]},
        {"enabled": True},
    ],
    ids=str,
)
def test_no_write_makes_them_belong_there(combined: Intruder, update: Mapping[str, Any]) -> None:
    keys = {"customKeys": {**combined.keys(combined.own), **update["customKeys"]}} if "customKeys" in update else {}
    answer = combined.put(**{**update, **keys})
    assert answer.status_code == 200 or answer.json()["error"] == "endpoint_changed", answer.text
    combined.call()
    assert combined.received() == []


def test_a_state_of_the_past_with_the_headers_of_another_is_not_called(intruder: Intruder) -> None:
    intruder.put(customKeys=intruder.keys(intruder.own)).raise_for_status()
    intruder.put(customKeys=intruder.keys(intruder.upstream), extraHeaders=HEADERS).raise_for_status()
    *_, names, headers_id = intruder.row()
    intruder.write(_REMEMBER, version=1, header_names=names, headers_id=headers_id)
    intruder.client.post("/api/model-providers/custom/rollback", json={"version": 1})
    assert intruder.call().status_code == 400
    assert not intruder.own.requests


def test_headers_whose_names_were_changed_are_unreadable(intruder: Intruder) -> None:
    intruder.put(customKeys=intruder.keys(intruder.upstream), extraHeaders=HEADERS).raise_for_status()
    row = intruder.row()
    intruder.combine(row, (*row[:2], '["X-Team","X-More"]', row[3]))
    assert intruder.client.get("/api/model-providers").status_code == 200
    assert intruder.call().json()["error"]["code"] == "credentials_unreadable"


def test_typed_again_they_are_sent(combined: Intruder) -> None:
    combined.put(customKeys=combined.keys(combined.own), extraHeaders=[{"key": "X-Team", "value": "of-the-intruder"}]).raise_for_status()
    assert combined.call().status_code == 200
    assert combined.received() == [b"of-the-intruder"]


def test_values_that_were_sealed_without_an_address_are_sent_until_they_are_sealed_again(intruder: Intruder) -> None:
    intruder.put(customKeys=intruder.keys(intruder.own), extraHeaders=[{"key": "X-Team", "value": "new"}]).raise_for_status()

    async def seal(storage: Storage) -> None:
        def work(tx: Transaction) -> None:
            row_id, project_id = tx.rows(_OWNER)[0]
            value_id = put_sealed(tx, storage.box, (project_id, row_id), "extraHeaders", b'["of-before"]')
            tx.run(_PUT_HEADERS, headers_id=value_id)

        await storage.database.write(work)

    run_on(intruder.house.settings, seal)
    intruder.restart()
    assert intruder.call().status_code == 200
    assert intruder.received() == [b"of-before"]
    masked = [{"key": "X-Team", "value": MASK}, {"key": "X-More", "value": "more"}]
    intruder.put(extraHeaders=masked).raise_for_status()
    row = intruder.row()
    assert intruder.call().status_code == 200
    assert intruder.received() == [b"of-before"] * 2
    intruder.put(customKeys=intruder.keys(intruder.upstream), extraHeaders=[]).raise_for_status()
    intruder.combine(intruder.row(), row)
    assert intruder.call().json()["error"]["code"] == "credentials_unreadable"
