"""A recalculation puts in place those whom it has locked, and nobody else; no change is dated within what is summed."""

import re
from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCRIPT = Path(__file__).parents[1] / "sql" / "0011_locked_recalculation.sql"


def upgrade() -> None:
    run(SCRIPT.read_text())


def downgrade() -> None:
    """Leave the functions as they are but for when changes happen: they do for 0010 what its own meant to."""
    run(re.sub(r"tier_instant\(in_tenant, [a-zA-Z_.]+\)", "clock_timestamp()", SCRIPT.read_text()))
    op.execute("DROP FUNCTION tier_instant")


def run(statements: str) -> None:
    op.get_bind().connection.driver_connection.execute(statements)  # several, and no placeholders in them
