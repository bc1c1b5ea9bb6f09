"""Entries that reverse others, and looking back in time."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TYPES = "'award', 'deduct', 'award_reversal', 'deduct_reversal'"
FUNCTIONS = ("ledger_reverse", "first_entry_id", "points_at")


def upgrade() -> None:
    op.add_column("ledger_entries", sa.Column("reverses", sa.Uuid()))
    op.create_foreign_key(
        "ledger_entries_tenant_id_reverses_fkey",
        "ledger_entries",
        "ledger_entries",
        ["tenant_id", "reverses"],
        ["tenant_id", "id"],
    )
    # Once only; and the way from an entry to what has reversed it.
    op.create_index(
        "ledger_entries_tenant_id_reverses_idx",
        "ledger_entries",
        ["tenant_id", "reverses"],
        unique=True,
        postgresql_where=sa.text("reverses IS NOT NULL"),
    )
    op.create_index(
        "ledger_entries_tenant_id_participant_id_created_at_idx",
        "ledger_entries",
        ["tenant_id", "participant_id", "created_at"],
    )
    replace_type_check(f"type IN ({TYPES})")
    op.create_check_constraint(
        "reverses",
        "ledger_entries",
        "(reverses IS NOT NULL) = (type IN ('award_reversal', 'deduct_reversal'))",
    )
    script = (Path(__file__).parents[1] / "sql" / "0002_reversals.sql").read_text()
    op.get_bind().connection.driver_connection.execute(script)  # several statements, and no placeholders in them


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP TYPE reversal_outcome")
    op.drop_constraint("ledger_entries_reverses_check", "ledger_entries")
    op.drop_index("ledger_entries_tenant_id_participant_id_created_at_idx", "ledger_entries")
    op.drop_index("ledger_entries_tenant_id_reverses_idx", "ledger_entries")
    op.drop_constraint("ledger_entries_tenant_id_reverses_fkey", "ledger_entries")
    op.drop_column("ledger_entries", "reverses")
    replace_type_check("type IN ('award', 'deduct')")


def replace_type_check(condition: str) -> None:
    op.drop_constraint("ledger_entries_type_check", "ledger_entries")
    op.create_check_constraint("type", "ledger_entries", condition)
