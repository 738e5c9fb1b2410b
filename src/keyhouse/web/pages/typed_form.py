"""What a provider's form shows: what is stored, or what somebody typed where no script kept it. No secret is ever in it."""

from typing import Any, get_args

from msgspec.structs import replace

from keyhouse.domain.headers import header_problem
from keyhouse.domain.model import MultimodalInput, SupportedParameter
from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.web.pages.provider_body import MODEL_LISTS, Body, base_of, header_rows, known_base, models_of
from keyhouse.web.pages.provider_views import ProviderView, field_label
from keyhouse.web.pages.visit import Form

_GROUPS = {"model": "customModels", "embedding": "customEmbeddingsModels", "default_model": "defaultModel"}


def stored_form(view: ProviderView, tag: str) -> dict[str, Any]:
    """The values of the form's template for what is stored. `tag` is its entity tag."""
    return {
        "view": view,
        "tag": tag,
        "base": base_of(view),
        "enabled": view.entry["enabled"] or not view.is_stored,
        "alternative": view.alternative,
        "cleared": frozenset[str](),
        "headers": [(header["key"], True) for header in view.entry["extraHeaders"]],
        "parameters": get_args(SupportedParameter),
        "inputs": get_args(MultimodalInput),
        "told": "",
        "retype": False,
    }


def typed_form(view: ProviderView, form: Form, told: str) -> dict[str, Any]:
    """The values of the same template for what came with a form that was not saved. `told` is the template that says why.

    What an input could not hold is left out: it may be a secret that was meant for another one.
    """
    fields = tuple(replace(field, value="" if field.secret else _without_password(form.text(f"key.{field.name}"))) for field in view.fields)
    entry = {**view.entry, **{name: _with_numbers(models_of(form, prefix)) for name, prefix in MODEL_LISTS.items()}}
    headers = header_rows(form)
    typed = replace(view, entry=entry, fields=fields, default_model=form.text("default_model"))
    return stored_form(typed, form.text("etag")) | {
        "base": known_base(form),
        "enabled": "enabled" in form,
        "alternative": form.text("alternative") or view.alternative,
        "cleared": frozenset(field.name for field in fields if f"clear.{field.name}" in form),
        "headers": [("" if header_problem(name, "") else name, stored) for name, _, stored in headers],
        "told": told,
        "retype": any(value for _, value, _ in headers) or any(field.secret and form.text(f"key.{field.name}") for field in fields),
    }


def _without_password(text: str) -> str:
    """Nothing of an address with a user's name in it, whose password would stand in the page."""
    return "" if "@" in text else text


def _with_numbers(models: list[Body]) -> list[Body]:
    """Models without what is no number where one must stand."""
    return [{name: value for name, value in model.items() if name != "maxTokens" or not isinstance(value, str)} for model in models]


def input_label(spec: ProviderSpec, name: str) -> str:
    """What people call the input, or the part of the form, that an error stands in."""
    kind, _, rest = name.partition(".")
    if kind == "key":
        return field_label(spec, f"customKeys.{rest}")
    return "Extra headers" if kind == "header" else field_label(spec, _GROUPS.get(kind, name))
