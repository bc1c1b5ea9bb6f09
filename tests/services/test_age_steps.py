"""Ages of points in steps: sealed between requests, for one tenant alone, and of one instant however long they take."""

from datetime import UTC, date, datetime, timedelta

from gamify.services import ledger, rollups
from gamify.services.ledger import AWARD, Movement
from gamify.services.reports import age_steps, ages, liability
from gamify.services.reports.age_steps import Progress
from gamify.services.reports.ages import Ages
from gamify.services.reports.span import Span

from tests.harness import new_tenant
from tests.histories import Event, write

DAY = date(2026, 2, 14)
NOW = datetime(2026, 2, 15, 9, tzinfo=UTC)
DONE = Progress(DAY, "Europe/Berlin", Ages(NOW, (50, 40, 30, 20, 10), 7, 3))


def test_what_is_sealed_comes_back_for_the_same_tenant_alone(here, tenant):
    token = age_steps.seal(here.vault, tenant.id, DONE, now=NOW)

    assert age_steps.unseal(here.vault, tenant.id, token) == DONE
    assert age_steps.unseal(here.vault, tenant.sandbox_id, token) is None
    for other in ("", "x", "ü" * 500, f"{token[:-4]}AAAA", "🦄", "\ud800"):
        assert age_steps.unseal(here.vault, tenant.id, other) is None


def test_a_day_that_is_over_is_counted_to_its_end_and_another_until_now(here, tenant):
    today = datetime.now(UTC).date()
    with here.database.snapshot(tenant.id) as session:
        over, going_on, ahead = (age_steps.begin(session, day, UTC).ages.at for day in (DAY, today, today + timedelta(days=9)))

    assert over == datetime(2026, 2, 15, tzinfo=UTC)
    assert abs(going_on - datetime.now(UTC)) < timedelta(seconds=10)
    assert abs(ahead - going_on) < timedelta(seconds=10)


def test_all_steps_are_of_one_instant_and_come_to_what_was_outstanding_then(here, tenant, monkeypatch):
    monkeypatch.setattr(ages, "AT_ONCE", 2)
    noon = datetime(2026, 2, 14, 12, tzinfo=UTC)
    write(here, tenant.id, [Event(noon - timedelta(days=60 * n), f"p{n}", 10 + n) for n in reversed(range(7))])
    rollups.rebuild(here.database, tenant.id)
    with here.database.snapshot(tenant.id) as session:
        done, steps = age_steps.begin(session, DAY, UTC), 0

    while not done.is_whole:
        with here.database.snapshot(tenant.id) as session:
            done, steps = age_steps.go_on(session, tenant.id, done, seconds=0), steps + 1
        ledger.post(here.database, tenant.id, [Movement(AWARD, f"p{steps}", 1_000)])

    with here.database.snapshot(tenant.id) as session:
        found = liability.of(session, tenant.id, Span(DAY, DAY, "day", UTC))
    assert (steps, done.ages.done_count) == (4, 7)
    assert list(done.ages.points) == [10, 11, 12, 13 + 14 + 15 + 16, 0]
    assert sum(done.ages.points) == found.points


def test_with_time_left_a_step_goes_on_to_the_end(here, tenant):
    ledger.post(here.database, tenant.id, [Movement(AWARD, f"p{n}", 5) for n in range(5)])
    with here.database.snapshot(tenant.id) as session:
        done = age_steps.go_on(session, tenant.id, age_steps.begin(session, datetime.now(UTC).date(), UTC), seconds=60)

    assert (done.is_whole, done.ages.done_count, sum(done.ages.points)) == (True, 5, 25)


def test_a_tenants_participants_are_counted_and_no_neighbours(here, tenant):
    ledger.post(here.database, new_tenant(here).id, [Movement(AWARD, "ana", 5)])
    with here.database.snapshot(tenant.id) as session:
        done = age_steps.go_on(session, tenant.id, age_steps.begin(session, DAY, UTC), seconds=60)

    assert (done.is_whole, done.ages.done_count, sum(done.ages.points)) == (True, 0, 0)
