"""The command line on the data directory comes in without a token: as a caller with an ADMIN binding, and with no more than that."""

import json
from pathlib import Path
from typing import Any

from keyhouse.app import House, build_house
from keyhouse.cli.connection import Request
from keyhouse.cli.local_exchange import LocalExchange
from keyhouse.domain.tenancy import Actor, Caller, Role, RoleBinding, ScopeType
from keyhouse.settings import Settings
from keyhouse.storage.opening import Storage
from tests.storage.houses import project_caller, run_on, settings_of


async def ask(house: House, caller: Caller, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and answer of a request that brings a caller along."""
    exchange = LocalExchange(Request(method, path, "organization", body=body), caller)
    await house.control.serve(exchange)
    return exchange.status, json.loads(exchange.answered)


def with_house(folder: Path, database_url: str, work: Any) -> None:
    settings: Settings = settings_of(folder, database_url)

    async def run(storage: Storage) -> None:
        made = await project_caller(storage)
        binding = RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, made.organization_id)
        operator = Caller(Actor("operator", "command line"), made.organization_id, made.project_id, bindings=(binding,))
        await work(build_house(settings, storage), operator)

    run_on(settings, run)


def test_operator_with_an_admin_binding_manages_the_organization(tmp_path: Path, database_url: str) -> None:
    async def work(house: House, operator: Caller) -> None:
        status, team = await ask(house, operator, "POST", "/api/teams", {"name": "Research"})
        assert status == 201
        new = {"name": "Assistant", "language": "python", "framework": "other", "teamId": team["id"]}
        status, project = await ask(house, operator, "POST", "/api/projects", new)
        assert status == 201
        assert (await ask(house, operator, "GET", f"/api/projects/{project['id']}/api-key"))[0] == 200
        status, made = await ask(house, operator, "POST", "/api/api-keys", {"keyType": "service", "name": "CI"})
        assert status == 201
        assert (await ask(house, operator, "DELETE", f"/api/api-keys/{made['apiKey']['id']}")) == (200, {"success": True})
        assert (await ask(house, operator, "GET", "/api/model-defaults"))[1]["scope"]["organizationId"] == operator.organization_id
        assert (await ask(house, operator, "DELETE", f"/api/projects/{project['id']}"))[0] == 200
        status, audit = await ask(house, operator, "GET", "/api/audit")
        assert {record["actor"]["name"] for record in audit["data"][:6]} == {"command line"}
        status, created = await ask(house, operator, "POST", "/api/organizations", {"name": "Acme"})
        assert (status, created["organization"]["slug"]) == (201, "acme")

    with_house(tmp_path, database_url, work)


def test_operator_without_a_binding_is_refused_like_anybody(tmp_path: Path) -> None:
    async def work(house: House, operator: Caller) -> None:
        nobody = Caller(operator.actor, operator.organization_id)
        for method, path in (("GET", "/api/projects"), ("POST", "/api/teams"), ("GET", "/api/audit"), ("GET", "/api/api-keys")):
            assert (await ask(house, nobody, method, path, {}))[0] == 403

    with_house(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}", work)
