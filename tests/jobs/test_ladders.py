"""Jobs that move tiers: recalculations that outlive a kill, publications at a set time, ends of holds, points that run out."""

import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from gamify.jobs.registry import JOBS
from gamify.jobs.turn import LetGo, perform
from gamify.models import Ladder
from gamify.services import drafts, holds, ladder, publishing, recalculations, requalification
from gamify.services.tiers import Policy, Qualification

from tests.harness import TenantUnderTest, new_tenant
from tests.histories import Event, write
from tests.jobs.conftest import wait_until
from tests.ladders import ANA, MOVE_DOWN, award, content, held_by, publish, save, tiers_of

HIGHER = content(bronze=0, silver=1000, gold=3000)
SEVERAL = """
    INSERT INTO participants (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at)
    SELECT %s, 'many' || n, 700, 700, 0, 1, 2, now() FROM generate_series(1, %s) AS n
"""
ENTRIES = """
    INSERT INTO ledger_entries (tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after,
        total_spent_after, ladder_version, tier_before, tier_after, created_at)
    SELECT tenant_id, id, 1, entry_id(last_entry_at), 'award', 700, 700, 700, 0, 1, 1, 2, last_entry_at
    FROM participants WHERE tenant_id = %s
"""


def do(t: TenantUnderTest, name: str, *, steps: int | None = None, **arguments: Any) -> None:
    """Run a job here; with `steps`, stop it after so many."""
    left = iter(range(steps or 10_000))
    perform(JOBS[name], t.here, arguments, is_stopping=lambda: steps is not None and next(left, None) is None)


def going_on(t: TenantUnderTest) -> tuple[int, int] | None:
    with t.here.database.transaction(t.id) as session:
        found = recalculations.going_on(session, t.id)
        return (found.done_count, found.moved_count) if found else None


def crowd(t: TenantUnderTest, count: int) -> None:
    """So many participants of 700 points."""
    with psycopg.connect(t.here.settings.database_url) as owner:
        owner.execute(SEVERAL, [t.id, count])
        owner.execute(ENTRIES, [t.id])


def ladder_of(t: TenantUnderTest) -> Ladder:
    with t.here.database.transaction(t.id) as session:
        found = ladder.newest(session, t.id)
        assert found
        return found


def test_a_recalculation_that_is_stopped_goes_on_from_where_it_was(tenant):
    crowd(tenant, 5_000)
    publish(tenant, HIGHER, MOVE_DOWN, is_finished=False)

    with pytest.raises(LetGo):
        do(tenant, "recalculate", tenant_id=tenant.id, steps=1)
    assert going_on(tenant) == (2 * recalculations.AT_ONCE, 2 * recalculations.AT_ONCE)
    do(tenant, "recalculate", tenant_id=tenant.id)
    assert going_on(tenant) is None
    assert set(tiers_of(tenant).values()) == {"bronze"}
    assert ladder_of(tenant).is_settled


@pytest.mark.long
def test_a_worker_killed_in_mid_recalculation_loses_nothing(jobs, start):
    t = new_tenant(jobs.here)
    crowd(t, 60_000)
    killed = start().await_ready()
    publish(t, HIGHER, MOVE_DOWN, is_finished=False)
    wait_until(lambda: (going_on(t) or (0, 0))[0] > 0)
    killed.end(signal.SIGKILL)
    done, _ = going_on(t) or (0, 0)
    assert 0 < done < 60_000
    award(t, many1=1)
    began = time.monotonic()
    start()
    wait_until(lambda: going_on(t) is None or (going_on(t) or (0, 0))[0] > done, within=60)
    assert time.monotonic() - began < 60
    wait_until(lambda: going_on(t) is None, within=60)
    assert set(tiers_of(t).values()) == {"bronze"}
    assert t.differences() == []


def test_publishing_queues_the_recalculation_and_nothing_if_it_is_taken_back(jobs):
    t = new_tenant(jobs.here)
    revision = save(t, HIGHER).revision
    queued = "SELECT args FROM procrastinate_jobs WHERE task_name = 'recalculate'"

    def publish_and_fail() -> None:
        with t.here.database.transaction(t.id) as session:
            publishing.publish(session, t.id, revision=revision, policy=MOVE_DOWN, reason=None, actor=ANA)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        publish_and_fail()
    assert jobs.ask(queued) == []
    publish(t, HIGHER)
    assert jobs.ask(queued) == [({"tenant_id": t.id},)]


def test_a_draft_is_published_by_the_job_when_it_is_due(tenant):
    award(tenant, eve=2000)
    revision = save(tenant, HIGHER).revision
    with tenant.here.database.transaction(tenant.id) as session:
        asked = {"revision": revision, "policy": Policy("next_award"), "reason": None, "actor": ANA}
        publishing.publish(session, tenant.id, **asked, at=datetime.now(UTC) + timedelta(seconds=1))
    job = JOBS["publish_scheduled"]
    job.run(tenant.here, tenant_id=tenant.id)
    assert ladder_of(tenant).version == 1
    time.sleep(1)
    job.run(tenant.here, tenant_id=tenant.id)

    assert ladder_of(tenant).version == 2
    with tenant.here.database.transaction(tenant.id) as session:
        assert not drafts.of(session, tenant.id).is_saved


def test_holds_end_when_their_time_is_over(tenant):
    award(tenant, ann=10, eve=2000)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    with tenant.here.database.transaction(tenant.id) as session:
        asked = {"code": "gold", "reason": "A friend", "until": soon, "now": datetime.now(UTC)}
        holds.pin(session, tenant.id, "ann", **asked, actor=ANA)
    publish(tenant, HIGHER, Policy("now", "keep_until", soon))
    run = JOBS["end_holds"].run
    list(run(tenant.here, tenant_id=tenant.id) or ())
    assert (held_by(tenant, "pin"), held_by(tenant, "keep")) == ({"ann"}, {"eve"})
    time.sleep(max((soon - datetime.now(UTC)).total_seconds(), 0))
    list(run(tenant.here, tenant_id=tenant.id) or ())

    assert (held_by(tenant, "pin"), held_by(tenant, "keep")) == (set(), set())
    assert tiers_of(tenant) == {"ann": "bronze", "eve": "silver"}


def at(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ladder_says", "now", "expected"),
    [
        (("window", 30, None, "UTC"), at(2026, 3, 5, 9), at(2026, 3, 5)),
        (("window", 30, None, "America/New_York"), at(2026, 3, 5, 3), at(2026, 3, 4, 5)),
        (("window", 30, None, "Europe/Berlin"), at(2026, 3, 29, 12), at(2026, 3, 28, 23)),
        (("year", None, 0, "UTC"), at(2026, 3, 5), at(2026, 1, 1)),
        (("year", None, 31, "UTC"), at(2026, 1, 31, 23), at(2026, 1, 1)),
        (("year", None, 31, "UTC"), at(2026, 2, 1), at(2026, 2, 1)),
        (("year", None, 366, "UTC"), at(2026, 12, 31), at(2026, 1, 1)),
        (("year", None, 0, "Asia/Tokyo"), at(2025, 12, 31, 15), at(2025, 12, 31, 15)),
    ],
)
def test_points_run_out_by_the_clock_of_the_ladder(ladder_says, now, expected):
    of = Ladder(**dict(zip(("basis", "window_days", "grace_days", "time_zone"), ladder_says, strict=True)))

    assert requalification.due_since(of, now=now) == expected


def begin_due(t: TenantUnderTest, *, days: float) -> bool:
    with t.here.database.transaction(t.id) as session:
        now = datetime.now(UTC) + timedelta(days=days)
        return requalification.begin_due(session, t.id, now=now) is not None


def test_where_every_point_counts_nobody_is_qualified_anew(tenant):
    award(tenant, eve=2000)

    assert not begin_due(tenant, days=400)


def test_points_that_have_run_out_take_the_tier_once_a_day(tenant):
    now = datetime.now(UTC)
    write(tenant.here, tenant.id, [Event(now - timedelta(days=10), "ann", 600), Event(now - timedelta(seconds=9), "bob", 600)])
    publish(tenant, content(Qualification("window", 30), bronze=0, silver=500))
    assert not begin_due(tenant, days=0)
    with psycopg.connect(tenant.here.settings.database_url) as owner:  # time goes by
        older = "UPDATE recalculations SET started_at = started_at - interval '1 day' WHERE tenant_id = %s"
        owner.execute(older, [tenant.id])
    assert begin_due(tenant, days=0)
    assert not begin_due(tenant, days=0)
    do(tenant, "recalculate", tenant_id=tenant.id)
    assert tiers_of(tenant) == {"ann": "silver", "bob": "silver"}
    publish(tenant, content(Qualification("window", 5), bronze=0, silver=500))
    assert (tiers_of(tenant), held_by(tenant, "keep")) == ({"ann": "silver", "bob": "silver"}, {"ann"})


def test_a_recalculation_that_nobody_does_is_queued_again(jobs):
    t = new_tenant(jobs.here)
    publish(t, HIGHER, is_finished=False)
    jobs.ask("DELETE FROM procrastinate_jobs RETURNING 1")

    JOBS["requalify"].run(jobs.here, tenant_id=t.id)

    assert jobs.ask("SELECT task_name FROM procrastinate_jobs") == [("recalculate",)]
