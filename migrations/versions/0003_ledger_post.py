"""One function that writes awards and deducts, whose plans cannot go wrong."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script = (Path(__file__).parents[1] / "sql" / "0003_ledger_post.sql").read_text()
    op.get_bind().connection.driver_connection.execute(script)  # several statements, and no placeholders in them


def downgrade() -> None:
    op.execute("DROP FUNCTION ledger_post")
    op.execute("DROP FUNCTION ledger_replay")
    op.execute("DROP TYPE ledger_request")
