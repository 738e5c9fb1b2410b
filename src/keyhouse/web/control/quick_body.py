"""The body of a PUT as it nearly always comes: decoded and checked in one pass, three times as fast as by its schema.

It has the fields of `ModelProviderBody` and takes nothing that this would not take. Whatever is odd goes the long way, which says why.
"""

from functools import lru_cache
from typing import Annotated, Any

import msgspec
from pydantic import MISSING

from keyhouse.domain.model import Mode, MultimodalInput, SupportedParameter
from keyhouse.domain.model_provider import ABSENT, ModelProviderUpdate
from keyhouse.gateway.wire.json_text import UNREADABLE
from keyhouse.web.control.schemas import LARGEST_NUMBER, MOST_MODELS, Models, problems, to_models, update_of

_NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
# A field that may be absent, and may not be null.
_ABSENT: Any = MISSING


class _Model(msgspec.Struct, forbid_unknown_fields=True):
    modelId: _NonEmpty
    displayName: _NonEmpty
    mode: Mode
    maxTokens: Annotated[int, msgspec.Meta(gt=0, le=LARGEST_NUMBER)] | None = _ABSENT
    supportedParameters: tuple[SupportedParameter, ...] = _ABSENT
    multimodalInputs: tuple[MultimodalInput, ...] = _ABSENT


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    value: str

    def __repr__(self) -> str:
        return "_Header(***)"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    enabled: bool
    customKeys: dict[str, Any] = _ABSENT
    customModels: msgspec.Raw = _ABSENT
    customEmbeddingsModels: msgspec.Raw = _ABSENT
    extraHeaders: list[_Header] = _ABSENT
    defaultModel: str = _ABSENT

    def __repr__(self) -> str:
        return "_Body(***)"


_decode = msgspec.json.Decoder(_Body).decode
_decode_models = msgspec.json.Decoder(list[_Model | str]).decode
_LONGEST_KEPT = 8192


def quick_body(body: bytes) -> ModelProviderUpdate | None:
    """What the body of a PUT says, or None where it must go the long way."""
    try:
        body.decode()  # what is skipped before it is read is held to nothing else
        found: Any = _decode(body)
        models = _models(found.customModels, "chat")
        embeddings_models = _models(found.customEmbeddingsModels, "embedding")
    except UNREADABLE:
        return None
    if models is None or embeddings_models is None or problems(found):
        return None
    return update_of(found, models, embeddings_models)


def _models(text: Any, mode: Mode) -> Models | None:
    if text is MISSING:
        return ABSENT
    return (_kept_models if len(text) <= _LONGEST_KEPT else _read_models)(bytes(text), mode)


def _read_models(text: bytes, mode: Mode) -> Models | None:
    """A list of ids or of models, not both, nor too many, without an empty or repeated id; None for any other."""
    found = _decode_models(text)
    ids = {model if isinstance(model, str) else model.modelId for model in found}
    is_plain = len(ids) == len(found) <= MOST_MODELS and "" not in ids and len(set(map(type, found))) <= 1
    return to_models(found, mode) if is_plain else None


# Most writes repeat a list: it is read once, and then compared with itself.
_kept_models = lru_cache(maxsize=128)(_read_models)
