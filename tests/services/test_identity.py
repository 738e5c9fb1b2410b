"""Who a token is, and how long that is remembered."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Role, RoleBinding, ScopeType
from keyhouse.services import identity as identity_module
from keyhouse.services.identity import Identity
from keyhouse.storage.api_keys import NewApiKey, put_api_key, revoke_api_key
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import get_project, open_project_key
from tests.storage.houses import project_caller, run_on, settings_of

DIGEST = b"of what was presented"


class InTwoHours(datetime):
    """A clock that is ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "InTwoHours":
        return cls.fromtimestamp(datetime.now(tz).timestamp() + 7200, tz)


async def new_key(storage: Storage, expires_at: datetime | None = None) -> tuple[str, str]:
    """A key on the first project: its id and its token."""
    caller = await project_caller(storage)
    binding = RoleBinding(Role.VIEWER, ScopeType.PROJECT, caller.project_id or "")
    new = NewApiKey(caller.organization_id, "Key", (binding,), expires_at=expires_at)
    api_key, token = await storage.database.write(lambda tx: put_api_key(tx, new))
    return api_key.id, token.text


async def notices(storage: Storage, *, of_everything: bool) -> list[ChangeNotice] | None:
    """That everything is to be dropped, or what concerns the first organization."""
    return None if of_everything else [ChangeNotice((await project_caller(storage)).organization_id, None, 0)]


@pytest.mark.parametrize("of_everything", [True, False])
def test_what_was_read_before_a_notice_is_not_remembered_after_it(tmp_path: Path, database_url: str, of_everything: bool) -> None:
    async def work(storage: Storage) -> None:
        identity, told = Identity(storage), await notices(storage, of_everything=of_everything)
        key_id, token = await new_key(storage)
        reading = asyncio.create_task(identity.caller_of_project(token, None))
        await asyncio.sleep(0)
        identity.forget(told)
        assert (await reading).actor.id == key_id
        await storage.database.write(lambda tx: revoke_api_key(tx, key_id))
        with pytest.raises(Error) as refused:
            await identity.caller_of_project(token, None)
        assert refused.value.code is Code.INVALID_CREDENTIALS

    run_on(settings_of(tmp_path, database_url), work)


@pytest.mark.parametrize("of_everything", [True, False])
def test_who_was_admitted_before_a_notice_is_not_recalled_after_it(tmp_path: Path, database_url: str, of_everything: bool) -> None:
    async def work(storage: Storage) -> None:
        identity, told = Identity(storage), await notices(storage, of_everything=of_everything)
        _, token = await new_key(storage)
        reading = asyncio.create_task(identity.admit(DIGEST, token, None))
        await asyncio.sleep(0)
        identity.forget(told)
        await reading
        assert identity.recall(DIGEST) is None
        caller = await identity.admit(DIGEST, token, None)
        assert identity.recall(DIGEST) is caller

    run_on(settings_of(tmp_path, database_url), work)


@pytest.mark.parametrize(("of", "revision", "stays"), [("ours", 0, False), ("another", 0, True), ("ours", 7, True), (None, 0, False)])
def test_a_notice_drops_who_is_of_its_organization(tmp_path: Path, of: str | None, revision: int, stays: bool) -> None:
    async def work(storage: Storage) -> None:
        identity = Identity(storage)
        _, token = await new_key(storage)
        caller = await identity.admit(DIGEST, token, None)
        identity.forget(of and [ChangeNotice(caller.organization_id if of == "ours" else of, None, revision)])
        assert (identity.recall(DIGEST) is caller) == stays
        assert (await identity.caller_of_project(token, None) is caller) == stays

    run_on(settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}"), work)


def test_key_that_expires_is_refused_although_it_is_remembered(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(storage: Storage) -> None:
        identity = Identity(storage)
        _, token = await new_key(storage, datetime.now(UTC) + timedelta(hours=1))
        await identity.caller_of_project(token, None)
        await identity.caller_of_organization(token)
        await identity.admit(DIGEST, token, None)
        assert identity.recall(DIGEST) is not None
        monkeypatch.setattr(identity_module, "datetime", InTwoHours)
        assert identity.recall(DIGEST) is None
        asked = (identity.caller_of_project, Identity(storage).caller_of_project)
        for caller in (*(ask(token, None) for ask in asked), identity.caller_of_organization(token)):
            with pytest.raises(Error) as refused:
                await caller
            assert refused.value.code is Code.INVALID_CREDENTIALS

    run_on(settings_of(tmp_path, database_url), work)


def test_a_project_key_is_remembered_once_whatever_projects_it_names(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        identity = Identity(storage)
        caller = await project_caller(storage)
        record = await storage.database.read(lambda tx: get_project(tx, caller.organization_id, caller.project_id or ""))
        assert record is not None
        token = await storage.database.read(lambda tx: open_project_key(tx, storage.box, record))
        found = [await identity.caller_of_project(token, named) for named in (None, "project_1", caller.project_id, "x" * 60_000)]
        assert all(each is found[0] for each in found)
        assert len(identity._callers) == 1

    run_on(settings_of(tmp_path, database_url), work)
