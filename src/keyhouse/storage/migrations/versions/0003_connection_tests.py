"""The last connection test of each provider."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of connection tests."""
    op.create_table(
        "connection_tests",
        sa.Column("model_provider_id", sa.Text(), nullable=False),
        sa.Column("tested", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model_provider_id"], ["model_providers.id"], name=op.f("fk_connection_tests_model_provider_id")),
        sa.PrimaryKeyConstraint("model_provider_id", name=op.f("pk_connection_tests")),
    )
