"""Mixed traffic for the soak: callers that send calls of all kinds in turn, and know what must come of each. Measures nothing."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp

MODEL = "openai/gpt-5-mini"
PROVIDER_KEY = "sk-0123456789abcdefghijklmnopqrstuvwxyz"
_TALK = [{"role": "user", "content": "Tell me in a few sentences what a house of keys is good for. " * 16}]


class UnexpectedError(Exception):
    """What came is not what should have come."""


@dataclass
class Traffic:
    """Where the house is, the project's key, and what came of all calls so far, by kind."""

    session: aiohttp.ClientSession
    address: str
    key: str
    upstream: str
    events: int
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def headers(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def post(self, path: str, body: object) -> "aiohttp.client._RequestContextManager":
        return self.session.post(
            f"{self.address}{path}", data=json.dumps(body), headers={**self.headers, "content-type": "application/json"}
        )

    async def run(self, callers: int) -> None:
        """Callers at work until `stopping` is set, and then to the end of what they have begun."""
        await asyncio.gather(*(self._call_on() for _ in range(callers)))

    async def _call_on(self) -> None:
        names = list(KINDS)
        weights = [KINDS[name].weight for name in names]
        while not self.stopping.is_set():
            [name] = self.random.choices(names, weights)
            try:
                await KINDS[name].call(self)
                self.done[name] += 1
            except (UnexpectedError, aiohttp.ClientError, TimeoutError, ValueError) as failure:
                self.failed[f"{name}: {type(failure).__name__}: {str(failure)[:200]}"] += 1


async def put(traffic: Traffic, provider: str, key: str) -> None:
    """Store a provider whose upstream is the mock."""
    name = provider.upper()
    body = {"enabled": True, "customKeys": {f"{name}_API_KEY": key, f"{name}_BASE_URL": f"{traffic.upstream}/v1"}}
    async with traffic.session.put(f"{traffic.address}/api/model-providers/{provider}", json=body, headers=traffic.headers) as answer:
        await _require(answer, 200)


async def _require(answer: aiohttp.ClientResponse, status: int) -> bytes:
    body = await answer.read()
    if answer.status != status:
        raise UnexpectedError(f"{answer.status} in the place of {status}: {body[:120].decode(errors='replace')}")
    return body


async def _chat(traffic: Traffic) -> None:
    async with traffic.post("/v1/chat/completions", {"model": MODEL, "messages": _TALK}) as answer:
        json.loads(await _require(answer, 200))["choices"][0]["message"]["content"]


async def _streamed(traffic: Traffic) -> None:
    async with traffic.post("/v1/chat/completions", {"model": MODEL, "messages": _TALK, "stream": True}) as answer:
        body = await _require(answer, 200)
    if not body.endswith(b"data: [DONE]\n\n") or body.count(b"data: ") != traffic.events + 1:
        raise UnexpectedError(f"a stream of {body.count(b'data: ')} events")


async def _translated(traffic: Traffic) -> None:
    async with traffic.post("/v1/messages", {"model": MODEL, "max_tokens": 400, "messages": _TALK}) as answer:
        if json.loads(await _require(answer, 200))["type"] != "message":
            raise UnexpectedError("no message")


async def _translated_stream(traffic: Traffic) -> None:
    async with traffic.post("/v1/messages", {"model": MODEL, "max_tokens": 400, "messages": _TALK, "stream": True}) as answer:
        body = await _require(answer, 200)
    if b"event: message_stop" not in body or body.count(b"event: content_block_delta") != traffic.events - 1:
        raise UnexpectedError(f"a translated stream of {body.count(b'event: content_block_delta')} deltas")


async def _embeddings(traffic: Traffic) -> None:
    async with traffic.post("/v1/embeddings", {"model": "openai/text-embedding-3-small", "input": "a house of keys"}) as answer:
        json.loads(await _require(answer, 200))["data"][0]["embedding"]


_ERRORS = {"fail-500": 500, "fail-429": 429, "fail-503-once-more": 503, "fail-nonsense": 502, "no-such-model": 200}


async def _error(traffic: Traffic) -> None:
    name = traffic.random.choice(list(_ERRORS))
    async with traffic.post("/v1/chat/completions", {"model": f"openai/{name}", "messages": _TALK}) as answer:
        await _require(answer, _ERRORS[name])


async def _cut_short(traffic: Traffic) -> None:
    """An answer that breaks off must not look whole."""
    try:
        async with traffic.post("/v1/chat/completions", {"model": "openai/fail-half", "messages": _TALK}) as answer:
            await answer.read()
    except aiohttp.ClientError:
        return
    raise UnexpectedError("an answer that broke off looked whole")


async def _cut_stream(traffic: Traffic) -> None:
    """A stream that breaks off must end in an error event."""
    async with traffic.post("/v1/chat/completions", {"model": "openai/fail-stream", "messages": _TALK, "stream": True}) as answer:
        last = (await _require(answer, 200)).strip().rpartition(b"\n\n")[2]
    if b'"error"' not in last:
        raise UnexpectedError(f"a broken stream ended in {last[:120]!r}")


async def _left(traffic: Traffic) -> None:
    """A caller that leaves after the first event."""
    async with traffic.post("/v1/chat/completions", {"model": MODEL, "messages": _TALK, "stream": True}) as answer:
        await answer.content.readany()
        answer.close()


async def _refused(traffic: Traffic) -> None:
    body = {"model": MODEL, "messages": _TALK}
    headers = {"authorization": "Bearer sk-lw-" + "x" * 48}
    async with traffic.session.post(f"{traffic.address}/v1/chat/completions", json=body, headers=headers) as answer:
        await _require(answer, 401)


async def _put(traffic: Traffic) -> None:
    await put(traffic, "vllm", f"{PROVIDER_KEY}{traffic.random.randrange(10**6)}")


async def _list(traffic: Traffic) -> None:
    async with traffic.session.get(f"{traffic.address}/api/model-providers", headers=traffic.headers) as answer:
        await _require(answer, 200)


@dataclass(frozen=True)
class Kind:
    """A call, and how often it is made among the others."""

    call: Callable[[Traffic], Awaitable[None]]
    weight: int


KINDS: Mapping[str, Kind] = {
    "chat": Kind(_chat, 40),
    "chat, streamed": Kind(_streamed, 12),
    "translated": Kind(_translated, 8),
    "translated, streamed": Kind(_translated_stream, 6),
    "embeddings": Kind(_embeddings, 10),
    "upstream's errors": Kind(_error, 6),
    "cut short": Kind(_cut_short, 2),
    "cut short, streamed": Kind(_cut_stream, 2),
    "caller left": Kind(_left, 4),
    "key refused": Kind(_refused, 3),
    "PUT": Kind(_put, 3),
    "GET list": Kind(_list, 4),
}
