"""The last connection test of each provider, and of which state of it: a verdict says nothing of credentials that came after it."""

from hashlib import sha256

from keyhouse.domain.tenancy import Actor
from keyhouse.domain.verdict import ConnectionResult, LastTest, Verdict
from keyhouse.storage.clock import now_us, to_datetime
from keyhouse.storage.model_providers import LOCK_ROW, StoredProvider
from keyhouse.storage.statements import Statement, Transaction, insert_into

# What a test depends on. Sealed values have another id with every change, and the old one again where a change is taken back.
_STATE = ("credentials_id", "headers_id", "custom_models", "custom_embeddings_models")
_RESULT = "tested, verdict, message, status, at, actor_id, actor_name"
_DELETE = Statement("DELETE FROM connection_tests WHERE model_provider_id = :row_id")
_INSERT = insert_into("connection_tests", f"model_provider_id, {_RESULT}")
_LIST = Statement(
    f"SELECT provider, {', '.join(_STATE)}, {_RESULT}",
    "FROM connection_tests JOIN model_providers ON model_providers.id = model_provider_id",
    "WHERE project_id = :project_id",
)


def put_test(tx: Transaction, tested: StoredProvider, result: ConnectionResult, actor: Actor) -> None:
    """Keep a result in place of the one before. Where the provider was deleted meanwhile there is nothing to keep it for."""
    row_id = tested.provider.id
    if tx.row(LOCK_ROW, row_id=row_id) is None:
        return
    tx.run(_DELETE, row_id=row_id)
    columns = tested.columns
    tx.run(
        _INSERT,
        model_provider_id=row_id,
        tested=_digest([columns[name] for name in _STATE]),
        verdict=result.verdict.value,
        message=result.message,
        status=result.status,
        at=now_us(),
        actor_id=actor.id,
        actor_name=actor.name,
    )


def list_tests(tx: Transaction, project_id: str) -> dict[str, LastTest]:
    """The last test of each provider of a project that was tested, by provider id."""
    found: dict[str, LastTest] = {}
    for provider, *state, tested, verdict, message, status, at, actor_id, actor_name in tx.rows(_LIST, project_id=project_id):
        result = ConnectionResult(Verdict(verdict), message, status)
        found[provider] = LastTest(result, to_datetime(at), Actor(actor_id, actor_name), tested == _digest(state))
    return found


def _digest(state: list[object]) -> str:
    return sha256(repr(state).encode()).hexdigest()
