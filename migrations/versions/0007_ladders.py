"""Ladders with numbers that outlive them, ways to qualify and to fall, tiers held by hand, drafts, and their history."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
TABLES = ("tier_holds", "tier_changes", "ladder_drafts", "recalculations")
FUNCTIONS = (
    "tier_catch_up",
    "tier_reevaluate",
    "tier_recalculate",
    "tier_put_plain",
    "tier_is_due",
    "standings_follow",
    "tier_after_movement",
    "tier_put",
    "tier_settle",
    "held_level",
    "tier_level",
    "qualifying_points",
    "earned_before",
)

# Codes of the ladder in force keep their level as their number, so that participants' rows need not be touched; codes
# that only older ladders had come after them.
NUMBER_TIERS = """
    WITH newest AS (
        SELECT t.* FROM tiers AS t
        JOIN (SELECT tenant_id, max(version) AS version FROM ladders GROUP BY tenant_id) AS l
             ON l.tenant_id = t.tenant_id AND l.version = t.ladder_version
    ), gone AS (
        SELECT tenant_id, code, row_number() OVER (PARTITION BY tenant_id ORDER BY max(ladder_version) DESC, code) AS n
        FROM tiers AS t
        WHERE NOT EXISTS (SELECT FROM newest WHERE newest.tenant_id = t.tenant_id AND newest.code = t.code)
        GROUP BY tenant_id, code
    ), numbered AS (
        SELECT tenant_id, code, level AS number FROM newest
        UNION ALL
        SELECT tenant_id, code, n + (SELECT count(*) FROM newest WHERE newest.tenant_id = gone.tenant_id) FROM gone
    )
    UPDATE tiers AS t SET number = numbered.number
    FROM numbered WHERE numbered.tenant_id = t.tenant_id AND numbered.code = t.code
"""
# The level on each ladder of whoever holds a number: its own, or (of a tier that the ladder does not have) that of the
# next one below it, on the last ladder that had it, which is left.
NUMBER_LADDERS = """
    UPDATE ladders AS l SET
        numbers = ARRAY(SELECT number FROM tiers AS t
                        WHERE t.tenant_id = l.tenant_id AND t.ladder_version = l.version ORDER BY level),
        floors = ARRAY(
            SELECT COALESCE((
                SELECT max(here.level) FROM tiers AS there
                JOIN tiers AS below ON below.tenant_id = l.tenant_id AND below.ladder_version = there.ladder_version
                                       AND below.level <= there.level
                JOIN tiers AS here ON here.tenant_id = l.tenant_id AND here.ladder_version = l.version
                                      AND here.code = below.code
                WHERE there.tenant_id = l.tenant_id AND there.number = n
                      AND there.ladder_version = (SELECT max(ladder_version) FROM tiers AS t
                                                  WHERE t.tenant_id = l.tenant_id AND t.number = n
                                                        AND (t.ladder_version = l.version OR NOT EXISTS (
                                                            SELECT FROM tiers AS own WHERE own.tenant_id = l.tenant_id
                                                            AND own.ladder_version = l.version AND own.number = n)))
            ), 0)
            FROM generate_series(1, (SELECT max(number) FROM tiers AS t WHERE t.tenant_id = l.tenant_id)) AS n ORDER BY n)
"""
# And back: tiers are levels again, by nothing but the total.
LEVEL_TIERS = """
    UPDATE participants AS p SET tier = width_bucket(p.total_earned, l.thresholds)
    FROM (SELECT DISTINCT ON (tenant_id) * FROM ladders ORDER BY tenant_id, version DESC) AS l
    WHERE p.tenant_id = l.tenant_id AND p.tier <> width_bucket(p.total_earned, l.thresholds)
"""
LEVEL_STANDINGS = """
    UPDATE participant_standings AS s SET tier = p.tier
    FROM participants AS p WHERE p.tenant_id = s.tenant_id AND p.id = s.participant_id AND p.tier <> s.tier
"""
COUNT_STANDINGS = """
    INSERT INTO tier_standings (tenant_id, tier, participant_count, points)
    SELECT tenant_id, tier, count(*), sum(balance) FROM participant_standings GROUP BY tenant_id, tier
"""


def upgrade() -> None:
    for part in (change_tables, create_tables, secure):
        part()
    run_script("0007_ladders.sql")


def downgrade() -> None:
    of_everybody(
        ("participants", "ladders", "participant_standings", "tier_standings"),
        (LEVEL_TIERS, LEVEL_STANDINGS, "DELETE FROM tier_standings", COUNT_STANDINGS),
    )
    op.execute(f"DROP FUNCTION {', '.join(FUNCTIONS)}")
    op.execute("DROP FUNCTION ledger_post, ledger_replay, history_of, ledger_reverse, points_at, first_entry_id, ledger_writers")
    op.execute("DROP TYPE ledger_request, reversal_outcome, tier_settlement, tier_movement")
    for table in reversed(TABLES):
        op.drop_table(table)
    for table, columns in {
        "participants": ("ladder_version", "is_held"),
        "tiers": ("number",),
        "ladders": (
            *("numbers", "floors", "basis", "window_days", "grace_days", "time_zone", "falling", "kept_until", "effect"),
            *("is_settled", "reason", "published_by"),
        ),
    }.items():
        for column in columns:
            op.drop_column(table, column)
    run_script("0002_reversals.sql")
    run_script("0003_ledger_post.sql")
    run_script("0005_rollups.sql")


def run_script(name: str) -> None:
    script = (SQL / name).read_text()
    op.get_bind().connection.driver_connection.execute(script)  # several statements, and no placeholders in them


def change_tables() -> None:
    op.add_column("participants", sa.Column("ladder_version", sa.Integer(), server_default="0", nullable=False))
    op.add_column("participants", sa.Column("is_held", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("tiers", sa.Column("number", sa.SmallInteger()))
    smallints = sa.ARRAY(sa.SmallInteger())
    op.add_column("ladders", sa.Column("numbers", smallints))
    op.add_column("ladders", sa.Column("floors", smallints))
    op.add_column("ladders", sa.Column("basis", sa.Text(), server_default="lifetime", nullable=False))
    op.add_column("ladders", sa.Column("window_days", sa.Integer()))
    op.add_column("ladders", sa.Column("grace_days", sa.Integer()))
    op.add_column("ladders", sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False))
    op.add_column("ladders", sa.Column("falling", sa.Text(), server_default="move_down", nullable=False))
    op.add_column("ladders", sa.Column("kept_until", sa.DateTime(timezone=True)))
    op.add_column("ladders", sa.Column("effect", sa.Text(), server_default="now", nullable=False))
    op.add_column("ladders", sa.Column("is_settled", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("ladders", sa.Column("reason", sa.Text()))
    op.add_column("ladders", sa.Column("published_by", sa.Text()))
    of_everybody(("tiers", "ladders"), (NUMBER_TIERS, NUMBER_LADDERS))
    op.alter_column("tiers", "number", nullable=False)
    op.alter_column("ladders", "numbers", nullable=False)
    op.alter_column("ladders", "floors", nullable=False)
    op.create_unique_constraint("tiers_tenant_id_ladder_version_number_key", "tiers", ["tenant_id", "ladder_version", "number"])
    op.create_check_constraint("ladders_basis_check", "ladders", "basis IN ('lifetime', 'window', 'year')")
    op.create_check_constraint("ladders_window_check", "ladders", "(basis = 'window') = (window_days IS NOT NULL)")
    op.create_check_constraint("ladders_grace_check", "ladders", "(basis = 'year') = (grace_days IS NOT NULL)")
    op.create_check_constraint("ladders_falling_check", "ladders", "falling IN ('keep', 'keep_until', 'move_down')")
    op.create_check_constraint("ladders_kept_until_check", "ladders", "(falling = 'keep_until') = (kept_until IS NOT NULL)")
    op.create_check_constraint("ladders_effect_check", "ladders", "effect IN ('now', 'next_award')")
    op.execute("GRANT UPDATE (is_settled) ON ladders TO gamify_app")


def of_everybody(tables: Sequence[str], statements: Sequence[str]) -> None:
    """Run statements on tables whose policies would hide all rows from their owner."""
    for table in tables:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    for statement in statements:
        op.execute(statement)
    for table in tables:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def create_tables() -> None:
    of_participant = ["tenant_id", "participant_id"], ["participants.tenant_id", "participants.id"]
    op.create_table(
        "tier_holds",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("participant_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text()),
        sa.Column("held_by", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("kind IN ('pin', 'keep')", name="tier_holds_kind_check"),
        sa.ForeignKeyConstraint(*of_participant, name="tier_holds_tenant_id_participant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "participant_id", "kind", name="tier_holds_pkey"),
    )
    op.create_index("tier_holds_until_idx", "tier_holds", ["tenant_id", "until"], postgresql_where=sa.text("until IS NOT NULL"))
    op.create_table(
        "tier_changes",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("participant_id", sa.BigInteger(), nullable=False),
        sa.Column("after_seq", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("ladder_version", sa.Integer(), nullable=False),
        sa.Column("number_before", sa.SmallInteger(), nullable=False),
        sa.Column("number_after", sa.SmallInteger(), nullable=False),
        sa.Column("is_kept", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("changed_by", sa.Text()),
        sa.CheckConstraint(
            "cause IN ('published', 'requalified', 'registered', 'pinned', 'unpinned', 'pin_ended', 'keep_ended')",
            name="tier_changes_cause_check",
        ),
        sa.ForeignKeyConstraint(*of_participant, name="tier_changes_tenant_id_participant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "participant_id", "after_seq", "id", name="tier_changes_pkey"),
    )
    op.create_table(
        "ladder_drafts",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("based_on", sa.Integer(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("publish_at", sa.DateTime(timezone=True)),
        sa.Column("publication", sa.JSON()),
        sa.CheckConstraint("(publish_at IS NULL) = (publication IS NULL)", name="ladder_drafts_publication_check"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="ladder_drafts_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", name="ladder_drafts_pkey"),
    )
    op.create_table(
        "recalculations",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("ladder_version", sa.Integer(), nullable=False),
        sa.Column("total_count", sa.BigInteger(), nullable=False),
        sa.Column("done_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("moved_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("done_until", sa.BigInteger(), server_default=str(-(2**63)), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("advanced_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("cause IN ('published', 'requalified')", name="recalculations_cause_check"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="recalculations_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="recalculations_pkey"),
    )
    # One at a time.
    op.create_index(
        "recalculations_going_on_key",
        "recalculations",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def secure() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint)"
        )
        rights = "SELECT, INSERT" if table == "tier_changes" else "SELECT, INSERT, UPDATE, DELETE"
        op.execute(f"GRANT {rights} ON {table} TO gamify_app")
