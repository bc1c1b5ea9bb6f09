"""A recalculation puts in place those whom it has locked, and nobody else."""

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCRIPT = Path(__file__).parents[1] / "sql" / "0011_locked_recalculation.sql"


def upgrade() -> None:
    op.get_bind().connection.driver_connection.execute(SCRIPT.read_text())  # several statements


def downgrade() -> None:
    """Leave the functions as they are: they do for 0010 what its own meant to. Only how one is called was its own."""
