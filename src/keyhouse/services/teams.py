"""The use cases of teams. Each asks what its caller may do at the team; a foreign team is as unknown as one that never was."""

from collections.abc import Sequence
from datetime import datetime

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Caller, Permission, Place, Project, Team
from keyhouse.services.rights import require, require_anywhere, require_organization_admin, viewable_scopes
from keyhouse.services.slugs import free_slug
from keyhouse.services.writing import write
from keyhouse.storage.changes import note_change
from keyhouse.storage.clock import now_us, to_datetime
from keyhouse.storage.history import put_audit
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import list_projects_of_team
from keyhouse.storage.statements import Transaction
from keyhouse.storage.teams import (
    archive_team,
    count_projects,
    get_team,
    is_team_slug_taken,
    list_teams,
    lock_team,
    put_team,
    rename_team,
)


class Teams:
    """See the module."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def authorize(self, caller: Caller, team_id: str, permission: Permission) -> None:
        """Raise Error `insufficient_permissions` where the team is known and the caller may not do this there."""
        team = await self._storage.database.read(lambda tx: get_team(tx, caller.organization_id, team_id))
        if team is not None:
            require(caller, permission, _place(team))

    async def list(self, caller: Caller, paging: Paging) -> tuple[Sequence[Team], int]:
        """A page of the teams that the caller may view, newest first, and how many there are."""
        require_anywhere(caller, Permission.VIEW)
        scopes = viewable_scopes(caller)
        return await self._storage.database.read(lambda tx: list_teams(tx, caller.organization_id, scopes, paging))

    async def get(self, caller: Caller, team_id: str) -> Team:
        """One team. Raises Error `team_not_found`, `insufficient_permissions`."""
        return await self._storage.database.read(lambda tx: _viewed(tx, caller, team_id))

    async def list_projects(self, caller: Caller, team_id: str, paging: Paging) -> tuple[Sequence[Project], int]:
        """A page of a team's projects, newest first, and how many there are. Raises Error `team_not_found`, `insufficient_permissions`."""

        def work(tx: Transaction) -> tuple[Sequence[Project], int]:
            team = _viewed(tx, caller, team_id)
            return list_projects_of_team(tx, team.organization_id, team.id, paging)

        return await self._storage.database.read(work)

    async def create(self, caller: Caller, name: str) -> Team:
        """A new team. Needs ADMIN on the organization. Raises Error `insufficient_permissions`, `team_name_taken`."""
        require_organization_admin(caller)
        return await write(self._storage, lambda tx: put_new_team(tx, caller, name), team_name_taken())

    async def rename(self, caller: Caller, team_id: str, name: str | None) -> Team:
        """A team under another name; its slug stays. Raises Error `team_not_found`, `insufficient_permissions`, `team_name_taken`."""

        def work(tx: Transaction) -> Team:
            team = _required(lock_team(tx, caller.organization_id, team_id))
            require(caller, Permission.MANAGE, _place(team))
            if name is None or name == team.name:
                return team
            renamed = rename_team(tx, team, name)
            _tell(tx, caller, "team.updated", team.id)
            return renamed

        return await write(self._storage, work, team_name_taken())

    async def archive(self, caller: Caller, team_id: str) -> tuple[Team, datetime]:
        """Archive a team that has no projects. Needs ADMIN on the organization.

        Raises Error `insufficient_permissions`, `team_not_found`, and `conflict` while the team has projects.
        """
        require_organization_admin(caller)
        archived_at = now_us()

        def work(tx: Transaction) -> Team:
            team = _required(lock_team(tx, caller.organization_id, team_id))
            if count_projects(tx, team.id):
                raise Error(Code.CONFLICT, "The team still has projects. Archive them or move them to another team first.")
            archive_team(tx, team.id, archived_at)
            _tell(tx, caller, "team.archived", team.id)
            return team

        return await self._storage.database.write(work), to_datetime(archived_at)


def put_new_team(tx: Transaction, caller: Caller, name: str) -> Team:
    """Store a team as a part of a write, under a slug of its own. Raises ConstraintBroken if the name is taken."""
    organization_id = caller.organization_id
    slug = free_slug(name, "team", lambda slug: is_team_slug_taken(tx, organization_id, slug))
    team = put_team(tx, organization_id, name, slug)
    _tell(tx, caller, "team.created", team.id)
    return team


def team_name_taken() -> Error:
    """What a unique index says of a team's name."""
    return Error(Code.TEAM_NAME_TAKEN, "There is a team of this name in the organization. Choose another name.")


def _viewed(tx: Transaction, caller: Caller, team_id: str) -> Team:
    team = _required(get_team(tx, caller.organization_id, team_id))
    require(caller, Permission.VIEW, _place(team))
    return team


def _required(team: Team | None) -> Team:
    if team is None:
        raise Error(Code.TEAM_NOT_FOUND, "There is no such team in this organization.")
    return team


def _place(team: Team) -> Place:
    return Place(team.organization_id, team.id)


def _tell(tx: Transaction, caller: Caller, action: str, team_id: str) -> None:
    put_audit(tx, caller.actor, action, team_id, organization_id=caller.organization_id)
    note_change(tx, caller.organization_id, None)
