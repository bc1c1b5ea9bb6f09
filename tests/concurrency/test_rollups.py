"""Rollups advanced while the ledger is being written, with real commits: nothing drifts, and no movement waits."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from threading import Event, Thread

import psycopg
import pytest
from gamify.services import figures, ledger, reversals, rollups
from gamify.services.ledger import AWARD, DEDUCT, Movement
from gamify.services.reversals import Reversal
from sqlalchemy import text

NET = "SELECT COALESCE(sum(points), 0)::bigint FROM ledger_entries WHERE tenant_id = :t"
COUNTS = "SELECT tier, count(*), sum(balance)::bigint FROM participants WHERE tenant_id = :t GROUP BY tier ORDER BY tier"


def assert_exact(tenant) -> None:
    with tenant.here.database.snapshot(tenant.id) as session:
        assert figures.sums(session, tenant.id, None, None).net == session.scalar(text(NET), {"t": tenant.id})
        counts = [tuple(row) for row in session.execute(text(COUNTS), {"t": tenant.id})]
        assert figures.tier_counts(session, tenant.id) == counts


def progress(owner, tenant) -> tuple[datetime, datetime]:
    found = owner.execute("SELECT planned_until, summed_until FROM rollup_progress WHERE tenant_id = %s", [tenant.id])
    return found.fetchone()


@pytest.fixture
def slow(settings):
    """A connection that can keep its transaction open."""
    with psycopg.connect(str(settings.database_url)) as connection:
        yield connection


def write(database, tenant_id: int, n: int) -> None:
    """Award, deduct and reverse, one and several at a time."""
    random, entries = Random(n), []
    for _ in range(60):
        kind = random.choice([AWARD, AWARD, DEDUCT])
        asked = [Movement(kind, f"q{random.randrange(30)}", random.randint(1, 90)) for _ in range(random.choice([1, 1, 6]))]
        found = ledger.post(database, tenant_id, asked)
        entries += [each.transaction_id for each in found if isinstance(each, ledger.Receipt) and kind == DEDUCT]
        if entries and random.random() < 0.2:
            reversals.reverse(database, tenant_id, Reversal(entries.pop()))


def dawdle(url: str, tenant_id: int, done: Event, n: int) -> None:
    """Commit entries long after others have been dated later; or begin early and date them late."""
    random = Random(n)
    with psycopg.connect(url) as connection:
        while not done.is_set():
            ledger.post_on(connection, tenant_id, [Movement(AWARD, f"slow{n}", 1)])
            time.sleep(random.random() / 5)
            ledger.post_on(connection, tenant_id, [Movement(DEDUCT, f"slow{n}", 10**6), Movement(AWARD, f"slow{n}b", 2)])
            connection.commit()


def test_nothing_drifts_while_writers_come_and_go_and_four_advance(tenant, settings, at_once):
    database, done = tenant.here.database, Event()

    def until_done(act) -> None:
        while not done.is_set():
            act()

    def write_all() -> None:
        try:
            at_once([partial(write, database, tenant.id, n) for n in range(5)])
        finally:
            done.set()

    advance = [partial(rollups.advance, database, tenant.id, most=most) for most in (5, 50, 500, 20_000)]
    slow = [partial(dawdle, str(settings.database_url), tenant.id, done, n) for n in range(2)]
    at_once([write_all, *slow, *(partial(until_done, act) for act in [partial(assert_exact, tenant), *advance])])

    assert tenant.differences() == []
    assert rollups.catch_up(database, tenant.id, seconds=20)
    assert tenant.differences() == []
    assert_exact(tenant)


def test_an_entry_that_is_not_committed_yet_keeps_the_rollups_behind_it(tenant, owner, slow, monkeypatch):
    monkeypatch.setattr(rollups, "PATIENCE", 0.1)
    database = tenant.here.database
    ledger.post(database, tenant.id, [Movement(AWARD, "quick", 5)])
    ledger.post_on(slow, tenant.id, [Movement(AWARD, "slow", 7)])
    _, before = progress(owner, tenant)

    assert rollups.advance(database, tenant.id) is True
    assert progress(owner, tenant)[1] == before
    assert_exact(tenant)

    slow.commit()
    assert rollups.advance(database, tenant.id) is False
    assert progress(owner, tenant)[1] > before
    assert_exact(tenant)
    assert tenant.differences() == []


def test_the_job_waits_for_a_movement_that_ends_soon(tenant, slow):
    ledger.post(tenant.here.database, tenant.id, [Movement(AWARD, "quick", 5)])
    ledger.post_on(slow, tenant.id, [Movement(AWARD, "slow", 7)])
    commit = Thread(target=lambda: (time.sleep(0.2), slow.commit()))
    commit.start()

    assert rollups.advance(tenant.here.database, tenant.id) is False
    commit.join()
    with tenant.here.database.transaction(tenant.id) as session:
        assert session.scalar(text("SELECT sum(award_points) FROM ledger_quarters")) == 12


def test_movements_and_figures_wait_for_no_transaction_of_the_job(tenant):
    database = tenant.here.database
    ledger.post(database, tenant.id, [Movement(AWARD, "p", 5)])
    with database.transaction(tenant.id) as planning:
        planned = rollups._plan(planning, tenant.id)
        ledger.post(database, tenant.id, [Movement(AWARD, "p", 5), Movement(AWARD, "new", 5)])
    with database.transaction(tenant.id) as summing:
        rollups._sum(summing, tenant.id, until=planned, most=100)
        [receipt] = ledger.post(database, tenant.id, [Movement(AWARD, "p", 600)])
        ledger.post(database, tenant.id, [Movement(DEDUCT, "new", 5)])
        reversals.reverse(database, tenant.id, Reversal(receipt.transaction_id))
        assert_exact(tenant)
        assert rollups.advance(database, tenant.id) is True  # another is at it
    assert_exact(tenant)
    assert tenant.differences() == []


def test_killed_between_or_within_its_transactions_the_job_is_taken_up_by_the_next(tenant, owner):
    database = tenant.here.database
    for step in range(3):
        ledger.post(database, tenant.id, [Movement(AWARD, f"p{n}", 5) for n in range(20)])
        with database.transaction(tenant.id) as session:
            planned = rollups._plan(session, tenant.id)
        if step:
            with suppress(KeyboardInterrupt), database.transaction(tenant.id) as session:
                assert rollups._sum(session, tenant.id, until=planned, most=7)
                raise KeyboardInterrupt
        assert_exact(tenant)
        assert tenant.differences() == []

    assert rollups.catch_up(database, tenant.id, seconds=10)
    assert_exact(tenant)


def test_several_at_once_sum_everything_once(tenant, at_once):
    database = tenant.here.database
    for _ in range(5):
        ledger.post(database, tenant.id, [Movement(AWARD, f"p{n}", 5, api_key_id=n % 3) for n in range(100)])
        at_once([partial(rollups.advance, database, tenant.id, most=60)] * 6)
        assert_exact(tenant)
    assert rollups.catch_up(database, tenant.id, seconds=20)

    assert tenant.differences() == []
    assert_exact(tenant)


def test_no_entry_is_dated_before_what_is_planned_even_by_a_clock_set_back(tenant, owner):
    """The clock of a test cannot be set back; a plan ahead of it is the same."""
    database = tenant.here.database
    ledger.post(database, tenant.id, [Movement(AWARD, "p", 50)])
    rollups.advance(database, tenant.id)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    owner.execute(
        "UPDATE rollup_progress SET planned_until = %s, summed_until = %s WHERE tenant_id = %s", [ahead, ahead, tenant.id]
    )

    [_, receipt] = ledger.post(database, tenant.id, [Movement(DEDUCT, "p", 5), Movement(AWARD, "new", 5)])
    reversals.reverse(database, tenant.id, Reversal(receipt.transaction_id))

    dated = "SELECT min(created_at), count(*) FROM ledger_entries WHERE tenant_id = %s AND created_at >= %s"
    assert owner.execute(dated, [tenant.id, ahead]).fetchone() == (ahead, 3)
    assert rollups.advance(database, tenant.id) is False
    assert progress(owner, tenant) == (ahead, ahead)
    assert_exact(tenant)
    assert tenant.differences() == []
