"""The end of a tenant: nothing of it is left, and nothing of anybody else is touched."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from gamify.db import Database
from gamify.errors import Conflict, NotFound
from gamify.models import PlatformAuditEntry
from gamify.services import api_keys, deletion, ledger, rollups, tenants, users
from gamify.services.audit import SYSTEM
from gamify.services.ledger import Movement
from sqlalchemy import select

from tests.harness import BASE, PEPPER, Api, TenantUnderTest, item, new_tenant

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
HOLDING_TENANTS = f"{TABLES} AND oid IN (SELECT attrelid FROM pg_attribute WHERE attname = 'tenant_id' AND NOT attisdropped)"


@pytest.fixture
def doomed(here, app, owner) -> TenantUnderTest:
    """A tenant with a row in every table, in its sandbox too."""
    made = new_tenant(here)
    for key in (made.key, made.test_key):
        fill(Api(app.test_client(), key), word_of(made))
    with here.database.transaction() as session:
        for tenant in tenants.both(session, made.slug):
            old, _ = api_keys.issue(session, tenant, name=word_of(made), pepper=PEPPER, actor=SYSTEM)
            values = {"overlap": timedelta(hours=1), "pepper": PEPPER, "actor": SYSTEM, "now": datetime.now(UTC)}
            api_keys.roll(session, old.prefix, **values)
        live = tenants.get(session, made.slug)
        email = f"{word_of(made)}@{made.slug}.example"
        user = users.create(session, tenant=live, email=email, role="admin", password="x" * 20, actor=SYSTEM)
    owner.execute(
        "INSERT INTO sessions (id, user_id, is_complete, seen_at, fresh_at) VALUES (uuidv7(), %s, true, now(), now())", [user.id]
    )
    links = (
        "INSERT INTO one_time_links (digest, purpose, email, user_id, tenant_id, role, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, now())"
    )
    owner.execute(links, [f"{made.slug} 1".encode(), "reset", email, user.id, None, None])
    owner.execute(links, [f"{made.slug} 2".encode(), "invitation", email, None, made.id, "analyst"])
    made.fill()
    for tenant_id in (made.id, made.sandbox_id):  # nothing is left that the app would sum while they are deleted
        assert rollups.catch_up(here.database, tenant_id, seconds=10)
    return made


def word_of(tenant: TenantUnderTest) -> str:
    """What is in everything that a doomed tenant's people and participants are called, and in nothing else."""
    return f"zanzibar-{tenant.id}-"


def fill(api: Api, word: str) -> None:
    entry = api.award(f"{word}1", 700, idempotency_key=f"{word}a", metadata={"word": word}).json["transaction_id"]
    api.deduct(f"{word}1", 20, idempotency_key=f"{word}b", reason=word)
    assert api.request("POST", f"{BASE}/points/transactions/{entry}/reverse", body={"allow_partial": True}).status == 200
    assert api.deduct(f"{word}2", 20, idempotency_key=f"{word}c").status == 400
    assert api.batch([item(f"{word}{n}", 5) for n in range(30)], headers={"Idempotency-Key": f"{word}d"}).status == 200


def delete(here, slug: str) -> None:
    with here.database.transaction() as session:
        both = deletion.begin(session, slug, actor=SYSTEM)
    for tenant in both:
        here.counters.advance(tenant.id)
        deletion.sweep(here.database, tenant.id)
    deletion.finish(here.database, both)


def rows_of(owner: psycopg.Connection, tenant: TenantUnderTest) -> dict[str, int]:
    """How many rows each table of the catalogue that names tenants has of this one or its sandbox."""
    tables = [name for (name,) in owner.execute(HOLDING_TENANTS)]
    count = "SELECT count(*) FROM {} WHERE tenant_id IN (%s, %s)"
    return {table: owner.execute(count.format(table), [tenant.id, tenant.sandbox_id]).fetchone()[0] for table in tables}


def where_it_says(owner: psycopg.Connection, word: str) -> list[str]:
    """The tables that have the word anywhere in a row."""
    tables = [name for (name,) in owner.execute(TABLES)]
    holding = "SELECT EXISTS (SELECT FROM {} AS t WHERE t::text LIKE %s)"
    return [table for table in tables if owner.execute(holding.format(table), [f"%{word}%"]).fetchone()[0]]


def test_nothing_of_a_deleted_tenant_is_left_in_any_table(here, owner, doomed):
    assert min(rows_of(owner, doomed).values()) > 0, "a table that this test does not fill"
    assert {"sessions", "participants", "ledger_entries"} <= set(deletion.TABLES)

    delete(here, doomed.slug)

    assert set(rows_of(owner, doomed).values()) == {0}
    assert owner.execute("SELECT count(*) FROM tenants WHERE slug = %s", [doomed.slug]).fetchone() == (0,)
    assert owner.execute("SELECT count(*) FROM sessions WHERE user_id NOT IN (SELECT id FROM users)").fetchone() == (0,)
    assert where_it_says(owner, word_of(doomed)) == []


def test_deleting_leaves_one_row_in_the_operators_log(here, doomed):
    delete(here, doomed.slug)

    with here.database.transaction() as session:
        query = select(PlatformAuditEntry).where(PlatformAuditEntry.action == "tenant.delete")
        [entry] = session.scalars(query.where(PlatformAuditEntry.subject == doomed.slug))
    assert entry.before == {"name": doomed.slug.title()}


def test_deleting_touches_no_other_tenant(owner, doomed, tenant, api):
    api.award("ana", 700, idempotency_key="a")
    tenant.fill()
    before = rows_of(owner, tenant)

    delete(tenant.here, doomed.slug)

    assert rows_of(owner, tenant) == before
    assert tenant.differences() == []
    assert "Idempotent-Replayed" in api.award("ana", 700, idempotency_key="a").headers


def test_keys_stop_at_once_and_are_unknown_afterwards(here, app, doomed):
    api = Api(app.test_client(), doomed.key)
    sandbox = api.with_key(doomed.test_key)
    with here.database.transaction() as session:
        both = deletion.begin(session, doomed.slug, actor=SYSTEM)
    for tenant in both:
        here.counters.advance(tenant.id)

    assert [each.points("ana").code for each in (api, sandbox)] == ["tenant_suspended"] * 2
    delete(here, doomed.slug)
    assert [each.points("ana").code for each in (api, sandbox)] == ["unauthenticated"] * 2


@pytest.mark.parametrize("status", ["active", "suspended"])
def test_a_tenant_being_deleted_cannot_be_resumed(here, doomed, status):
    with here.database.transaction() as session:
        deletion.begin(session, doomed.slug, actor=SYSTEM)

    with pytest.raises(Conflict, match="being deleted"), here.database.transaction() as session:
        tenants.set_status(session, doomed.slug, status=status, actor=SYSTEM)
    delete(here, doomed.slug)


def test_no_transaction_deletes_more_than_its_share_and_progress_tells_of_every_row(here, owner, doomed, monkeypatch):
    monkeypatch.setattr(deletion, "AT_ONCE", 7)
    with here.database.transaction() as session:
        deletion.begin(session, doomed.slug, actor=SYSTEM)
    told: list[int] = []
    size = deletion.size(here.database, doomed.id)

    deletion.sweep(here.database, doomed.id, progress=told.append)

    assert max(told) == 7
    assert sum(told) == size
    assert deletion.size(here.database, doomed.id) == 0
    assert rows_of(owner, doomed)["ledger_entries"] > 0  # the sandbox's
    delete(here, doomed.slug)


def test_interrupted_anywhere_it_goes_on(here, owner, doomed, monkeypatch):
    monkeypatch.setattr(deletion, "AT_ONCE", 7)
    with here.database.transaction() as session:
        deletion.begin(session, doomed.slug, actor=SYSTEM)
    steps = 0

    def kill(_: int) -> None:
        raise KeyboardInterrupt

    while deletion.size(here.database, doomed.id):
        with pytest.raises(KeyboardInterrupt):
            deletion.sweep(here.database, doomed.id, progress=kill)
        steps += 1
    delete(here, doomed.slug)

    assert steps > 10
    assert where_it_says(owner, word_of(doomed)) == []


def test_what_is_written_during_the_sweep_goes_with_the_tenant(here, owner, doomed):
    with here.database.transaction() as session:
        both = deletion.begin(session, doomed.slug, actor=SYSTEM)
    for tenant in both:
        deletion.sweep(here.database, tenant.id)
    ledger.post(here.database, doomed.id, [Movement("award", "late", 5, idempotency_key="late")])

    deletion.finish(here.database, both)

    assert set(rows_of(owner, doomed).values()) == {0}


def test_only_what_is_marked_can_be_swept(here, owner, doomed):
    before = rows_of(owner, doomed)

    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute("DELETE FROM ledger_entries WHERE tenant_id = %s", [doomed.id])
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute("DELETE FROM audit_entries WHERE tenant_id = %s", [doomed.id])

    assert rows_of(owner, doomed) == before


def test_a_login_that_may_not_delete_is_told_before_anything_happens(here, owner, doomed):
    role = "gamify_plain_login"
    owner.execute(f"DROP ROLE IF EXISTS {role}")
    owner.execute(f"CREATE ROLE {role} LOGIN IN ROLE gamify_app")
    url = here.database.url.replace("//postgres@", f"//{role}@").replace("user=postgres", f"user={role}")
    plain = Database(lambda: url, owner_url=lambda: url, pool_size=1)
    try:
        with pytest.raises(Conflict, match="DATABASE_OWNER_URL"):
            deletion.check_rights(plain)
    finally:
        plain.close()
        owner.execute(f"DROP ROLE {role}")
    deletion.check_rights(here.database)


def test_an_unknown_tenant_cannot_be_deleted(here):
    with pytest.raises(NotFound), here.database.transaction() as session:
        deletion.begin(session, "nobody-of-this-name", actor=SYSTEM)
