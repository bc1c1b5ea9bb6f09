"""Rollups of the ledger, standings of participants, movements by people, and what the dashboard shows of both."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
ROLLUPS = ("rollup_progress", "ledger_quarters", "participant_standings", "tier_standings")
TABLES = (*ROLLUPS, "request_months")
EXTENSIONS = ("pg_trgm", "btree_gin")  # both trusted: whoever may create in the database may create them

# Of versions before 0003; nothing calls them, and their entries would not keep to what rollups rely on.
UNUSED = ("ledger_award", "ledger_deduct", "ledger_known", "caller_of")


def upgrade() -> None:
    for part in (change_tables, create_tables, secure):
        part()
    run_script("0005_rollups.sql")
    op.execute(f"DROP FUNCTION {', '.join(UNUSED)}")
    op.execute("DROP TYPE ledger_movement")
    for extension in EXTENSIONS:
        op.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    with op.get_context().autocommit_block():  # on a busy ledger these may take minutes, and must not hold it up
        create_indexes()


def downgrade() -> None:
    for index in ("participants_id_fragments_idx", "ledger_entries_tier_changes_idx", "ledger_entries_reversals_idx"):
        op.execute(f"DROP INDEX {index}")
    for extension in EXTENSIONS:
        op.execute(f"DROP EXTENSION {extension}")
    op.execute("DROP FUNCTION ledger_writers, ledger_post, ledger_replay, history_of, ledger_reverse, points_at, first_entry_id")
    op.execute("DROP TYPE ledger_request, reversal_outcome")
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_column("ledger_entries", "user_id")
    op.drop_column("tiers", "colour")
    op.drop_column("tenants", "time_zone")
    run_script("0002_reversals.sql")
    run_script("0003_ledger_post.sql")


def run_script(name: str) -> None:
    script = (SQL / name).read_text()
    op.get_bind().connection.driver_connection.execute(script)  # several statements, and no placeholders in them


def change_tables() -> None:
    op.add_column("tenants", sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False))
    op.add_column("tiers", sa.Column("colour", sa.Text()))
    op.add_column("ledger_entries", sa.Column("user_id", sa.BigInteger()))


def create_tables() -> None:
    op.create_table(
        "rollup_progress",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("planned_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("summed_until", sa.DateTime(timezone=True), server_default="1970-01-01 00:00:00+00", nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="rollup_progress_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", name="rollup_progress_pkey"),
    )
    op.create_table(
        "ledger_quarters",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("quarter", sa.DateTime(timezone=True), nullable=False),
        sa.Column("api_key_id", sa.BigInteger(), nullable=False),
        *(
            sa.Column(f"{kind}_{what}", sa.BigInteger(), nullable=False)
            for what in ("points", "count")
            for kind in ("award", "deduct", "award_reversal", "deduct_reversal")
        ),
        sa.Column("joined_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="ledger_quarters_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "quarter", "api_key_id", name="ledger_quarters_pkey"),
    )
    op.create_table(
        "participant_standings",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("participant_id", sa.BigInteger(), nullable=False),
        sa.Column("tier", sa.SmallInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("total_earned", sa.BigInteger(), nullable=False),
        sa.Column("last_entry_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "participant_id"],
            ["participants.tenant_id", "participants.id"],
            name="participant_standings_tenant_id_participant_id_fkey",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "participant_id", name="participant_standings_pkey"),
    )
    # A page in any order, of one tier or (merged from all of them) of everybody; the rest is in the index, too.
    for column, others in (
        ("balance", ["last_entry_at"]),
        ("total_earned", ["last_entry_at"]),
        ("last_entry_at", []),
    ):
        op.create_index(
            f"participant_standings_{column}_idx",
            "participant_standings",
            ["tenant_id", "tier", column, "participant_id"],
            postgresql_include=others,
        )
    op.create_table(
        "tier_standings",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("tier", sa.SmallInteger(), nullable=False),
        sa.Column("participant_count", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="tier_standings_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "tier", name="tier_standings_pkey"),
    )
    op.create_table(
        "request_months",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("request_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="request_months_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "month", name="request_months_pkey"),
    )


def create_indexes() -> None:
    # Parts of participants' ids, in whatever place.
    op.execute(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS participants_id_fragments_idx ON participants"
        " USING gin (tenant_id, external_id gin_trgm_ops)"
    )
    op.execute(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS ledger_entries_tier_changes_idx ON ledger_entries"
        " (tenant_id, participant_id, seq) WHERE tier_before <> tier_after"
    )
    op.execute(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS ledger_entries_reversals_idx ON ledger_entries"
        " (tenant_id, participant_id, created_at) WHERE reverses IS NOT NULL"
    )


def secure() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint)"
        )
        # What is derived from the ledger can be derived anew.
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO gamify_app")
