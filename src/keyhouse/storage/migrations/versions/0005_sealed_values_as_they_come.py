"""The key of sealed values begins with their id, which begins with the time: each new one lies behind all others. Where their owner came
first, each came between others, of which SQLite moves many then.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = "id, owner_id, project_id, field, key_id, blob"


def upgrade() -> None:
    """On SQLite rows lie in the order of the key, so the table is made anew; no second copy of a value stays behind."""
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(op.f("pk_sealed_values"), "sealed_values", type_="primary")
        op.create_primary_key(op.f("pk_sealed_values"), "sealed_values", ["id", "owner_id"])
        return
    op.execute("PRAGMA secure_delete=ON")
    op.rename_table("sealed_values", "sealed_values_before")
    op.create_table(
        "sealed_values",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["encryption_keys.id"], name=op.f("fk_sealed_values_key_id")),
        sa.PrimaryKeyConstraint("id", "owner_id", name=op.f("pk_sealed_values")),
        sqlite_with_rowid=False,
    )
    op.execute(f"INSERT INTO sealed_values ({_COLUMNS}) SELECT {_COLUMNS} FROM sealed_values_before ORDER BY id")  # noqa: S608 - names of ours
    op.drop_table("sealed_values_before")
