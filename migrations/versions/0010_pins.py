"""Pins are found among all that holds tiers."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("tier_holds_pins_idx", "tier_holds", ["tenant_id", "until"], postgresql_where=sa.text("kind = 'pin'"))


def downgrade() -> None:
    op.drop_index("tier_holds_pins_idx", "tier_holds")
