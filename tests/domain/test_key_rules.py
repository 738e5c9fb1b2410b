"""The rules that a provider sets for its credentials: which fields are named where one is broken, and why."""

import pytest

from keyhouse.domain.credentials import Credentials
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.key_rules import require_valid
from keyhouse.domain.provider_spec import CredentialField, ProviderSpec

FIELDS = tuple(CredentialField(name) for name in ("A", "B", "C"))


def refusal(spec: ProviderSpec, credentials: dict[str, object]) -> Error | None:
    try:
        require_valid(credentials, Credentials(credentials), spec)
    except Error as error:
        return error
    return None


def broken(spec: ProviderSpec, **credentials: object) -> dict[str, str]:
    """What is wrong with these, by field."""
    error = refusal(spec, credentials)
    if error is None:
        return {}
    assert error.code is Code.INVALID_API_KEY_CONFIGURATION
    metas = [reason["meta"] for reason in error.details["reasons"]]  # type: ignore[attr-defined]
    assert error.details["fields"] == [meta["field"] for meta in metas]
    return {meta["field"].removeprefix("customKeys."): meta["message"] for meta in metas}


@pytest.mark.parametrize("blank", [{}, {"A": ""}, {"A": "  "}])
def test_what_is_required_must_not_be_blank(blank: dict[str, str]) -> None:
    spec = ProviderSpec("example", "Example", fields=(CredentialField("A", required=True), CredentialField("B")))
    assert broken(spec, **blank, B="b") == {"A": "A is required."}
    assert broken(spec, A="a") == {}


def test_what_may_be_blank_must_be_there_all_the_same() -> None:
    spec = ProviderSpec("example", "Example", fields=(CredentialField("A", required=True, may_be_blank=True), CredentialField("B")))
    assert broken(spec, B="b") == {"A": "A is required."}
    assert broken(spec, A="") == {}


def test_of_some_fields_one_is_enough() -> None:
    spec = ProviderSpec("example", "Example", fields=FIELDS, at_least_one=("A", "B"))
    assert broken(spec, A=" ", C="c") == {"A": "A or B is required.", "B": "B or A is required."}
    assert broken(spec, A="a") == broken(spec, B="b") == {}


def test_what_goes_together_is_given_as_a_whole_or_not_at_all() -> None:
    spec = ProviderSpec("example", "Example", fields=FIELDS, together=(("A", "B", "C"),))
    assert broken(spec, A="a", C=" ") == {"B": "B is required together with A.", "C": "C is required together with A."}
    assert broken(spec, A="a", B="b") == {"C": "C is required together with A, B."}
    assert broken(spec) == broken(spec, A="a", B="b", C="c") == {}
