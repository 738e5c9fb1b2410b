"""Writes from memory on PostgreSQL, in one statement: they leave what a transaction leaves, or give way to one."""

import asyncio
import threading
from pathlib import Path

import psycopg
import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.precondition import parse_if_match
from keyhouse.domain.tenancy import Actor, Caller
from keyhouse.services.encryption_keys import retire
from keyhouse.settings import Settings
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.postgres_drafts import Came
from tests.conftest import PostgresServer
from tests.storage.drafts import Watched, asked, secret_of, versions, watched
from tests.storage.filled_houses import keys_in_use, plaintexts, rotated
from tests.storage.held_writes import waits_for_a_lock
from tests.storage.houses import openai_key, opened, settings_of

_MODELS = (CustomModel("gpt-x", "é \U0001f600 '\"\\{}", "chat", max_tokens=4096), CustomModel("gpt-y", "Y", "chat"))
_UPDATES = (
    openai_key("sk-alone"),
    ModelProviderUpdate(True, custom_models=_MODELS),
    ModelProviderUpdate(False),
    ModelProviderUpdate(True, {"OPENAI_API_KEY": "sk-é", "OPENAI_BASE_URL": "https://example.com/v1"}, (), _MODELS),
    ModelProviderUpdate(True, extra_headers=(ExtraHeader("X-Team", "platform"),), default_model="gpt-x"),
    ModelProviderUpdate(True, {"OPENAI_API_KEY": "sk-last"}, extra_headers=(ExtraHeader("X-Team", "other"), ExtraHeader("X-More", ""))),
    ModelProviderUpdate(True, extra_headers=(), default_model="gpt-y"),
)
# All that a write leaves of a project, without what is another value each time.
_LEFT = (
    "SELECT revision, default_model, updated_at > created_at FROM projects WHERE id = %s",
    "SELECT organization_id, revision, transaction_id IS NULL, at > 0 FROM changes WHERE project_id = %s ORDER BY id",
    """SELECT value.field, value.owner_id = stored.id, count(*), count(DISTINCT value.key_id) FROM sealed_values AS value
    JOIN model_providers AS stored USING (project_id) WHERE project_id = %s GROUP BY 1, 2 ORDER BY 1""",
    """SELECT provider, enabled, credential_names, credentials_id IS NULL, header_names, headers_id IS NULL, custom_models,
    custom_embeddings_models, version, revision, updated_at > 0 FROM model_providers WHERE project_id = %s""",
    """SELECT change.provider, change.version, change.row_id = stored.id, change.enabled, change.credential_names,
    change.credentials_id IN (SELECT id FROM sealed_values WHERE field = 'customKeys' AND owner_id = stored.id), change.header_names,
    change.headers_id IN (SELECT id FROM sealed_values WHERE field = 'headers' AND owner_id = stored.id), change.custom_models,
    change.custom_embeddings_models, change.revision, change.at > 0, actor_id, actor_name, action, fields
    FROM model_provider_history AS change JOIN model_providers AS stored USING (project_id)
    WHERE project_id = %s ORDER BY change.version""",
    """SELECT organization_id, at > 0, actor_id, actor_name, action, replace(target, project_id, '')
    FROM audit_log WHERE project_id = %s ORDER BY id""",
)


@pytest.fixture
def settings(tmp_path: Path, postgres_server: PostgresServer) -> Settings:
    return settings_of(tmp_path, postgres_server.new_database())


def left_of(settings: Settings, caller: Caller) -> list[list[tuple[object, ...]]]:
    return [asked(settings, query, caller.project_id) for query in _LEFT]


def test_a_draft_leaves_what_a_transaction_leaves(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings, projects=4) as process:
            await process.warm()
            for update in _UPDATES:
                await process.put(0, update)
                await asyncio.gather(process.put(1, update), process.put(2, update))
            assert process.came == [Came.WRITTEN] * 3 * len(_UPDATES)
            await process.drafts.close()
            for update in _UPDATES:
                await process.put(3, update)
            one, two, three, in_transactions = (left_of(settings, caller) for caller in process.callers)
            assert one == two == three == in_transactions
            assert len(in_transactions[4]) == 2 + len(_UPDATES)
            lists = {(await process.providers.list(caller.project_id or "")).tag for caller in process.callers}
            assert len(lists) == 1

    asyncio.run(main())


def test_what_a_draft_left_is_read_by_another_process(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings) as process, watched(settings, process.callers) as other:
            heard: list[ChangeNotice] = []
            other.storage.database.on_changes = lambda notices: heard.extend(notices or ())
            await process.warm()
            await other.storage.database.catch_up()
            heard.clear()
            await asyncio.gather(process.put(0, "sk-zero"), process.put(1, "sk-one"))
            assert process.came == [Came.WRITTEN] * 2
            await other.storage.database.catch_up()
            assert sorted((notice.project_id, notice.revision) for notice in heard) == sorted(
                (caller.project_id, 3) for caller in process.callers
            )
            assert [await secret_of(other, number) for number in (0, 1)] == ["sk-zero", "sk-one"]

    asyncio.run(main())


def test_who_did_not_hear_of_another_process_s_write_does_not_undo_it(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings) as process, watched(settings, process.callers) as other:
            await process.warm()
            await other.put(0, ModelProviderUpdate(True, custom_models=_MODELS))
            await asyncio.gather(process.put(0, "sk-here"), process.put(1, "sk-beside"))
            assert sorted(came.value for came in process.came) == ["not written", "written"]
            assert versions(settings, process.callers[0]) == [1, 2, 3, 4]
            assert await secret_of(process, 0) == "sk-here"
            [stored] = asked(settings, "SELECT custom_models FROM model_providers WHERE project_id = %s", process.callers[0].project_id)
            assert "gpt-x" in str(stored[0])

    asyncio.run(main())


def test_a_precondition_is_judged_by_what_is_so_and_not_by_what_is_remembered(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings) as process, watched(settings, process.callers) as other:
            await process.warm()
            caller = process.callers[0]
            seen = await process.providers.list(caller.project_id or "")
            changed = await process.providers.upsert(caller, "openai", openai_key("sk-mine"), parse_if_match(seen.tag))
            await other.put(0, "sk-theirs")
            with pytest.raises(Error) as refused:
                await process.providers.upsert(caller, "openai", openai_key("sk-late"), parse_if_match(changed.tag))
            assert refused.value.code is Code.PRECONDITION_FAILED
            assert process.came == [Came.WRITTEN, Came.NOT_WRITTEN]
            assert await secret_of(process, 0) == "sk-theirs"

    asyncio.run(main())


def test_an_archived_project_is_not_written_to(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            with psycopg.connect(settings.url, autocommit=True) as connection:
                connection.execute("UPDATE projects SET archived_at = 1 WHERE id = %s", [process.callers[0].project_id])
            with pytest.raises(Error) as refused:
                await process.put(0, "sk-late")
            assert refused.value.code is Code.INVALID_CREDENTIALS
            assert process.came == [Came.NOT_WRITTEN]
            assert versions(settings, process.callers[0]) == [1, 2]

    asyncio.run(main())


def test_a_project_that_is_locked_holds_up_no_other(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings, projects=3) as process:
            await process.warm()
            with psycopg.connect(settings.url) as connection:
                connection.execute("SELECT id FROM projects WHERE id = %s FOR UPDATE", [process.callers[0].project_id])
                waiting = asyncio.create_task(process.put(0, "sk-waits"))
                await asyncio.gather(process.put(1, "sk-one"), process.put(2, "sk-two"))
                await waits_for_a_lock(settings)
                await process.put(1, "sk-again")
                assert not waiting.done()
            await waiting
            assert sorted(came.value for came in process.came) == ["not written", "written", "written", "written"]
            assert [versions(settings, caller)[-1] for caller in process.callers] == [3, 4, 3]

    asyncio.run(main())


def test_writes_to_one_project_at_once_are_made_one_after_the_other(settings: Settings) -> None:
    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            await asyncio.gather(*(process.put(0, f"sk-{number}") for number in range(10)))
            assert versions(settings, process.callers[0]) == list(range(1, 13))
            assert process.came == [Came.WRITTEN] * 10
            assert await secret_of(process, 0) == "sk-9"

    asyncio.run(main())


def test_a_draft_that_the_server_refuses_spoils_no_other(settings: Settings) -> None:
    """PostgreSQL has no place for a NUL in a text."""

    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            bad = process.callers[0]
            process.callers[0] = Caller(Actor("test", "a\0b"), bad.organization_id, bad.project_id, bad.permissions)
            refused, written = await asyncio.gather(process.put(0, "sk-bad"), process.put(1, "sk-good"), return_exceptions=True)
            assert (type(refused), written) == (psycopg.errors.CharacterNotInRepertoire, None)
            assert process.came == [Came.NOT_WRITTEN] * 2
            assert [versions(settings, caller)[-1] for caller in process.callers] == [2, 3]
            await process.put(1, "sk-after")
            assert process.came[2:] == [Came.WRITTEN]

    asyncio.run(main())


def test_a_draft_whose_key_was_retired_is_sealed_with_the_new_one(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as rotating, watched(settings) as lagging:
            await lagging.warm()
            old = lagging.storage.box.ring.writing_id
            await rotated(rotating)
            await retire(rotating, old)
            assert lagging.storage.box.ring.writing_id == old
            await asyncio.gather(lagging.put(0, "sk-zero"), lagging.put(1, "sk-one"))
            assert lagging.came == [Came.NOT_WRITTEN] * 2
            assert await keys_in_use(rotating) == {lagging.storage.box.ring.writing_id} != {old}
            assert {b'{"OPENAI_API_KEY":"sk-zero"}', b'{"OPENAI_API_KEY":"sk-one"}'} <= await plaintexts(lagging.storage)

    asyncio.run(main())


def test_what_is_held_up_by_a_lock_gives_way_to_a_transaction(settings: Settings) -> None:
    """Somebody changes a table meanwhile."""

    async def main() -> None:
        async with watched(settings) as process:
            await process.warm()
            with psycopg.connect(settings.url) as connection:
                connection.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
                waiting = asyncio.create_task(process.put(0, "sk-waits"))
                while not process.came:
                    await waits_for_a_lock(settings)
                await waits_for_a_lock(settings)
            await waiting
            assert process.came == [Came.NOT_WRITTEN]
            assert versions(settings, process.callers[0]) == [1, 2, 3]

    asyncio.run(main())


def test_two_processes_that_write_to_the_same_projects_lose_nothing(settings: Settings) -> None:
    rounds, projects = 30, 3
    came: list[Came] = []

    async def write(process: Watched, name: str) -> None:
        await process.warm()
        for number in range(rounds):
            if number % 3 == 0:
                await process.storage.database.catch_up()
            await asyncio.gather(*(process.put(project, f"sk-{name}-{number}") for project in range(projects)))
        came.extend(process.came)

    async def other(callers: list[Caller]) -> None:
        async with watched(settings, callers) as process:
            await write(process, "other")

    async def main() -> list[Caller]:
        async with watched(settings, projects=projects) as process:
            there = threading.Thread(target=lambda: asyncio.run(other(process.callers)))
            there.start()
            await write(process, "here")
            await asyncio.to_thread(there.join)
            return process.callers

    for caller in asyncio.run(main()):
        written = [*range(1, 1 + 2 * (rounds + 2))]
        assert versions(settings, caller) == written
        for query, expected in (
            ("SELECT revision FROM projects WHERE id = %s", written[-1:]),
            ("SELECT version FROM model_providers WHERE project_id = %s", written[-1:]),
            ("SELECT revision FROM changes WHERE project_id = %s ORDER BY id", written),
            ("SELECT count(*) FROM audit_log WHERE project_id = %s", [len(written)]),
            ("SELECT count(*) FROM sealed_values WHERE project_id = %s AND field = 'customKeys'", [len(written)]),
        ):
            assert [row[0] for row in asked(settings, query, caller.project_id)] == expected
    assert len(came) == 2 * rounds * projects
    assert set(came) <= {Came.WRITTEN, Came.NOT_WRITTEN}
    assert Came.WRITTEN in came
