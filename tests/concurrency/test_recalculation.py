"""Ladders put in force range by range while awards go on: each award is right, and none waits for more than a range."""

from functools import partial
from itertools import chain
from random import Random
from threading import Event, Thread

import psycopg
import pytest
from gamify.deployment import Deployment
from gamify.errors import LockedByOthers
from gamify.services import ledger, recalculations, rollups, tiers
from gamify.services.audit import SYSTEM
from gamify.services.ledger import AWARD, Movement, Receipt
from gamify.services.tiers import RECALCULATE, Policy, Qualification

from tests.harness import TenantUnderTest

PEOPLE = 60
PUBLICATIONS = [
    ({"bronze": 0, "silver": 900, "gold": 2500}, Policy("now", "keep"), Qualification()),
    ({"member": 100, "silver": 300, "gold": 700, "black": 3000}, Policy("now", "move_down"), Qualification()),
    ({"bronze": 0, "gold": 1200}, Policy("now", "move_down"), Qualification("window", 30)),
    ({"silver": 500, "gold": 5000}, Policy("next_award", "keep"), Qualification()),
    ({"bronze": 0, "silver": 500, "gold": 1500}, Policy("now", "move_down"), Qualification()),
]
TOLD = """
    SELECT e.id, before.code, after.code FROM ledger_entries AS e
    LEFT JOIN tiers AS before
        ON before.tenant_id = e.tenant_id AND before.ladder_version = e.ladder_version AND before.level = e.tier_before
    LEFT JOIN tiers AS after
        ON after.tenant_id = e.tenant_id AND after.ladder_version = e.ladder_version AND after.level = e.tier_after
    WHERE e.tenant_id = %s AND e.tier_after > e.tier_before
"""


def publish(here: Deployment, tenant_id: int, thresholds: dict[str, int], policy: Policy, by: Qualification) -> None:
    with here.database.transaction(tenant_id) as session:
        tiers.put(session, tenant_id, thresholds, {}, policy=policy, actor=SYSTEM, qualification=by)
        tiers.shut(session, tenant_id)
        if policy.effect == "now":
            recalculations.begin(session, tenant_id)


def settle(here: Deployment, tenant_id: int, *, most: int) -> None:
    is_more = True
    while is_more:
        try:
            is_more = recalculations.advance(here.database, tenant_id, most=most)
        except LockedByOthers:  # rollups are advanced meanwhile
            continue


def test_awards_during_recalculations_are_right_and_none_is_lost(at_once, here, tenant, owner):
    done = Event()

    def work(n: int) -> list[Receipt]:
        random, receipts = Random(n), []  # repeatable on purpose
        while not done.is_set():
            some = [
                Movement(AWARD, f"p{random.randrange(PEOPLE)}", random.randint(1, 60)) for _ in range(random.choice([1, 1, 5]))
            ]
            receipts += ledger.post(here.database, tenant.id, some)
        return receipts

    def publish_all() -> list[Receipt]:
        try:
            for each in PUBLICATIONS:
                publish(here, tenant.id, *each)
                settle(here, tenant.id, most=7)
        finally:
            done.set()
        return []

    begun = ledger.post(here.database, tenant.id, [Movement(AWARD, f"p{n}", 40 * n + 1) for n in range(PEOPLE)])
    receipts = [*begun, *chain.from_iterable(at_once([partial(work, n) for n in range(6)] + [publish_all]))]

    assert all(isinstance(receipt, Receipt) for receipt in receipts)
    earned: dict[str, int] = {}
    for receipt in receipts:
        earned[receipt.participant_id] = earned.get(receipt.participant_id, 0) + receipt.amount
    stored = owner.execute(
        "SELECT external_id, total_earned, tier FROM participants WHERE tenant_id = %s", [tenant.id]
    ).fetchall()
    assert {who: total for who, total, _ in stored} == earned
    told = {r.transaction_id: (r.tier_upgrade["previous_code"], r.tier_upgrade["code"]) for r in receipts if r.tier_upgrade}
    assert told == {entry: (before, after) for entry, before, after in owner.execute(TOLD, [tenant.id])}
    numbers = {"bronze": 1, "silver": 2, "gold": 3}
    for who, total, tier in stored:
        assert tier == numbers["gold" if total >= 1500 else "silver" if total >= 500 else "bronze"], who
    assert tenant.differences() == []


@pytest.mark.parametrize("falling", ["keep", "move_down"])
def test_an_award_waits_for_the_rows_of_one_range_and_is_right_after_it(here, tenant, owner, falling):
    ledger.post(here.database, tenant.id, [Movement(AWARD, f"p{n}", 600) for n in range(4)])
    publish(here, tenant.id, {"bronze": 0, "silver": 650, "gold": 700}, Policy("now", falling), Qualification())
    ids = owner.execute("SELECT id FROM participants WHERE tenant_id = %s ORDER BY id", [tenant.id]).fetchall()
    answers: dict[str, Receipt] = {}

    def award(who: str) -> None:
        [answers[who]] = ledger.post(here.database, tenant.id, [Movement(AWARD, who, 100)])

    with here.database.transaction(tenant.id) as session:
        rollups.hold(session, tenant.id)
        values = {"tenant_id": tenant.id, "after": -(2**63), "until": ids[1][0], "cause": "published"}
        session.execute(RECALCULATE, values)  # of the first two, who are locked by now
        waits = Thread(target=award, args=("p0",))
        waits.start()
        award("p3")
        assert "p0" not in answers
    waits.join(10)

    kept = "silver" if falling == "keep" else "bronze"
    for who in ("p0", "p3"):
        assert answers[who].tier_upgrade == answers["p3"].tier_upgrade
        assert answers[who].tier_upgrade["previous_code"] == kept
    settle(here, tenant.id, most=1)
    assert tenant.differences() == []


def test_publications_and_holds_by_hand_meet_no_deadlock(at_once, here, tenant: TenantUnderTest, owner: psycopg.Connection):
    ledger.post(here.database, tenant.id, [Movement(AWARD, f"p{n}", 600) for n in range(20)])
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = owner.execute(deadlocks).fetchone()

    def award(n: int) -> None:
        for m in range(15):
            people = [f"p{(n * 7 + m * 3 + k) % 20}" for k in range(10)]
            ledger.post(here.database, tenant.id, [Movement(AWARD, who, 9) for who in people])

    def publish_all() -> None:
        for thresholds, policy, by in PUBLICATIONS[:3]:
            publish(here, tenant.id, thresholds, policy, by)
            settle(here, tenant.id, most=6)
            with here.database.transaction(tenant.id) as session:
                tiers.replace(session, tenant.id, {"bronze": 0, "silver": 400}, actor=SYSTEM)

    at_once([partial(award, n) for n in range(5)] + [publish_all])

    assert owner.execute(deadlocks).fetchone() == before
    assert tenant.differences() == []
