"""What a family of models takes, from `models.toml`. Says nothing about a single request."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from keyhouse.gateway.wire.conversation import Effort, Reasoning

Forcible = Literal["all", "any", "none"]
ThinkingForm = Literal["budget", "adaptive", "nova", "effort", "nested_effort", "none"]

DEFAULT_MAX_TOKENS = 8192
"""Sent where neither the caller nor the catalogue states a limit, and nothing better is known: every model still served answers as much."""

MINIMUM_BUDGET_TOKENS = 1024
"""Below this `budget_tokens` is refused: https://platform.claude.com/docs/en/build-with-claude/extended-thinking, 23 November 2026."""

EFFORTS: tuple[Effort, ...] = ("minimal", "low", "medium", "high", "xhigh", "max")
NONE_OR_EFFORTS: tuple[Literal["none"] | Effort, ...] = ("none", *EFFORTS)
"""In OpenAI's formats, which switch reasoning off by a level."""


class ModelTraits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See `models.toml` for the members."""

    thinking: ThinkingForm
    off: Literal["disabled", "between_tools", ""]
    efforts: tuple[Effort, ...]
    sampling: Literal["both", "one", "none"]
    top_k: str
    strict: bool
    caches: Literal["all", "prompt", "none"]
    forced_tools: Forcible = "all"
    binds_thoughts: bool = False
    tool_status: bool = True
    images_in_results: bool = True
    thinks_unasked: bool = True
    strict_on_converse: bool = False
    mixed_turns: bool = True
    streamed_tools: bool = True
    bare_schemas: bool = False
    output_tokens: int = DEFAULT_MAX_TOKENS
    most_output_tokens: int | None = None
    least_output_tokens: int = 1
    is_known: bool = True
    """False of a family that is none: nothing in `models.toml` fits the model."""

    @property
    def takes_beginnings(self) -> bool:
        """Whether the model goes on with a last message of its own. No Claude does that thinks as it sees fit."""
        return self.thinking != "adaptive" or not self.is_known


class ChatTraits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See `models.toml` for the members. `efforts` and `strict_turns` are None where nothing is known of them."""

    efforts: tuple[Effort, ...] | None = None
    samples: bool = True
    wants_signatures: bool = False
    wants_thoughts: bool = False
    strict_turns: bool | None = None


class ResponsesTraits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See `models.toml` for the members. `efforts` is None where nothing is known of them."""

    efforts: tuple[Effort, ...] | None = None
    can_be_off: bool = False
    reasons_by_default: bool = True
    phases: bool = False


_Traits = TypeVar("_Traits")
_Families = list[tuple[re.Pattern[str], _Traits]]
_data = tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))
_budgets: dict[Effort, int] = _data["budgets"]


def _families(table: str, kind: type[_Traits]) -> _Families[_Traits]:
    return [(re.compile(family.pop("pattern")), msgspec.convert(family, kind)) for family in _data[table]]


def _known(families: _Families[_Traits], model_id: str, unknown: _Traits) -> _Traits:
    return next((traits for pattern, traits in families if pattern.search(model_id)), unknown)


_of_claude_and_converse = _families("family", ModelTraits)
_of_chat = _families("chat_family", ChatTraits)
_of_responses = _families("responses_family", ResponsesTraits)


@lru_cache(maxsize=1024)
def traits(model_id: str, unknown: ModelTraits) -> ModelTraits:
    """The traits of a model's family; `unknown` where no family is known."""
    return _known(_of_claude_and_converse, model_id, unknown)


def known_traits(model_id: str) -> ModelTraits | None:
    """The traits of a model's family; None where no family is known."""
    return next((known for pattern, known in _of_claude_and_converse if pattern.search(model_id)), None)


def most_output_tokens(model_id: str) -> int | None:
    """The highest limit of an answer that a model's family takes, where that is known."""
    known = known_traits(model_id)
    return None if known is None else known.most_output_tokens


@lru_cache(maxsize=1024)
def chat_traits(model_id: str) -> ChatTraits:
    """The traits of a model in Chat Completions; those of one of which nothing is known where no family is."""
    return _known(_of_chat, model_id, ChatTraits())


@lru_cache(maxsize=1024)
def responses_traits(model_id: str) -> ResponsesTraits:
    """The traits of a model in Responses; those of one of which nothing is known where no family is."""
    return _known(_of_responses, model_id, ResponsesTraits())


def nearest_effort(wanted: Effort, accepted: tuple[Effort, ...]) -> Effort:
    """The accepted level that comes closest: the highest one that is not above, else the lowest. `accepted` is not empty."""
    below = [level for level in accepted if EFFORTS.index(level) <= EFFORTS.index(wanted)]
    return below[-1] if below else accepted[0]


def effort(reasoning: Reasoning) -> Effort:
    """The effort that was asked for, or the one that a budget amounts to; medium where neither was stated."""
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.budget_tokens is None:
        return "medium"
    at_most = [level for level in EFFORTS if _budgets[level] <= reasoning.budget_tokens]
    return at_most[-1] if at_most else "minimal"


def budget_tokens(reasoning: Reasoning, max_tokens: int) -> int | None:
    """The budget that was asked for, or the one that an effort amounts to, below `max_tokens`; None where no room is left to think."""
    wanted = reasoning.budget_tokens or _budgets[effort(reasoning)]
    budget = min(wanted, max_tokens - 1)
    return budget if budget >= MINIMUM_BUDGET_TOKENS else None
