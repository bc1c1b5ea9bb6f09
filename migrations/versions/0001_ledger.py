"""Tenants and their keys, tiers, participants and the ledger; the app's role and row-level security."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Reached before a tenant is known, so without a policy; they hold no business data.
SHARED_TABLES = ("tenants", "users", "key_digests")
TENANT_TABLES = ("api_keys", "ladders", "tiers", "participants", "ledger_entries", "idempotency_keys")
FUNCTIONS = (
    "ledger_award", "ledger_deduct", "ledger_known", "points_of", "caller_of", "tier_upgrade", "entry_id",
    "ledger_is_append_only",
)  # fmt: skip

# What the app may do beyond reading. Nobody but the owner deletes; the ledger and the keys' outcomes only grow.
GRANTS = {
    "tenants": "INSERT, UPDATE",
    "users": "INSERT, UPDATE",
    "key_digests": "INSERT",
    "api_keys": "INSERT, UPDATE",
    "ladders": "INSERT",
    "tiers": "INSERT",
    "participants": "INSERT, UPDATE",
    "ledger_entries": "INSERT",
    "idempotency_keys": "INSERT",
}

# Roles belong to the whole cluster: another database's migration may be making the same one right now.
MAKE_ROLE = """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gamify_app') THEN
            CREATE ROLE gamify_app NOLOGIN;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END $$
"""
# Who migrates and who serves must both be able to put the role on.
GRANT_ROLE = """
    DO $$
    DECLARE login text;
    BEGIN
        FOR login IN
            SELECT rolname FROM pg_roles
            WHERE rolname IN (current_user, current_setting('gamify.login', true))
                  AND NOT rolsuper AND NOT pg_has_role(rolname, 'gamify_app', 'SET')
        LOOP
            EXECUTE format('GRANT gamify_app TO %I', login);
        END LOOP;
    END $$
"""


def upgrade() -> None:
    for part in (create_tables, create_role, create_functions, secure_tenants):
        part()


def downgrade() -> None:
    """Back to empty, but for the role: other databases of the cluster may use it."""
    for table in (*reversed(TENANT_TABLES), "key_digests", "users", "tenants"):
        op.execute(f"DROP TABLE {table} CASCADE")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION IF EXISTS {function} CASCADE")
    op.execute("DROP TYPE IF EXISTS ledger_outcome, ledger_movement")


def create_role() -> None:
    op.execute(MAKE_ROLE)
    op.execute(GRANT_ROLE)
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(f"GRANT USAGE ON SCHEMA {schema} TO gamify_app")
    op.execute("GRANT SELECT ON alembic_version TO gamify_app")
    for table in (*SHARED_TABLES, *TENANT_TABLES):
        op.execute(f"GRANT SELECT, {GRANTS[table]} ON {table} TO gamify_app")


def create_functions() -> None:
    script = (Path(__file__).parents[1] / "sql" / "0001_ledger.sql").read_text()
    op.get_bind().connection.driver_connection.execute(script)  # several statements, and no placeholders in them


def secure_tenants() -> None:
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        # An unset setting reads as null or, once it was set, as '': both must mean no rows.
        op.execute(
            f"CREATE POLICY own_tenant ON {table} USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint)"
        )


def create_tables() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("entry_id", sa.Uuid()),
        sa.Column("available", sa.BigInteger()),
        sa.Column("response", postgresql.JSON()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("num_nonnulls(entry_id, available, response) = 1", name="one_outcome"),
        sa.PrimaryKeyConstraint("tenant_id", "key", name="idempotency_keys_pkey"),
    )
    op.create_table(
        "tenants",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sandbox_of", sa.BigInteger()),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("rate_limit", sa.BigInteger(), server_default="5000", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('active', 'suspended', 'deleting')", name="status"),
        sa.CheckConstraint("rate_limit >= 0", name="rate_limit"),
        sa.ForeignKeyConstraint(["sandbox_of"], ["tenants.id"], name="tenants_sandbox_of_fkey"),
        sa.PrimaryKeyConstraint("id", name="tenants_pkey"),
        sa.UniqueConstraint("sandbox_of", name="tenants_sandbox_of_key"),
        sa.UniqueConstraint("slug", "sandbox_of", name="tenants_slug_sandbox_of_key", postgresql_nulls_not_distinct=True),
    )
    op.create_table(
        "api_keys",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("rate_limit", sa.BigInteger(), server_default="1000", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("rate_limit >= 0", name="rate_limit"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="api_keys_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="api_keys_pkey"),
    )
    op.create_table(
        "key_digests",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("api_key_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="key_digests_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("digest", name="key_digests_pkey"),
        sa.UniqueConstraint("prefix", name="key_digests_prefix_key"),
    )
    op.create_index("key_digests_tenant_id_idx", "key_digests", ["tenant_id"])
    op.create_table(
        "ladders",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("thresholds", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="ladders_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "version", name="ladders_pkey"),
    )
    op.create_table(
        "participants",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("total_earned", sa.BigInteger(), nullable=False),
        sa.Column("total_spent", sa.BigInteger(), nullable=False),
        sa.Column("entry_count", sa.BigInteger(), nullable=False),
        sa.Column("tier", sa.SmallInteger(), nullable=False),
        sa.Column("last_entry_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("balance = total_earned - total_spent", name="adds_up"),
        sa.CheckConstraint("balance >= 0", name="never_negative"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="participants_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="participants_pkey"),
        sa.UniqueConstraint("tenant_id", "external_id", name="participants_tenant_id_external_id_key"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger()),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(role = 'operator') = (tenant_id IS NULL)", name="operators_have_no_tenant"),
        sa.CheckConstraint("role IN ('admin', 'analyst', 'operator')", name="role"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="users_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
    )
    op.create_index("users_email_key", "users", [sa.literal_column("lower(email)")], unique=True)
    op.create_index("users_tenant_id_idx", "users", ["tenant_id"])
    op.create_table(
        "ledger_entries",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("participant_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("total_earned_after", sa.BigInteger(), nullable=False),
        sa.Column("total_spent_after", sa.BigInteger(), nullable=False),
        sa.Column("ladder_version", sa.Integer()),
        sa.Column("tier_before", sa.SmallInteger(), nullable=False),
        sa.Column("tier_after", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("metadata", postgresql.JSON()),
        sa.Column("idempotency_key", sa.Text(collation="C")),
        sa.Column("api_key_id", sa.BigInteger()),
        sa.Column("request_id", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("type IN ('award', 'deduct')", name="type"),
        sa.CheckConstraint("balance_after >= 0", name="never_negative"),
        sa.CheckConstraint("points <> 0", name="moves_points"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "participant_id"],
            ["participants.tenant_id", "participants.id"],
            name="ledger_entries_tenant_id_participant_id_fkey",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "participant_id", "seq", name="ledger_entries_pkey"),
        sa.UniqueConstraint("tenant_id", "id", name="ledger_entries_tenant_id_id_key"),
    )
    op.create_table(
        "tiers",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("ladder_version", sa.Integer(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("threshold", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("level >= 1", name="level"),
        sa.CheckConstraint("threshold >= 0", name="threshold"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "ladder_version"], ["ladders.tenant_id", "ladders.version"], name="tiers_tenant_id_ladder_version_fkey"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "ladder_version", "level", name="tiers_pkey"),
        sa.UniqueConstraint("tenant_id", "ladder_version", "code", name="tiers_tenant_id_ladder_version_code_key"),
        sa.UniqueConstraint("tenant_id", "ladder_version", "threshold", name="tiers_tenant_id_ladder_version_threshold_key"),
    )
