"""People who sign in, keys that can be rolled and confined, audit logs, and the end of a tenant."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LOGS = ("audit_entries", "platform_audit_entries")
GRANTS = {
    "sessions": "SELECT, INSERT, UPDATE",
    "one_time_links": "SELECT, INSERT, UPDATE",
    "sign_in_failures": "SELECT, INSERT, UPDATE, DELETE",
    "audit_entries": "SELECT, INSERT",
    "platform_audit_entries": "SELECT, INSERT",
}

# The one way for ledger entries and audit entries to go: with their tenant, which has been put out of use for good.
PERMANENT = """
    CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF EXISTS (SELECT FROM tenants WHERE id = OLD.tenant_id AND status = 'deleting') THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION '{what} are permanent' USING ERRCODE = 'restrict_violation';
    END
    $$
"""
# As it was in 0001.
ALWAYS_PERMANENT = """
    CREATE OR REPLACE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'ledger entries are permanent' USING ERRCODE = 'restrict_violation';
    END
    $$
"""
PLATFORM_PERMANENT = """
    CREATE FUNCTION platform_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'audit entries are permanent' USING ERRCODE = 'restrict_violation';
    END
    $$
"""
# What a key may do, and its tenant. The key's digest has led to both numbers. Replaces caller_of, which stays for
# processes of the version before.
CALLER_OF_KEY = """
    CREATE FUNCTION caller_of_key(in_tenant bigint, in_key bigint)
    RETURNS TABLE (
        prefix text, scopes text[], key_limit bigint, tenant_limit bigint, status text, allowed_networks text[],
        expires_at timestamptz, revoked_at timestamptz
    ) LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM set_config('app.tenant_id', in_tenant::text, true);
        RETURN QUERY
        SELECT key.prefix, key.scopes, key.rate_limit, tenant.rate_limit, tenant.status, key.allowed_networks,
               key.expires_at, key.revoked_at
        FROM api_keys AS key JOIN tenants AS tenant ON tenant.id = key.tenant_id
        WHERE key.tenant_id = in_tenant AND key.id = in_key;
    END
    $$
"""


def upgrade() -> None:
    for part in (change_tables, create_tables, secure, make_permanent):
        part()
    op.execute(CALLER_OF_KEY)


def downgrade() -> None:
    op.execute("DROP FUNCTION caller_of_key")
    op.execute(ALWAYS_PERMANENT)
    for table in reversed(GRANTS):
        op.drop_table(table)
    op.execute("DROP FUNCTION audit_is_append_only, platform_audit_is_append_only")
    op.drop_index("users_email_key", "users")
    op.create_index("users_email_key", "users", [sa.literal_column("lower(email)")], unique=True)
    for table, columns in {
        "users": ("totp_secret", "totp_step", "recovery_digests", "removed_at"),
        "tenants": ("requires_totp",),
        "api_keys": ("allowed_networks", "replaced_by", "last_used_at", "last_used_address"),
    }.items():
        for column in columns:
            op.drop_column(table, column)


def change_tables() -> None:
    op.add_column("users", sa.Column("totp_secret", sa.LargeBinary()))
    op.add_column("users", sa.Column("totp_step", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("recovery_digests", postgresql.ARRAY(sa.LargeBinary()), server_default="{}", nullable=False))
    op.add_column("users", sa.Column("removed_at", sa.DateTime(timezone=True)))
    op.drop_index("users_email_key", "users")
    op.create_index(
        "users_email_key",
        "users",
        [sa.literal_column("lower(email)")],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.add_column("tenants", sa.Column("requires_totp", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("api_keys", sa.Column("allowed_networks", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column("api_keys", sa.Column("replaced_by", sa.BigInteger()))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True)))
    op.add_column("api_keys", sa.Column("last_used_address", sa.Text()))


def create_tables() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fresh_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("address", sa.Text()),
        sa.Column("user_agent", sa.Text()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="sessions_user_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="sessions_pkey"),
    )
    op.create_index("sessions_user_id_idx", "sessions", ["user_id"])
    op.create_table(
        "one_time_links",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("tenant_id", sa.BigInteger()),
        sa.Column("role", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("purpose IN ('invitation', 'reset')", name="purpose"),
        sa.CheckConstraint("(purpose = 'reset') = (user_id IS NOT NULL)", name="resets_have_a_user"),
        sa.CheckConstraint("(purpose = 'invitation') = (role IS NOT NULL)", name="invitations_have_a_role"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="one_time_links_user_id_fkey"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="one_time_links_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("digest", name="one_time_links_pkey"),
    )
    op.create_index("one_time_links_user_id_idx", "one_time_links", ["user_id"])
    op.create_index("one_time_links_tenant_id_idx", "one_time_links", ["tenant_id"])
    op.create_table(
        "sign_in_failures",
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="sign_in_failures_pkey"),
    )
    op.create_table(
        "audit_entries",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        *change_columns(),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="audit_entries_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="audit_entries_pkey"),
    )
    op.create_table(
        "platform_audit_entries",
        *change_columns(),
        sa.PrimaryKeyConstraint("id", name="platform_audit_entries_pkey"),
    )


def change_columns() -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.BigInteger()),
        sa.Column("address", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB()),
        sa.Column("after", postgresql.JSONB()),
        sa.Column("request_id", sa.Text()),
        sa.CheckConstraint("actor_kind IN ('user', 'key', 'command', 'system')", name="actor_kind"),
    ]


def secure() -> None:
    op.execute("ALTER TABLE audit_entries ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_entries FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_tenant ON audit_entries USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint)"
    )
    for table, rights in GRANTS.items():
        op.execute(f"GRANT {rights} ON {table} TO gamify_app")


def make_permanent() -> None:
    op.execute(PERMANENT.format(name="ledger_is_append_only", what="ledger entries"))
    op.execute(PERMANENT.format(name="audit_is_append_only", what="audit entries"))
    op.execute(PLATFORM_PERMANENT)
    for table, function in zip(LOGS, ("audit_is_append_only", "platform_audit_is_append_only"), strict=True):
        op.execute(f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()")
        op.execute(
            f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION platform_audit_is_append_only()"
        )
