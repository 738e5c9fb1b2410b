"""From the options of `keyhouse provider set` and what is stored to the body of the PUT: what is not named stays as it is."""

import difflib
import json
from collections.abc import Iterable
from typing import Any

import typer

from keyhouse.catalog.catalog import load_catalog
from keyhouse.cli.exit_codes import CommandError, ExitCode
from keyhouse.cli.provider_fields import ProviderFields
from keyhouse.cli.secret_input import asked, asked_secret, asked_yes, is_terminal, read_secret_file, read_stdin_lines
from keyhouse.domain.credentials import MASK
from keyhouse.domain.provider_spec import CredentialField, ProviderSpec
from keyhouse.settings import read_settings

_LISTS = {"headers": "extraHeaders", "models": "customModels", "embeddings-models": "customEmbeddingsModels"}


def put_body(fields: ProviderFields, current: dict[str, Any]) -> Any:
    """The body that makes `current`, an entry as GET gives it, what the options want. Asks for secrets."""
    if fields.body is not None:
        return _read_body(str(fields.body))
    spec = load_catalog(read_settings().models_file).provider(current["provider"])
    if fields.is_empty:
        return _asked_body(spec, current)
    _require_known(fields, spec)
    secrets = _Secrets(fields)
    cleared = set(fields.clear or [])
    keys = {**secrets.fields, **dict(_pair(entry) for entry in fields.public or []), **dict.fromkeys(_cleared_fields(cleared, current), "")}
    body: dict[str, Any] = {"enabled": _enabled(fields, current)}
    if keys:
        body["customKeys"] = _kept_public(current) | keys
    headers = _headers(secrets.headers, cleared, current)
    if headers != current["extraHeaders"]:
        body["extraHeaders"] = headers
    body |= _models(fields, cleared, current)
    if fields.default_model is not None or "default-model" in cleared:
        body["defaultModel"] = fields.default_model or ""
    return body


class _Secrets:
    """The values of the secret fields and headers that the options name, from wherever they come."""

    def __init__(self, fields: ProviderFields) -> None:
        asked = [(name, True) for name in fields.secret or []] + [(name, False) for name in fields.header or []]
        piped = [name.removesuffix("=-") for name, _ in asked if fields.stdin or name.endswith("=-")]
        values = dict(zip(piped, read_stdin_lines(piped), strict=True)) if piped else {}
        self.fields = {name: read_secret_file(name, path) for name, path in map(_pair, fields.secret_file or [])}
        self.headers = {name: read_secret_file(name, path) for name, path in map(_pair, fields.header_file or [])}
        for entry, is_field in asked:
            name = entry.removesuffix("=-")
            instead = "--stdin, or --secret-file NAME=PATH" if is_field else "--stdin, or --header-file NAME=PATH"
            (self.fields if is_field else self.headers)[name] = values.get(name) or asked_secret(name, instead)


def _asked_body(spec: ProviderSpec | None, current: dict[str, Any]) -> dict[str, Any]:
    """Ask a person for each field. An empty answer leaves a field as it is."""
    if not is_terminal() or spec is None:
        raise CommandError("Say what to change: --secret NAME, --public NAME=VALUE, --model ID and so on. See --help.", ExitCode.USAGE)
    stored = current["customKeys"] or {}
    typer.echo(f"{spec.name}. An empty answer leaves a field as it is.", err=True)
    given = {field.name: answer for field in spec.fields if (answer := _asked(field, stored.get(field.name)))}
    enabled = asked_yes("Enabled", default=_enabled(ProviderFields(), current))
    return {"enabled": enabled, "customKeys": _kept_public(current) | given} if given else {"enabled": enabled}


def _asked(field: CredentialField, stored: str | None) -> str:
    state = "" if stored is None else " [stored]" if stored == MASK else f" [{stored}]"
    need = " (required)" if field.required and stored is None else ""
    if field.format == "json_object":
        path = asked(f"{field.label}, path of the file{need}{state}").strip()
        return read_secret_file(field.name, path) if path else ""
    return asked(f"{field.label}{need}{state}", hidden=not field.public).strip()


def _require_known(fields: ProviderFields, spec: ProviderSpec | None) -> None:
    """Raise CommandError for a field that would be dropped in silence, and for a secret among the arguments."""
    if spec is None:
        return
    for name in [name.removesuffix("=-") for name in fields.secret or []] + [_pair(entry)[0] for entry in fields.secret_file or []]:
        if not spec.is_known(name) and name not in spec.aliases:
            raise CommandError(f"{spec.id} has no field {name}. {_meant(name, (field.name for field in spec.fields))}", ExitCode.USAGE)
    for name in (_pair(entry)[0] for entry in fields.public or []):
        if not spec.is_public(name):
            raise CommandError(_not_public(name, spec), ExitCode.USAGE)


def _not_public(name: str, spec: ProviderSpec) -> str:
    if name in spec.aliases or spec.field_named(name) is not None:
        return f"{name} is a secret, which is no argument: say --secret {name} and type its value."
    public = ", ".join(field.name for field in spec.fields if field.public) or "none"
    return f"{spec.id} has no public field {name}. Its public fields: {public}."


def _meant(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name.upper(), names, n=1)
    return f"Did you mean {close[0]}?" if close else f"It has: {', '.join(names)}."


def _cleared_fields(cleared: set[str], current: dict[str, Any]) -> list[str]:
    """What is cleared by name: credential fields. Raises CommandError for a name that is nothing here."""
    headers = {header["key"].lower() for header in current["extraHeaders"]}
    stored = current["customKeys"] or {}
    unknown = [name for name in cleared if name not in stored and name.lower() not in headers and name not in {*_LISTS, "default-model"}]
    if unknown:
        meant = f" {_meant(unknown[0], stored)}" if stored else ""
        raise CommandError(f"Nothing is stored under {', '.join(sorted(unknown))}.{meant}", ExitCode.USAGE)
    return [name for name in stored if name in cleared]


def _kept_public(current: dict[str, Any]) -> dict[str, Any]:
    """Public fields that are stored: a PUT that names keys drops those that it does not name."""
    return {name: value for name, value in (current["customKeys"] or {}).items() if value != MASK}


def _headers(given: dict[str, str], cleared: set[str], current: dict[str, Any]) -> list[dict[str, str]]:
    """The list of headers after the change. Masked values stand for those that are stored."""
    gone = {name.lower() for name in (*cleared, *given)}
    kept = [] if "headers" in cleared else [header for header in current["extraHeaders"] if header["key"].lower() not in gone]
    return [*kept, *({"key": name, "value": value} for name, value in given.items())]


def _models(fields: ProviderFields, cleared: set[str], current: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, given in (("models", fields.model), ("embeddings-models", fields.embeddings_model)):
        declared = {model["modelId"]: model for model in current.get(_LISTS[name]) or []}
        if given:
            mode = "chat" if name == "models" else "embedding"
            body[_LISTS[name]] = [declared.get(model, {"modelId": model, "displayName": model, "mode": mode}) for model in given]
        elif name in cleared:
            body[_LISTS[name]] = []
    return body


def _enabled(fields: ProviderFields, current: dict[str, Any]) -> bool:
    if fields.enabled is not None:
        return fields.enabled
    return bool(current["enabled"]) if "id" in current else True


def _pair(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value


def _read_body(path: str) -> Any:
    try:
        return json.loads(read_secret_file("the body", path))
    except (ValueError, RecursionError):
        raise CommandError(f"The body is not JSON: {path}", ExitCode.USAGE) from None
