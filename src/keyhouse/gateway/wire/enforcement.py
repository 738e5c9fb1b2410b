"""Holds a request to what a project declares of a model and to what a provider takes. Pure; knows no provider and no translation."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from keyhouse.domain.calling import EndpointName
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.model import CustomModel, Mode, MultimodalInput, SupportedParameter
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import MINIMUM_BUDGET_TOKENS
from keyhouse.gateway.wire.parameters import losses_of
from keyhouse.gateway.wire.splice import TOKEN_LIMITS

MODES: Mapping[EndpointName, Mode] = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "count_tokens": "chat",
    "completions": "chat",
    "embeddings": "embedding",
}
"""Which mode of a model an endpoint wants; what is not named here wants none."""

SPELLINGS: Mapping[SupportedParameter, tuple[str, ...]] = {
    "temperature": ("temperature", "inferenceConfig.temperature"),
    "max_tokens": (*TOKEN_LIMITS, "n_predict", "inferenceConfig.maxTokens"),
    "top_p": ("top_p", "inferenceConfig.topP"),
    "frequency_penalty": ("frequency_penalty",),
    "presence_penalty": ("presence_penalty",),
    "top_k": ("top_k", "additionalModelRequestFields.top_k", "additionalModelRequestFields.inferenceConfig.topK"),
    "min_p": ("min_p",),
    "repetition_penalty": ("repetition_penalty",),
    "seed": ("seed",),
    "reasoning": (
        "reasoning_effort",
        "reasoning",
        "thinking",
        "output_config.effort",
        "additionalModelRequestFields.thinking",
        "additionalModelRequestFields.output_config.effort",
        "additionalModelRequestFields.reasoningConfig",
        "additionalModelRequestFields.reasoning_effort",
    ),
    "verbosity": ("verbosity", "text.verbosity"),
}
"""What a declared parameter is called in the bodies of all endpoints; a dot leads into an object. `n_predict` is llama.cpp's own word,
which its OpenAI endpoint takes too: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md (2026-11-29)."""

_PLAIN_KEYS = {key.lower(): key for spellings in SPELLINGS.values() for key in [place.partition(".")[0] for place in spellings]} | {
    key: key for key in ("model", "messages", "input", "system")
}
"""The keys of the top level that are looked at, by their small letters."""

_REQUIRED: Mapping[EndpointName, tuple[str, ...]] = {"messages": ("max_tokens",)}
"""What an endpoint can not do without, so that leaving it out would only lead to an error of the upstream."""

_INPUT_TYPES: Mapping[str, MultimodalInput] = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "image_embeds": "image",
    "file": "file",
    "input_file": "file",
    "document": "file",
    "document_url": "file",
    "video_url": "file",
    "video": "file",
    "input_audio": "audio",
    "audio_url": "audio",
    "audio": "audio",
}
"""By the `type` of a content part in Chat Completions, Responses and Messages, and by the key of a part without one: Converse has none,
and vLLM needs none (https://docs.vllm.ai/en/latest/features/multimodal_inputs, 2026-11-29). A video, of which no declaration speaks, is a
file."""

_CONTENT_MEMBERS = ("content", "output", "toolResult", "source")


class Enforced(msgspec.Struct, frozen=True):
    """A body that keeps to the rules: `body` is the given one where nothing had to change, `enforced` says what was brought into range
    (`max_tokens=4096`), `dropped` names what was left out."""

    body: JsonObject
    enforced: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def enforced(
    endpoint: EndpointName, body: JsonObject, declared: CustomModel | None, temperature_range: tuple[float, float] | None = None
) -> Enforced:
    """The body with limits clamped and parameters that the model does not support left out.

    `declared` is None for a model of the catalogue, which is held to the provider's range only.
    Raises Error: `wrong_model_mode` for an endpoint of another mode, `unsupported_input` for an image, file or sound that the model does
    not take, `unsupported_parameter` where something would be left out and `drop_tuning_params` is false.
    """
    losses = losses_of(body)
    if declared is not None:
        _check_mode(endpoint, declared)
        _check_keys(body, declared)
        _check_inputs(body, declared)
        body = _with_supported(endpoint, body, declared, losses)
        body = _with_limit(body, declared, losses)
    if temperature_range is not None:
        body = _with_temperature(body, temperature_range, losses)
    return Enforced(body, losses.enforced, losses.dropped)


def _check_mode(endpoint: EndpointName, declared: CustomModel) -> None:
    wanted = MODES.get(endpoint)
    if wanted is not None and wanted != declared.mode:
        raise Error(
            Code.WRONG_MODEL_MODE,
            f"{declared.model_id} is declared as a model of mode {declared.mode}; this endpoint needs one of mode {wanted}.",
            param="model",
        )


def _check_keys(body: JsonObject, declared: CustomModel) -> None:
    """Raises Error `bad_request` for a key in other letters: servers written in Go read `MAX_TOKENS` as `max_tokens`."""
    if not declared.limits:
        return
    for name in body:
        plain = _PLAIN_KEYS.get(name.lower(), name)
        if plain != name:
            raise Error(Code.BAD_REQUEST, f"{plain} must be spelt like this, not in other letters.", param=plain)


def _check_inputs(body: JsonObject, declared: CustomModel) -> None:
    """Raises at the first input that was not declared. Inputs that were not declared at all pass."""
    if declared.multimodal_inputs is None:
        return
    for where in ("messages", "input", "system"):
        for kind in _inputs(body.get(where)):
            if kind not in declared.multimodal_inputs:
                takes = ", ".join(("text", *declared.multimodal_inputs))
                raise Error(Code.UNSUPPORTED_INPUT, f"{declared.model_id} is declared to take {takes} only, not {kind}.", param=where)


def _inputs(content: object) -> Iterator[MultimodalInput]:
    """The kinds of input other than text in messages, parts and results of tools."""
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            yield from _kinds(item)
            waiting += [item[name] for name in _CONTENT_MEMBERS if isinstance(item.get(name), list | dict)]


def _kinds(item: Mapping[str, Any]) -> Iterator[MultimodalInput]:
    kind = item.get("type")
    if isinstance(kind, str):
        if kind in _INPUT_TYPES:
            yield _INPUT_TYPES[kind]
        return
    for name, told in _INPUT_TYPES.items():
        if item.get(name) is not None:
            yield told


def _with_supported(endpoint: EndpointName, body: JsonObject, declared: CustomModel, losses: Losses) -> JsonObject:
    if declared.supported_parameters is None:
        return body
    for parameter, spellings in SPELLINGS.items():
        if parameter in declared.supported_parameters:
            continue
        for spelling in spellings:
            if _at(body, spelling) is not None and spelling not in _REQUIRED.get(endpoint, ()):
                losses.drop(spelling, f"{declared.model_id} is declared not to support {parameter}.")
                body = _without(body, spelling)
    return body


def _with_limit(body: JsonObject, declared: CustomModel, losses: Losses) -> JsonObject:
    if declared.max_tokens is None:
        return body
    limit = max(1, int(declared.max_tokens))
    for spelling in SPELLINGS["max_tokens"]:
        given = _limit_at(body, spelling)
        # Some servers take a negative one for no limit at all.
        if given is not None and not 0 <= given <= declared.max_tokens:
            losses.change(spelling, limit)
            body = _with(body, spelling, limit)
    return _with_budget(body, limit, losses)


def _limit_at(body: JsonObject, spelling: str) -> int | float | None:
    """A token limit; None where there is none. Raises Error `bad_request` for no number: lenient servers read one out of a text."""
    if _at(body, spelling) is not None and _number(body, spelling) is None:
        raise Error(Code.BAD_REQUEST, f"{spelling} must be a number.", param=spelling)
    return _number(body, spelling)


def _with_budget(body: JsonObject, limit: int, losses: Losses) -> JsonObject:
    """A thinking budget must stay below the limit, and has a least size; see `model_traits`."""
    budget = _number(body, "thinking.budget_tokens")
    if budget is None or budget < limit:
        return body
    if limit <= MINIMUM_BUDGET_TOKENS:
        losses.drop("thinking", "The token limit that is declared leaves no room to think.")
        return _without(body, "thinking")
    losses.change("thinking.budget_tokens", limit - 1)
    return _with(body, "thinking.budget_tokens", limit - 1)


def _with_temperature(body: JsonObject, temperature_range: tuple[float, float], losses: Losses) -> JsonObject:
    lowest, highest = temperature_range
    for spelling in SPELLINGS["temperature"]:
        given = _number(body, spelling)
        if given is not None and not lowest <= given <= highest:
            nearest = _whole(lowest if given < lowest else highest)
            losses.change(spelling, nearest)
            body = _with(body, spelling, nearest)
    return body


def _whole(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number


def _number(body: JsonObject, place: str) -> int | float | None:
    value = _at(body, place)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _at(body: JsonObject, place: str) -> Any:
    value: Any = body
    for name in place.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _with(body: JsonObject, place: str, value: object) -> JsonObject:
    """A copy with another value at a place that is there."""
    name, _, rest = place.partition(".")
    return {**body, name: _with(body[name], rest, value) if rest else value}


def _without(body: JsonObject, place: str) -> JsonObject:
    """A copy without a member that is there; objects that it leaves empty go as well."""
    name, _, rest = place.partition(".")
    inner = _without(body[name], rest) if rest else {}
    remaining = {other: value for other, value in body.items() if other != name}
    return {**remaining, name: inner} if inner else remaining
