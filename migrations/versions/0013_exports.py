"""Files that are made in the background, and saved reports that are sent by the clock."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NUMBER, SMALL, INSTANT, WORDS = sa.BigInteger(), sa.SmallInteger(), sa.DateTime(timezone=True), sa.Text()
NUMBERS = postgresql.ARRAY(NUMBER)
TABLES = ("exports", "report_schedules")


def upgrade() -> None:
    create_exports()
    create_schedules()
    for table in TABLES:
        secure(table)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def create_exports() -> None:
    op.create_table(
        "exports",
        sa.Column("tenant_id", NUMBER, nullable=False),
        sa.Column("id", NUMBER, sa.Identity(), nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in ("kind", "query")),
        sa.Column("wanted", sa.JSON(), nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in ("format", "title", "about", "file_name")),
        sa.Column("state", WORDS, server_default="waiting", nullable=False),
        sa.Column("run", sa.Integer(), server_default="0", nullable=False),
        sa.Column("row_count", NUMBER, server_default="0", nullable=False),
        sa.Column("expected_count", NUMBER),
        sa.Column("size", NUMBER),
        sa.Column("error", WORDS),
        sa.Column("asked_by", WORDS, nullable=False),
        sa.Column("user_id", NUMBER),
        sa.Column("schedule_id", NUMBER),
        sa.Column("due_at", INSTANT),
        sa.Column("mailed_to", NUMBERS, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("mail_tries", SMALL, server_default="0", nullable=False),
        made(),
        sa.Column("started_at", INSTANT),
        sa.Column("ended_at", INSTANT),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name="exports_state_check"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="exports_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="exports_pkey"),
    )
    op.create_index("exports_due_key", "exports", ["tenant_id", "schedule_id", "due_at"], unique=True)


def create_schedules() -> None:
    op.create_table(
        "report_schedules",
        sa.Column("tenant_id", NUMBER, nullable=False),
        sa.Column("id", NUMBER, sa.Identity(), nullable=False),
        sa.Column("report_id", NUMBER, nullable=False),
        sa.Column("format", WORDS, nullable=False),
        sa.Column("rhythm", WORDS, nullable=False),
        sa.Column("weekday", SMALL),
        sa.Column("day", SMALL),
        sa.Column("hour", SMALL, nullable=False),
        sa.Column("recipients", NUMBERS, nullable=False),
        sa.Column("page", WORDS, nullable=False),
        sa.Column("made_by", WORDS, nullable=False),
        sa.Column("user_id", NUMBER),
        made(),
        sa.Column("next_at", INSTANT, nullable=False),
        sa.Column("last_sent_at", INSTANT),
        sa.Column("failure_count", SMALL, server_default="0", nullable=False),
        sa.Column("error", WORDS),
        sa.Column("paused_at", INSTANT),
        sa.CheckConstraint("rhythm IN ('daily', 'weekly', 'monthly')", name="report_schedules_rhythm_check"),
        sa.CheckConstraint(
            "(rhythm = 'weekly') = (weekday IS NOT NULL) AND weekday BETWEEN 0 AND 6", name="report_schedules_weekday_check"
        ),
        sa.CheckConstraint(
            "(rhythm = 'monthly') = (day IS NOT NULL) AND day BETWEEN 1 AND 31", name="report_schedules_day_check"
        ),
        sa.CheckConstraint("hour BETWEEN 0 AND 23", name="report_schedules_hour_check"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "report_id"],
            ["saved_reports.tenant_id", "saved_reports.id"],
            name="report_schedules_tenant_id_report_id_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="report_schedules_pkey"),
    )
    op.create_index(
        "report_schedules_next_at_idx",
        "report_schedules",
        ["tenant_id", "next_at"],
        postgresql_where=sa.text("paused_at IS NULL"),
    )


def made() -> sa.Column[object]:
    return sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False)


def secure(table: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY own_tenant ON {table} USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint)"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO gamify_app")
