"""Calls through the gateway in the chaos run: what reaches the upstream is what somebody stored together, and soon what was stored last."""

import asyncio
import json
import random
import time
from collections.abc import Iterable, Mapping
from typing import Any

from bench.chaos.client import UnansweredError
from bench.chaos.house import FoundError, Server
from bench.chaos.model import Content, Lane
from bench.chaos.writes import Chaos, read_once

IN_FORCE_S = 10.0
"""So long the gateway of another process may take to hear of a change. The documents say one second; this machine is shared."""


async def read_on(chaos: Chaos, stop: asyncio.Event, dice: random.Random) -> None:
    """A caller who reads from any server, and calls its gateway, until it is told to stop.

    No read may be older than what was acknowledged before it. A call may, for a moment, but takes credentials nowhere that they were not
    stored for.
    """
    while not stop.is_set():
        server = dice.choice(chaos.house.servers)
        if dice.random() < 0.7:
            await read_once(chaos, server, dice.randrange(len(chaos.project_keys)))
        else:
            await _call_some(chaos, server, dice.choice(chaos.lanes))
        await asyncio.sleep(dice.random() * 0.02)


async def _call_some(chaos: Chaos, server: Server, lane: Lane) -> None:
    if lane.kind.address is None:
        return
    states = [*lane.possible, *chaos.trail.get(str(lane), [])]
    try:
        status, seen = await _called(chaos, server, lane)
    except UnansweredError:
        return
    states = [*states, *lane.possible, *chaos.trail.get(str(lane), [])]
    if seen and not any(_difference(lane, state.content, seen) is None for state in states):
        raise FoundError(f"{lane}: through server {server.number} went {seen}, which was never stored together")
    # To a provider's own address there is no way from here.
    leaves = any(state.content.enabled and lane.kind.address not in state.content.keys for state in states)
    if status not in (200, 400, *chaos.excused) and not (leaves and status == 502):
        raise FoundError(f"{lane}: a call through server {server.number} was answered {status}")


async def gateways_agree(chaos: Chaos) -> None:
    """What reaches the upstream through each server is what the model says, credentials and headers."""
    await asyncio.gather(*(_agrees(chaos, server, lane) for server in chaos.serving() for lane in chaos.lanes))


async def _agrees(chaos: Chaos, server: Server, lane: Lane) -> None:
    content = lane.state.content
    if content.enabled and not lane.is_callable:
        # It would go to a provider's own address.
        return
    for _ in range(server.workers):
        until = time.monotonic() + IN_FORCE_S
        while problems := await _problems(chaos, server, lane, content):
            if time.monotonic() > until:
                raise FoundError(f"{lane}: through server {server.number} {problems[0]}")
            chaos.counts["calls before a change was in force"] += 1
            await asyncio.sleep(0.1)


async def _problems(chaos: Chaos, server: Server, lane: Lane, content: Content) -> list[str]:
    status, seen = await _called(chaos, server, lane)
    if not content.enabled:
        return [] if status == 400 else [f"a disabled provider answered {status}"]
    if seen is None:
        return [f"a call was answered {status}"]
    return list(filter(None, [_difference(lane, content, seen)]))


async def _called(chaos: Chaos, server: Server, lane: Lane) -> tuple[int, Mapping[str, Any] | None]:
    """Call a lane's provider: the status, and what the upstream saw."""
    path = "/v1/messages" if lane.provider == "anthropic" else "/v1/chat/completions"
    asked = {"model": f"{lane.provider}/any-model", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}
    answer = await chaos.house.ask(server, "POST", path, chaos.project_keys[lane.project], asked)
    chaos.counts["calls through the gateway"] += 1
    if answer.status != 200:
        return answer.status, None
    told = answer.json
    return 200, json.loads(told["content"][0]["text"] if lane.provider == "anthropic" else told["choices"][0]["message"]["content"])


def _difference(lane: Lane, content: Content, seen: Mapping[str, Any]) -> str | None:
    """What of a call differs from what a state holds."""
    secret = content.keys.get(lane.kind.secrets[0], "")
    bare = [value.removeprefix("Bearer ") for value in seen["credentials"]]
    if bare != ([secret] if secret else []):
        return f"the credentials {bare} were sent, not {secret!r}"
    headers = _lower(content.headers)
    if _lower(seen["headers"]) != headers:
        return f"the headers {seen['headers']} were sent, not {headers}"
    address, called = content.keys.get(str(lane.kind.address), ""), f"{seen['origin']}{seen['path']}"
    return None if address and called.startswith(f"{address}/") else f"{called} was called, not {address}"


def _lower(headers: Iterable[Any]) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers)
