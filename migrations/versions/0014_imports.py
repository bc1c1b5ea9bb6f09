"""Functions that write histories of another system."""

from pathlib import Path

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
FUNCTIONS = ("history_write", "history_predate", "history_people", "tier_events_of")


def upgrade() -> None:
    script = (SQL / "0014_imports.sql").read_text()
    op.get_bind().connection.driver_connection.execute(script)  # several statements, and no placeholders in them


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {', '.join(FUNCTIONS)}")
    op.execute("DROP TYPE history_line")
