"""Verify finds whatever does not follow from the ledger, and names where it is."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from filelock import FileLock
from gamify.app import create_app
from gamify.config import Settings
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers

from tests.harness import Api, TenantUnderTest, make_database, new_tenant, url_of

CHECKS = """
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
    FROM pg_constraint WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace AND conislocal AND coninhcount = 0
"""


@pytest.fixture(scope="module")
def scratch(servers: EmbeddedServers, settings: Settings, run_folder: Path, template: str, worker_id: str) -> Iterator[Settings]:
    """A database in which nothing but the code stops nonsense: no checks, no foreign keys."""
    name = f"corrupted_{worker_id}"
    with FileLock(run_folder / "template.lock"):
        make_database(servers, name, template=template)
    with psycopg.connect(url_of(servers, name), autocommit=True) as owner:
        for (statement,) in owner.execute(CHECKS).fetchall():
            owner.execute(statement)
    yield replace(settings, database_url=url_of(servers, name))
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def scratch_here(scratch: Settings) -> Iterator[Deployment]:
    app = create_app(scratch)
    made: Deployment = app.extensions["gamify"]
    made.app = app  # type: ignore[attr-defined]
    yield made
    made.close()


@pytest.fixture
def victim(scratch_here: Deployment) -> TenantUnderTest:
    """A tenant with two participants of three entries each, one of them in the sandbox too."""
    tenant = new_tenant(scratch_here)
    client = scratch_here.app.test_client()  # type: ignore[attr-defined]
    for key, who in ((tenant.key, "ana"), (tenant.key, "bo"), (tenant.test_key, "ana")):
        api = Api(client, key)
        api.award(who, 400)
        api.award(who, 200)
        api.deduct(who, 50)
    assert tenant.differences() == []
    return tenant


@pytest.fixture
def corrupt(scratch: Settings):
    """Changes an entry or a participant past every trigger and policy."""
    assert scratch.database_url
    with psycopg.connect(scratch.database_url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")

        def run(statement: str, tenant_id: int, **values: object) -> None:
            ids = {"tenant": tenant_id, "who": "ana", "seq": 2} | values
            assert owner.execute(statement, ids).rowcount == 1

        yield run


ENTRY = (
    "WHERE tenant_id = %(tenant)s AND seq = %(seq)s AND participant_id ="
    " (SELECT id FROM participants WHERE tenant_id = %(tenant)s AND external_id = %(who)s)"
)
PARTICIPANT = "WHERE tenant_id = %(tenant)s AND external_id = %(who)s"


@pytest.mark.parametrize(
    "change",
    [
        "points = points + 1",
        "points = -points",
        "type = 'deduct'",
        "balance_after = balance_after + 1",
        "total_earned_after = total_earned_after - 1",
        "total_spent_after = total_spent_after + 1",
        "tier_before = tier_before + 1",
        "tier_after = tier_after - 1",
        "tier_before = tier_before + 1, tier_after = tier_after + 1",
        "ladder_version = 99",
        "created_at = created_at - interval '1 hour'",
    ],
)
@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_corrupted_entry_is_named(victim, corrupt, change, mode):
    corrupt(f"UPDATE ledger_entries SET {change} {ENTRY}", victim.id if mode == "live" else victim.sandbox_id)

    found = victim.differences()

    assert any(sentence.startswith(f"{victim.slug} ({mode}) 'ana' entry 2: ") for sentence in found), found
    assert not any("'bo'" in sentence for sentence in found)


def test_a_missing_entry_is_named_by_the_one_after_it(victim, corrupt):
    corrupt(f"DELETE FROM ledger_entries {ENTRY}", victim.id)

    assert f"{victim.slug} (live) 'ana' entry 3: seq is 3, should be 2" in victim.differences()


def test_a_wrong_number_is_named(victim, corrupt):
    corrupt(f"UPDATE ledger_entries SET seq = 7 {ENTRY}", victim.id, seq=3)

    assert f"{victim.slug} (live) 'ana' entry 7: seq is 7, should be 3" in victim.differences()


def test_a_missing_last_entry_is_named_by_the_participant(victim, corrupt):
    corrupt(f"DELETE FROM ledger_entries {ENTRY}", victim.id, seq=3)

    found = victim.differences()

    assert f"{victim.slug} (live) 'ana' participant: balance is 550, should be 600" in found
    assert f"{victim.slug} (live) 'ana' participant: entry_count is 3, should be 2" in found


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("balance", "balance + 1"),
        ("total_earned", "total_earned + 1"),
        ("total_spent", "total_spent - 1"),
        ("entry_count", "entry_count + 1"),
        ("tier", "tier + 1"),
        ("last_entry_at", "last_entry_at + interval '1 second'"),
    ],
)
@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_corrupted_participant_is_named(victim, corrupt, column, change, mode):
    tenant_id = victim.id if mode == "live" else victim.sandbox_id
    corrupt(f"UPDATE participants SET {column} = {change} {PARTICIPANT}", tenant_id)

    [found] = victim.differences()

    assert found.startswith(f"{victim.slug} ({mode}) 'ana' participant: {column} is ")


def test_a_ladder_changed_behind_everyones_back_is_noticed(victim, corrupt):
    corrupt("UPDATE ladders SET thresholds = '{0,550,1500}' WHERE tenant_id = %(tenant)s", victim.id)
    corrupt("UPDATE ladders SET thresholds = '{0,601,1500}' WHERE tenant_id = %(tenant)s", victim.sandbox_id)

    found = victim.differences()

    assert not any("(live)" in sentence for sentence in found)  # whoever was on silver still is
    assert f"{victim.slug} (test) 'ana' participant: tier is 2, should be 1" in found
