"""The JSON of the Model Providers API, in and out. Shapes and strictness only; what a PUT means is the domain's."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from pydantic import MISSING, BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from keyhouse.catalog.catalog import Catalog
from keyhouse.domain.credentials import MASK
from keyhouse.domain.headers import ExtraHeader, header_problem
from keyhouse.domain.model import CustomModel, Mode, MultimodalInput, SupportedParameter
from keyhouse.domain.model_provider import ABSENT, Absent, ModelProvider, ModelProviderUpdate
from keyhouse.domain.provider_spec import ProviderSpec

LARGEST_NUMBER = 2**53 - 1
_DEEPEST = 32
_MOST_HEADERS = 100
MOST_MODELS = 1000
"""Of one list. A page has a row for each."""
IDS, MODELS = "ids", "models"
UNION_TAGS = frozenset({IDS, MODELS})
"""Names of alternatives in a validation error's path; no fields of the body."""


class Body(BaseModel):
    """A request's body: strict types, unknown fields ignored. It may hold secrets, so it is not printed."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    __str__ = __repr__


NonEmpty = Annotated[str, Field(min_length=1)]


def _max_tokens(value: object) -> int | float | None:
    if value is None or (type(value) is int and 0 < value <= LARGEST_NUMBER):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number_type", "Input should be a number or null")
    if not 0 < value <= LARGEST_NUMBER:
        raise PydanticCustomError("number_range", f"must be greater than 0 and at most {LARGEST_NUMBER}")
    return int(value) if isinstance(value, float) and value.is_integer() else value


MaxTokens = Annotated[int | float | None, PlainValidator(_max_tokens), WithJsonSchema({"type": ["number", "null"], "exclusiveMinimum": 0})]


class CustomModelBody(Body):
    """A model that a project declares."""

    modelId: NonEmpty
    displayName: NonEmpty
    mode: Mode
    maxTokens: MaxTokens | MISSING = MISSING
    supportedParameters: list[SupportedParameter] | MISSING = MISSING
    multimodalInputs: list[MultimodalInput] | MISSING = MISSING


class ExtraHeaderBody(Body):
    """A header's name and its value or mask."""

    key: str
    value: str


def _models_or_ids(value: object) -> str:
    return MODELS if isinstance(value, list) and any(isinstance(item, dict) for item in value) else IDS


ModelList = Annotated[
    Annotated[list[CustomModelBody], Tag(MODELS)] | Annotated[list[str], Tag(IDS)],
    Discriminator(_models_or_ids),
]


class ModelProviderBody(Body):
    """The body of a PUT. Every field but `enabled` may be absent; none may be null."""

    enabled: bool
    customKeys: dict[str, Any] | MISSING = MISSING
    customModels: ModelList | MISSING = MISSING
    customEmbeddingsModels: ModelList | MISSING = MISSING
    extraHeaders: list[ExtraHeaderBody] | MISSING = MISSING
    defaultModel: str | MISSING = MISSING


FieldProblem = tuple[str, str, str]
"""A path such as `customModels.0.modelId`, the failure's type, a sentence."""


def problems(body: ModelProviderBody) -> list[FieldProblem]:
    """What the schema cannot say: empty and repeated ids, illegal headers, control characters in the default model."""
    found: list[FieldProblem] = []
    if isinstance(body.customModels, list):
        found += _id_problems("customModels", body.customModels)
    if isinstance(body.customEmbeddingsModels, list):
        found += _id_problems("customEmbeddingsModels", body.customEmbeddingsModels)
    if body.extraHeaders is not MISSING:
        if len(body.extraHeaders) > _MOST_HEADERS:
            return [*found, ("extraHeaders", "too_long", f"must not hold more than {_MOST_HEADERS} headers")]
        for position, header in enumerate(body.extraHeaders):
            value = "" if header.value == MASK else header.value
            if problem := header_problem(header.key, value):
                found.append((f"extraHeaders.{position}.{problem[0]}", "invalid_header", problem[1]))
    if body.defaultModel is not MISSING and not body.defaultModel.isprintable():
        found.append(("defaultModel", "invalid_string", "must not hold control characters"))
    if body.customKeys is not MISSING:
        for name, value in body.customKeys.items():
            if not isinstance(value, str) and _is_deeper(value, _DEEPEST):
                found.append((f"customKeys.{name}", "too_deep", f"must not be nested deeper than {_DEEPEST}"))
    return found


def _id_problems(name: str, models: Sequence[CustomModelBody | str]) -> list[FieldProblem]:
    if len(models) > MOST_MODELS:
        return [(name, "too_long", f"must not hold more than {MOST_MODELS} models")]
    ids = [model if isinstance(model, str) else model.modelId for model in models]
    if all(ids) and len(set(ids)) == len(ids):
        return []
    found: list[FieldProblem] = []
    seen: set[str] = set()
    for position, (model, model_id) in enumerate(zip(models, ids, strict=True)):
        path = f"{name}.{position}" if isinstance(model, str) else f"{name}.{position}.modelId"
        if not model_id:
            found.append((path, "too_small", "must not be empty"))
        elif model_id in seen:
            found.append((path, "duplicate", "is in the list twice"))
        seen.add(model_id)
    return found


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)


Models = tuple[CustomModel, ...] | Literal[Absent.ABSENT]


def to_update(body: ModelProviderBody) -> ModelProviderUpdate:
    """What the body says, in the domain's words."""
    return update_of(body, to_models(body.customModels, "chat"), to_models(body.customEmbeddingsModels, "embedding"))


def update_of(body: Any, models: Models, embeddings_models: Models) -> ModelProviderUpdate:
    """The same, of anything with the fields of a body, whose models were read already."""
    return ModelProviderUpdate(
        enabled=body.enabled,
        custom_keys=ABSENT if body.customKeys is MISSING else body.customKeys,
        custom_models=models,
        custom_embeddings_models=embeddings_models,
        extra_headers=(
            ABSENT if body.extraHeaders is MISSING else tuple([ExtraHeader(header.key, header.value) for header in body.extraHeaders])
        ),
        default_model=ABSENT if body.defaultModel is MISSING else body.defaultModel,
    )


def to_models(given: Any, mode: Mode) -> Models:
    """A list of ids, or of models as a body has them."""
    if given is MISSING:
        return ABSENT
    return tuple(CustomModel(model, model, mode) if isinstance(model, str) else _to_model(model) for model in given)


def _to_model(body: CustomModelBody) -> CustomModel:
    return CustomModel(
        body.modelId,
        body.displayName,
        body.mode,
        None if body.maxTokens is MISSING else body.maxTokens,
        None if body.supportedParameters is MISSING else tuple(body.supportedParameters),
        None if body.multimodalInputs is MISSING else tuple(body.multimodalInputs),
    )


def _model_json(model: CustomModel) -> dict[str, object]:
    declared: dict[str, object] = {"modelId": model.model_id, "displayName": model.display_name, "mode": model.mode}
    if model.max_tokens is not None:
        declared["maxTokens"] = model.max_tokens
    if model.supported_parameters is not None:
        declared["supportedParameters"] = model.supported_parameters
    if model.multimodal_inputs is not None:
        declared["multimodalInputs"] = model.multimodal_inputs
    return declared


def _encoded_models(catalog: Catalog, provider: str, mode: Mode) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(catalog.models(provider, mode)))


_SHOWN_KEPT = 256
_LONGEST_SHOWN = 8192


class EntryEncoder:
    """Encodes providers as callers see them: masked. What a provider is that nobody stored is encoded once, ahead."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._shown: dict[int, tuple[object, msgspec.Raw]] = {}
        self._models = {
            spec.id: [_encoded_models(catalog, spec.id, mode) for mode in ("chat", "embedding")] for spec in catalog.providers.values()
        }
        self._defaults = {spec.id: msgspec.json.encode(self._entry(spec, ModelProvider(spec.id))) for spec in catalog.providers.values()}
        self._names = {provider: msgspec.json.encode(provider) + b":" for provider in self._defaults}
        # The braces around all of them belong to the first and the last: so they are put together in one piece.
        self._before = dict.fromkeys(self._defaults, b",") | {next(iter(self._defaults)): b"{"}
        self._after = dict.fromkeys(self._defaults, b"") | {next(reversed(self._defaults)): b"}"}
        self._framed_defaults = {provider: self._framed(provider, default) for provider, default in self._defaults.items()}

    def encode_all(self, stored: Mapping[str, bytes]) -> bytes:
        """The map of every provider of the registry, in its order, from the entries of the stored ones."""
        entries = self._framed_defaults.copy()
        for provider, entry in stored.items():
            entries[provider] = self._framed(provider, entry)
        return b"".join(entries.values())

    def _framed(self, provider: str, entry: bytes) -> bytes:
        return b"%b%b%b%b" % (self._before[provider], self._names[provider], entry, self._after[provider])

    def encode_one(self, provider: ModelProvider) -> bytes:
        """One entry. A row that says no more than the default is shown as the default."""
        if provider.says_nothing:
            return self._defaults[provider.provider]
        return msgspec.json.encode(self._entry(self._catalog.providers[provider.provider], provider))

    def _entry(self, spec: ProviderSpec, provider: ModelProvider) -> dict[str, object]:
        entry: dict[str, object] = {"id": provider.id} if provider.id else {}
        models, embeddings = self._models[spec.id]
        entry |= {
            "provider": spec.id,
            "enabled": provider.enabled,
            "disabledByDefault": True,
            "customKeys": provider.credentials.masked(spec) or None,
            "deploymentMapping": None,
            "models": models,
            "embeddingsModels": embeddings,
        }
        if provider.id:
            entry["customModels"] = self._shown_models(provider.custom_models)
            entry["customEmbeddingsModels"] = self._shown_models(provider.custom_embeddings_models)
        entry["extraHeaders"] = [{"key": header.name, "value": MASK} for header in provider.extra_headers]
        return entry

    def _shown_models(self, models: tuple[CustomModel, ...]) -> msgspec.Raw | None:
        """A list that is the same as before, not just equal, is not encoded again."""
        if not models:
            return None
        kept = self._shown.get(id(models))
        if kept is not None and kept[0] is models:
            return kept[1]
        shown = msgspec.Raw(msgspec.json.encode([_model_json(model) for model in models]))
        if len(shown) <= _LONGEST_SHOWN:
            if len(self._shown) >= _SHOWN_KEPT:
                self._shown.clear()
            self._shown[id(models)] = models, shown
        return shown
