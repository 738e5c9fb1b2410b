"""Models: how one is named, and what a project declares of one. No I/O."""

import datetime
from dataclasses import dataclass
from typing import Literal

Mode = Literal["chat", "embedding"]
SupportedParameter = Literal[
    "temperature",
    "max_tokens",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "top_k",
    "min_p",
    "repetition_penalty",
    "seed",
    "reasoning",
    "verbosity",
]
MultimodalInput = Literal["image", "file", "audio"]


@dataclass(frozen=True, slots=True)
class CustomModel:
    """A model that a project declares. What is None was not declared."""

    model_id: str
    display_name: str
    mode: Mode
    max_tokens: int | float | None = None
    supported_parameters: tuple[SupportedParameter, ...] | None = None
    multimodal_inputs: tuple[MultimodalInput, ...] | None = None

    @property
    def limits(self) -> bool:
        """Whether requests have to be looked into, to hold them to it."""
        return (self.max_tokens, self.supported_parameters, self.multimodal_inputs) != (None, None, None)


def default_model_reference(provider: str, given: str) -> str | None:
    """How a default model is stored: `provider/model`, prefixed unless it already is; None for an empty string, which clears it."""
    if given == "":
        return None
    return given if given.startswith(f"{provider}/") else f"{provider}/{given}"


def retirement(day: datetime.date, today: datetime.date) -> str:
    """The end of a model in words: `retires 11 Dec 2026`, and `retired` once that day is past."""
    return f"{'retired' if day < today else 'retires'} {day.day} {day:%b %Y}"
