"""Reads a models file: which models each provider has, and where that knowledge is from. Knows no provider."""

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.model import MultimodalInput, SupportedParameter

CatalogMode = Literal["chat", "embedding", "completion", "speech", "transcription", "image", "moderation", "rerank"]

_Count = Annotated[int, msgspec.Meta(gt=0)]
_Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
_Text = Annotated[str, msgspec.Meta(min_length=1)]


class PriceTier(msgspec.Struct, frozen=True, array_like=True):
    """Prices for requests of more than `above_tokens` input tokens, in place of the model's own."""

    above_tokens: _Count
    prices: dict[str, float]


class CatalogModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model that a provider is known to have. What is None is not known.

    `context_window` and `max_output_tokens` are in tokens. `prices` are US dollars for a million tokens, by what is counted: `input`,
    `output`, `cache_read`, `cache_write`, `cache_write_1h`, `input_audio`, `output_audio`, `input_image`, `output_image`. `retires_on` is
    the day on which its provider has said to end it, and is only told: the model is listed and called before and after as any other.
    """

    id: _Text
    mode: CatalogMode = "chat"
    context_window: _Count | None = None
    max_output_tokens: _Count | None = None
    supported_parameters: tuple[SupportedParameter, ...] | None = None
    multimodal_inputs: tuple[MultimodalInput, ...] | None = None
    prices: dict[str, float] = {}
    price_tiers: tuple[PriceTier, ...] = ()
    retires_on: datetime.date | None = None


class Source(msgspec.Struct, frozen=True):
    """Where the models are from: a package, its version, licence and address."""

    name: _Text
    version: str
    licence: str
    url: str = ""


class ModelsFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A models file. `models` maps a provider's id to its models, in the order they are shown."""

    source: Source
    generated_at: _Date
    models: dict[str, tuple[CatalogModel, ...]]
    digest: str | None = None


def models_digest(models: Mapping[str, tuple[CatalogModel, ...]]) -> str:
    """The SHA-256, in hexadecimal, of the models as msgspec writes them, whatever the layout of the file."""
    return hashlib.sha256(msgspec.json.encode(models)).hexdigest()


def read_models_file(path: Path) -> ModelsFile:
    """A checked models file.

    Raises Error `configuration` with a sentence that names the file, what is wrong with it and what to do.
    """
    try:
        file = msgspec.json.decode(path.read_bytes(), type=ModelsFile)
    except OSError as problem:
        raise _unusable(path, f"cannot be read ({problem.strerror})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise _unusable(path, f"is no models file: {problem}") from None
    if file.digest is not None and file.digest != models_digest(file.models):
        raise _unusable(path, "does not match the digest inside it: it was cut off or changed after it was made")
    for provider, models in file.models.items():
        _require_distinct(path, provider, models)
    return file


def _require_distinct(path: Path, provider: str, models: tuple[CatalogModel, ...]) -> None:
    seen: set[str] = set()
    for model in models:
        if model.id in seen:
            raise _unusable(path, f"names the model {model.id} of {provider} twice")
        seen.add(model.id)


def _unusable(path: Path, what: str) -> Error:
    return Error(
        Code.CONFIGURATION,
        f"The models file {path} {what}. Make it again with scripts/build_catalog.py, or leave KEYHOUSE_MODELS_FILE out to use the one"
        " that comes with Keyhouse.",
    )
