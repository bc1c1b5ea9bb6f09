"""What a business calls its participants and knows of them, apart from the rows that movements lock; and erasure."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
TABLES = ("participant_details", "erasures")
# As it was in 0004.
PERMANENT = """
    CREATE OR REPLACE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF EXISTS (SELECT FROM tenants WHERE id = OLD.tenant_id AND status = 'deleting') THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'ledger entries are permanent' USING ERRCODE = 'restrict_violation';
    END
    $$
"""


def upgrade() -> None:
    op.add_column("participants", sa.Column("erased_at", sa.DateTime(timezone=True)))
    create_tables()
    secure()
    run_script("0008_participants.sql")


def downgrade() -> None:
    op.execute(PERMANENT)
    op.execute("DROP FUNCTION participant_blank")
    op.execute("DROP POLICY fragments ON participants")
    op.execute("DROP FUNCTION participants_like")
    run_script("0006_fragments.sql")
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_column("participants", "erased_at")


def run_script(name: str) -> None:
    script = (SQL / name).read_text()
    op.get_bind().connection.driver_connection.execute(script)  # several statements, and no placeholders in them


def create_tables() -> None:
    of_participant = ["tenant_id", "participant_id"], ["participants.tenant_id", "participants.id"]
    op.create_table(
        "participant_details",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("participant_id", sa.BigInteger(), nullable=False),
        sa.Column("display_name", sa.Text()),
        sa.Column("attributes", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(*of_participant, name="participant_details_tenant_id_participant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "participant_id", name="participant_details_pkey"),
    )
    op.create_index(
        "participant_details_fragments_idx",
        "participant_details",
        ["tenant_id", "display_name"],
        postgresql_using="gin",
        postgresql_ops={"display_name": "gin_trgm_ops"},
    )
    op.create_table(
        "erasures",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("participant_id", sa.BigInteger(), nullable=False),
        sa.Column("blanked_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("entry_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(*of_participant, name="erasures_tenant_id_participant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "participant_id", name="erasures_pkey"),
    )


def secure() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint)"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO gamify_app")
