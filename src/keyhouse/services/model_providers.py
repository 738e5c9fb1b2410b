"""The use cases of model providers: list, get, upsert, delete, history, roll back. One transaction a write, one snapshot a read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import msgspec

from keyhouse.catalog.catalog import Catalog
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.history import Action, FieldChange, HistoryEntry, changed_fields, default_model_changes
from keyhouse.domain.model import default_model_reference
from keyhouse.domain.model_provider import ABSENT, ModelProvider, ModelProviderUpdate
from keyhouse.domain.paging import Paging
from keyhouse.domain.precondition import Precondition, entry_tag, list_tag
from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.domain.public_difference import Difference, public_difference
from keyhouse.domain.tenancy import Actor, Caller
from keyhouse.services.kept import KeptByProject
from keyhouse.storage.database import OnChanges, Told, Work
from keyhouse.storage.history import (
    fields_changed_since,
    last_version,
    list_history,
    list_last_changes,
    list_states,
    put_audit,
    put_history,
    state_at,
)
from keyhouse.storage.identifiers import new_id
from keyhouse.storage.model_providers import StoredProvider, delete_stored, list_stored, put_stored, write_row
from keyhouse.storage.opening import Storage
from keyhouse.storage.projects import ProjectHead, advance_project, get_project_head, lock_project
from keyhouse.storage.statements import Transaction

_REMEMBERED = 4096


class Shown(msgspec.Struct, frozen=True):
    """What a caller sees, encoded, and the tag that names its state."""

    body: bytes
    tag: str
    revision: int


@dataclass(frozen=True, slots=True, repr=False)
class Known:
    """A project as a read or a write left it: its stored providers by id, opened, and what a caller sees of each and of all.

    True while the project has this revision and the key ring opens what it opened (`generation`).
    """

    project: ProjectHead
    stored: Mapping[str, StoredProvider]
    entries: Mapping[str, bytes]
    shown: Shown
    revision: int
    generation: object

    def __repr__(self) -> str:
        return "***"


EncodeOne = Callable[[ModelProvider], bytes]
"""From a stored provider to what a caller sees of it. The edge owns the format."""
EncodeAll = Callable[[Mapping[str, bytes]], bytes]
"""The same for all providers, from what is seen of the stored ones by id."""


class ModelProviders:
    """See the module. Every method takes a caller whose rights were checked."""

    def __init__(self, storage: Storage, catalog: Catalog, encode_all: EncodeAll, encode_one: EncodeOne, *, keep_secrets: bool) -> None:
        self._storage = storage
        self._catalog = catalog
        self._encode_all = encode_all
        self._encode_one = encode_one
        self._keep_secrets = keep_secrets
        self._at_once = storage.database.at_once
        self._kept: KeptByProject[Known] = KeptByProject(_REMEMBERED, lambda: storage.box.generation)
        self.forget: OnChanges = self._kept.forget
        """Drops what notices name."""

    def remembered(self, project_id: str) -> Shown | None:
        """The same as `list`, where it is in memory."""
        kept = self._kept.get(project_id)
        return None if kept is None else kept.shown

    async def list(self, project_id: str) -> Shown:
        """All providers of a project. Answered from memory while no notice named the project."""
        kept = self._kept.get(project_id)
        if kept is None:
            kept = await self._kept.keep(
                project_id, self._storage.database.read(lambda tx: self._read(tx, get_project_head(tx, project_id)))
            )
        return kept.shown

    async def get(self, project_id: str, provider: str) -> Shown:
        """One provider. Raises Error `not_found`."""
        self.spec(provider)
        stored = await self._storage.database.read(lambda tx: list_stored(tx, self._storage.box, project_id))
        found = stored[provider].provider if provider in stored else ModelProvider(provider)
        return Shown(self._encode_one(found), entry_tag(provider, found.revision, self._catalog.digest), found.revision)

    async def upsert(self, caller: Caller, provider: str, update: ModelProviderUpdate, precondition: Precondition | None) -> Shown:
        """Create or update a provider by the PUT rule; the whole list after it.

        Raises Error `invalid_provider`, `precondition_failed` or what `ModelProvider.updated` raises; then nothing was written.
        """
        spec = self.known(provider)
        if spec is None:
            raise Error(Code.INVALID_PROVIDER, "Invalid provider")
        return await self._change(caller, spec, self._upserting(spec, update, precondition))

    def begin_upsert(
        self, caller: Caller, spec: ProviderSpec, update: ModelProviderUpdate, precondition: Precondition | None, told: Told
    ) -> None:
        """The same without a task, where the database can that (`AtOnce.begin_write`): `told` of the list is told once it is durable."""
        at_once = self._at_once
        if at_once is None:
            raise TypeError("This database does nothing without a task.")
        begun = self._kept.begin(caller.project_id or "")

        def written(known: Known | None, failure: BaseException | None) -> None:
            self._kept.end(begun, known)
            told(None if known is None else known.shown, failure)

        at_once.begin_write(self._transaction(caller, spec, self._upserting(spec, update, precondition)), self._after, written)

    def _upserting(self, spec: ProviderSpec, update: ModelProviderUpdate, precondition: Precondition | None) -> "Callable[[_Change], None]":
        def work(change: "_Change") -> None:
            before = change.before.provider
            if precondition is not None:
                before.require_addable(spec)
                change.require(precondition)
            after = before.updated(update, spec, keep_secrets_on_endpoint_change=self._keep_secrets)
            # What says no more than a provider that nobody stored is not worth a row: a PUT of what GET showed changes nothing.
            is_stored = bool(before.id)
            adds_nothing = not is_stored and after.says_nothing
            fields = () if adds_nothing else changed_fields(before, after, spec.is_public, self._storage.fingerprint)
            default_model = change.project.default_model
            if update.default_model is not ABSENT:
                default_model = default_model_reference(spec.id, update.default_model)
                fields += default_model_changes(change.project.default_model, default_model)
            if fields:
                change.write(after, fields, "updated" if is_stored else "created", default_model)

        return work

    async def delete(self, caller: Caller, provider: str, precondition: Precondition | None) -> Shown:
        """Delete a provider and destroy its secrets, those in its history as well. Raises Error `not_found`, `precondition_failed`."""
        spec = self.spec(provider)

        def work(change: "_Change") -> None:
            if not change.before.provider.is_stored:
                raise Error(Code.NOT_FOUND, f"Nothing is stored for {provider} in this project.")
            change.require(precondition)
            change.delete(changed_fields(change.before.provider, ModelProvider(provider), spec.is_public, self._storage.fingerprint))

        return await self._change(caller, spec, work)

    async def roll_back(self, caller: Caller, provider: str, version: int, precondition: Precondition | None) -> Shown:
        """Bring back the state after change `version`, secrets included, as a new version, even where it is the state in force.

        Secrets return with the address they were stored with, so that none of them changes its destination.
        Raises Error `precondition_failed`, `version_not_found`, `conflict` for the number of a deletion, `secrets_destroyed`,
        `credentials_unreadable`, `provider_deprecated`.
        """
        spec = self.spec(provider)

        def work(change: "_Change") -> None:
            before = change.before.provider
            change.require(precondition)
            state = change.state_of(version)
            before.require_addable(spec)
            after = state.provider.numbered(before.id, before.version, before.revision)
            change.restore(replace(state, provider=after), changed_fields(before, after, spec.is_public, self._storage.fingerprint))

        return await self._change(caller, spec, work)

    async def history(self, project_id: str, provider: str, paging: Paging) -> tuple[Sequence[HistoryEntry], int]:
        """A page of a provider's changes, newest first, and how many there are. Raises Error `not_found`."""
        self.spec(provider)
        return await self._storage.database.read(lambda tx: list_history(tx, project_id, provider, paging))

    async def differences(self, project_id: str, provider: str, entries: Sequence[HistoryEntry]) -> Sequence[Sequence[Difference]]:
        """What each change of a page of the history made of each of its fields, where that is public. Raises Error `not_found`."""
        spec = self.spec(provider)
        if not entries:
            return []
        newest, oldest = entries[0].version, entries[-1].version
        states = await self._storage.database.read(
            lambda tx: list_states(tx, self._storage.box, project_id, provider, between=(oldest - 1, newest))
        )
        states[0] = ModelProvider(provider)
        return [_differences(states.get(entry.version - 1), states.get(entry.version), entry, spec) for entry in entries]

    async def last_changes(self, project_id: str) -> Mapping[str, HistoryEntry]:
        """The last change of each stored provider."""
        return await self._storage.database.read(lambda tx: list_last_changes(tx, project_id))

    def known(self, provider: str) -> ProviderSpec | None:
        """What is known of a provider, if anything."""
        return self._catalog.provider(provider)

    def spec(self, provider: str) -> ProviderSpec:
        """What is known of a provider. Raises Error `not_found`."""
        return self._catalog.required(provider)

    def name_of(self, provider: str) -> str:
        """What people call a provider; its id where nobody knows it."""
        spec = self._catalog.provider(provider)
        return provider if spec is None else spec.name

    def ends(self, provider: str) -> Mapping[str, date]:
        """The days on which a provider ends its models, as far as they are known, by the models' ids."""
        return self._catalog.ends(provider)

    def _read(self, tx: Transaction, project: ProjectHead) -> Known:
        generation = self._storage.box.generation
        stored = list_stored(tx, self._storage.box, project.id)
        entries = {provider: self._encode_one(row.provider) for provider, row in stored.items()}
        return self._known(project, stored, entries, generation)

    def _known(self, project: ProjectHead, stored: Mapping[str, StoredProvider], entries: Mapping[str, bytes], generation: object) -> Known:
        shown = Shown(self._encode_all(entries), list_tag(project.revision, self._catalog.digest), project.revision)
        return Known(project, stored, entries, shown, project.revision, generation)

    async def _change(self, caller: Caller, spec: ProviderSpec, work: "Callable[[_Change], None]") -> Shown:
        begun, known = self._kept.begin(caller.project_id or ""), None
        try:
            known = self._after(await self._storage.database.write(self._transaction(caller, spec, work), caller.project_id))
            return known.shown
        finally:
            self._kept.end(begun, known)

    def _transaction(self, caller: Caller, spec: ProviderSpec, work: "Callable[[_Change], None]") -> "Work[_Change]":
        project_id = caller.project_id or ""

        def transaction(tx: Transaction) -> _Change:
            kept = self._kept.get(project_id)
            project = lock_project(tx, project_id, None if kept is None else kept.project)
            known = self._before(tx, project, kept)
            before = known.stored.get(spec.id) or StoredProvider(ModelProvider(spec.id))
            change = _Change(tx, self._storage, project, before, caller.actor)
            change.known = known
            work(change)
            return change

        return transaction

    def _before(self, tx: Transaction, project: ProjectHead, kept: Known | None) -> Known:
        """The state of a locked project: what is kept in memory where that is as new as the project."""
        if kept is None or kept.revision != project.revision or kept.generation is not self._storage.box.generation:
            return self._read(tx, project)
        return kept

    def _after(self, change: "_Change") -> Known:
        before = change.known
        if change.revision == before.revision:
            return before
        provider, after = change.provider, change.after
        stored, entries = dict(before.stored), dict(before.entries)
        if after is not None:
            stored[provider], entries[provider] = after, self._encode_one(after.provider)
        else:
            del stored[provider], entries[provider]
        return self._known(change.advanced, stored, entries, before.generation)


def _differences(
    before: ModelProvider | None, after: ModelProvider | None, entry: HistoryEntry, spec: ProviderSpec
) -> Sequence[Difference]:
    """Of each field of a change. Nothing is said where a state was forgotten."""
    if before is None or after is None:
        return [Difference() for _ in entry.fields]
    return [public_difference(before, after, change, spec.is_public) for change in entry.fields]


_UNMET = {
    None: "This was changed since you read it. Read it again, then send your change with the new ETag.",
    True: "The provider does not exist.",
    False: "The provider exists already. Read it, then send your change with its ETag in If-Match.",
}


class _Change:
    """One write to one provider, under the lock of its project: row, history, audit record and notice together.

    `known` is what was known of the project before it. `after` is what is stored once `revision` is past the project's; None where that is
    nothing.
    """

    def __init__(self, tx: Transaction, storage: Storage, project: ProjectHead, before: StoredProvider, actor: Actor) -> None:
        self._tx, self._storage, self._actor = tx, storage, actor
        self.project = project
        self.revision = project.revision
        self.advanced = project
        self.provider = before.provider.provider
        self.before = before
        self.after: StoredProvider | None = before
        self.known: Known

    def require(self, precondition: Precondition | None) -> None:
        """Raise Error `precondition_failed`, naming the fields that changed since, unless it holds."""
        if precondition is None or precondition.holds(self.provider, self.before.provider.revision, self.project.revision):
            return
        state = precondition.newest_state(self.provider)
        fields = [] if state is None else fields_changed_since(self._tx, self.project.id, state.revision, state.provider)
        raise Error(Code.PRECONDITION_FAILED, _UNMET[precondition.must_exist], fields=fields)

    def write(self, after: ModelProvider, fields: tuple[FieldChange, ...], action: Action, default_model: str | None) -> None:
        """Write the provider and tell what changed."""
        after = self._numbered(after, default_model)
        written = put_stored(self._tx, self._storage.box, self.project.id, self.before, after)
        self._tell(written, fields, action)

    def restore(self, state: StoredProvider, fields: tuple[FieldChange, ...]) -> None:
        """Write a state of the past: it shares its sealed values with the history."""
        after = self._numbered(state.provider, self.project.default_model)
        written = replace(state, provider=after)
        write_row(self._tx, self.project.id, written, is_new=not self.before.provider.is_stored)
        self._tell(written, fields, "rolled_back")

    def delete(self, fields: tuple[FieldChange, ...]) -> None:
        """Delete the provider; its history stays, without secrets."""
        gone = self._numbered(ModelProvider(self.provider), self.project.default_model)
        delete_stored(self._tx, self.project.id, self.before)
        self._tell(StoredProvider(gone), fields, "deleted")
        self.after = None

    def state_of(self, version: int) -> StoredProvider:
        """The state after a change, if it can be brought back."""
        found = state_at(self._tx, self._storage.box, self.project.id, self.provider, version)
        if found is None:
            raise Error(Code.VERSION_NOT_FOUND, f"There is no version {version} of {self.provider}. See its history for those there are.")
        row_id, action, state = found
        if action == "deleted":
            raise Error(Code.CONFLICT, f"Version {version} is a deletion: there is nothing to bring back. Use DELETE to delete.")
        sealed = state.credentials_id is not None or state.headers_id is not None
        if row_id != self.before.provider.id and sealed:
            raise Error(
                Code.SECRETS_DESTROYED,
                f"The secrets of version {version} were destroyed when {self.provider} was deleted. Store them again instead.",
            )
        if not state.provider.is_readable:
            raise Error(Code.CREDENTIALS_UNREADABLE, f"The secrets of version {version} cannot be read. Store them again instead.")
        return state

    def _numbered(self, after: ModelProvider, default_model: str | None) -> ModelProvider:
        self.revision = advance_project(self._tx, self.project, default_model)
        self.advanced = msgspec.structs.replace(self.project, revision=self.revision, default_model=default_model)
        version = self.before.provider.version or last_version(self._tx, self.project.id, self.provider)
        row_id = self.before.provider.id or new_id("provider")
        return after.numbered(row_id, version + 1, self.revision)

    def _tell(self, written: StoredProvider, fields: tuple[FieldChange, ...], action: Action) -> None:
        put_history(self._tx, self.project.id, written, self._actor, action, fields)
        put_audit(
            self._tx,
            self._actor,
            f"model_provider.{action}",
            f"{self.project.id}/{self.provider}",
            organization_id=self.project.organization_id,
            project_id=self.project.id,
        )
        self.after = written
