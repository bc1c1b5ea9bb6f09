"""Verify finds whatever does not follow from the ledger, and names where it is."""

import pytest
from gamify.deployment import Deployment
from gamify.services.measures import MEASURES

from tests.harness import Api, TenantUnderTest, new_tenant


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


OF_ANA = "participant_id = (SELECT id FROM participants WHERE tenant_id = %(tenant)s AND external_id = %(who)s)"
ROLLUPS = {
    "ledger_quarters": "api_key_id <> 0",
    "tier_standings": "tier = 2",
    "participant_standings": OF_ANA,
}


@pytest.fixture
def summed(victim) -> TenantUnderTest:
    """The victim with rollups of everything."""
    victim.fill()
    assert victim.differences() == []
    return victim


@pytest.mark.parametrize(
    ("table", "column"),
    [("ledger_quarters", column) for column in MEASURES]
    + [("tier_standings", "participant_count"), ("tier_standings", "points")]
    + [("participant_standings", column) for column in ("tier", "balance", "total_earned")],
)
@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_corrupted_rollup_is_named(summed, corrupt, table, column, mode):
    tenant_id = summed.id if mode == "live" else summed.sandbox_id
    corrupt(f"UPDATE {table} SET {column} = {column} + 1 WHERE tenant_id = %(tenant)s AND {ROLLUPS[table]}", tenant_id)

    found = summed.differences()

    assert any(f"{column} is " in sentence for sentence in found), found
    assert all(sentence.startswith(f"{summed.slug} ({mode})") for sentence in found)


MISSING = {
    "ledger_quarters": "award_points is 0",
    "tier_standings": "points is 0",
    "participant_standings": "presence is missing",
}


@pytest.mark.parametrize("table", ROLLUPS)
def test_a_missing_rollup_is_named(summed, corrupt, table):
    corrupt(f"DELETE FROM {table} WHERE tenant_id = %(tenant)s AND {ROLLUPS[table]}", summed.id)

    assert any(MISSING[table] in sentence for sentence in summed.differences())


@pytest.mark.parametrize(
    ("plant", "what"),
    [
        (
            "INSERT INTO ledger_quarters VALUES (%(tenant)s, '2020-01-01', 5, 1, 0, 0, 0, 1, 0, 0, 0, 0)",
            "key 5: award_points is 1",
        ),
        ("INSERT INTO tier_standings VALUES (%(tenant)s, 3, 1, 100)", "tier 3 of standings: points is 100"),
        (
            "INSERT INTO participant_standings VALUES (%(tenant)s, -7, 1, 0, 0, now())",
            "'(number -7)' participant: standing: presence",
        ),
        (
            f"UPDATE participant_standings SET last_entry_at = now() WHERE tenant_id = %(tenant)s AND {OF_ANA}",
            "last_entry_at is ",
        ),
        ("UPDATE rollup_progress SET planned_until = '2020-01-01' WHERE tenant_id = %(tenant)s", "rollups: planned_until is "),
        (
            "UPDATE rollup_progress SET summed_until = '2020-01-01' WHERE tenant_id = %(tenant)s",
            "award_points is 1200, should be 0",
        ),
    ],
)
def test_a_rollup_that_should_not_be_is_named(summed, corrupt, plant, what):
    corrupt(plant, summed.id)

    assert any(what in sentence for sentence in summed.differences()), summed.differences()


def test_an_entry_that_turns_up_behind_the_rollups_is_noticed(summed, corrupt):
    late = (
        "INSERT INTO ledger_entries (tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after,"
        " total_spent_after, tier_before, tier_after, created_at) SELECT tenant_id, id, 4, entry_id(created_at), 'award', 5, 5,"
        " 5, 0, 0, 0, created_at FROM participants WHERE tenant_id = %(tenant)s AND external_id = %(who)s"
    )
    corrupt(late, summed.id)

    assert any("key 0: award_points is 0, should be 5" in sentence for sentence in summed.differences())
