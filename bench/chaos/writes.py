"""Writes of the chaos run: random ones against several servers at once, and what the model makes of each answer."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.chaos import model
from bench.chaos.client import Answer, UnansweredError
from bench.chaos.house import FoundError, House, Server
from bench.chaos.model import MASK, Body, Lane, RefusedError, State
from bench.chaos.secrets import planted, planted_header, planted_json
from bench.chaos.upstream import Upstream

_UNSURE = "may have been made"
_HEADERS = ("x-chaos-a", "X-Chaos-A", "x-chaos-b", "x-chaos-c", "x-chaos-d")
_LARGE = 20_000
REFUSED, UNCHANGED, UNKNOWN = "refused", "unchanged", "unknown"

Apply = Callable[[State], State]
Outcome = tuple[State, State, int | None]
"""Of a write to a state: that state, the one after it, and the status where it must be refused."""


@dataclass
class ApiKey:
    """A scoped key. `good` is None while its revocation was not acknowledged."""

    name: str
    key_id: str
    token: str
    writes: bool
    expires_at: float | None
    good: bool | None = True


@dataclass(frozen=True)
class Backup:
    """A copy of the database, and all that was true of it then."""

    url: str
    ring: str
    lanes: list[Lane]
    project_keys: list[str]
    api_keys: list[ApiKey]


@dataclass
class Chaos:
    """A run: the house, the model of what it holds, and what happened so far."""

    house: House
    upstream: Upstream
    admin_key: str = ""
    project_ids: list[str] = field(default_factory=list)
    project_keys: list[str] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    trail: dict[str, list[State]] = field(default_factory=dict)
    """Of each lane every state that it may ever have been in."""
    under_way: dict[str, list[State]] = field(default_factory=dict)
    """Of each lane the states that writes would make which have no answer yet."""
    floors: list[int] = field(default_factory=list)
    """Of each project the newest revision that anybody was told of."""
    tokens: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    excused: set[int] = field(default_factory=set)
    """Statuses that are no fault just now, because something was broken on purpose."""
    broken: int = 0
    """How often something was."""
    api_keys: list[ApiKey] = field(default_factory=list)
    backup: Backup | None = None
    """The newest one."""

    def serving(self) -> list[Server]:
        return [server for server in self.house.servers if server.runs]


@dataclass(frozen=True)
class Write:
    """A request that changes a lane, and what it does to a state."""

    method: str
    path: str
    body: Body | None
    apply: Apply


def random_write(chaos: Chaos, lane: Lane, dice: random.Random) -> Write:
    """One that is mostly accepted."""
    path = f"/api/model-providers/{lane.provider}"
    state = lane.possible[0]
    chance = dice.random()
    if chance < 0.1:
        return Write("DELETE", path, None, model.delete)
    if chance < 0.25 and state.history:
        version = dice.randint(1, len(state.history) + (dice.random() < 0.1))
        return Write("POST", f"{path}/rollback", {"version": version}, lambda before: model.roll_back(before, version))
    body = random_body(chaos, lane, state, dice)
    return Write("PUT", path, body, lambda before: model.put(lane.kind, lane.provider, before, body))


def random_body(chaos: Chaos, lane: Lane, state: State, dice: random.Random) -> Body:
    """What a caller could send who knows what is stored, and sometimes one who does not."""
    body: Body = {"enabled": dice.random() < 0.9}
    moves = dice.random() < 0.1
    if moves or dice.random() < 0.75:
        body["customKeys"] = _keys(chaos, lane, state, dice, all_anew=moves and dice.random() < 0.9)
    if dice.random() < 0.4:
        names = dice.sample(["m-1", "org/m:2", "m.3", "gpt-5-mini"], dice.randint(0, 3))
        described = [{"modelId": name, "displayName": name, "mode": "chat", "maxTokens": dice.randint(1000, 9000)} for name in names]
        body["customModels"] = names if dice.random() < 0.5 else described
    if dice.random() < 0.2:
        body["customEmbeddingsModels"] = dice.sample(["e-1", "e-2"], dice.randint(0, 2))
    if moves or dice.random() < 0.4:
        values = [planted_header(dice) if moves or dice.random() < 0.5 else MASK for _ in range(dice.randint(0, 4))]
        body["extraHeaders"] = [{"key": dice.choice(_HEADERS), "value": value} for value in values]
    if lane.provider == "openai" and dice.random() < 0.3:
        body["defaultModel"] = dice.choice(["", "m-1", "openai/m-1", "gpt-5-mini"])
    return body


def _keys(chaos: Chaos, lane: Lane, state: State, dice: random.Random, *, all_anew: bool) -> dict[str, str]:
    kind, stored = lane.kind, state.content.keys
    given: dict[str, str] = {}
    for name in kind.secrets:
        anew = planted_json(dice) if kind.json else planted(dice, name)
        chance = dice.random()
        if all_anew or name not in stored or chance < 0.5:
            given[name] = anew
        elif chance < 0.7:
            given[name] = MASK
        elif chance < 0.8:
            given[name] = ""
    if dice.random() < 0.03:
        given[kind.secrets[0]] = planted(dice, kind.secrets[0]) + "x" * _LARGE if not kind.json else planted_json(dice)
    for name in kind.public:
        if name == kind.address:
            now = model.origin(kind, stored)
            others = [origin for origin in chaos.upstream.origins if origin != now]
            origin = dice.choice(others) if all_anew or now not in chaos.upstream.origins else now
            given[name] = f"{origin}/{dice.randrange(10**6)}"
        elif kind.required or dice.random() < 0.5:
            given[name] = f"public-{dice.randrange(10**6)}"
    return given


async def carry_out(chaos: Chaos, lane: Lane, write: Write, server: Server, tag: str = "") -> None:
    """Send a write, and have the model follow. Raises FoundError for an answer that must not be."""
    outcomes = [_outcome(state, write.apply) for state in lane.possible]
    made = [after for _, after, status in outcomes if status is None]
    chaos.trail.setdefault(str(lane), []).extend(made)
    chaos.under_way.setdefault(str(lane), []).extend(made)
    try:
        await _sent(chaos, lane, write, server, tag, outcomes)
    finally:
        if not tag:
            chaos.under_way[str(lane)].clear()


async def _sent(chaos: Chaos, lane: Lane, write: Write, server: Server, tag: str, outcomes: list[Outcome]) -> None:
    headers = {"if-match": tag} if tag else {}
    made = [after for _, after, status in outcomes if status is None]
    chaos.counts["writes"] += 1
    try:
        answer = await chaos.house.ask(server, write.method, write.path, chaos.project_keys[lane.project], write.body, headers)
    except UnansweredError as unanswered:
        chaos.counts["writes without an answer"] += 1
        if unanswered.sent:
            lane.possible = _distinct([*lane.possible, *made])
        return
    verdict = _verdict(chaos, answer, write)
    if verdict == UNKNOWN:
        lane.possible = _distinct([*lane.possible, *made])
    elif verdict == REFUSED:
        # The other one may have been first, and may have deleted it.
        left = [state for state, _, status in outcomes if status == answer.status or (tag and answer.status in (404, 412))]
        _require(left, lane, write, answer)
        lane.possible = left
    elif verdict != UNCHANGED:
        _require(made, lane, write, answer)
        _follow(chaos, lane, write, answer, _distinct(made))


def _follow(chaos: Chaos, lane: Lane, write: Write, answer: Answer, made: list[State]) -> None:
    """An acknowledged write: what the answer shows is what is stored, under a revision that nobody was told of before."""
    chaos.counts["acknowledged"] += 1
    entry = model.as_shown(answer.json[lane.provider])
    lane.possible = [state for state in made if model.shown(lane.kind, state) == entry]
    if not lane.possible:
        raise FoundError(f"{lane}: {write.method} {write.path} answered {entry}, which is none of {[_seen(lane, one) for one in made]}")
    lane.revision = max(lane.revision, answer.revision)
    chaos.floors[lane.project] = max(chaos.floors[lane.project], answer.revision)


def _verdict(chaos: Chaos, answer: Answer, write: Write) -> str:
    if answer.status == 200:
        return "made"
    if answer.status in (400, 404, 409, 412):
        chaos.counts["refused"] += 1
        return REFUSED
    if answer.status not in chaos.excused:
        raise FoundError(f"{write.method} {write.path}: {answer.status} {answer.body.decode()[:300]}")
    chaos.counts[f"answered {answer.status}"] += 1
    return UNKNOWN if _UNSURE in answer.body.decode() else UNCHANGED


def _outcome(state: State, apply: Apply) -> Outcome:
    try:
        return state, apply(state), None
    except RefusedError as refused:
        return state, state, refused.status


def _require(left: Sequence[State], lane: Lane, write: Write, answer: Answer) -> None:
    if not left:
        why = [_why(state, write.apply) for state in lane.possible]
        raise FoundError(
            f"{lane}: {write.method} {write.path} {write.body} answered {answer.status} {answer.body.decode()[:300]}; the model says "
            f"{why}, of {[state.content for state in lane.possible]}"
        )


def _why(state: State, apply: Apply) -> str:
    try:
        apply(state)
    except RefusedError as refused:
        return f"{refused.status}: {refused}"
    return "accepted"


def _seen(lane: Lane, state: State) -> dict[str, Any]:
    return model.shown(lane.kind, state)


def _distinct(states: Iterable[State]) -> list[State]:
    found: list[State] = []
    for state in states:
        if state not in found:
            found.append(state)
    return found


async def write_on(chaos: Chaos, lane: Lane, times: int, dice: random.Random) -> None:
    """One caller's writes to a lane, one after the other, each to any server."""
    for _ in range(times):
        await carry_out(chaos, lane, random_write(chaos, lane, dice), dice.choice(chaos.house.servers))


async def contend(chaos: Chaos, lane: Lane, dice: random.Random) -> None:
    """Two callers who have read the same state change it, each under its tag: no more than one may."""
    [state] = lane.possible
    key, path = chaos.project_keys[lane.project], f"/api/model-providers/{lane.provider}"
    servers = [dice.choice(chaos.house.servers) for _ in range(3)]
    try:
        tag = (await chaos.house.ask(servers[2], "GET", path, key)).tag
    except UnansweredError:
        return
    if not tag:
        return
    callers = [lane.copied() for _ in range(2)]
    writes = [random_write(chaos, caller, dice) for caller in callers]
    try:
        await asyncio.gather(*(carry_out(chaos, *each, tag) for each in zip(callers, writes, servers[:2], strict=True)))
        changed = [caller for caller in callers if caller.possible != [state]]
        sure = [caller for caller in changed if state not in caller.possible]
        if len(sure) > 1:
            raise FoundError(f"{lane}: two writes under the same tag were both made")
        lane.possible = sure[0].possible if sure else _distinct([state, *(one for caller in changed for one in caller.possible)])
        lane.revision = max(caller.revision for caller in callers)
    finally:
        chaos.under_way[str(lane)].clear()


async def read_once(chaos: Chaos, server: Server, project: int) -> bool:
    """Read a project's providers from one server; whether there was an answer."""
    lanes = [lane for lane in chaos.lanes if lane.project == project]
    floor = chaos.floors[project]
    before = {str(lane): ([*lane.possible, *chaos.under_way.get(str(lane), [])], len(chaos.trail.get(str(lane), []))) for lane in lanes}
    try:
        answer = await chaos.house.ask(server, "GET", "/api/model-providers", chaos.project_keys[project])
    except UnansweredError:
        return False
    if answer.status in chaos.excused:
        return False
    if answer.status != 200:
        raise FoundError(f"a read answered {answer.status} {answer.body.decode()[:300]}")
    chaos.counts["reads"] += 1
    if answer.revision < floor:
        raise FoundError(f"stale: server {server.number} showed revision {answer.revision} after {floor} was acknowledged")
    shown = answer.json
    for lane in lanes:
        possible, length = before[str(lane)]
        allowed = [model.shown(lane.kind, state) for state in (*possible, *chaos.trail.get(str(lane), [])[length:])]
        entry = model.as_shown(shown[lane.provider])
        if entry not in allowed:
            raise FoundError(f"{lane}: server {server.number} showed {entry}, which is none of {allowed}")
    return True
