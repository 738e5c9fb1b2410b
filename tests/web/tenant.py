"""An organization of a test's own, in a house that others may use as well."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.conftest import ADMIN_KEY, ServedHouse

REFUSED_NAMES = ["", " \t", "a\x00b", "a\nb", "\x7f", "a\u2028b", "\u202eabc", "x" * 201, None, 5, True, ["a"], {"a": 1}]


@dataclass
class Tenant:
    """An organization, its first team and a client that is ADMIN on it."""

    house: ServedHouse
    id: str
    team_id: str
    admin_token: str
    admin: httpx.Client

    def key(self, role: str, scope_type: str = "ORGANIZATION", scope_id: str | None = None, **more: object) -> httpx.Client:
        """A client with a new key of one binding."""
        return self.house.client(self.token(role, scope_type, scope_id, **more))

    def token(self, role: str, scope_type: str = "ORGANIZATION", scope_id: str | None = None, **more: object) -> str:
        """A new key of one binding."""
        binding = {"role": role, "scopeType": scope_type, "scopeId": scope_id or self.id}
        answer = self.admin.post("/api/api-keys", json={"keyType": "service", "name": f"{role} key", "bindings": [binding], **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def project(self, name: str = "Assistant", team_id: str | None = None) -> dict[str, Any]:
        """A new project."""
        body = {"name": name, "language": "python", "framework": "other", "teamId": team_id or self.team_id}
        answer = self.admin.post("/api/projects", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def team(self, name: str = "Research") -> str:
        """A new team's id."""
        answer = self.admin.post("/api/teams", json={"name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def project_key(self, project_id: str) -> str:
        """A project's key."""
        return str(self.admin.get(f"/api/projects/{project_id}/api-key").json()["apiKey"])

    def audit(self) -> list[tuple[str, str]]:
        """Actions and targets, newest first."""
        return [(record["action"], record["target"]) for record in self.admin.get("/api/audit?limit=1000").json()["data"]]


def instance(house: ServedHouse) -> httpx.Client:
    """A client with the instance key."""
    client = house.anonymous()
    client.headers["authorization"] = f"Bearer {ADMIN_KEY}"
    return client


def new_tenant(house: ServedHouse) -> Tenant:
    """A new organization."""
    answer = instance(house).post("/api/organizations", json={"name": "Acme", "slug": f"acme-{uuid4().hex}"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    token = made["adminApiKey"]["token"]
    return Tenant(house, made["organization"]["id"], made["team"]["id"], token, house.client(token))


def failure(answer: httpx.Response) -> tuple[int, str]:
    """Status and error."""
    return answer.status_code, answer.json()["error"]


def forbidden(answer: httpx.Response, what: str) -> bool:
    """Whether this is the contract's 403 for a missing right."""
    return (answer.status_code, answer.json()) == (403, {"error": "Forbidden", "message": f"Insufficient permissions. Required: {what}"})


ADMIN_NEEDED = "ADMIN on the organization, with an API key that is not restricted"


def refused_field(answer: httpx.Response) -> list[str] | int:
    """The fields that a 422 names, or the status where it is none."""
    if answer.status_code != 422 or answer.json()["error"] != "validation_error":
        return answer.status_code
    return list(answer.json()["fields"])
