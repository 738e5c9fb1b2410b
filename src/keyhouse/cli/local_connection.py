"""The way to a house over its data folder: the same requests to the same application, in this process, with every right."""

import asyncio
import json
import os
import pwd
from dataclasses import replace
from typing import Any

from keyhouse.app import build_house, local_gateway, open_storage
from keyhouse.cli.choosing import chosen
from keyhouse.cli.connection import Reply, Request, all_entries, segment
from keyhouse.cli.local_data import prepare_process, require_data
from keyhouse.cli.local_exchange import LocalExchange
from keyhouse.domain.tenancy import Actor, Caller, Permission, Way, organization_admin
from keyhouse.settings import Settings


class LocalConnection:
    """An opened data folder. Its caller may do everything, and is noted as the command line of the system's user."""

    def __init__(self, settings: Settings) -> None:
        """Open what the settings name. Raises CommandError where nothing is there, Error where it cannot be opened."""
        require_data(settings)
        prepare_process()
        self._wanted_project = settings.project
        self._wanted_organization = settings.organization
        self._actor = Actor("command-line", f"command line ({_user()})")
        self._runner = asyncio.Runner()
        self._storage = self._runner.run(open_storage(settings))
        self._house = build_house(settings, self._storage)
        self._organization_caller: Caller | None = None
        self._project_caller: Caller | None = None

    def send(self, request: Request) -> Reply:
        """See Connection."""
        return self._send(request, self._caller(request))

    def close(self) -> None:
        """See Connection."""
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        await self._house.outgoing.close()
        await self._storage.database.close()

    def _caller(self, request: Request) -> Caller:
        if request.rights == "instance":
            return Caller(self._actor, "")
        if request.rights == "organization":
            self._organization_caller = self._organization_caller or self._find_organization()
            return self._organization_caller
        self._project_caller = self._project_caller or self._find_project()
        return self._project_caller

    def _find_organization(self) -> Caller:
        return self._caller_of(chosen(self._organizations(), self._wanted_organization, "organization"))

    def _find_project(self) -> Caller:
        """The project, looked for in the organization that was named, else in all of them."""
        organizations = self._organizations()
        if self._wanted_organization is not None:
            organizations = [chosen(organizations, self._wanted_organization, "organization")]
        callers = [self._caller_of(organization) for organization in organizations]
        found = [(caller, project) for caller in callers for project in self._projects(caller)]
        project = chosen([project for _, project in found], self._wanted_project, "project")
        caller = next(caller for caller, candidate in found if candidate is project)
        return replace(caller, project_id=project["id"])

    def _caller_of(self, organization: dict[str, Any]) -> Caller:
        bindings = (organization_admin(organization["id"]),)
        return Caller(self._actor, organization["id"], permissions=frozenset(Permission), bindings=bindings, way=Way.COMMAND_LINE)

    def _organizations(self) -> list[dict[str, Any]]:
        reply = self._send(Request("GET", "/api/organizations", "instance"), Caller(self._actor, ""))
        organizations: list[dict[str, Any]] = reply.json["organizations"]
        return organizations

    def _projects(self, caller: Caller) -> list[dict[str, Any]]:
        if (self._wanted_project or "").startswith("project_"):
            reply = self._send(Request("GET", f"/api/projects/{segment(self._wanted_project or '')}", "organization"), caller)
            return [reply.json] if reply.status == 200 else []
        return all_entries(lambda request: self._send(request, caller), "/api/projects")

    def _send(self, request: Request, caller: Caller) -> Reply:
        return self._runner.run(self._answer(request, caller))

    async def _answer(self, request: Request, caller: Caller) -> Reply:
        exchange = LocalExchange(request, caller)
        await (self._house.control if request.path.startswith("/api/") else local_gateway(self._house)).serve(exchange)
        return Reply(exchange.status, json.loads(exchange.answered) if exchange.answered else None, exchange.tag)


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
