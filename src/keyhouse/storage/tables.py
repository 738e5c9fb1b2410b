"""The tables, one schema for both databases.

Times are microseconds since 1970 UTC, lists and maps JSON text, and every secret is a blob in one table.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RowId: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only for INTEGER."""

organizations = Table(
    "organizations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

teams = Table(
    "teams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
)
# The name is unique among what is not archived.
Index(
    "uq_teams_organization_id_name",
    teams.c.organization_id,
    teams.c.name,
    unique=True,
    sqlite_where=teams.c.archived_at.is_(None),
    postgresql_where=teams.c.archived_at.is_(None),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", ForeignKey("organizations.id"), nullable=False),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("framework", Text, nullable=False),
    Column("default_model", Text),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("key_value_id", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
    Index("ix_projects_organization_id_created_at_id", "organization_id", "created_at", "id"),
    Index("ix_projects_organization_id_slug", "organization_id", "slug"),
)
Index(
    "uq_projects_team_id_name",
    projects.c.team_id,
    projects.c.name,
    unique=True,
    sqlite_where=projects.c.archived_at.is_(None),
    postgresql_where=projects.c.archived_at.is_(None),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", ForeignKey("organizations.id"), nullable=False),
    Column("lookup", Text, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("permission_mode", Text, nullable=False),
    Column("permissions", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Index("ix_api_keys_organization_id_created_at_id", "organization_id", "created_at", "id"),
)

api_key_bindings = Table(
    "api_key_bindings",
    metadata,
    Column("api_key_id", ForeignKey("api_keys.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("role", Text, nullable=False),
    Column("scope_type", Text, nullable=False),
    Column("scope_id", Text, nullable=False),
)

encryption_keys = Table(
    "encryption_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("canary", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# Every secret there is. `key_id` repeats what the blob says, so that a key in use can be counted, and by its foreign key never be retired.
# One tree on disk, without further indexes, and new rows lie behind all others, as their ids begin with the time: a write touches one page
# of it. Where the owner came first, moving others was a quarter of a provider's write. Counting by key reads all of it, which is rare.
sealed_values = Table(
    "sealed_values",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner_id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("key_id", ForeignKey("encryption_keys.id"), nullable=False),
    Column("blob", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)


def _provider_state() -> list[Column[object]]:
    """What a provider is at one moment: the same columns for the row and for its history. Names only; values are in `sealed_values`."""
    return [
        Column("enabled", Boolean, nullable=False),
        Column("credential_names", Text, nullable=False),
        Column("credentials_id", Text),
        Column("header_names", Text, nullable=False),
        Column("headers_id", Text),
        Column("custom_models", Text, nullable=False),
        Column("custom_embeddings_models", Text, nullable=False),
    ]


model_providers = Table(
    "model_providers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("provider", Text, nullable=False),
    *_provider_state(),
    Column("version", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("project_id", "provider"),
)

model_provider_history = Table(
    "model_provider_history",
    metadata,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("row_id", Text, nullable=False),
    *_provider_state(),
    Column("revision", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("fields", Text, nullable=False),
)

# The last connection test of a provider. `tested` tells of which state of it; see connection_tests.py.
connection_tests = Table(
    "connection_tests",
    metadata,
    Column("model_provider_id", ForeignKey("model_providers.id"), primary_key=True),
    Column("tested", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("status", Integer),
    Column("at", BigInteger, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("organization_id", Text, nullable=False),
    Column("project_id", Text),
    Column("at", BigInteger, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Index("ix_audit_log_organization_id_id", "organization_id", "id"),
)

# What other processes read to know what to drop. `transaction_id` is PostgreSQL's, see changes.py; SQLite commits in the order of `id`.
changes = Table(
    "changes",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("organization_id", Text),
    Column("project_id", Text),
    Column("revision", BigInteger, nullable=False),
    Column("transaction_id", BigInteger),
)
Index(
    "ix_changes_transaction_id",
    changes.c.transaction_id,
    sqlite_where=changes.c.transaction_id.is_not(None),
    postgresql_where=changes.c.transaction_id.is_not(None),
)

# Who is signed in on the settings pages, and the addresses that sign in once. A token is kept as its hash, the key it stands for by name.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("organization_id", Text, nullable=False),
    Column("api_key_id", Text),
    Column("project_key_hash", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_sessions_expires_at", "expires_at"),
)

# The processes that serve, each by the id it gave itself, for as long as it says that it is there.
replicas = Table(
    "replicas",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("process_id", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

# When a key was last used, by its id (a project's key by the project's), or a provider, by `project/provider`.
last_uses = Table(
    "last_uses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("used_at", BigInteger, nullable=False),
)

# What the installation as a whole remembers, sealed values by id among it.
installation = Table(
    "installation",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
