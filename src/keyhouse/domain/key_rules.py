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
    violations = _not_strings(given, spec) or _broken_rules(merged, spec)
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


def _not_strings(given: Mapping[str, object], spec: ProviderSpec) -> list[Violation]:
    broken: list[Violation] = []
    for name, value in given.items():
        if not isinstance(value, str) and spec.field_named(name):
            broken.append((name, "must be a string"))
    return broken


def _broken_rules(merged: Credentials, spec: ProviderSpec) -> list[Violation]:
    broken: list[Violation] = []
    texts = merged.texts()
    if len(texts) != 1:
        broken += [
            (name, f"would be one too many: no more than {MOST_FIELDS} are kept") for name in islice(merged, MOST_FIELDS, MOST_FIELDS + 1)
        ]
    for field in spec.formatted_fields:
        if field.name in texts and (problem := _format_problem(field, merged.text(field.name))):
            broken.append((field.name, problem))
    if not (spec.accepts_managed and MANAGED.name in texts):
        broken += _missing(merged, texts, spec)
    return broken


def _missing(merged: Credentials, texts: frozenset[str], spec: ProviderSpec) -> Iterator[Violation]:
    for field in spec.required_fields:
        if field.name not in (merged if field.may_be_blank else texts):
            yield field.name, "is required"
    if spec.at_least_one and texts.isdisjoint(spec.at_least_one):
        for name in spec.at_least_one:
            yield name, f"or {' or '.join(other for other in spec.at_least_one if other != name)} is required"
    for group in spec.together:
        present = [name for name in group if name in texts]
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
