"""What must hold whenever nothing is under way: the checks of the chaos run."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from bench.chaos.client import UnansweredError
from bench.chaos.gateway import gateways_agree
from bench.chaos.house import FoundError, Server
from bench.chaos.model import Content, State
from bench.chaos.secrets import leaks
from bench.chaos.writes import Chaos, read_once
from keyhouse.app import opened_storage
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.domain.paging import Paging
from keyhouse.services.encryption_keys import opened_as_it_is
from keyhouse.settings import Settings
from keyhouse.storage.history import list_history, state_at
from keyhouse.storage.model_providers import list_stored
from keyhouse.storage.opening import Storage
from keyhouse.storage.statements import Statement, Transaction

_COMPLAINT = re.compile(r"^\S+ (error|critical) ")
_FORESEEN = re.compile(r" code=(credentials_unreadable|storage_unavailable|storage_full) ")
"""While a ring is lost, PostgreSQL away or a disk full."""
_SEALED = ("sealed_values", "encryption_keys", "model_providers", "model_provider_history", "projects", "api_keys", "installation")


@dataclass(frozen=True)
class Opened:
    """A lane as the database has it. Of each version the content, or None where its secrets do not open."""

    content: Content
    stored: bool
    history: list[tuple[str, Content | None]]


async def look(chaos: Chaos, settings: Settings) -> dict[str, Opened]:
    """What a database holds of each lane, opened with the house's ring."""
    async with opened_storage(settings) as storage:
        return await storage.database.read(
            lambda tx: {str(lane): opened(tx, storage, chaos.project_ids[lane.project], lane.provider) for lane in chaos.lanes}
        )


def opened(tx: Transaction, storage: Storage, project_id: str, provider: str) -> Opened:
    """What a database holds of one provider."""
    stored = list_stored(tx, storage.box, project_id).get(provider)
    entries, total = list_history(tx, project_id, provider, Paging(1, 100_000))
    versions = [entry.version for entry in reversed(entries)]
    if versions != list(range(1, total + 1)):
        raise FoundError(f"{provider}: the history has the versions {versions}")
    history = []
    for entry in reversed(entries):
        found = state_at(tx, storage.box, project_id, provider, entry.version)
        assert found is not None
        history.append((str(entry.action), _content(found[2].provider)))
    content = _content(stored.provider) if stored else Content()
    if content is None:
        raise FoundError(f"{provider}: what is stored cannot be opened")
    return Opened(content, stored is not None, history)


def _content(provider: ModelProvider) -> Content | None:
    if not provider.is_readable:
        return None
    return Content(
        enabled=provider.enabled,
        keys={name: str(value) for name, value in provider.credentials.opened().items()},
        models=tuple((one.model_id, one.max_tokens if isinstance(one.max_tokens, int) else None) for one in provider.custom_models),
        embeddings=tuple(one.model_id for one in provider.custom_embeddings_models),
        headers=tuple((header.name, header.value or "") for header in provider.extra_headers),
    )


def fits(state: State, found: Opened) -> bool:
    """Whether a database holds just this state. Secrets of an earlier generation were destroyed, and must not open."""
    if (state.content, state.stored, len(state.history)) != (found.content, found.stored, len(found.history)):
        return False
    for version, (action, content) in zip(state.history, found.history, strict=True):
        destroyed = version.content.has_secrets and version.generation != state.generation
        if action != version.action or content != (None if destroyed else version.content):
            return False
    return True


async def resolve(chaos: Chaos) -> None:
    """Each lane is in one of the states it may be in; from here on in that one. Then every process has to say the same."""
    found = await look(chaos, chaos.house.settings)
    for lane in chaos.lanes:
        fitting = [state for state in lane.possible if fits(state, found[str(lane)])]
        if not fitting:
            raise FoundError(
                f"{lane}: stored is {found[str(lane)]}, where it may be "
                + " or ".join(f"{state.content} {[(one.action, one.content) for one in state.history]}" for state in lane.possible)
            )
        chaos.counts["writes of unknown outcome that were made"] += len(lane.possible) > 1 and lane.possible[0] != fitting[0]
        # Of several all were the same but for secrets that are destroyed by now.
        lane.possible = fitting[:1]
    await every_process_agrees(chaos)


async def every_process_agrees(chaos: Chaos) -> None:
    """Reads of every server, with new connections, so that each worker is likely to be asked."""
    for server in chaos.serving():
        for project, key in enumerate(chaos.project_keys):
            for _ in range(2 * server.workers - 1):
                if not await read_once(chaos, server, project):
                    raise FoundError(f"server {server.number} serves and does not answer")
            await _revision_is_whole(chaos, server, project, key)


async def _revision_is_whole(chaos: Chaos, server: Server, project: int, key: str) -> None:
    """A project's revision counts the changes of its providers, and shows in each of their tags."""
    answer = await chaos.house.ask(server, "GET", "/api/model-providers", key)
    lanes = [lane for lane in chaos.lanes if lane.project == project]
    changes = sum(len(lane.state.history) for lane in lanes)
    if answer.revision != changes:
        raise FoundError(f"project {project} has the revision {answer.revision} after {changes} changes")
    chaos.floors[project] = answer.revision
    defaults = (await chaos.house.ask(server, "GET", "/api/model-defaults", key)).json["effective"]["DEFAULT"]
    expected = next(lane.state.default_model for lane in lanes if lane.provider == "openai")
    if (defaults["model"] if defaults else None) != expected:
        raise FoundError(f"project {project}: the default model is {defaults}, not {expected}")


async def histories_agree(chaos: Chaos) -> None:
    """The API's history has exactly the versions that the model has."""
    for lane in chaos.lanes:
        for server in chaos.serving()[:2]:
            path = f"/api/model-providers/{lane.provider}/history?limit=1000"
            answer = (await chaos.house.ask(server, "GET", path, chaos.project_keys[lane.project])).json
            told = [(entry["version"], entry["action"]) for entry in reversed(answer["data"])]
            expected = [(number, version.action) for number, version in enumerate(lane.state.history, 1)]
            if told != expected or answer["pagination"]["total"] != len(expected):
                raise FoundError(f"{lane}: the history is {told}, not {expected}")


async def status_is_true(chaos: Chaos) -> None:
    """`keyhouse status` counts what is there, finds nothing unreadable, and knows every process that serves."""
    house = chaos.house
    code, said = await house.command("status", "--json")
    if code != 0:
        raise FoundError(f"status ended with {code}: {said[-500:]}")
    told = json.loads(said)
    keys = told["encryptionKeys"]
    counted = await _counted(chaos)
    if keys["problem"] or keys["unreadable"] or keys["values"] != sum(counted.values()):
        raise FoundError(f"the status says {keys}; there are {counted}")
    for key in keys["keys"]:
        if key["values"] != counted.get(key["id"], 0) or (key["values"] and key["check"] != "right"):
            raise FoundError(f"the status says {keys}; there are {counted}")
    listed = {replica["processId"] for replica in told["replicas"]}
    serving = {pid for server in house.servers for pid in server.serving()}
    lately = house.killed_lately()
    if not serving <= listed or listed - serving - lately:
        raise FoundError(f"the status lists the processes {listed}; those that serve are {serving}, killed lately {lately}")


async def _counted(chaos: Chaos) -> dict[str, int]:
    async with opened_as_it_is(chaos.house.settings.url) as database:
        query = Statement("SELECT key_id, count(*) FROM sealed_values GROUP BY key_id")
        return {row[0]: row[1] for row in await database.read(lambda tx: tx.rows(query))}


async def digest(chaos: Chaos) -> str:
    """Of everything that a wrong key must not touch."""
    async with opened_as_it_is(chaos.house.settings.url) as database:

        def work(tx: Transaction) -> str:
            found = hashlib.sha256()
            for table in _SEALED:
                for row in sorted(repr(tuple(row)) for row in tx.rows(Statement(f"SELECT * FROM {table}"))):
                    found.update(row.encode())
            return found.hexdigest()

        return await database.read(work)


def nothing_leaked(chaos: Chaos) -> None:
    """No file but the ring holds a secret in plain, hexadecimal or base64."""
    found = leaks(chaos.house.database_files(), chaos.tokens)
    if found:
        raise FoundError(f"secrets came to light: {found[:5]}")


def complaints(folder: Path) -> list[str]:
    """Lines of the servers' logs that tell of something unforeseen."""
    lines = [line for path in folder.iterdir() for line in path.read_text(errors="replace").splitlines()]
    return [line for line in lines if "Traceback" in line or (_COMPLAINT.search(line) and not _FORESEEN.search(line))]


async def checkpoint(chaos: Chaos) -> None:
    """All of it."""
    chaos.counts["checkpoints"] += 1
    await resolve(chaos)
    await histories_agree(chaos)
    try:
        await gateways_agree(chaos)
    except UnansweredError as failure:
        raise FoundError(f"the gateway does not answer: {failure}") from failure
    await status_is_true(chaos)
    nothing_leaked(chaos)
