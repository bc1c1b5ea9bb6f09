"""Tiers replaced while awards go on: everybody ends on the right one."""

import time
from functools import partial
from random import Random
from threading import Event, Thread

import psycopg
from gamify.db import act_as
from gamify.services import ledger, tiers
from gamify.services.audit import SYSTEM
from gamify.services.ledger import AWARD, Movement
from sqlalchemy import text

from tests.harness import Api

LADDERS = (
    {"bronze": 0, "silver": 500, "gold": 1500},
    {"member": 100, "friend": 700, "star": 701, "legend": 3000},
    {"only": 250},
    {"low": 0, "high": 2000},
)

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
HELD = """
    SELECT external_id, code FROM participants AS p
    JOIN tiers AS t ON t.tenant_id = p.tenant_id AND t.ladder_version = p.ladder_version AND t.number = p.tier
    WHERE p.tenant_id = %s ORDER BY external_id
"""


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


def test_whom_awards_move_while_others_are_locked_is_told_in_the_order_of_their_ledger(here, tenant, owner):
    """One row keeps the replacement waiting; meanwhile awards move another participant, the last of them unfinished."""
    tenant.put_tiers(only=250)
    ledger.post(here.database, tenant.id, [Movement(AWARD, "first", 160), Movement(AWARD, "second", 100)])
    replacing = Thread(target=lambda: tenant.put_tiers(only=150, high=300))

    with here.database.connection() as unfinished, unfinished.transaction():
        with here.database.transaction(tenant.id) as session:
            session.execute(text("SELECT FROM participants WHERE external_id = 'first' FOR UPDATE"))
            replacing.start()
            wait_for_one_who_waits(owner)
            ledger.post(here.database, tenant.id, [Movement(AWARD, "second", 100)])
            ledger.post_on(unfinished, tenant.id, [Movement(AWARD, "second", 100)])
        wait_for_one_who_waits(owner)
    replacing.join(20)

    assert owner.execute(HELD, [tenant.id]).fetchall() == [("first", "only"), ("second", "high")]
    assert tenant.differences() == []


def wait_for_one_who_waits(owner: psycopg.Connection) -> None:
    until = time.monotonic() + 20
    while owner.execute(WAITING).fetchone() != (1,):
        assert time.monotonic() < until
        time.sleep(0.01)
