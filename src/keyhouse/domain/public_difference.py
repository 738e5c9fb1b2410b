"""What a change made of what is public in a provider: the values before and after it. No secret ever goes in here or comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keyhouse.domain.history import FieldChange
from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ModelProvider


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one field: what was there and is no longer, what is there now, and, of models, the ids that stayed and are declared otherwise."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.before or self.after or self.altered)


def public_difference(before: ModelProvider, after: ModelProvider, change: FieldChange, is_public: Callable[[str], bool]) -> Difference:
    """The difference that a change made between two states; an empty one where the field is a secret or cannot be read."""
    kind, _, name = change.name.partition(".")
    if kind == "enabled":
        return Difference((_on_off(before),) if before.is_stored else (), (_on_off(after),))
    if kind in _MODELS:
        return _models(_MODELS[kind](before), _MODELS[kind](after))
    if kind == "defaultModel":
        return Difference(_given(change.before), _given(change.after))
    if kind == "customKeys" and is_public(name):
        return Difference(_public(before, name), _public(after, name))
    if change.name == "extraHeaders":
        return Difference((_header_names(before),), (_header_names(after),))
    return Difference()


_MODELS: Mapping[str, Callable[[ModelProvider], tuple[CustomModel, ...]]] = {
    "customModels": lambda provider: provider.custom_models,
    "customEmbeddingsModels": lambda provider: provider.custom_embeddings_models,
}


def _on_off(provider: ModelProvider) -> str:
    return "on" if provider.enabled else "off"


def _models(before: tuple[CustomModel, ...], after: tuple[CustomModel, ...]) -> Difference:
    old, new = ({model.model_id: model for model in models} for models in (before, after))
    altered = tuple(name for name in new if name in old and new[name] != old[name])
    return Difference(tuple(name for name in old if name not in new), tuple(name for name in new if name not in old), altered)


def _public(provider: ModelProvider, name: str) -> tuple[str, ...]:
    value = provider.credentials.get(name) if name in provider.credentials and provider.credentials.readable else None
    return (value,) if isinstance(value, str) else ()


def _header_names(provider: ModelProvider) -> str:
    return ", ".join(header.name for header in provider.extra_headers)


def _given(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)
