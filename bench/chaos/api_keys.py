"""API keys in the chaos run: made, revoked, expired, and projects' keys made anew, while servers are killed."""

import asyncio
import datetime
import random
import time

from bench.chaos.bursts import heal, kill_server
from bench.chaos.client import Answer, UnansweredError
from bench.chaos.gateway import IN_FORCE_S
from bench.chaos.house import FoundError, Server
from bench.chaos.writes import ApiKey, Chaos

_BORDER_S = 0.5

Killing = asyncio.Task[str] | None
"""A server's end, which may come while something is asked of it."""


async def change_keys(chaos: Chaos, dice: random.Random) -> str:
    """Some of that, then every server is asked about every key."""
    told = []
    for _ in range(dice.randint(1, 4)):
        deed = dice.choice([_create, _create, _revoke, _make_anew])
        killing = asyncio.create_task(_kill_soon(chaos, random.Random(dice.random()))) if dice.random() < 0.4 else None
        told.append(await deed(chaos, dice, killing))
        if killing:
            told.append(await killing)
        await heal(chaos)
    await keys_are_true(chaos)
    return "; ".join(told)


async def _kill_soon(chaos: Chaos, dice: random.Random) -> str:
    await asyncio.sleep(dice.random() * 0.01)
    return await kill_server(chaos, dice)


async def _ask(chaos: Chaos, dice: random.Random, method: str, path: str, body: object = None) -> Answer | None:
    """By an admin, of any server; None where it is not known what came of it."""
    try:
        return await chaos.house.ask(dice.choice(chaos.house.servers), method, path, chaos.admin_key, body)
    except UnansweredError as unanswered:
        return None if unanswered.sent else Answer(0, b"", "")


async def _create(chaos: Chaos, dice: random.Random, _killing: Killing) -> str:
    name, writes = f"key {dice.randrange(10**9)}", dice.random() < 0.5
    expires = time.time() + 1 + dice.random() * 20 if dice.random() < 0.5 else None
    body: dict[str, object] = {"keyType": "service", "name": name, "projectIds": [chaos.project_ids[0]]}
    if not writes:
        body |= {"permissionMode": "readonly"}
    if expires:
        body["expiresAt"] = datetime.datetime.fromtimestamp(expires, datetime.UTC).isoformat()
    answer = await _ask(chaos, dice, "POST", "/api/api-keys", body)
    if answer is None or answer.status == 0:
        return f"{name} may have been made"
    if answer.status != 201:
        raise FoundError(f"an API key was answered {answer.status} {answer.body.decode()[:300]}")
    made = answer.json
    chaos.tokens.add(made["token"])
    chaos.api_keys.append(ApiKey(name, made["apiKey"]["id"], made["token"], writes, expires))
    chaos.counts["API keys made"] += 1
    return f"{name} is made"


async def _revoke(chaos: Chaos, dice: random.Random, _killing: Killing) -> str:
    good = [key for key in chaos.api_keys if key.good]
    if not good:
        return "no key to revoke"
    key = dice.choice(good)
    answer = await _ask(chaos, dice, "DELETE", f"/api/api-keys/{key.key_id}")
    if answer is None:
        key.good = None
        return f"{key.name} may have been revoked"
    if answer.status == 0:
        return f"{key.name} was not revoked"
    if answer.status != 200:
        raise FoundError(f"a revocation was answered {answer.status} {answer.body.decode()[:300]}")
    key.good = False
    chaos.counts["API keys revoked"] += 1
    return f"{key.name} is revoked"


async def _make_anew(chaos: Chaos, dice: random.Random, killing: Killing) -> str:
    """A project's key: the old one stops at once. Where it is not known whether it did, an admin can tell."""
    project = dice.randrange(len(chaos.project_ids))
    old, path = chaos.project_keys[project], f"/api/projects/{chaos.project_ids[project]}"
    answer = await _ask(chaos, dice, "POST", f"{path}/regenerate-api-key")
    if answer is not None and answer.status == 0:
        return "no server to ask for a project's key"
    if answer is not None and answer.status != 200:
        raise FoundError(f"a project's key was answered {answer.status} {answer.body.decode()[:300]}")
    if killing:
        await killing
    await heal(chaos)
    told = (await chaos.house.ask(chaos.house.servers[0], "GET", f"{path}/api-key", chaos.admin_key)).json["apiKey"]
    if answer is not None and told != answer.json["apiKey"]:
        raise FoundError("a project's key is another one than was told")
    chaos.tokens.add(told)
    chaos.project_keys[project] = told
    for server in chaos.house.servers:
        for token, good in ((old, old == told), (told, True)):
            await _require_admitted(chaos, server, token, good=good)
    chaos.counts["projects' keys made anew"] += old != told
    return f"project {project} has a new key" if old != told else f"project {project} keeps its key"


async def keys_are_true(chaos: Chaos) -> None:
    """Each key opens what it must, in every server, and no more. The API is strict, the gateway hears of it soon."""
    for key in chaos.api_keys:
        if key.good is None:
            answer = await chaos.house.ask(chaos.house.servers[0], "GET", "/api/model-providers", key.token)
            key.good = answer.status == 200 if not _is_over(key) else False
        if key.expires_at is not None and abs(time.time() - key.expires_at) < _BORDER_S:
            await asyncio.sleep(2 * _BORDER_S)
        for server in chaos.house.servers:
            await _require_admitted(chaos, server, key.token, good=bool(key.good) and not _is_over(key), key=key)
    listed = (await chaos.house.ask(chaos.house.servers[-1], "GET", "/api/api-keys?limit=1000", chaos.admin_key)).json["data"]
    names = [each["name"] for each in listed]
    if len(set(names)) != len(names) or not {key.name for key in chaos.api_keys if key.good} <= set(names):
        raise FoundError(f"the API keys are {names}")


def _is_over(key: ApiKey) -> bool:
    return key.expires_at is not None and time.time() > key.expires_at


async def _require_admitted(chaos: Chaos, server: Server, token: str, *, good: bool, key: ApiKey | None = None) -> None:
    house = chaos.house
    for _ in range(server.workers):
        answer = await house.ask(server, "GET", "/api/model-providers", token)
        if key is not None and key.expires_at is not None and good and _is_over(key):
            return
        if answer.status != (200 if good else 401):
            raise FoundError(f"a key that is {'good' if good else 'no good'} was answered {answer.status} by server {server.number}")
        until = time.monotonic() + IN_FORCE_S
        while ((await house.ask(server, "GET", "/v1/models", token)).status == 200) != good:
            if time.monotonic() > until:
                raise FoundError(f"the gateway of server {server.number} takes a key for {'no good' if good else 'good'}")
            if key is not None and _is_over(key):
                return
            await asyncio.sleep(0.1)
    if key is not None and good and not key.writes:
        answer = await house.ask(server, "PUT", "/api/model-providers/groq", token, {"enabled": True})
        if answer.status != 403 and not _is_over(key):
            raise FoundError(f"a key that may read was answered {answer.status} to a PUT")
