"""The audit log's entries: who did what to which thing. No values, no secrets."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keyhouse.domain.tenancy import Actor


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """Which records are wanted: those of a thing, or of whoever did something, by its id; and those whose action is LIKE a pattern."""

    about: str = ""
    actions: str = "%"


SEARCHED_RECORDS = 100_000
"""How many records of all organizations, the latest ones, are searched: who searches holds nobody up."""

EVERYTHING = AuditSearch()
"""All records."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One write, or one showing of a project's key.

    `action` is a kind and a participle, such as `project.created`; `target` names the thing by its id.
    """

    id: int
    at: datetime
    actor: Actor
    action: str
    target: str


@dataclass(frozen=True, slots=True)
class Named:
    """What a record may be about, by its id: a project or team that is not archived, or an API key."""

    kind: Literal["project", "team", "api_key"]
    id: str
    name: str
