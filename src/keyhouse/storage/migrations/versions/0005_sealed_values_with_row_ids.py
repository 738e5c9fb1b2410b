"""On SQLite sealed values lie in the order in which they come, and are found by an index: one whose rows lie in the index's own order moves
many of them, and fat ones, for each that comes between.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = "owner_id, id, project_id, field, key_id, blob"


def upgrade() -> None:
    """Make the table anew; no second copy of a value stays behind."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("PRAGMA secure_delete=ON")
    op.rename_table("sealed_values", "sealed_values_before")
    op.create_table(
        "sealed_values",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["encryption_keys.id"], name=op.f("fk_sealed_values_key_id")),
        sa.PrimaryKeyConstraint("owner_id", "id", name=op.f("pk_sealed_values")),
    )
    op.execute(f"INSERT INTO sealed_values ({_COLUMNS}) SELECT {_COLUMNS} FROM sealed_values_before ORDER BY id")  # noqa: S608 - names of ours
    op.drop_table("sealed_values_before")
