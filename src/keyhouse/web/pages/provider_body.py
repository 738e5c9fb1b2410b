"""From a provider's form to the body of a PUT. Only what the person changed is in it, so that nobody else's change is undone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

import msgspec

from keyhouse.domain.credentials import MASK
from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.gateway.wire.json_text import UNREADABLE
from keyhouse.web.pages.provider_views import Entry, ProviderView
from keyhouse.web.pages.visit import Form

MODEL_LISTS = {"customModels": "model", "customEmbeddingsModels": "embedding"}
"""Fields of a provider and what their rows are called in the form."""
Body = dict[str, Any]


class _Base(TypedDict, total=False):
    """What `base_of` writes."""

    enabled: bool
    public: dict[str, Any]
    headers: list[str]
    defaultModel: str
    alternative: str
    customModels: list[Any]
    customEmbeddingsModels: list[Any]


def base_of(view: ProviderView) -> str:
    """What the form showed when it was opened, as text: no secret is in it. It comes back with the form."""
    spec, entry = view.spec, view.entry
    stored: Mapping[str, Any] = entry.get("customKeys") or {}
    base = {
        "enabled": entry["enabled"],
        "public": {name: value for name, value in stored.items() if spec.is_public(name) and value != MASK},
        "headers": [header["key"] for header in entry["extraHeaders"]],
        "defaultModel": view.default_model,
        "alternative": view.alternative,
        **{name: entry.get(name) or [] for name in MODEL_LISTS},
    }
    return msgspec.json.encode(base).decode()


def body_of(form: Form, spec: ProviderSpec, current: Entry) -> Body:
    """The body of the PUT that the form asks for. `current` is what is stored now, masked."""
    # Of what somebody deleted meanwhile nothing is left, so all that the form shows is wanted.
    base = _base(form) if "id" in current else {}
    enabled = "enabled" in form
    body: Body = {"enabled": enabled if enabled != base.get("enabled") else current["enabled"]}
    keys, changed = _custom_keys(form, spec, current.get("customKeys") or {}, base)
    if changed or "id" not in current:
        body["customKeys"] = keys
    for name, prefix in MODEL_LISTS.items():
        models = models_of(form, prefix)
        if models != (base.get(name) or []):
            body[name] = models
    headers, changed = _headers(form, base.get("headers") or [])
    if changed:
        body["extraHeaders"] = headers
    default_model = form.text("default_model").strip()
    if default_model != base.get("defaultModel", ""):
        body["defaultModel"] = default_model
    return body


def models_of(form: Form, prefix: str) -> list[Body]:
    """The models that the form's rows of a kind declare."""
    return [_model(form, f"{prefix}.{number}") for number in row_numbers(form, prefix)]


def header_rows(form: Form) -> list[tuple[str, str, bool]]:
    """(name, typed value, whether a value is stored) for each row of the headers."""
    rows = [f"header.{number}" for number in row_numbers(form, "header")]
    return [(form.text(f"{row}.key").strip(), form.text(f"{row}.value"), f"{row}.stored" in form) for row in rows]


def row_numbers(form: Form, prefix: str) -> list[str]:
    """The numbers of the form's rows of a kind, in order."""
    parts = (name.split(".") for name in form.names())
    return list(dict.fromkeys(part[1] for part in parts if len(part) == 3 and part[0] == prefix))


def inputs_of(fields: Iterable[str], form: Form) -> list[str]:
    """The form's inputs that the errors of these fields stand in: `customModels.0.modelId` is `model.1003.id`."""
    rows = {name: (prefix, row_numbers(form, prefix)) for name, prefix in {**MODEL_LISTS, "extraHeaders": "header"}.items()}
    return [_input_of(field, rows) for field in fields]


def _input_of(field: str, rows: Mapping[str, tuple[str, list[str]]]) -> str:
    kind, _, rest = field.partition(".")
    if kind == "customKeys":
        return f"key.{rest}"
    prefix, numbers = rows.get(kind, ("", []))
    position, _, part = rest.partition(".")
    if position.isdecimal() and int(position) < len(numbers):
        return f"{prefix}.{numbers[int(position)]}.{_PARTS.get(part.partition('.')[0], part)}"
    return "default_model" if kind == "defaultModel" else field


_PARTS = {"modelId": "id", "displayName": "name", "maxTokens": "max_tokens", "supportedParameters": "params", "multimodalInputs": "inputs"}


def known_base(form: Form) -> str:
    """What `base_of` wrote into the form, and nothing else that may have come in its place."""
    return msgspec.json.encode(_base(form)).decode()


def _base(form: Form) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(form.text("base"), type=_Base)
    except UNREADABLE:
        return {}


def _custom_keys(form: Form, spec: ProviderSpec, stored: Mapping[str, Any], base: Mapping[str, Any]) -> tuple[Body, bool]:
    keys: Body = dict(stored)
    shown: Mapping[str, Any] = base.get("public") or {}
    changed = False
    for name, typed in _typed(form):
        cleared = f"clear.{name}" in form
        if cleared or typed != (shown.get(name, "") if spec.is_public(name) else ""):
            keys[name] = "" if cleared else typed
            changed = True
    for name in _left(form, spec, base):
        changed = keys.pop(name, None) is not None or changed
    return keys, changed


def _left(form: Form, spec: ProviderSpec, base: Mapping[str, Any]) -> list[str]:
    """The fields of the ways to reach the provider that are no longer wanted. While the choice stands, nothing is dropped."""
    chosen = form.text("alternative")
    if not chosen or chosen == base.get("alternative"):
        return []
    return [name for number, one in enumerate(spec.alternatives) if str(number) != chosen for name in one.fields]


def _typed(form: Form) -> Iterator[tuple[str, str]]:
    for name in form.names():
        kind, _, field = name.partition(".")
        if kind == "key" and field:
            # Blanks around what was pasted: no address and no credential has any.
            yield field, form.text(name).strip()


def _model(form: Form, row: str) -> Body:
    model: Body = {"modelId": form.text(f"{row}.id").strip(), "mode": form.text(f"{row}.mode")}
    model["displayName"] = form.text(f"{row}.name").strip() or model["modelId"]
    if most := form.text(f"{row}.max_tokens").strip():
        model["maxTokens"] = _number(most)
    for part, name in (("params", "supportedParameters"), ("inputs", "multimodalInputs")):
        if f"{row}.{part}" in form:
            model[name] = form.all(f"{row}.{part}")
    return model


def _number(text: str) -> object:
    """The number, or the text as it is: then the schema says what is wrong with it."""
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        return text


def _headers(form: Form, shown: Sequence[str]) -> tuple[list[Body], bool]:
    rows = header_rows(form)
    headers: list[Body] = [{"key": name, "value": MASK if stored and not value else value} for name, value, stored in rows]
    typed = any(value or not stored for _, value, stored in rows)
    return headers, typed or [header["key"] for header in headers] != list(shown)
