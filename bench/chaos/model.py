"""What must hold of a project's providers, said once more and simply: a model that the chaos run compares a house with. Pure.

It knows nothing of Keyhouse's code. A lane is one provider of one project; while a write was not acknowledged it may be in several states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

MASK = "HAS_KEY" + "\u2022" * 24
Body = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A provider as the contract has it. `address` is the public field that says where secrets go, `home` where they go without it."""

    secrets: tuple[str, ...]
    public: tuple[str, ...] = ()
    address: str | None = None
    home: str | None = None
    required: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    keeps_unknown: bool = False
    json: bool = False
    """Its secrets are JSON text."""


KINDS: Mapping[str, Kind] = {
    "openai": Kind(
        ("OPENAI_API_KEY",),
        ("OPENAI_BASE_URL",),
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1",
        any_of=("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    ),
    "anthropic": Kind(
        ("ANTHROPIC_API_KEY",),
        ("ANTHROPIC_BASE_URL",),
        "ANTHROPIC_BASE_URL",
        "https://api.anthropic.com",
        any_of=("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    ),
    "custom": Kind(("CUSTOM_API_KEY",), ("CUSTOM_BASE_URL",), "CUSTOM_BASE_URL"),
    "vllm": Kind(("VLLM_API_KEY",), ("VLLM_BASE_URL",), "VLLM_BASE_URL", required=("VLLM_BASE_URL",)),
    "azure": Kind(
        ("AZURE_OPENAI_API_KEY", "UNKNOWN_ONE", "UNKNOWN_TWO"),
        ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_VERSION"),
        "AZURE_OPENAI_ENDPOINT",
        keeps_unknown=True,
    ),
    "bedrock": Kind(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), ("AWS_REGION_NAME",)),
    "gemini": Kind(
        ("GEMINI_API_KEY",),
        ("GEMINI_PROJECT", "GEMINI_LOCATION"),
        required=("GEMINI_API_KEY",),
        together=("GEMINI_PROJECT", "GEMINI_LOCATION"),
    ),
    "groq": Kind(("GROQ_API_KEY",), required=("GROQ_API_KEY",)),
    "vertex_ai": Kind(
        ("GOOGLE_APPLICATION_CREDENTIALS",),
        ("VERTEXAI_PROJECT", "VERTEXAI_LOCATION"),
        required=("GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT", "VERTEXAI_LOCATION"),
        json=True,
    ),
}


@dataclass(frozen=True)
class Content:
    """What a provider holds, opened."""

    enabled: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)
    models: tuple[tuple[str, int | None], ...] = ()
    embeddings: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def says_nothing(self) -> bool:
        return self == Content()

    @property
    def has_secrets(self) -> bool:
        return bool(self.keys or self.headers)


@dataclass(frozen=True)
class Version:
    """A line of the history, and the state after it. A deletion begins another generation: secrets of the one before are destroyed."""

    action: str
    content: Content
    generation: int


@dataclass(frozen=True)
class State:
    """All that is to be known of a lane. `default_model` is its project's; one lane of each project alone changes it."""

    content: Content = field(default_factory=Content)
    stored: bool = False
    generation: int = 0
    default_model: str | None = None
    history: tuple[Version, ...] = ()

    def changed(self, action: str, content: Content, *, stored: bool = True, default_model: str | None = None) -> "State":
        version = Version(action, content, self.generation)
        return State(content, stored, self.generation + (not stored), default_model, (*self.history, version))


class RefusedError(Exception):
    """The house must answer with this status, and change nothing."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def put(kind: Kind, provider: str, state: State, body: Body) -> State:
    """The state after a PUT. Raises RefusedError."""
    old, keys = state.content, dict(state.content.keys)
    headers, kept_headers = old.headers, len(old.headers)
    if "extraHeaders" in body:
        headers, kept_headers = restored(body["extraHeaders"], old.headers)
    if "customKeys" in body:
        keys = merged(kind, old.keys, body["customKeys"])
        require_same_destination(kind, old.keys, keys, body["customKeys"], kept_headers)
    content = Content(
        enabled=body["enabled"],
        keys=keys,
        models=models(body["customModels"]) if "customModels" in body else old.models,
        embeddings=tuple(body["customEmbeddingsModels"]) if "customEmbeddingsModels" in body else old.embeddings,
        headers=headers,
    )
    default = state.default_model
    if "defaultModel" in body:
        named = body["defaultModel"]
        default = None if not named else named if named.startswith(f"{provider}/") else f"{provider}/{named}"
    same = content == old or (content.says_nothing and not state.stored)
    if same and default == state.default_model:
        return state
    return state.changed("updated" if state.stored else "created", content, default_model=default)


def delete(state: State) -> State:
    """The state after a DELETE. Raises RefusedError."""
    if not state.stored:
        raise RefusedError(404, "nothing stored")
    return state.changed("deleted", Content(), stored=False, default_model=state.default_model)


def roll_back(state: State, version: int) -> State:
    """The state after a rollback. Raises RefusedError."""
    if not 1 <= version <= len(state.history):
        raise RefusedError(404, "no such version")
    past = state.history[version - 1]
    if past.action == "deleted":
        raise RefusedError(409, "a deletion")
    if past.content.has_secrets and past.generation != state.generation:
        raise RefusedError(409, "secrets destroyed")
    return state.changed("rolled_back", past.content, default_model=state.default_model)


def merged(kind: Kind, stored: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Section 4 of the contract, its rules 1 to 5."""
    known = (*kind.secrets, *kind.public)
    if stored and not any(name in known for name in given):
        raise RefusedError(400, "would be lost")
    after = {name: value for name, value in stored.items() if name in kind.secrets and name not in given}
    for name, value in given.items():
        if name in known or kind.keeps_unknown:
            text = stored.get(name, "") if value == MASK else value
            after |= {name: text} if text else {}
    missing = [name for name in kind.required if not after.get(name)]
    if kind.any_of and not any(after.get(name) for name in kind.any_of):
        missing += kind.any_of
    present = [name for name in kind.together if after.get(name)]
    if missing or (present and len(present) < len(kind.together)):
        raise RefusedError(400, "rules of the provider")
    return after


def require_same_destination(
    kind: Kind, before: Mapping[str, str], after: Mapping[str, str], given: Mapping[str, str], kept_headers: int
) -> None:
    """Rule 7: what is not sent again stays with the origin that it was stored for."""
    destination = origin(kind, after)
    if destination is None or destination == origin(kind, before):
        return
    kept = [name for name in after if name in kind.secrets and given.get(name, MASK) == MASK]
    if kept or kept_headers:
        raise RefusedError(400, "endpoint changed")


def origin(kind: Kind, keys: Mapping[str, str]) -> str | None:
    """Scheme, host and port that secrets are sent to."""
    address = keys.get(kind.address or "") or kind.home
    if kind.address is None or address is None:
        return None
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def restored(given: Sequence[Mapping[str, str]], stored: Sequence[tuple[str, str]]) -> tuple[tuple[tuple[str, str], ...], int]:
    """Headers after a write, and how many of them are stored values that were not sent again."""
    names, seen, kept = [header["key"].lower() for header in given], list[str](), 0
    after: list[tuple[str, str]] = []
    for position, header in enumerate(given):
        name = header["key"].lower()
        same = [value for stored_name, value in stored if stored_name.lower() == name]
        nth = seen.count(name)
        seen.append(name)
        if header["value"] != MASK:
            after.append((header["key"], header["value"]))
            continue
        if nth < len(same):
            value = same[nth]
        elif position < len(stored) and stored[position][0].lower() not in names:
            value = stored[position][1]
        else:
            continue
        kept += 1
        after.append((header["key"], value))
    return tuple(after), kept


def models(given: Sequence[Any]) -> tuple[tuple[str, int | None], ...]:
    """Id and token limit of each."""
    return tuple((one, None) if isinstance(one, str) else (one["modelId"], one.get("maxTokens")) for one in given)


def shown(kind: Kind, state: State) -> dict[str, Any]:
    """What a read must say of a lane, in the names of the API."""
    content = state.content
    keys = {name: value if name in kind.public else MASK for name, value in content.keys.items()}
    return {
        "enabled": content.enabled,
        "customKeys": keys or None,
        "customModels": [list(model) for model in content.models],
        "customEmbeddingsModels": list(content.embeddings),
        "extraHeaders": [[name, MASK] for name, _ in content.headers],
    }


def as_shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a read, in the form of `shown`."""
    return {
        "enabled": entry["enabled"],
        "customKeys": entry["customKeys"],
        "customModels": [[model["modelId"], model.get("maxTokens")] for model in entry.get("customModels") or []],
        "customEmbeddingsModels": [model["modelId"] for model in entry.get("customEmbeddingsModels") or []],
        "extraHeaders": [[header["key"], header["value"]] for header in entry["extraHeaders"]],
    }


@dataclass
class Lane:
    """One provider of one project: the states it may be in (one, once it was read), and the newest revision that anybody heard of."""

    project: int
    provider: str
    possible: list[State] = field(default_factory=lambda: [State()])
    revision: int = 0

    @property
    def kind(self) -> Kind:
        return KINDS[self.provider]

    @property
    def state(self) -> State:
        """The only state. Whoever asks has resolved the lane before."""
        assert len(self.possible) == 1, f"{self} is not resolved"
        return self.possible[0]

    @property
    def is_callable(self) -> bool:
        """Whether a call would go to an address of ours."""
        content = self.state.content
        return content.enabled and self.kind.address is not None and self.kind.address in content.keys

    def __str__(self) -> str:
        return f"{self.project}/{self.provider}"

    def copied(self) -> "Lane":
        return replace(self, possible=list(self.possible))
