"""The rules a provider sets for its credentials, applied to the result of a merge. Says which field breaks which rule, never a value."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice

from keyhouse.domain.address import parse_origin
from keyhouse.domain.credentials import Credentials
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.provider_spec import MANAGED, CredentialField, ProviderSpec

MOST_FIELDS = 100
"""Of one provider. Each is sealed by itself, while others wait for the database."""
Violation = tuple[str, str]
"""The field's name, and a sentence about it."""


def require_valid(given: Mapping[str, object], merged: Credentials, spec: ProviderSpec) -> None:
    """Raise `invalid_api_key_configuration`, naming each field and why, unless `merged` satisfies the provider."""
    violations = [*_not_strings(given, spec)] or [*_broken_rules(merged, spec)]
    if not violations:
        return
    raise Error(
        Code.INVALID_API_KEY_CONFIGURATION,
        f"Invalid API key configuration for {spec.id}. Please verify your credentials.",
        fields=[f"customKeys.{name}" for name, _ in violations],
        reasons=[
            {"code": "provider_rule", "meta": {"field": f"customKeys.{name}", "message": f"{name} {why}."}} for name, why in violations
        ],
    )


def _not_strings(given: Mapping[str, object], spec: ProviderSpec) -> Iterator[Violation]:
    for name, value in given.items():
        if spec.field_named(name) is not None and not isinstance(value, str):
            yield name, "must be a string"


def _broken_rules(merged: Credentials, spec: ProviderSpec) -> Iterator[Violation]:
    for name in islice(merged, MOST_FIELDS, MOST_FIELDS + 1):
        yield name, f"would be one too many: no more than {MOST_FIELDS} are kept"
    for field in spec.formatted_fields:
        text = merged.text(field.name)
        if text and (problem := _format_problem(field, text)):
            yield field.name, problem
    if spec.accepts_managed and merged.text(MANAGED.name):
        return
    yield from _missing(merged, spec)


def _missing(merged: Credentials, spec: ProviderSpec) -> Iterator[Violation]:
    for field in spec.fields:
        if field.required and not (field.name in merged if field.may_be_blank else merged.text(field.name)):
            yield field.name, "is required"
    if spec.at_least_one and not any(merged.text(name) for name in spec.at_least_one):
        for name in spec.at_least_one:
            yield name, f"or {' or '.join(other for other in spec.at_least_one if other != name)} is required"
    for group in spec.together:
        present = [name for name in group if merged.text(name)]
        if present and len(present) < len(group):
            for name in group:
                if name not in present:
                    yield name, f"is required together with {', '.join(present)}"


def _format_problem(field: CredentialField, text: str) -> str | None:
    if field.format == "url":
        return _address_problem(text, field.host_suffix)
    return _json_problem(text)


def _address_problem(url: str, host_suffix: str | None) -> str | None:
    try:
        origin = parse_origin(url)
    except ValueError as problem:
        return str(problem)
    if host_suffix is None:
        return None
    below = origin.host == host_suffix or origin.host.endswith(f".{host_suffix}")
    return None if below and origin.scheme == "https" else f"must be an https address on {host_suffix}"


def _json_problem(text: str) -> str | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return "must be the JSON text of a service account's key file"
    return None if isinstance(parsed, dict) else "must be a JSON object"
