"""The queue of background jobs, which is Procrastinate's, and what went wrong with them."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The package keeps the history of its schema as files that never change once they are published; this revision takes
# them up to here, whichever release is installed. Its schema.sql would not do: that is always the newest one, and
# whoever migrates with a later release would get changes here that a later revision then makes again. A release that
# brings more files needs a revision of its own, which takes those after this one (a test says so).
FIRST, LAST = "00.00.00_01", "03.04.00_50"

TABLES = ("procrastinate_workers", "procrastinate_jobs", "procrastinate_periodic_defers", "procrastinate_events")
# Functions name the tables' rows, tables the types; triggers go with their functions.
FUNCTIONS = """
    SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, 'procrastinate_')
"""
TYPES = """
    SELECT oid::regtype FROM pg_type
    WHERE typnamespace = current_schema()::regnamespace AND starts_with(typname, 'procrastinate_') AND typtype IN ('e', 'c')
"""


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    for file in sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql")):
        if FIRST <= file.name[: len(LAST)] <= LAST:
            connection.execute(file.read_text())  # several statements, and no placeholders in them
    op.create_table(
        "job_errors",
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="job_errors_pkey"),
    )
    for table in (*TABLES, "job_errors"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO gamify_app")
    for table in TABLES:
        op.execute(f"GRANT USAGE ON SEQUENCE {table}_id_seq TO gamify_app")


def downgrade() -> None:
    op.drop_table("job_errors")
    drop("FUNCTION", FUNCTIONS)
    op.execute(f"DROP TABLE {', '.join(TABLES)}")
    drop("TYPE", TYPES)


def drop(kind: str, found: str) -> None:
    names = op.get_bind().execute(sa.text(found)).scalars().all()
    op.execute(f"DROP {kind} {', '.join(names)} CASCADE")
