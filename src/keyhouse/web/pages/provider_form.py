"""Adding and editing a provider: the picker, the form, and what becomes of a save that the house refuses."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.responses import Response

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.paging import Paging
from keyhouse.domain.precondition import parse_if_match
from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.services.model_defaults import ModelDefaults
from keyhouse.services.model_providers import ModelProviders
from keyhouse.web.control import schemas
from keyhouse.web.control.routing import validated
from keyhouse.web.errors import STATUS
from keyhouse.web.pages.provider_body import MODEL_LISTS, body_of, header_rows, inputs_of, models_of
from keyhouse.web.pages.provider_views import ProviderView, field_label, in_words, provider_view
from keyhouse.web.pages.rendering import moved, page
from keyhouse.web.pages.rights import require_update
from keyhouse.web.pages.site import Page
from keyhouse.web.pages.typed_form import input_label, stored_form, typed_form
from keyhouse.web.pages.visit import Visit

_ADD = "/projects/{project}/providers/add"
_ONE = "/projects/{project}/providers/{provider}"
# What a person can put right in the form. Anything else is no matter of its fields.
_REFUSALS = frozenset(
    {
        Code.VALIDATION_ERROR,
        Code.INVALID_API_KEY_CONFIGURATION,
        Code.ENDPOINT_CHANGED,
        Code.CREDENTIALS_UNREADABLE,
        Code.CREDENTIALS_WOULD_BE_LOST,
        Code.PROVIDER_DEPRECATED,
    }
)
_WHY_AGAIN = (
    "The address changed, and a stored key stays with its address: otherwise whoever may edit this project could have it sent to a server "
    "of their own. Type it again to send it to the new one."
)


class ProviderFormPages:
    """See the module."""

    def __init__(self, providers: ModelProviders, defaults: ModelDefaults) -> None:
        self._providers = providers
        self._defaults = defaults

    def pages(self) -> list[Page]:
        """Every address. The picker comes first: its address looks like a provider's."""
        return [Page("GET", _ADD, self.pick), Page("GET", _ONE, self.show), Page("POST", _ONE, self.save)]

    async def pick(self, visit: Visit) -> Response:
        """Which provider to add."""
        require_update(visit)
        entries = msgspec.json.decode((await self._providers.list(visit.project_id)).body)
        specs = [self._providers.spec(provider) for provider, entry in entries.items() if "id" not in entry]
        return await self._page(visit, "picker", specs=[spec for spec in specs if not spec.deprecated])

    async def show(self, visit: Visit) -> Response:
        """The form, of what is stored or empty."""
        require_update(visit)
        view, tag = await self._current(visit)
        if not view.is_stored:
            view = await self._with_last_change(visit, view)
        return await self._page(visit, "provider_form", **stored_form(view, tag))

    async def save(self, visit: Visit) -> Response:
        """Save, or say beside which field why not. What was typed stays in the browser; without scripts it comes back, but for secrets."""
        require_update(visit)
        view, tag = await self._current(visit)
        body = body_of(visit.form, view.spec, view.entry)
        try:
            update = schemas.to_update(validated(schemas.ModelProviderBody, body, schemas.problems))
            await self._providers.upsert(visit.caller, view.id, update, parse_if_match(visit.form.text("over") or visit.form.text("etag")))
        except Error as error:
            if error.code is Code.PRECONDITION_FAILED:
                return await self._conflict(visit, error, view, tag)
            if error.code not in _REFUSALS:
                raise
            return await self._refused(visit, error, view)
        then = f"&test={view.id}" if visit.form.text("then") == "test" else ""
        return moved(visit.request, f"/projects/{visit.project_id}/providers?saved={view.id}{then}")

    async def _current(self, visit: Visit) -> tuple[ProviderView, str]:
        shown = await self._providers.get(visit.project_id, visit.path["provider"])
        project = await self._defaults.project(visit.project_id)
        return provider_view(self._providers, project, msgspec.json.decode(shown.body)), shown.tag

    async def _page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
        project = await self._defaults.project(visit.project_id)
        name = f"{template}.html" if visit.is_fragment else "sheet_page.html"
        return page(visit, name, status, project=project, sheet=f"{template}.html", **values)

    async def _refused(self, visit: Visit, error: Error, view: ProviderView) -> Response:
        shown = Error(error.code, f"Not saved. Put right what is {'marked' if visit.is_fragment else 'named here'}, then save again.")
        errors = _errors(visit, error, view.spec)
        if not errors:
            shown = Error(error.code, f"Not saved. {in_words(view.spec, error.message)}")
        elif error.code is Code.ENDPOINT_CHANGED:
            shown = Error(error.code, f"Not saved. {_WHY_AGAIN}")
        where = [(name, input_label(view.spec, name), why) for name, why in errors]
        return await self._not_saved(visit, "notice", STATUS[error.code], view, error=shown, errors=where)

    async def _conflict(self, visit: Visit, error: Error, view: ProviderView, tag: str) -> Response:
        theirs = [(field_label(view.spec, name), _shown_now(view, name), _shown_mine(visit, view.spec, name)) for name in error.fields]
        return await self._not_saved(visit, "conflict", 412, await self._with_last_change(visit, view), now_tag=tag, theirs=theirs)

    async def _with_last_change(self, visit: Visit, view: ProviderView) -> ProviderView:
        changes, _ = await self._providers.history(visit.project_id, view.id, Paging(1, 1))
        return replace(view, changed=changes[0]) if changes else view

    async def _not_saved(self, visit: Visit, told: str, status: int, view: ProviderView, **values: Any) -> Response:
        if visit.is_fragment:
            return await self._page(visit, told, status, view=view, **values)
        return await self._page(visit, "provider_form", status, **typed_form(view, visit.form, f"{told}.html"), **values)


def _errors(visit: Visit, error: Error, spec: ProviderSpec) -> list[tuple[str, str]]:
    """(name of the form's input, sentence) for each field that an error names."""
    if error.code is Code.ENDPOINT_CHANGED:
        return [(name, "Type it again for the new address, or clear it.") for name in inputs_of(error.fields, visit.form)]
    reasons: Any = error.details.get("reasons") or []
    names = inputs_of((reason["meta"]["field"] for reason in reasons), visit.form)
    return [(name, _sentence(in_words(spec, reason["meta"]["message"]))) for name, reason in zip(names, reasons, strict=True)]


def _sentence(why: str) -> str:
    why = why.replace("Input should be", "must be").replace(" or null", "")
    return why[:1].upper() + why[1:].rstrip(".") + "."


def _shown_now(view: ProviderView, name: str) -> str:
    kind, _, rest = name.partition(".")
    if kind == "customKeys":
        field = next((field for field in view.fields if field.name == rest), None)
        return "not stored" if field is None or not field.stored else field.value or "stored"
    if kind == "extraHeaders":
        return _named(header["key"] for header in view.entry["extraHeaders"])
    if kind == "defaultModel":
        return view.default_model or "none of this provider"
    value = view.entry.get(name)
    return _named(model["modelId"] for model in value or []) if isinstance(value, list) or value is None else _yes_no(bool(value))


def _shown_mine(visit: Visit, spec: ProviderSpec, name: str) -> str:
    form, (kind, _, rest) = visit.form, name.partition(".")
    if kind == "customKeys":
        typed = form.text(f"key.{rest}")
        if f"clear.{rest}" in form:
            return "cleared"
        return (typed or "empty") if spec.is_public(rest) else "a new one, typed" if typed else "left as stored"
    if kind == "extraHeaders":
        return _named(name for name, _, _ in header_rows(form))
    if kind == "defaultModel":
        return form.text("default_model") or "none of this provider"
    if kind == "enabled":
        return _yes_no("enabled" in form)
    return _named(model["modelId"] for model in models_of(form, MODEL_LISTS.get(kind, "")))


def _named(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _yes_no(value: bool) -> str:
    return "on" if value else "off"
