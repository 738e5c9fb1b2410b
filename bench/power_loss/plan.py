"""What callers are going to send, all of it drawn before: of each provider a row of changes, and the state after each of them."""

import json
import random
from dataclasses import dataclass, field

from bench.chaos import model
from bench.chaos.model import KINDS, Body, RefusedError, State

PATH = "/api/model-providers"
HERE, RESTORED = ("groq", "bedrock", "azure", "vertex_ai", "anthropic", "gemini"), ("openai",)
"""The providers that are changed in the house, and those that are changed only in one that was restored from its backup."""
_MODELS = ("m-1", "org/m:2", "m.3")
_LARGE = 20_000


@dataclass(frozen=True)
class Step:
    """One request. Each makes one version of its provider."""

    method: str
    path: str
    body: Body | None


@dataclass
class Lane:
    """The steps of one provider, which are sent one after the other. `states[n]` is what is stored after n of them."""

    provider: str
    steps: list[Step] = field(default_factory=list)
    states: list[State] = field(default_factory=lambda: [State()])
    sent: int = 0

    def add(self, dice: random.Random, *, large: bool = False) -> None:
        """Draw one more. Large ones are never deletions, which would empty the write-ahead log."""
        chance, state = dice.random(), self.states[-1]
        after = None
        if chance < 0.12 and state.stored and not large:
            step, after = Step("DELETE", f"{PATH}/{self.provider}", None), model.delete(state)
        elif chance < 0.3 and state.history and not large:
            version = dice.randint(1, len(state.history))
            step, after = Step("POST", f"{PATH}/{self.provider}/rollback", {"version": version}), _rolled_back(state, version)
        if after is None:
            step = Step("PUT", f"{PATH}/{self.provider}", _body(self.provider, dice, large=large))
            after = model.put(KINDS[self.provider], self.provider, state, step.body or {})
        self.steps.append(step)
        self.states.append(after)


def _rolled_back(state: State, version: int) -> State | None:
    try:
        return model.roll_back(state, version)
    except RefusedError:
        return None


def _body(provider: str, dice: random.Random, *, large: bool) -> Body:
    kind = KINDS[provider]
    body: Body = {"enabled": dice.random() < 0.9, "customKeys": {name: _secret(name, dice, large=large) for name in kind.secrets}}
    for name in kind.required:
        body["customKeys"].setdefault(name, f"public-{dice.randrange(10**6)}")
    if kind.json:
        body["customKeys"][kind.secrets[0]] = json.dumps({"type": "service_account", "private_key": _secret("account", dice, large=large)})
    if dice.random() < 0.4:
        body["customModels"] = dice.sample(_MODELS, dice.randint(0, len(_MODELS)))
    if dice.random() < 0.3:
        body["extraHeaders"] = [{"key": "x-power", "value": _secret("header", dice, large=False)} for _ in range(dice.randint(0, 2))]
    return body


def _secret(name: str, dice: random.Random, *, large: bool) -> str:
    return f"{name}-{dice.randbytes(9).hex()}" + "x" * (_LARGE if large else 0)
