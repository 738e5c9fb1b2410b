"""Values that were damaged, moved or copied do not open. They stay what they are, and everything else goes on working."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from keyhouse.domain.credentials import MASK
from keyhouse.services.encryption_keys import status
from keyhouse.storage.opening import Storage
from keyhouse.storage.sealed_values import SealedValue
from keyhouse.storage.secret_box import Context
from keyhouse.storage.statements import Statement
from tests.conftest import Serve, ServedHouse
from tests.storage.houses import run_on, sealed_values

_PUT_BLOB = Statement("UPDATE sealed_values SET blob = :blob, key_id = :key_id WHERE id = :value_id")
OPENAI = {"OPENAI_API_KEY": "sk-planted", "OPENAI_BASE_URL": "https://llm.example.com/v1"}
ANTHROPIC = {"ANTHROPIC_API_KEY": "sk-other", "ANTHROPIC_BASE_URL": "https://other.example.com"}
HEADERS = [{"key": "X-Team", "value": "planted-header"}, {"key": "X-Region", "value": "planted-region"}]


@dataclass
class Stored:
    """A house that holds two providers, and a way to get at their sealed values behind its back."""

    house: ServedHouse
    serve: Serve
    database_url: str

    def tamper(self, work: Callable[[Storage, dict[str, SealedValue]], Awaitable[None]]) -> httpx.Client:
        """Change sealed values, `openai`, `anthropic` and `headers`; a client of a server that starts after it."""

        async def tampered(storage: Storage) -> None:
            await work(storage, {_kind(storage, value): value for value in await sealed_values(storage)})

        run_on(self.house.settings, tampered)
        return self.serve(database_url=self.database_url).client()

    def unreadable(self) -> int:
        async def count(storage: Storage) -> int:
            return (await status(storage.database, storage.keys)).unreadable

        return run_on(self.house.settings, count)


def _kind(storage: Storage, value: SealedValue) -> str:
    if value.context.field == "customKeys":
        return "openai" if b"OPENAI" in storage.box.open(value.blob, value.context) else "anthropic"
    return value.context.field


async def put_blob(storage: Storage, place: SealedValue, blob: bytes) -> None:
    await storage.database.write(lambda tx: tx.run(_PUT_BLOB, value_id=place.context.id, blob=blob, key_id=place.key_id))


@pytest.fixture
def stored(serve: Serve, database_url: str) -> Stored:
    house = serve(database_url=database_url)
    client = house.client()
    client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": OPENAI, "extraHeaders": HEADERS}).raise_for_status()
    client.put("/api/model-providers/anthropic", json={"enabled": True, "customKeys": ANTHROPIC}).raise_for_status()
    return Stored(house, serve, database_url)


def keys_of(client: httpx.Client, provider: str) -> dict[str, Any]:
    listed = client.get("/api/model-providers")
    assert listed.status_code == 200
    found: dict[str, Any] = listed.json()[provider]["customKeys"]
    assert client.get(f"/api/model-providers/{provider}").json()["customKeys"] == found
    return found


MASKED = dict.fromkeys(OPENAI, MASK)
READABLE = {"ANTHROPIC_API_KEY": MASK, "ANTHROPIC_BASE_URL": "https://other.example.com"}


def test_a_damaged_value_is_unreadable_alone(stored: Stored) -> None:
    async def damage(storage: Storage, values: dict[str, SealedValue]) -> None:
        blob = bytearray(values["openai"].blob)
        blob[-20] ^= 1
        await put_blob(storage, values["openai"], bytes(blob))

    client = stored.tamper(damage)
    assert (keys_of(client, "openai"), keys_of(client, "anthropic"), stored.unreadable()) == (MASKED, READABLE, 1)
    assert client.get("/api/model-providers").json()["openai"]["extraHeaders"] == [{**header, "value": MASK} for header in HEADERS]


@pytest.mark.parametrize("kind", ["openai", "headers"])
def test_a_call_with_a_damaged_value_is_refused_and_told_what_to_do(stored: Stored, kind: str) -> None:
    async def damage(storage: Storage, values: dict[str, SealedValue]) -> None:
        await put_blob(storage, values[kind], values[kind].blob[:-1])

    client = stored.tamper(damage)
    asked = client.post("/v1/chat/completions", json={"model": "openai/gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}]})
    tested = client.post("/api/model-providers/openai/test")
    assert (asked.status_code, asked.json()["error"]["code"]) == (400, "credentials_unreadable")
    assert (tested.status_code, tested.json()["error"]) == (400, "credentials_unreadable")
    for told in (asked.json()["error"]["message"], tested.json()["message"]):
        assert "stored for openai cannot be opened" in told
        assert "damaged" in told
        assert "send the credentials and headers again" in told


def test_an_unreadable_value_is_not_overwritten_by_accident(stored: Stored) -> None:
    async def damage(storage: Storage, values: dict[str, SealedValue]) -> None:
        await put_blob(storage, values["openai"], values["openai"].blob[:-1])

    client = stored.tamper(damage)

    def put(**body: object) -> tuple[int, str]:
        answer = client.put("/api/model-providers/openai", json={"enabled": True, **body})
        return answer.status_code, answer.json().get("error", "")

    refused = (400, "credentials_unreadable")
    for keys in (MASKED, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": " "}, {"OPENAI_BASE_URL": "https://llm.example.com/v1"}):
        assert put(customKeys=keys) == refused
    assert put(enabled=False) == (200, "")
    assert put(customModels=["gpt-x"]) == (200, "")
    assert keys_of(client, "openai") == MASKED
    assert stored.unreadable() == 1
    again = {"OPENAI_API_KEY": "sk-typed-again"}
    # Where the headers went lies in what cannot be read: they may not go along to an address that may be another one.
    assert put(customKeys=again) == (400, "endpoint_changed")
    assert put(customKeys=again, extraHeaders=HEADERS) == (200, "")
    assert keys_of(client, "openai") == {"OPENAI_API_KEY": MASK}
    assert stored.unreadable() == 1, "it lies in the history still"
    assert client.delete("/api/model-providers/openai").status_code == 200
    assert stored.unreadable() == 0


def test_unreadable_headers_show_their_names_and_are_kept(stored: Stored) -> None:
    async def damage(storage: Storage, values: dict[str, SealedValue]) -> None:
        await put_blob(storage, values["headers"], values["headers"].blob + b"x")

    client = stored.tamper(damage)
    assert keys_of(client, "openai") == {"OPENAI_API_KEY": MASK, "OPENAI_BASE_URL": OPENAI["OPENAI_BASE_URL"]}
    shown = client.get("/api/model-providers").json()["openai"]["extraHeaders"]
    assert shown == [{**header, "value": MASK} for header in HEADERS]
    assert client.put("/api/model-providers/openai", json={"enabled": True, "extraHeaders": shown}).status_code == 200
    assert stored.unreadable() == 1
    answer = client.put("/api/model-providers/openai", json={"enabled": True, "extraHeaders": shown[:1]})
    assert (answer.status_code, answer.json()["error"]) == (400, "credentials_unreadable")


def test_values_that_changed_places_do_not_open(stored: Stored) -> None:
    async def swap(storage: Storage, values: dict[str, SealedValue]) -> None:
        await put_blob(storage, values["openai"], values["anthropic"].blob)
        await put_blob(storage, values["anthropic"], values["openai"].blob)

    client = stored.tamper(swap)
    assert keys_of(client, "openai") == MASKED
    assert keys_of(client, "anthropic") == dict.fromkeys(ANTHROPIC, MASK)
    assert stored.unreadable() == 2


def test_a_value_copied_into_another_field_of_its_row_does_not_open(stored: Stored) -> None:
    async def copy(storage: Storage, values: dict[str, SealedValue]) -> None:
        await put_blob(storage, values["headers"], values["openai"].blob)

    client = stored.tamper(copy)
    assert stored.unreadable() == 1
    assert [header["value"] for header in client.get("/api/model-providers").json()["openai"]["extraHeaders"]] == [MASK, MASK]


def test_a_value_copied_to_another_project_does_not_open_there(stored: Stored) -> None:
    client = stored.house.client(stored.house.keys.admin_key)
    new = {"name": "Other", "language": "python", "framework": "none", "newTeamName": "Others"}
    made = client.post("/api/projects", json=new)
    assert made.status_code == 201
    headers = {"X-Auth-Token": made.json()["serviceApiKey"], "X-Project-Id": made.json()["id"]}
    other = {"OPENAI_API_KEY": "sk-of-the-other-project"}
    client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": other}, headers=headers).raise_for_status()

    async def copy(storage: Storage, _: dict[str, SealedValue]) -> None:
        mine, theirs = [value for value in await sealed_values(storage) if b"OPENAI" in opened(storage, value)]
        if mine.context.project_id == made.json()["id"]:
            mine, theirs = theirs, mine
        await put_blob(storage, theirs, mine.blob)

    def opened(storage: Storage, value: SealedValue) -> bytes:
        return storage.box.open(value.blob, value.context) if value.context.field == "customKeys" else b""

    client = stored.tamper(copy)
    shown = client.get("/api/model-providers", headers=headers).json()["openai"]["customKeys"]
    assert shown == {"OPENAI_API_KEY": MASK}
    assert stored.unreadable() == 1
    assert keys_of(client, "openai") == {"OPENAI_API_KEY": MASK, "OPENAI_BASE_URL": OPENAI["OPENAI_BASE_URL"]}


def test_a_rollback_to_what_cannot_be_read_is_refused(stored: Stored) -> None:
    stored.house.client().put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-second"}})

    async def damage(storage: Storage, values: dict[str, SealedValue]) -> None:
        first = next(value for value in await sealed_values(storage) if b"sk-planted" in plaintext(storage, value))
        await put_blob(storage, first, first.blob[:-1])

    def plaintext(storage: Storage, value: SealedValue) -> bytes:
        return storage.box.open(value.blob, value.context)

    client = stored.tamper(damage)
    answer = client.post("/api/model-providers/openai/rollback", json={"version": 1})
    assert (answer.status_code, answer.json()["error"]) == (400, "credentials_unreadable")


def test_a_rollback_to_headers_that_cannot_be_read_is_refused(stored: Stored) -> None:
    async def damage(storage: Storage, values: dict[str, SealedValue]) -> None:
        await put_blob(storage, values["headers"], values["headers"].blob[:-1])

    stored.house.client().put("/api/model-providers/openai", json={"enabled": True, "extraHeaders": []}).raise_for_status()
    client = stored.tamper(damage)
    answer = client.post("/api/model-providers/openai/rollback", json={"version": 1})
    assert (answer.status_code, answer.json()["error"]) == (400, "credentials_unreadable")


def test_the_places_of_values_differ(stored: Stored) -> None:
    async def contexts() -> list[Context]:
        from tests.storage.houses import opened

        async with opened(stored.house.settings) as storage:
            return [value.context for value in await sealed_values(storage)]

    found = asyncio.run(contexts())
    assert len({context.to_bytes() for context in found}) == len(found) == 5
