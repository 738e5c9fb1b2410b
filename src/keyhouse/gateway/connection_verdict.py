"""Judges the answer to a connection check, pure. Only what proves that this API took these credentials is `verified`."""

from collections.abc import Mapping, Sequence

import msgspec

from keyhouse.domain.calling import ConnectionCheck
from keyhouse.domain.verdict import ConnectionResult, Verdict
from keyhouse.gateway.wire.json_text import UNREADABLE, require_few_values

_NAMED_MODELS = 5
_MOST_LISTED = 5000
_LONGEST_LISTED = 256
"""Of a list of models, and of an id in it, what is told: it is shown on a page. The longest list that is known has some hundreds."""
_MOST_CONTAINERS = 100_000
_WRONG = "Something answers at the stored address, but it is not this provider's API."


def judge_status(status: int, check: ConnectionCheck, *, has_credentials: bool) -> ConnectionResult | None:
    """The verdict that a status alone allows; None for a success, which only its body proves."""
    if 200 <= status < 300:
        return None
    if status in (401, 403, *check.refusals):
        refused = "The provider refused the stored credentials."
        unsigned = "The provider asks for credentials, and none are stored."
        return ConnectionResult(Verdict.KEY_REFUSED, refused if has_credentials else unsigned, status)
    if status == 429:
        return ConnectionResult(Verdict.RATE_LIMITED, "The provider asks to be called less often. Test again later.", status)
    if status in (407, 408) or status >= 500:
        proxy = "A proxy on the way to the provider asks for credentials of its own."
        return ConnectionResult(Verdict.UNREACHABLE, proxy if status == 407 else "The provider is out of order.", status)
    if 300 <= status < 400:
        moved = "The stored address answers with a redirect, which is not followed: credentials go to the stored address alone."
        return ConnectionResult(Verdict.WRONG_ENDPOINT, moved, status)
    return ConnectionResult(Verdict.WRONG_ENDPOINT, _WRONG, status)


def judge_body(status: int, body: bytes, check: ConnectionCheck, models: Sequence[str], *, has_credentials: bool) -> ConnectionResult:
    """The verdict on a success. `models` are those that the provider should list."""
    answer = _decoded(body)
    if not _is_of_this_api(check, answer):
        return ConnectionResult(Verdict.WRONG_ENDPOINT, _WRONG, status)
    missing = _missing(check, answer, models)
    if missing:
        return ConnectionResult(
            Verdict.MODEL_MISSING, f"The provider answers, but does not list these models of the project: {_shown(missing)}.", status
        )
    accepted = "The provider accepted the stored credentials."
    unsigned = "The provider answers, and asks for no credentials; none are stored."
    return ConnectionResult(Verdict.VERIFIED, accepted if has_credentials else unsigned, status)


def listed_models(body: bytes, check: ConnectionCheck) -> tuple[tuple[str, ...], bool]:
    """The ids in a list that was judged to be one, sorted, and whether these are all."""
    answer = _decoded(body)
    listed = _listed(check, answer) or set()
    told = sorted(name for name in listed if len(name) <= _LONGEST_LISTED)[:_MOST_LISTED]
    return tuple(told), len(told) == len(listed) and not _goes_on(check, answer)


def _decoded(body: bytes) -> object:
    try:
        require_few_values(body, _MOST_CONTAINERS)
        answer: object = msgspec.json.decode(body)
    except UNREADABLE:
        return None
    return answer


def _is_of_this_api(check: ConnectionCheck, answer: object) -> bool:
    if isinstance(answer, Mapping) and "error" in answer:
        return False
    if check.items is not None:
        return _listed(check, answer) is not None
    if check.answer == "":
        return isinstance(answer, list)
    return isinstance(answer, Mapping) and (check.answer is None or check.answer in answer)


def _listed(check: ConnectionCheck, answer: object) -> set[str] | None:
    """The ids of the models in a list; None where it is no such list."""
    found = answer.get(check.items) if isinstance(answer, Mapping) else answer if check.items == "" else None
    if not isinstance(found, list):
        return None
    ids = [item.get(check.id) if isinstance(item, Mapping) else None for item in found]
    names = {name.removeprefix(check.id_prefix) for name in ids if isinstance(name, str)}
    return names if all(isinstance(name, str) for name in ids) else None


def _missing(check: ConnectionCheck, answer: object, models: Sequence[str]) -> list[str]:
    """The models that a complete list lacks. One that is listed under its tag `latest` is served without it."""
    listed = _listed(check, answer) if check.items is not None else None
    if listed is None or _goes_on(check, answer):
        return []
    return [model for model in models if model not in listed and f"{model}:latest" not in listed]


def _goes_on(check: ConnectionCheck, answer: object) -> bool:
    """Whether the list has further pages, by the provider's key for it or by that of OpenAI's lists."""
    return isinstance(answer, Mapping) and bool((check.more and answer.get(check.more)) or answer.get("has_more"))


def _shown(models: Sequence[str]) -> str:
    more = f" and {len(models) - _NAMED_MODELS} more" if len(models) > _NAMED_MODELS else ""
    return ", ".join(models[:_NAMED_MODELS]) + more
