"""Entity tags: how a state of a project's providers is named, and when a write that names one may go on. No I/O."""

import re
from dataclasses import dataclass

_TAG = re.compile(r'"(?:(?P<provider>[A-Za-z0-9_]+)-)?(?P<revision>[0-9]{1,18})(?:\.[0-9a-f]+)?"')


def list_tag(revision: int, digest: str) -> str:
    """The tag of all providers of a project. `digest` names the catalogue, which is a part of what is shown."""
    return f'"{revision}.{digest}"'


def entry_tag(provider: str, revision: int, digest: str) -> str:
    """The tag of one provider; revision 0 while it is not stored."""
    return f'"{provider}-{revision}.{digest}"'


@dataclass(frozen=True, slots=True)
class NamedState:
    """What a tag names: a revision of one provider, or (provider None) of all."""

    provider: str | None
    revision: int


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a write asks for: any of these states, or that the provider exists, or that it does not. Tags of anybody else hold nowhere."""

    states: tuple[NamedState, ...] = ()
    must_exist: bool | None = None

    def holds(self, provider: str, provider_revision: int, list_revision: int) -> bool:
        """Whether a write to `provider` may go on. `provider_revision` is 0 where nothing is stored."""
        if self.must_exist is not None:
            return self.must_exist == (provider_revision > 0)
        current = (NamedState(None, list_revision), NamedState(provider, provider_revision))
        return any(state in current for state in self.states)

    def newest_state(self, provider: str) -> NamedState | None:
        """The latest state it names that concerns this provider."""
        concerned = [state for state in self.states if state.provider in (None, provider)]
        return max(concerned, key=lambda state: state.revision, default=None)


def parse_if_match(header: str) -> Precondition:
    """The precondition of an `If-Match` header. Weak tags never match a write (RFC 9110 section 13.1.1), nor do tags that are not ours."""
    if header.strip() == "*":
        return Precondition(must_exist=True)
    matches = (_TAG.fullmatch(tag.strip()) for tag in header.split(","))
    return Precondition(tuple(NamedState(found["provider"], int(found["revision"])) for found in matches if found))


def parse_if_none_match(header: str) -> Precondition | None:
    """The precondition of a write's `If-None-Match` header: `*` alone is one."""
    return Precondition(must_exist=False) if header.strip() == "*" else None


def matches_none(header: str, tag: str) -> bool:
    """Whether `If-None-Match` names this tag, compared weakly."""
    return header.strip() == "*" or tag in {named.strip().removeprefix("W/") for named in header.split(",")}
