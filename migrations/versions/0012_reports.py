"""What reports need beside sums of quarters: tiers, words, days, sizes; costs of points and saved reports."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
KINDS = ("award", "deduct", "award_reversal", "deduct_reversal")
FUNCTIONS = ("tier_events", "tier_events_before")
NUMBER, SMALL, INSTANT, WORDS = sa.BigInteger(), sa.SmallInteger(), sa.DateTime(timezone=True), sa.Text()
MEASURES = [(f"{kind}_{what}", NUMBER) for what in ("points", "count") for kind in KINDS]
# Each with its key and its other columns.
ROLLUPS = {
    "tier_quarters": ([("quarter", INSTANT), ("tier", SMALL)], MEASURES),
    "tier_flow_quarters": (
        [("quarter", INSTANT), ("tier_from", SMALL), ("tier_to", SMALL)],
        [("participant_count", NUMBER), ("points", NUMBER)],
    ),
    "word_quarters": ([("quarter", INSTANT), ("dimension", SMALL), ("word_id", NUMBER)], MEASURES),
    "activity_days": (
        [("day", sa.Date()), ("cohort", sa.Date())],
        [("day_count", NUMBER), ("week_count", NUMBER), ("month_count", NUMBER)],
    ),
    "award_size_days": ([("day", sa.Date()), ("step", SMALL)], [("award_count", NUMBER), ("points", NUMBER)]),
    "balance_standings": ([("step", SMALL)], [("participant_count", NUMBER), ("points", NUMBER)]),
}
TABLES = (*ROLLUPS, "words", "dimensions", "point_costs", "saved_reports")


def upgrade() -> None:
    # What is summed already lacks all of this, so it is derived anew by the job that sums.
    op.add_column("rollup_progress", sa.Column("made_by", sa.Integer(), server_default="1", nullable=False))
    op.add_column("rollup_progress", sa.Column("time_zone", WORDS, server_default="UTC", nullable=False))
    for name, (key, columns) in ROLLUPS.items():
        create(name, key, [sa.Column(*column, nullable=False) for column in columns])
    create_words()
    create_settings()
    for table in TABLES:
        secure(table)
    run((SQL / "0012_reports.sql").read_text())
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS tier_changes_at_idx ON tier_changes (tenant_id, at)")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ledger_entries_rises_idx ON ledger_entries (tenant_id, id)"
            " WHERE tier_after > tier_before"
        )


def downgrade() -> None:
    op.execute("DROP INDEX ledger_entries_rises_idx")
    op.execute("DROP INDEX tier_changes_at_idx")
    op.execute(f"DROP FUNCTION {', '.join(FUNCTIONS)}")
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_column("rollup_progress", "time_zone")
    op.drop_column("rollup_progress", "made_by")


def create(name: str, key: Sequence[tuple[str, sa.types.TypeEngine]], columns: Sequence[sa.schema.SchemaItem]) -> None:
    op.create_table(
        name,
        sa.Column("tenant_id", NUMBER, nullable=False),
        *(sa.Column(*column, nullable=False) for column in key),
        *columns,
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=f"{name}_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", *(column for column, _ in key), name=f"{name}_pkey"),
    )


def create_words() -> None:
    op.create_table(
        "words",
        sa.Column("tenant_id", NUMBER, nullable=False),
        sa.Column("id", NUMBER, sa.Identity(), nullable=False),
        sa.Column("dimension", SMALL, nullable=False),
        sa.Column("word", WORDS),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="words_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="words_pkey"),
        sa.UniqueConstraint("tenant_id", "dimension", "word", name="words_tenant_id_dimension_word_key"),
    )


def create_settings() -> None:
    create(
        "dimensions",
        [("number", SMALL)],
        [
            sa.Column("metadata_key", WORDS, nullable=False),
            sa.Column("is_ready", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("done_until", INSTANT, server_default="1970-01-01 00:00:00+00", nullable=False),
            created_at(),
            sa.UniqueConstraint("tenant_id", "metadata_key", name="dimensions_tenant_id_metadata_key_key"),
            sa.CheckConstraint("number BETWEEN 1 AND 3", name="dimensions_number_check"),
        ],
    )
    create(
        "point_costs",
        [("valid_from", sa.Date())],
        [
            sa.Column("cost", sa.Numeric(20, 10), nullable=False),
            sa.Column("currency", WORDS, nullable=False),
            sa.CheckConstraint("cost >= 0", name="point_costs_cost_check"),
        ],
    )
    op.create_table(
        "saved_reports",
        sa.Column("tenant_id", NUMBER, nullable=False),
        sa.Column("id", NUMBER, sa.Identity(), nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("query", WORDS, nullable=False),
        sa.Column("saved_by", WORDS, nullable=False),
        created_at(),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="saved_reports_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="saved_reports_pkey"),
        sa.UniqueConstraint("tenant_id", "name", name="saved_reports_tenant_id_name_key"),
    )


def created_at() -> sa.Column:
    return sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False)


def secure(table: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY own_tenant ON {table} USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint)"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO gamify_app")


def run(statements: str) -> None:
    op.get_bind().connection.driver_connection.execute(statements)  # several, and no placeholders in them
