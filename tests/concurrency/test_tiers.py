"""Tiers replaced while awards go on: everybody ends on the right one."""

from functools import partial
from random import Random
from threading import Event

from gamify.db import act_as
from gamify.services import tiers
from gamify.services.audit import SYSTEM

from tests.harness import Api

LADDERS = (
    {"bronze": 0, "silver": 500, "gold": 1500},
    {"member": 100, "friend": 700, "star": 701, "legend": 3000},
    {"only": 250},
    {"low": 0, "high": 2000},
)


def test_awards_while_tiers_are_replaced_leave_everyone_on_the_right_tier(crowd, at_once, here, tenant, owner):
    done = Event()

    def work(client: Api, n: int) -> set[int]:
        random, statuses = Random(n), set()  # repeatable on purpose
        while not done.is_set():
            who = f"p{random.randrange(12)}"
            statuses.add(client.award(who, random.randint(1, 200)).status)
            statuses.add(client.deduct(who, 1).status)
            statuses.add(client.batch([{"participant_id": f"p{random.randrange(40)}", "amount": 9}] * 5).status)
        return statuses

    def replace() -> set[int]:
        try:
            for n in range(25):
                with here.database.transaction() as session:
                    act_as(session, tenant.id)
                    tiers.replace(session, tenant.id, LADDERS[n % len(LADDERS)], actor=SYSTEM)
        finally:
            done.set()
        return set()

    statuses = at_once([partial(work, client, n) for n, client in enumerate(crowd(8))] + [replace])

    assert set.union(*statuses) == {200}
    thresholds = sorted(LADDERS[24 % len(LADDERS)].values())
    found = owner.execute("SELECT external_id, total_earned, tier FROM participants WHERE tenant_id = %s", [tenant.id])
    for who, earned, tier in found.fetchall():
        assert tier == sum(threshold <= earned for threshold in thresholds), who
