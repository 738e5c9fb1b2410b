"""What changed when: the history of each provider, and the audit log of the organization. Field names and fingerprints, never values."""

from keyhouse.domain.audit import EVERYTHING, SEARCHED_RECORDS, AuditRecord, AuditSearch
from keyhouse.domain.history import Action, FieldChange, HistoryEntry
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Actor
from keyhouse.storage import encoding
from keyhouse.storage.clock import to_datetime
from keyhouse.storage.model_providers import STATE, StoredProvider, stored_state
from keyhouse.storage.secret_box import SecretBox
from keyhouse.storage.statements import PagedStatement, Row, Statement, Transaction, insert_into

Fields = tuple[FieldChange, ...]
INSTALLATION = ""
"""Stands for the organization where a record is about all of them."""
INSERT = insert_into(
    "model_provider_history",
    f"project_id, provider, version, row_id, {STATE}, revision, at, actor_id, actor_name, action, fields",
)
AUDIT = insert_into("audit_log", "organization_id, project_id, at, actor_id, actor_name, action, target")
_RECORD = "id, at, actor_id, actor_name, action, target"
_OF_ORGANIZATION = "FROM audit_log WHERE organization_id IN (:organization_id, :installation)"
_LIST_AUDIT = PagedStatement(_RECORD, _OF_ORGANIZATION, order="id DESC")
# A text of its own, for the first one is counted by its index alone; in this one every record is looked at that may be meant.
_FIND_AUDIT = PagedStatement(
    _RECORD,
    _OF_ORGANIZATION,
    "AND id > (SELECT coalesce(max(id), 0) FROM audit_log) - :latest",
    "AND action LIKE :actions AND (target = :about OR project_id = :about OR actor_id = :about OR :about = '')",
    order="id DESC",
)
_ENTRY = "change.version, change.revision, change.at, change.actor_id, change.actor_name, change.action, change.fields"
_OF_PROVIDER = "WHERE change.project_id = :project_id AND change.provider = :provider"
_LIST = PagedStatement(_ENTRY, "FROM model_provider_history AS change", _OF_PROVIDER, order="change.version DESC")
_LIST_LAST = Statement(
    "SELECT change.provider,",
    _ENTRY,
    """FROM model_provider_history AS change
    JOIN model_providers AS stored
        ON stored.project_id = change.project_id AND stored.provider = change.provider AND stored.version = change.version
    WHERE stored.project_id = :project_id""",
)
_LAST_VERSION = Statement("SELECT coalesce(max(change.version), 0) FROM model_provider_history AS change", _OF_PROVIDER)
_SINCE = Statement(
    "SELECT provider, fields FROM model_provider_history",
    "WHERE project_id = :project_id AND revision > :revision",
    "ORDER BY revision",
)
_STATES = (
    f"SELECT change.version, change.row_id, change.action, {STATE}, credentials.blob, headers.blob",
    """FROM model_provider_history AS change
    LEFT JOIN sealed_values AS credentials ON credentials.owner_id = change.row_id AND credentials.id = change.credentials_id
    LEFT JOIN sealed_values AS headers ON headers.owner_id = change.row_id AND headers.id = change.headers_id""",
    _OF_PROVIDER,
)
_STATE = Statement(*_STATES, "AND change.version = :version")
_LIST_STATES = Statement(*_STATES, "AND change.version BETWEEN :oldest AND :newest")


def put_history(tx: Transaction, project_id: str, state: StoredProvider, actor: Actor, action: Action, fields: Fields) -> None:
    """Add a change, with the state after it."""
    provider = state.provider
    tx.run(
        INSERT,
        project_id=project_id,
        provider=provider.provider,
        version=provider.version,
        row_id=provider.id,
        **state.columns,
        revision=provider.revision,
        at=tx.now,
        actor_id=actor.id,
        actor_name=actor.name,
        action=action,
        fields=encoding.encoded(fields),
    )


def list_history(tx: Transaction, project_id: str, provider: str, paging: Paging) -> tuple[list[HistoryEntry], int]:
    """A page of a provider's changes, newest first, and how many there are."""
    rows, total = _LIST.read(tx, paging, project_id=project_id, provider=provider)
    return [_entry_from(row) for row in rows], total


def list_last_changes(tx: Transaction, project_id: str) -> dict[str, HistoryEntry]:
    """The change that made each stored provider of a project what it is."""
    return {row[0]: _entry_from(row[1:]) for row in tx.rows(_LIST_LAST, project_id=project_id)}


def last_version(tx: Transaction, project_id: str, provider: str) -> int:
    """The number of a provider's last change, 0 before the first. It goes on counting after a deletion."""
    return int(tx.rows(_LAST_VERSION, project_id=project_id, provider=provider)[0][0])


def fields_changed_since(tx: Transaction, project_id: str, revision: int, provider: str | None) -> list[str]:
    """Which fields changed after `revision`, as `provider.field`, or as `field` of one provider."""
    names: dict[str, None] = {}
    for changed_provider, fields in tx.rows(_SINCE, project_id=project_id, revision=revision):
        if provider in (None, changed_provider):
            prefix = "" if provider else f"{changed_provider}."
            names.update({prefix + change.name: None for change in encoding.field_changes.decode(fields)})
    return list(names)


def state_at(tx: Transaction, box: SecretBox, project_id: str, provider: str, version: int) -> tuple[str, str, StoredProvider] | None:
    """The state after a change: (row id, action, state), or None where there was no such change. Destroyed secrets read as unreadable."""
    row = tx.row(_STATE, project_id=project_id, provider=provider, version=version)
    return None if row is None else (row[1], row[2], stored_state(box, project_id, ModelProvider(provider, row[1]), row[3:]))


def list_states(tx: Transaction, box: SecretBox, project_id: str, provider: str, *, between: tuple[int, int]) -> dict[int, ModelProvider]:
    """The states that are remembered after the changes from one version to another, both included. After a deletion nothing is stored."""
    rows = tx.rows(_LIST_STATES, project_id=project_id, provider=provider, oldest=between[0], newest=between[1])
    nothing = ModelProvider(provider)
    return {
        version: nothing if action == "deleted" else stored_state(box, project_id, ModelProvider(provider, row_id), state).provider
        for version, row_id, action, *state in rows
    }


def put_audit(tx: Transaction, actor: Actor, action: str, target: str, *, organization_id: str, project_id: str | None = None) -> None:
    """Record a write of any kind, or that a secret was shown. `target` names the thing, such as `project_1/openai`."""
    tx.run(
        AUDIT,
        organization_id=organization_id,
        project_id=project_id,
        at=tx.now,
        actor_id=actor.id,
        actor_name=actor.name,
        action=action,
        target=target,
    )


def list_audit(tx: Transaction, organization_id: str, paging: Paging, search: AuditSearch = EVERYTHING) -> tuple[list[AuditRecord], int]:
    """A page of an organization's audit log, records of the whole installation among it, newest first; and how many records there are.

    A search is in the latest `SEARCHED_RECORDS` of all.
    """
    scope = {"organization_id": organization_id, "installation": INSTALLATION}
    if search == EVERYTHING:
        rows, total = _LIST_AUDIT.read(tx, paging, **scope)
    else:
        rows, total = _FIND_AUDIT.read(tx, paging, **scope, about=search.about, actions=search.actions, latest=SEARCHED_RECORDS)
    records = [
        AuditRecord(record_id, to_datetime(at), Actor(actor_id, actor_name), action, target)
        for record_id, at, actor_id, actor_name, action, target in rows
    ]
    return records, total


def _entry_from(row: Row) -> HistoryEntry:
    version, revision, at, actor_id, actor_name, action, fields = row
    return HistoryEntry(version, revision, to_datetime(at), Actor(actor_id, actor_name), action, encoding.field_changes.decode(fields))
