"""Row-level security and the schema that carries it: the second lock between tenants."""

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
}  # reached before a tenant is known; they hold no business data
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
WITH_TENANT_ID = "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'tenant_id' AND NOT attisdropped"
FIRST_COLUMN = "(SELECT attname FROM pg_attribute WHERE attrelid = {} AND attnum = {})"


def tenant_tables(owner: psycopg.Connection) -> set[str]:
    holding = owner.execute(f"{WITH_TENANT_ID} AND attrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'p'))")
    return {name for (name,) in holding} - SHARED


@pytest.fixture
def other(here, app) -> TenantUnderTest:
    """A second tenant with a row in every table."""
    made = new_tenant(here)
    Api(app.test_client(), made.key).award("ana", 100, idempotency_key="k")
    return made


def test_every_table_is_a_tenants_or_known_to_be_shared(owner):
    tables = {name for (name,) in owner.execute(TABLES)} - {"alembic_version"}

    assert tables - tenant_tables(owner) == SHARED


def test_every_tenant_table_forces_row_level_security(owner):
    found = owner.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
    guarded = {name for (name,) in found}
    policies = dict(owner.execute("SELECT tablename, qual FROM pg_policies").fetchall())

    assert tenant_tables(owner) <= guarded
    assert tenant_tables(owner) <= set(policies)
    assert all("app.tenant_id" in policies[table] for table in tenant_tables(owner))


def test_tenant_id_leads_every_unique_index(owner):
    first = FIRST_COLUMN.format("indrelid", "indkey[0]")
    found = owner.execute(f"SELECT indrelid::regclass::text, indexrelid::regclass::text, {first} FROM pg_index WHERE indisunique")
    leading = {index: column for table, index, column in found if table in tenant_tables(owner)}

    assert len(leading) >= len(tenant_tables(owner))  # a primary key each, and more
    assert set(leading.values()) == {"tenant_id"}


def test_tenant_id_leads_every_foreign_key_between_tenant_tables(owner):
    tables = tenant_tables(owner)
    from_, to = FIRST_COLUMN.format("conrelid", "conkey[1]"), FIRST_COLUMN.format("confrelid", "confkey[1]")
    found = owner.execute(
        f"SELECT conname, conrelid::regclass::text, confrelid::regclass::text, {from_}, {to}"
        " FROM pg_constraint WHERE contype = 'f'"
    ).fetchall()
    between = [row for row in found if row[1] in tables and row[2] in tables]

    assert between
    assert [row for row in between if row[3:] != ("tenant_id", "tenant_id")] == []


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


@pytest.mark.parametrize("table", ["participants", "idempotency_keys", "ladders", "tiers", "api_keys", "tenants"])
def test_the_app_deletes_nothing(here, tenant, table):
    with pytest.raises(ProgrammingError, match="permission denied"), here.database.transaction(tenant.id) as session:
        session.execute(text(f"DELETE FROM {table}"))


def test_what_a_key_has_decided_cannot_be_changed(here, tenant, api):
    api.award("ana", 5, idempotency_key="k")

    with pytest.raises(ProgrammingError, match="permission denied"), here.database.transaction(tenant.id) as session:
        session.execute(text("UPDATE idempotency_keys SET available = 1"))
