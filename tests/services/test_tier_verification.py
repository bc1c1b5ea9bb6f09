"""Verify knows every way to come to a tier, and finds whatever does not follow from it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from gamify.deployment import Deployment
from gamify.services import holds, recalculations, tiers
from gamify.services.audit import SYSTEM
from gamify.services.tiers import Policy

from tests.harness import Api, TenantUnderTest, new_tenant

FIRST = {"ana": 700, "bo": 1600, "cy": 700, "dee": 700, "eve": 100}


def publish(tenant: TenantUnderTest, policy: Policy, **thresholds: int) -> None:
    """Put a ladder in force, and everybody in place if that is its policy."""
    database = tenant.here.database
    with database.transaction(tenant.id) as session:
        tiers.put(session, tenant.id, thresholds, {}, policy=policy, actor=SYSTEM)
        tiers.shut(session, tenant.id)
        if policy.effect == "now":
            recalculations.begin(session, tenant.id)
    while policy.effect == "now" and recalculations.advance(database, tenant.id, most=2):
        pass


@pytest.fixture
def client(scratch_here: Deployment) -> Api:
    return Api(scratch_here.app.test_client(), new_tenant(scratch_here).key)  # type: ignore[attr-defined]


@pytest.fixture
def waiting(scratch_here: Deployment, client: Api) -> TenantUnderTest:
    """Ana is pinned, and eve was; bo keeps a tier; cy has come down at an award; dee waits for one."""
    tenant = new_tenant(scratch_here)
    api = client.with_key(tenant.key)
    for who, amount in FIRST.items():
        api.award(who, amount)
    publish(tenant, Policy("now", "keep"), bronze=0, silver=900, gold=2500)
    with scratch_here.database.transaction(tenant.id) as session:
        asked = {"code": "gold", "reason": "a friend", "until": None, "now": datetime.now(UTC), "actor": SYSTEM}
        for who in ("ana", "eve"):
            holds.pin(session, tenant.id, who, **asked)
        holds.unpin(session, tenant.id, "eve", actor=SYSTEM)
    publish(tenant, Policy("next_award", "move_down"), bronze=0, silver=1000, gold=3000)
    api.award("cy", 1)
    assert tenant.differences() == []
    return tenant


PERSON = "(SELECT id FROM participants WHERE tenant_id = %(tenant)s AND external_id = %(who)s)"
ROW = "UPDATE participants SET {} WHERE tenant_id = %(tenant)s AND external_id = %(who)s"
OF = f"WHERE tenant_id = %(tenant)s AND participant_id = {PERSON}"
ENTRY = f"UPDATE ledger_entries SET {{}} {OF} AND seq = %(seq)s"
CHANGE = f"UPDATE tier_changes SET {{}} {OF} AND cause = %(cause)s"
HOLD = f"UPDATE tier_holds SET {{}} {OF}"


@pytest.mark.parametrize("who", FIRST)
def test_a_corrupted_tier_is_named_whatever_led_to_it(waiting, corrupt, who):
    corrupt(ROW.format("tier = tier + 1"), waiting.id, who=who)

    assert any(f"'{who}' participant: tier is " in sentence for sentence in waiting.differences())


@pytest.mark.parametrize(
    ("who", "statement", "what"),
    [
        ("ana", ROW.format("is_held = false"), "is_held is False, should be True"),
        ("bo", ROW.format("is_held = false"), "is_held is False, should be True"),
        ("cy", ROW.format("is_held = true"), "is_held is True, should be False"),
        ("cy", ROW.format("ladder_version = 2"), "settled is False, should be True"),
        ("dee", ROW.format("ladder_version = 3"), "tier by version 3 of the ladder is 2, should be 1"),
        ("ana", HOLD.format("number = 1") + " AND kind = 'pin'", "pin is 1, should be 3"),
        ("ana", HOLD.format("number = 1") + " AND kind = 'keep'", "tier kept is 1, should be 2"),
        ("bo", HOLD.format("number = 2"), "tier kept is 2, should be 3"),
        (
            "ana",
            CHANGE.format("ladder_version = 1").replace("%(cause)s", "'pinned'"),
            "version when it was pinned is 1, should be 2",
        ),
        ("bo", HOLD.format("kind = 'pin'"), "pin is 3, should be None"),
        ("dee", f"DELETE FROM tier_holds {OF}", "tier kept is None, should be 2"),
        ("cy", ENTRY.format("tier_before = 1"), "entry 2: tier_before is 1, should be 2"),
        ("cy", ENTRY.format("tier_after = 2"), "entry 2: tier_after is 2, should be 1"),
        ("cy", ENTRY.format("ladder_version = 2"), "entry 2: tier_after is 1, should be 2"),
    ],
)
def test_a_corrupted_state_is_named(waiting, corrupt, who, statement, what):
    corrupt(statement, waiting.id, who=who)

    found = waiting.differences()

    assert any(f"'{who}'" in sentence and what in sentence for sentence in found), found
    assert all(f"'{who}'" in sentence for sentence in found)


@pytest.mark.parametrize(("who", "cause"), [("ana", "pinned"), ("bo", "published"), ("eve", "pinned"), ("eve", "unpinned")])
@pytest.mark.parametrize(
    "change",
    [
        "number_before = number_before + 1",
        "number_after = number_after + 1",
        "is_kept = NOT is_kept",
        "cause = 'requalified'",
        "after_seq = 0",
        None,
    ],
)
def test_a_corrupted_or_missing_change_is_noticed(waiting, corrupt, who, cause, change):
    statement = CHANGE.format(change) if change else f"DELETE FROM tier_changes {OF} AND cause = %(cause)s"
    corrupt(statement, waiting.id, who=who, cause=cause)

    assert any(f"'{who}'" in sentence for sentence in waiting.differences())


def test_a_missing_note_of_a_tier_that_is_no_longer_kept_is_noticed(waiting, corrupt):
    corrupt(f"DELETE FROM tier_changes {OF} AND after_seq = 2", waiting.id, who="cy")

    assert f"{waiting.slug} (live) 'cy' participant: note of a tier kept is missing, should be there" in waiting.differences()


@pytest.fixture
def settled(scratch_here: Deployment, client: Api) -> TenantUnderTest:
    """Somebody who was moved down by a ladder and has earned since; nothing else than totals has ever had a say."""
    tenant = new_tenant(scratch_here)
    api = client.with_key(tenant.key)
    for who in ("ana", "bo"):
        api.award(who, 700)
    publish(tenant, Policy("now", "move_down"), bronze=0, silver=900, gold=2500)
    api.award("ana", 50)
    assert tenant.differences() == []
    return tenant


@pytest.mark.parametrize("who", ["ana", "bo"])
@pytest.mark.parametrize("change", ["number_before = 3", "number_after = 3", None])
def test_a_corrupted_or_missing_move_by_a_ladder_is_noticed(settled, corrupt, who, change):
    statement = CHANGE.format(change) if change else f"DELETE FROM tier_changes {OF} AND cause = %(cause)s"
    corrupt(statement, settled.id, who=who, cause="published")

    assert any(f"'{who}'" in sentence for sentence in settled.differences())


def test_a_tier_kept_on_until_a_time_may_be_found_kept_after_it(scratch_here, client):
    """Whoever keeps a tier that they kept before is told nothing, and the job that ends it comes a little late."""
    tenant = new_tenant(scratch_here)
    api = client.with_key(tenant.key)
    api.award("bo", 600)
    publish(tenant, Policy("now", "keep"), bronze=0, silver=900)
    until = datetime.now(UTC) + timedelta(seconds=2)
    publish(tenant, Policy("now", "keep_until", until), bronze=0, silver=1000)
    time.sleep(max(0, (until - datetime.now(UTC)).total_seconds()))

    assert api.deduct("bo", 50).status == 200

    assert tenant.differences() == []
