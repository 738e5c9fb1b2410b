"""Many callers at once, on both databases, through one process and through two."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import cycle

import httpx
import pytest

from tests.conftest import Serve, ServedHouse

LIST = "/api/model-providers"
OPENAI = f"{LIST}/openai"


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def houses(request: pytest.FixtureRequest, serve: Serve, database_url: str) -> list[ServedHouse]:
    """Houses on one database."""
    return [serve(database_url=database_url) for _ in range(request.param)]


@asynccontextmanager
async def clients(houses: list[ServedHouse]) -> AsyncIterator[Iterator[httpx.AsyncClient]]:
    """Clients of the houses, one after the other and over again."""
    limits = httpx.Limits(max_connections=60)
    made = [
        httpx.AsyncClient(
            base_url=house.address, headers={"X-Auth-Token": houses[0].keys.project_key}, limits=limits, timeout=60, trust_env=False
        )
        for house in houses
    ]
    try:
        yield cycle(made)
    finally:
        for client in made:
            await client.aclose()


def run(houses: list[ServedHouse], work: Callable[[Iterator[httpx.AsyncClient]], Awaitable[None]]) -> None:
    async def main() -> None:
        async with clients(houses) as several:
            await work(several)

    asyncio.run(main())


def test_fifty_first_writes_at_once_make_one_row(houses: list[ServedHouse]) -> None:
    async def work(several: Iterator[httpx.AsyncClient]) -> None:
        bodies = [{"enabled": True, "customKeys": {"OPENAI_API_KEY": f"sk-{number}"}} for number in range(50)]
        answers = await asyncio.gather(*(next(several).put(OPENAI, json=body) for body in bodies))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["openai"]["id"] for answer in answers}) == 1
        assert len({answer.headers["etag"] for answer in answers}) == 50
        history = (await next(several).get(f"{OPENAI}/history?limit=100")).json()["data"]
        assert [entry["version"] for entry in history] == list(range(50, 0, -1))
        assert [entry["action"] for entry in history] == ["updated"] * 49 + ["created"]

    run(houses, work)


def test_of_fifty_who_want_to_be_the_first_one_is(houses: list[ServedHouse]) -> None:
    async def work(several: Iterator[httpx.AsyncClient]) -> None:
        absent = (await next(several).get(OPENAI)).headers["etag"]
        puts = (
            next(several).put(OPENAI, json={"enabled": True, "customModels": [f"m{n}"]}, headers={"if-match": absent}) for n in range(50)
        )
        answers = await asyncio.gather(*puts)
        assert sorted(answer.status_code for answer in answers) == [200] + [412] * 49

    run(houses, work)


@pytest.mark.parametrize("path", [OPENAI, LIST], ids=["tag of the entry", "tag of the list"])
def test_writers_with_a_condition_lose_no_update(houses: list[ServedHouse], path: str) -> None:
    writers, rounds = 8, 5

    def body(count: int) -> dict[str, object]:
        return {"enabled": True, "customModels": [{"modelId": "counter", "displayName": "counter", "mode": "chat", "maxTokens": count}]}

    async def count(client: httpx.AsyncClient) -> None:
        for _ in range(rounds):
            while True:
                read = await client.get(path)
                entry = read.json() if path == OPENAI else read.json()["openai"]
                written = await client.put(
                    OPENAI, json=body(entry["customModels"][0]["maxTokens"] + 1), headers={"if-match": read.headers["etag"]}
                )
                if written.status_code == 200:
                    break
                assert written.status_code == 412

    async def work(several: Iterator[httpx.AsyncClient]) -> None:
        await next(several).put(OPENAI, json=body(1))
        await asyncio.gather(*(count(next(several)) for _ in range(writers)))
        assert (await next(several).get(OPENAI)).json()["customModels"][0]["maxTokens"] == 1 + writers * rounds

    run(houses, work)


def test_readers_never_see_half_a_change(houses: list[ServedHouse]) -> None:
    def body(number: int) -> dict[str, object]:
        return {
            "enabled": True,
            "customKeys": {"OPENAI_API_KEY": f"sk-{number}", "OPENAI_BASE_URL": f"https://n{number}.example.com"},
            "customModels": [f"m{number}"],
            "customEmbeddingsModels": [f"e{number}"],
            "extraHeaders": [{"key": f"X-{number}", "value": f"v{number}"}],
        }

    def shown(entry: dict[str, list[dict[str, str]] | dict[str, str]]) -> set[str]:
        keys, headers = entry["customKeys"], entry["extraHeaders"]
        assert isinstance(keys, dict)
        models = [*entry["customModels"], *entry["customEmbeddingsModels"]]
        assert all(isinstance(thing, dict) for thing in [*models, *headers])
        names = [model["modelId"][1:] for model in models] + [header["key"][2:] for header in headers]  # type: ignore[index]
        return {*names, keys["OPENAI_BASE_URL"].removeprefix("https://n").removesuffix(".example.com")}

    async def work(several: Iterator[httpx.AsyncClient]) -> None:
        await next(several).put(OPENAI, json=body(0))
        seen: dict[str, bytes] = {}
        done = asyncio.Event()

        async def write(client: httpx.AsyncClient) -> None:
            for number in range(60):
                assert (await client.put(OPENAI, json=body(number))).status_code == 200
            done.set()

        async def read(client: httpx.AsyncClient) -> None:
            newest = 0
            while not done.is_set():
                entry, listed = await client.get(OPENAI), await client.get(LIST)
                assert len(shown(entry.json())) == len(shown(listed.json()["openai"])) == 1
                assert seen.setdefault(entry.headers["etag"], entry.content) == entry.content
                assert seen.setdefault(listed.headers["etag"], listed.content) == listed.content
                revision = int(listed.headers["etag"].strip('"').partition(".")[0])
                assert revision >= newest
                newest = revision

        await asyncio.gather(write(next(several)), *(read(next(several)) for _ in range(4)))

    run(houses, work)


def test_a_read_after_a_write_is_never_stale(serve: Serve, database_url: str) -> None:
    houses = [serve(database_url=database_url) for _ in range(2)]

    async def work(several: Iterator[httpx.AsyncClient]) -> None:
        for number in range(150):
            writing, reading = next(several), next(several)
            written = await writing.put(OPENAI, json={"enabled": True, "customModels": [f"m{number}"]})
            for client in (reading, writing):
                listed, entry = await client.get(LIST), await client.get(OPENAI)
                assert (listed.headers["etag"], listed.content) == (written.headers["etag"], written.content)
                assert entry.json()["customModels"][0]["modelId"] == f"m{number}"
            if number % 3 == 0:
                next(several)

    run(houses, work)


def test_a_key_stops_everywhere_at_once(serve: Serve, database_url: str) -> None:
    first, second = (serve(database_url=database_url) for _ in range(2))
    admin = first.client(first.keys.admin_key)
    for number in range(20):
        made = admin.post("/api/api-keys", json={"keyType": "service", "name": f"k{number}"}).json()
        headers = {"X-Auth-Token": made["token"], "X-Project-Id": first.keys.project_id}
        with httpx.Client(base_url=second.address, headers=headers, trust_env=False) as caller:
            assert caller.get(LIST).status_code == 200
            assert admin.delete(f"/api/api-keys/{made['apiKey']['id']}").status_code == 200
            assert caller.get(LIST).status_code == 401
