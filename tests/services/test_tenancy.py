"""Row-level security and the schema that carries it: the second lock between tenants."""

from contextlib import suppress

import psycopg
import pytest
from gamify.db import APP_ROLE
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from tests.harness import Api, TenantUnderTest, new_tenant

SHARED = {
    "tenants",
    "users",
    "key_digests",
    "sessions",
    "one_time_links",
    "sign_in_failures",
    "platform_audit_entries",
    # The queue of jobs: names, numbers of tenants, times, and kinds of errors.
    "procrastinate_jobs",
    "procrastinate_events",
    "procrastinate_periodic_defers",
    "procrastinate_workers",
    "job_errors",
}  # reached before a tenant is known; they hold no business data
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
WITH_TENANT_ID = "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'tenant_id' AND NOT attisdropped"
UNLED = "CREATE UNIQUE INDEX draft ON participants (id)"
GUARDS = "qual LIKE '%tenant_id = %app.tenant_id%' AND cmd = 'ALL' AND permissive = 'PERMISSIVE'"
FIRST_COLUMN = "(SELECT attname FROM pg_attribute WHERE attrelid = {} AND attnum = {})"


def tenant_tables(owner: psycopg.Connection) -> set[str]:
    holding = owner.execute(f"{WITH_TENANT_ID} AND attrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'p'))")
    return {name for (name,) in holding} - SHARED


@pytest.fixture
def other(here, app) -> TenantUnderTest:
    """A second tenant with a row in every table."""
    made = new_tenant(here)
    Api(app.test_client(), made.key).award("ana", 100, idempotency_key="k")
    made.fill()
    return made


def test_every_table_is_a_tenants_or_known_to_be_shared(owner):
    tables = {name for (name,) in owner.execute(TABLES)} - {"alembic_version"}

    assert tables - tenant_tables(owner) == SHARED


def unforced(owner: psycopg.Connection) -> set[str]:
    """Tenant tables that somebody could read without a policy, or whose policy does not name the tenant."""
    found = owner.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
    policies = owner.execute(f"SELECT tablename FROM pg_policies WHERE {GUARDS}")
    return tenant_tables(owner) - ({name for (name,) in found} & {name for (name,) in policies})


def unled(owner: psycopg.Connection) -> set[str]:
    """Keys and unique indexes of tenant tables that do not begin with the tenant."""
    first = FIRST_COLUMN.format("indrelid", "indkey[0]")
    found = owner.execute(f"SELECT indrelid::regclass::text, indexrelid::regclass::text, {first} FROM pg_index WHERE indisunique")
    return {index for table, index, column in found if table in tenant_tables(owner) and column != "tenant_id"}


def loose(owner: psycopg.Connection) -> set[str]:
    """Foreign keys from or to a tenant table that could lead from one tenant to another."""
    tables = tenant_tables(owner)
    from_, to = FIRST_COLUMN.format("conrelid", "conkey[1]"), FIRST_COLUMN.format("confrelid", "confkey[1]")
    found = owner.execute(
        f"SELECT conname, conrelid::regclass::text, confrelid::regclass::text, {from_}, {to}"
        " FROM pg_constraint WHERE contype = 'f'"
    ).fetchall()
    return {
        name
        for name, table, other, column, target in found
        if (table in tables or other in tables)
        and (column, other, target) != ("tenant_id", "tenants", "id")
        and (column, target) != ("tenant_id", "tenant_id")
    }


def test_every_tenant_table_forces_row_level_security(owner):
    assert unforced(owner) == set()


def test_tenant_id_leads_every_key_and_unique_index(owner):
    assert unled(owner) == set()


def test_no_foreign_key_of_a_tenant_table_omits_the_tenant(owner):
    assert loose(owner) == set()


@pytest.mark.parametrize(
    ("mistake", "finds"),
    [
        ("CREATE TABLE draft (tenant_id bigint, id bigint, PRIMARY KEY (tenant_id, id))", unforced),
        ("ALTER TABLE participants NO FORCE ROW LEVEL SECURITY", unforced),
        ("ALTER TABLE tiers DISABLE ROW LEVEL SECURITY", unforced),
        ("DROP POLICY own_tenant ON audit_entries", unforced),
        ("CREATE TABLE draft (id bigint PRIMARY KEY, tenant_id bigint)", unled),
        (UNLED, unled),
        ("CREATE TABLE draft (tenant_id bigint, by bigint REFERENCES users (id))", loose),
        ("ALTER TABLE tiers ADD COLUMN by bigint REFERENCES users (id)", loose),
        (f"{UNLED}; ALTER TABLE users ADD COLUMN person bigint REFERENCES participants (id)", loose),
    ],
)
def test_a_mistake_in_the_schema_is_found(owner, mistake, finds):
    with owner.transaction(force_rollback=True):
        owner.execute(mistake)
        assert finds(owner)
    assert finds(owner) == set()


def test_the_apps_role_is_bound_by_policies(here, owner):
    with here.database.transaction() as session:
        assert session.scalar(text("SELECT current_user")) == APP_ROLE
    with here.database.connection() as connection:
        assert connection.execute("SELECT current_user").fetchone() == (APP_ROLE,)

    rights = "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = %s"
    assert owner.execute(rights, [APP_ROLE]).fetchone() == (False,) * 5
    owned = "SELECT count(*) FROM pg_class WHERE relowner = %s::regrole"
    assert owner.execute(owned, [APP_ROLE]).fetchone() == (0,)
    parents = "SELECT count(*) FROM pg_auth_members WHERE member = %s::regrole"
    assert owner.execute(parents, [APP_ROLE]).fetchone() == (0,)


@pytest.mark.parametrize("setting", [None, ""], ids=["never set", "empty"])
def test_without_a_tenant_no_row_of_any_is_visible(here, owner, other, setting):
    for table in tenant_tables(owner):
        with here.database.transaction() as session:
            if setting is not None:
                session.execute(text("SET LOCAL app.tenant_id = ''"))
            assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table


def test_with_a_tenant_only_its_own_rows_are_visible(here, owner, tenant, api, other):
    api.award("ben", 100, idempotency_key="k")
    tenant.fill()
    for table in tenant_tables(owner):
        with here.database.transaction(tenant.id) as session:
            found = set(session.scalars(text(f"SELECT DISTINCT tenant_id FROM {table}")))
        assert found == {tenant.id}, table


def test_no_row_of_another_tenant_can_be_written(here, owner, tenant, other):
    for table in tenant_tables(owner):
        row = owner.execute(
            sql.SQL("SELECT row_to_json(t)::text FROM {} AS t WHERE tenant_id = %s LIMIT 1").format(sql.Identifier(table)),
            [other.id],
        ).fetchone()
        insert = text(f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, :row)")
        for acting_as in (tenant.id, None):
            with pytest.raises(ProgrammingError, match="row-level security"), here.database.transaction(acting_as) as session:
                session.execute(insert, {"row": row[0]})


@pytest.mark.parametrize("change", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {}"])
def test_without_a_tenant_no_row_of_any_is_writable(here, owner, other, change):
    """A row is out of sight or the app has no right to write to such tables at all."""
    count = f"SELECT count(*) FROM {{}} WHERE tenant_id = {other.id}".format
    for table in tenant_tables(owner):
        before = owner.execute(count(table)).fetchone()
        with suppress(ProgrammingError), here.database.transaction() as session:
            assert session.execute(text(change.format(table))).rowcount == 0, table
        assert owner.execute(count(table)).fetchone() == before != (0,), table


@pytest.mark.parametrize("change", ["UPDATE participants SET balance = 0", "UPDATE api_keys SET revoked_at = now()"])
def test_no_row_of_another_tenant_can_be_changed(here, owner, tenant, other, change):
    for acting_as in (tenant.id, None):
        with here.database.transaction(acting_as) as session:
            assert session.execute(text(f"{change} WHERE tenant_id = :other"), {"other": other.id}).rowcount == 0
    with pytest.raises(ProgrammingError, match="row-level security"), here.database.transaction(tenant.id) as session:
        session.execute(text("UPDATE api_keys SET tenant_id = :other"), {"other": other.id})


@pytest.mark.parametrize(
    "change", ["UPDATE ledger_entries SET points = 1", "DELETE FROM ledger_entries", "TRUNCATE ledger_entries"]
)
def test_the_ledger_is_permanent(here, owner, tenant, api, change):
    api.award("ana", 5)

    with pytest.raises(ProgrammingError, match="permission denied"), here.database.transaction(tenant.id) as session:
        session.execute(text(change))
    with pytest.raises(psycopg.errors.RestrictViolation, match="permanent"), owner.transaction():
        owner.execute(change)

    assert api.history("ana").json["total"] == 1


LOGS = ("audit_entries", "platform_audit_entries")
REWRITE = ["UPDATE {} SET actor = 'somebody else'", "UPDATE {} SET at = now()", "DELETE FROM {}", "TRUNCATE {}"]


@pytest.mark.parametrize("table", LOGS)
@pytest.mark.parametrize("change", REWRITE)
def test_the_audit_logs_are_permanent(here, owner, tenant, table, change):
    """Not for the app, and not for the owner."""
    count = f"SELECT count(*), max(at) FROM {table}"
    before = owner.execute(count).fetchone()

    with pytest.raises(ProgrammingError, match="permission denied"), here.database.transaction(tenant.id) as session:
        session.execute(text(change.format(table)))
    with pytest.raises(psycopg.errors.RestrictViolation, match="audit entries are permanent"), owner.transaction():
        owner.execute(change.format(table))

    assert owner.execute(count).fetchone() == before


def test_an_audit_log_goes_with_its_tenant_alone(here, owner, other):
    """Once it is put out of use for good, and even then nothing is rewritten."""
    of_other = f"audit_entries WHERE tenant_id = {other.id}"
    rows = f"SELECT count(*) FROM {of_other}"
    owner.execute("UPDATE tenants SET status = 'deleting' WHERE id = %s", [other.id])

    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(f"UPDATE audit_entries SET actor = 'x' WHERE tenant_id = {other.id}")
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute("DELETE FROM audit_entries")
    assert owner.execute(rows).fetchone() > (0,)

    owner.execute(f"DELETE FROM {of_other}")
    assert owner.execute(rows).fetchone() == (0,)


@pytest.mark.parametrize("table", ["participants", "idempotency_keys", "ladders", "tiers", "api_keys", "tenants"])
def test_the_app_deletes_nothing(here, tenant, table):
    with pytest.raises(ProgrammingError, match="permission denied"), here.database.transaction(tenant.id) as session:
        session.execute(text(f"DELETE FROM {table}"))


def test_what_a_key_has_decided_cannot_be_changed(here, tenant, api):
    api.award("ana", 5, idempotency_key="k")

    with pytest.raises(ProgrammingError, match="permission denied"), here.database.transaction(tenant.id) as session:
        session.execute(text("UPDATE idempotency_keys SET available = 1"))
