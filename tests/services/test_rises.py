"""How long it took to rise: compared with plain reading of everybody's history, in Python."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from statistics import quantiles
from zoneinfo import ZoneInfo

import pytest
from gamify.services import details, ledger, rollups
from gamify.services.ledger import AWARD, Movement
from gamify.services.reports import rises
from gamify.services.reports.rises import Rise
from gamify.services.reports.span import Span
from sqlalchemy import text

from tests.services.test_reports import Story

UTC = ZoneInfo("UTC")
ALL = Span(date(2000, 1, 1), date(2030, 1, 1), "month", UTC)
ENTRIES = """
    SELECT e.participant_id, e.seq, e.id, e.created_at, e.tier_before, e.tier_after,
           COALESCE(l.numbers[e.tier_before], 0) AS number_before, COALESCE(l.numbers[e.tier_after], 0) AS number_after
    FROM ledger_entries AS e LEFT JOIN ladders AS l ON l.tenant_id = e.tenant_id AND l.version = e.ladder_version
    WHERE e.tenant_id = :tenant_id
"""
CHANGES = (
    "SELECT participant_id, after_seq, id, at, cause, number_before, number_after FROM tier_changes WHERE tenant_id = :tenant_id"
)


def plain(session, tenant_id: int, span: Span, most: int = rises.MOST) -> tuple[list[Rise], bool]:
    """The same, by walking through everybody's entries and changes in their order."""
    values = {"tenant_id": tenant_id}
    steps = [(e.participant_id, e.seq, 0, e) for e in session.execute(text(ENTRIES), values)]
    steps += [(c.participant_id, c.after_seq, c.id, c) for c in session.execute(text(CHANGES), values)]
    since: dict[int, datetime] = {}
    found = []
    for who, seq, change, row in sorted(steps, key=lambda step: step[:3]):
        if change:
            if row.number_before != row.number_after or row.cause == "registered":
                since[who] = row.at
            continue
        if seq == 1:
            since.setdefault(who, row.created_at)
        if row.tier_after > row.tier_before and span.since <= row.created_at < span.until:
            found.append((row.id, row.number_before, row.number_after, row.created_at - since[who]))
        if row.tier_before != row.tier_after:
            since[who] = row.created_at
    days = defaultdict(list)
    for _, before, after, passed in sorted(found)[-most:]:
        days[before, after].append(max(passed / timedelta(days=1), 0.0))
    told = [Rise(*pair, len(each), *quartiles(each)) for pair, each in days.items()]
    return sorted(told, key=lambda rise: (-rise.number, *rise[:2])), len(found) > most


def quartiles(days: list[float]) -> list[float]:
    return quantiles(days, n=4, method="inclusive") if len(days) > 1 else days * 3


def assert_same(story: Story, span: Span, most: int = rises.MOST) -> int:
    """Claim that both readings agree; return how many rises they tell of."""
    with story.database.snapshot(story.id) as session:
        expected, is_sample = plain(session, story.id, span, most)
        found = rises.newest(session, story.id, span, most=most)
    assert [rise[:3] for rise in found.rises] == [rise[:3] for rise in expected]
    for one, other in zip(found.rises, expected, strict=True):
        assert one[3:] == pytest.approx(other[3:])
    assert found.is_sample == is_sample
    return sum(rise.number for rise in found.rises)


@pytest.mark.parametrize("seed", range(3))
def test_the_time_to_the_next_tier_is_what_plain_reading_says(tenant, owner, seed):
    story = Story(tenant, owner, 700 + seed)
    story.award()
    story.advance()
    seen = 0
    for n in range(60):
        story.happen()
        if n % 5 == 4:
            story.go_on()
        if n % 10 == 9:
            seen += assert_same(story, ALL)
            assert_same(story, story.span())
            assert_same(story, ALL, most=3)

    assert seen > 10


def test_who_was_registered_has_waited_since_then_and_who_came_by_an_award_since_that(here, tenant, owner):
    with here.database.transaction(tenant.id) as session:
        details.register(session, tenant.id, "ana", display_name="Ana")
    ledger.post(here.database, tenant.id, [Movement(AWARD, "bob", 1)])
    story = Story(tenant, owner, 1)
    rollups.advance(here.database, tenant.id)
    owner.execute(
        "UPDATE rollup_progress SET planned_until = planned_until + interval '10 days' WHERE tenant_id = %s", [tenant.id]
    )
    ledger.post(here.database, tenant.id, [Movement(AWARD, who, 600) for who in ("ana", "bob", "eve")])

    with here.database.snapshot(tenant.id) as session:
        [rise] = rises.newest(session, tenant.id, ALL).rises

    assert (rise.tier_from, rise.tier_to, rise.number) == (1, 2, 3)
    assert rise.lower_quartile == pytest.approx(5, abs=0.1)  # half of the way from nothing to ten days
    assert (rise.median, rise.upper_quartile) == pytest.approx((10, 10), abs=0.1)
    assert_same(story, ALL)


def test_of_many_the_newest_are_looked_at_and_that_is_said(here, tenant):
    ledger.post(here.database, tenant.id, [Movement(AWARD, f"p{n}", 600 if n < 4 else 1600) for n in range(6)])

    with here.database.snapshot(tenant.id) as session:
        few = rises.newest(session, tenant.id, ALL, most=2)
        every = rises.newest(session, tenant.id, ALL, most=6)

    assert [(rise[:3]) for rise in few.rises] == [(1, 3, 2)]
    assert few.is_sample
    assert [rise[:3] for rise in every.rises] == [(1, 2, 4), (1, 3, 2)]
    assert not every.is_sample


def test_without_rises_there_is_nothing_to_tell(here, tenant):
    ledger.post(here.database, tenant.id, [Movement(AWARD, "ana", 1)])
    long_ago = Span(date(1960, 1, 1), date(1985, 1, 1), "month", UTC)

    with here.database.snapshot(tenant.id) as session:
        for span in (ALL, long_ago):
            assert rises.newest(session, tenant.id, span) == ([], False)
