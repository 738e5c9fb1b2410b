"""The use cases of projects and their keys. Each asks what its caller may do at the project; a foreign one is as unknown as none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Caller, Permission, Place, Project, Role, RoleBinding, ScopeType, Team
from keyhouse.services.rights import place_of, require, require_anywhere, require_organization_admin, viewable_scopes
from keyhouse.services.slugs import free_slug
from keyhouse.services.teams import put_new_team, team_name_taken
from keyhouse.services.writing import write
from keyhouse.storage.api_keys import NewApiKey, put_api_key
from keyhouse.storage.changes import note_change
from keyhouse.storage.clock import now_us, to_datetime
from keyhouse.storage.history import put_audit
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import (
    NewProject,
    ProjectRecord,
    archive_project,
    get_project,
    is_project_slug_taken,
    list_projects,
    list_providers,
    lock_project_record,
    open_project_key,
    put_project,
    replace_project_key,
    update_project,
)
from keyhouse.storage.secret_box import SecretBox, Unreadable
from keyhouse.storage.statements import Transaction
from keyhouse.storage.teams import lock_team

_LONGEST_NAME = 200
_log = structlog.get_logger("keyhouse")


@dataclass(frozen=True, slots=True)
class ProjectRequest:
    """What a caller wants a project to be, in a team that exists or in a new one: one of the two is given."""

    name: str
    language: str
    framework: str
    team_id: str | None = None
    new_team_name: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectUpdate:
    """What a caller wants to change of a project; None leaves a field as it is."""

    name: str | None = None
    language: str | None = None
    framework: str | None = None
    team_id: str | None = None


@dataclass(frozen=True, slots=True)
class CreatedProject:
    """A new project, and an API key that is ADMIN on it alone, whose token is shown once."""

    project: Project
    api_key_id: str
    token: str = field(repr=False)


class Projects:
    """See the module."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def authorize(self, caller: Caller, project_id: str, permission: Permission) -> None:
        """Raise Error `insufficient_permissions` where the project is known and the caller may not do this there."""
        record = await self._storage.database.read(lambda tx: get_project(tx, caller.organization_id, project_id))
        if record is not None:
            require(caller, permission, place_of(record.project))

    async def list(self, caller: Caller, paging: Paging) -> tuple[Sequence[Project], int]:
        """A page of the projects that the caller may view, newest first, and how many there are."""
        require_anywhere(caller, Permission.VIEW)
        scopes = viewable_scopes(caller)
        return await self._storage.database.read(lambda tx: list_projects(tx, caller.organization_id, scopes, paging))

    async def providers(self, caller: Caller, ids: Sequence[str]) -> Mapping[str, Mapping[str, bool]]:
        """The providers that are stored in those of these projects that the caller may view, and whether each is on, by project."""
        require_anywhere(caller, Permission.VIEW)
        scopes = viewable_scopes(caller)
        stored: dict[str, dict[str, bool]] = {}
        for project_id, provider, enabled in await self._storage.database.read(
            lambda tx: list_providers(tx, caller.organization_id, scopes, ids)
        ):
            stored.setdefault(project_id, {})[provider] = enabled
        return stored

    async def get(self, caller: Caller, project_id: str) -> Project:
        """One project. Raises Error `project_not_found`, `insufficient_permissions`."""
        record = await self._storage.database.read(lambda tx: _found(tx, caller, project_id, Permission.VIEW))
        return record.project

    async def create(self, caller: Caller, request: ProjectRequest) -> CreatedProject:
        """A new project and an API key for it.

        Needs `project:create` at the team, for a new team ADMIN on the organization. Raises Error `insufficient_permissions`,
        `bad_request` for a team that is not there, `team_name_taken`, `conflict` where the name is taken in the team.
        """
        if request.team_id is None:
            require_organization_admin(caller)

        def work(tx: Transaction) -> CreatedProject:
            team = _team_for(tx, caller, request)
            return self._put(tx, caller, team, request)

        return await write(self._storage, work, team_name_taken() if request.team_id is None else _name_taken())

    async def update(self, caller: Caller, project_id: str, update: ProjectUpdate) -> Project:
        """A project after a change. Its slug stays.

        Needs `project:update` there; to move it, `project:manage` there and `project:create` at the other team, so that nobody moves
        a project to where they may do more with it. Raises Error `project_not_found`, `insufficient_permissions`, `bad_request`,
        `conflict`.
        """

        def work(tx: Transaction) -> Project:
            before = _locked(tx, caller, project_id, Permission.UPDATE).project
            after = replace(
                before,
                name=update.name or before.name,
                language=update.language or before.language,
                framework=update.framework or before.framework,
                team_id=_target_team(tx, caller, before, update.team_id),
            )
            if after == before:
                return before
            _tell(tx, caller, "project.updated", before.id)
            return update_project(tx, after)

        return await write(self._storage, work, _name_taken())

    async def archive(self, caller: Caller, project_id: str) -> tuple[Project, datetime]:
        """Archive a project: nothing opens it any more. What is stored for it stays.

        Raises Error `project_not_found`, `insufficient_permissions`.
        """
        archived_at = now_us()

        def work(tx: Transaction) -> Project:
            project = _locked(tx, caller, project_id, Permission.DELETE).project
            archive_project(tx, project.id, archived_at)
            _tell(tx, caller, "project.archived", project.id)
            return project

        return await self._storage.database.write(work), to_datetime(archived_at)

    async def open_key(self, caller: Caller, project_id: str) -> str:
        """The project's key. An audit record of who saw it, and by which way, is stored before it is shown.

        Where the database takes no write, the key is shown all the same, and the log says so: whoever must put a house in order needs it.
        Raises Error `project_not_found`, `insufficient_permissions`, `credentials_unreadable`.
        """

        def show(tx: Transaction) -> str:
            return _opened_key(tx, self._storage.box, _found(tx, caller, project_id, Permission.UPDATE))

        def work(tx: Transaction) -> str:
            # Locked, so that nobody replaces the key between the look for it and its opening.
            token = _opened_key(tx, self._storage.box, _locked(tx, caller, project_id, Permission.UPDATE))
            _record(tx, caller, f"project.key_shown_by_{caller.way}", project_id)
            return token

        try:
            return await self._storage.database.write(work)
        except Error as error:
            if error.code not in (Code.STORAGE_UNAVAILABLE, Code.STORAGE_FULL):
                raise
            token = await self._storage.database.read(show)
            facts = {"project_id": project_id, "actor_id": caller.actor.id, "way": caller.way.value, "reason": error.code.value}
            _log.warning("a project's key is shown without an audit record", **facts)
            return token

    async def regenerate_key(self, caller: Caller, project_id: str) -> str:
        """A new key for the project; the old one stops at once. Raises Error `project_not_found`, `insufficient_permissions`."""

        def work(tx: Transaction) -> str:
            record = _locked(tx, caller, project_id, Permission.MANAGE)
            token = replace_project_key(tx, self._storage.box, record)
            _tell(tx, caller, "project.key_regenerated", record.project.id)
            return token.text

        return await self._storage.database.write(work)

    def _put(self, tx: Transaction, caller: Caller, team: Team, request: ProjectRequest) -> CreatedProject:
        organization_id = caller.organization_id
        slug = free_slug(request.name, "project", lambda slug: is_project_slug_taken(tx, organization_id, slug))
        new = NewProject(organization_id, team.id, request.name, slug, request.language, request.framework)
        project, _ = put_project(tx, self._storage.box, new)
        key_name = f"Service key of {project.name}"[:_LONGEST_NAME]
        binding = RoleBinding(Role.ADMIN, ScopeType.PROJECT, project.id)
        api_key, token = put_api_key(tx, NewApiKey(organization_id, key_name, (binding,)))
        _tell(tx, caller, "project.created", project.id)
        put_audit(tx, caller.actor, "api_key.created", api_key.id, organization_id=organization_id, project_id=project.id)
        return CreatedProject(project, api_key.id, token.text)


def _team_for(tx: Transaction, caller: Caller, request: ProjectRequest) -> Team:
    if request.team_id is None:
        return put_new_team(tx, caller, request.new_team_name or request.name)
    return _open_team(tx, caller, request.team_id)


def _target_team(tx: Transaction, caller: Caller, project: Project, team_id: str | None) -> str:
    if team_id is None or team_id == project.team_id:
        return project.team_id
    require(caller, Permission.MANAGE, place_of(project))
    return _open_team(tx, caller, team_id).id


def _open_team(tx: Transaction, caller: Caller, team_id: str) -> Team:
    """A team that the caller may put a project into."""
    team = lock_team(tx, caller.organization_id, team_id)
    if team is None:
        raise Error(Code.BAD_REQUEST, "There is no such team in this organization.", fields=["teamId"])
    require(caller, Permission.CREATE, Place(team.organization_id, team.id))
    return team


def _found(tx: Transaction, caller: Caller, project_id: str, permission: Permission) -> ProjectRecord:
    return _permitted(caller, get_project(tx, caller.organization_id, project_id), permission)


def _locked(tx: Transaction, caller: Caller, project_id: str, permission: Permission) -> ProjectRecord:
    return _permitted(caller, lock_project_record(tx, caller.organization_id, project_id), permission)


def _permitted(caller: Caller, record: ProjectRecord | None, permission: Permission) -> ProjectRecord:
    if record is None:
        raise Error(Code.PROJECT_NOT_FOUND, "Project not found")
    require(caller, permission, place_of(record.project))
    return record


def _opened_key(tx: Transaction, box: SecretBox, record: ProjectRecord) -> str:
    try:
        return open_project_key(tx, box, record)
    except Unreadable:
        raise Error(
            Code.CREDENTIALS_UNREADABLE,
            "The stored copy of this project's key cannot be read. Applications that have the key can go on with it; "
            "to see one again, regenerate it.",
        ) from None


def _name_taken() -> Error:
    return Error(Code.CONFLICT, "There is a project of this name in the team. Choose another name.")


def _tell(tx: Transaction, caller: Caller, action: str, project_id: str) -> None:
    _record(tx, caller, action, project_id)
    note_change(tx, caller.organization_id, project_id)


def _record(tx: Transaction, caller: Caller, action: str, project_id: str) -> None:
    put_audit(tx, caller.actor, action, project_id, organization_id=caller.organization_id, project_id=project_id)
