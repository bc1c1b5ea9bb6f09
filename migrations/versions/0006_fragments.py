"""Fragments of participants' ids, found by their index in spite of row-level security."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script = (Path(__file__).parents[1] / "sql" / "0006_fragments.sql").read_text()
    op.get_bind().connection.driver_connection.execute(script)  # several statements, and no placeholders in them


def downgrade() -> None:
    op.execute("DROP POLICY fragments ON participants")
    op.execute("DROP FUNCTION participants_like")
