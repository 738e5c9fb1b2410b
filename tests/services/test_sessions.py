"""What a session opens: the projects on which its key may do anything at all. And when it ends."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Actor, Role, RoleBinding, ScopeType
from keyhouse.services.projects import ProjectRequest, Projects
from keyhouse.services.sessions import LIFETIME_S, Sessions
from keyhouse.storage.api_keys import NewApiKey, get_api_key, put_api_key, update_api_key
from keyhouse.storage.clock import now_us
from keyhouse.storage.history import list_audit
from keyhouse.storage.opening import Storage
from keyhouse.storage.sessions import SessionKey, put_session
from keyhouse.storage.statements import Statement
from tests.storage.houses import project_caller, run_on, settings_of

_HOW_MANY = Statement("SELECT count(*) FROM sessions")


def test_a_key_of_one_project_opens_no_other_of_its_organization(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller = await project_caller(storage)
        whole = RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, caller.organization_id)
        admin = NewApiKey(caller.organization_id, "Admin", (whole,))
        _, admin_token = await storage.database.write(lambda tx: put_api_key(tx, admin))
        sessions = Sessions(storage, lambda actor_id: None)
        signed_in = await sessions.find(await sessions.sign_in(admin_token.text))
        assert signed_in is not None
        made = await Projects(storage).create(signed_in.caller, ProjectRequest("Other", "python", "none", new_team_name="Others"))
        one = NewApiKey(caller.organization_id, "One", (RoleBinding(Role.VIEWER, ScopeType.PROJECT, caller.project_id or ""),))
        _, token = await storage.database.write(lambda tx: put_api_key(tx, one))
        session = await sessions.find(await sessions.sign_in(token.text))
        assert session is not None
        assert (await sessions.caller_on(session, caller.project_id or "")).project_id == caller.project_id
        with pytest.raises(Error) as refused:
            await sessions.caller_on(session, made.project.id)
        assert refused.value.code is Code.PROJECT_NOT_FOUND

    run_on(settings_of(tmp_path, database_url), work)


async def new_key(storage: Storage) -> tuple[SessionKey, str]:
    """What a session of a new API key stands for, and the key's token."""
    organization_id = (await project_caller(storage)).organization_id
    binding = RoleBinding(Role.VIEWER, ScopeType.ORGANIZATION, organization_id)
    api_key, token = await storage.database.write(lambda tx: put_api_key(tx, NewApiKey(organization_id, "Key", (binding,))))
    return SessionKey(organization_id, api_key_id=api_key.id), token.text


async def new_sign_in(storage: Storage, key: SessionKey) -> str:
    """A token that signs in once, within a minute."""
    return (await storage.database.write(lambda tx: put_session(tx, key, "sign_in", 60))).text


async def require_refused(sessions: Sessions, token: str) -> None:
    with pytest.raises(Error) as refused:
        await sessions.sign_in(token)
    assert refused.value.code is Code.INVALID_CREDENTIALS


def test_what_signs_in_and_what_is_signed_in_end_with_their_time(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = now_us()

    def wait_until(seconds: float) -> None:
        monkeypatch.setattr("keyhouse.storage.sessions.now_us", lambda: start + int(seconds * 1_000_000))

    async def work(storage: Storage) -> None:
        key, token = await new_key(storage)
        sessions = Sessions(storage, lambda actor_id: None)
        wait_until(0)
        timely, late = await new_sign_in(storage, key), await new_sign_in(storage, key)
        signed_in = await sessions.sign_in(token)
        wait_until(59)
        await sessions.sign_in(timely)
        wait_until(60)
        await require_refused(sessions, late)
        wait_until(LIFETIME_S - 1)
        assert await sessions.find(signed_in) is not None
        wait_until(LIFETIME_S)
        assert await sessions.find(signed_in) is None
        wait_until(LIFETIME_S + 59)
        await sessions.sign_in(token)
        # The new one, and the address of the first start, which is good for a day.
        assert (await storage.database.read(lambda tx: tx.rows(_HOW_MANY)))[0][0] == 2

    run_on(settings_of(tmp_path, database_url), work)


def test_what_signs_in_is_no_session_and_a_session_signs_nobody_in(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        key, token = await new_key(storage)
        sessions = Sessions(storage, lambda actor_id: None)
        once, signed_in = await new_sign_in(storage, key), await sessions.sign_in(token)
        assert await sessions.find(once) is None
        await require_refused(sessions, signed_in)
        assert await sessions.find(signed_in) is not None
        await sessions.sign_in(once)
        await require_refused(sessions, once)

    run_on(settings_of(tmp_path, database_url), work)


def test_who_signs_in_and_out_is_in_the_audit_log_and_counts_as_a_use_of_the_key(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        key, token = await new_key(storage)
        used: list[str] = []
        sessions = Sessions(storage, used.append)
        signed_in = await sessions.sign_in(token)
        await sessions.find(signed_in)
        assert used == [key.api_key_id]
        for _ in range(2):
            await sessions.end(signed_in)
        assert await sessions.find(signed_in) is None
        records, _ = await storage.database.read(lambda tx: list_audit(tx, key.organization_id, Paging(1, 2)))
        told = [(record.action, record.target, record.actor) for record in records]
        actor = Actor(key.api_key_id or "", "Key")
        assert told == [("session.ended", actor.id, actor), ("session.created", actor.id, actor)]

    run_on(settings_of(tmp_path, database_url), work)


def test_a_projects_key_opens_its_own_project_alone_and_nothing_once_that_is_archived(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        first = await project_caller(storage)
        whole = RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, first.organization_id)
        admin, projects = replace(first, bindings=(whole,)), Projects(storage)
        made = await projects.create(admin, ProjectRequest("Other", "python", "none", new_team_name="Others"))
        key = await projects.open_key(admin, made.project.id)
        sessions = Sessions(storage, lambda actor_id: None)
        signed_in = await sessions.sign_in(key)
        session = await sessions.find(signed_in)
        assert session is not None
        assert (await sessions.caller_on(session, made.project.id)).project_id == made.project.id
        with pytest.raises(Error) as refused:
            await sessions.caller_on(session, first.project_id or "")
        assert refused.value.code is Code.PROJECT_NOT_FOUND
        await projects.archive(admin, made.project.id)
        assert await sessions.find(signed_in) is None
        await require_refused(sessions, key)

    run_on(settings_of(tmp_path, database_url), work)


def test_a_session_ends_with_its_key(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        key, token = await new_key(storage)
        sessions = Sessions(storage, lambda actor_id: None)
        signed_in, once = await sessions.sign_in(token), await new_sign_in(storage, key)
        api_key = await storage.database.read(lambda tx: get_api_key(tx, key.organization_id, key.api_key_id or ""))
        assert api_key is not None
        expired = replace(api_key, expires_at=datetime.now(UTC))
        await storage.database.write(lambda tx: update_api_key(tx, expired))
        assert await sessions.find(signed_in) is None
        for shown in (token, once):
            await require_refused(sessions, shown)

    run_on(settings_of(tmp_path, database_url), work)
