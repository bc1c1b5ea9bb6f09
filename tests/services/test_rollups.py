"""Rollups: exact at any moment, whatever was summed so far."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest
from gamify.errors import Conflict, InsufficientPoints
from gamify.services import figures, ledger, reversals, rollups, tiers
from gamify.services.audit import SYSTEM
from gamify.services.figures import Sums
from gamify.services.ledger import AWARD, DEDUCT, Movement, Receipt
from gamify.services.reversals import Reversal
from sqlalchemy import text

from tests.harness import TenantUnderTest

KINDS = ("award", "deduct", "award_reversal", "deduct_reversal")
LADDERS = ({"bronze": 0, "silver": 500, "gold": 1500}, {"friend": 40, "star": 300}, {"only": 200}, {"low": 0, "high": 90})
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia")
PLAIN_SUMS = f"""
    SELECT {", ".join(f"COALESCE(sum(abs(points)) FILTER (WHERE type = '{kind}'), 0)::bigint" for kind in KINDS)},
           {", ".join(f"count(*) FILTER (WHERE type = '{kind}')" for kind in KINDS)}, count(*) FILTER (WHERE seq = 1)
    FROM ledger_entries WHERE tenant_id = :tenant_id
"""


def plain_sums(session, tenant_id, since=None, until=None, key=None) -> Sums:
    """The same from nothing but the ledger's own columns."""
    conditions = [(since, "created_at >= :since"), (until, "created_at < :until"), (key, "COALESCE(api_key_id, 0) = :key")]
    where = "".join(f" AND {condition}" for value, condition in conditions if value is not None)
    values = {"tenant_id": tenant_id, "since": since, "until": until, "key": key}
    return Sums(*session.execute(text(PLAIN_SUMS + where), values).one())


def plain_tiers(session, tenant_id):
    query = "SELECT tier, count(*), sum(balance)::bigint FROM participants WHERE tenant_id = :t GROUP BY tier ORDER BY tier"
    return [tuple(row) for row in session.execute(text(query), {"t": tenant_id})]


class History:
    """A tenant with whatever may happen to it, by chance that can be repeated; times are spread over days."""

    def __init__(self, tenant: TenantUnderTest, owner, seed: int) -> None:
        self.tenant, self.owner, self.random = tenant, owner, Random(seed)
        self.database, self.id = tenant.here.database, tenant.id
        self.entries: list = []

    def happen(self) -> None:
        acts = [self.award, self.award, self.deduct, self.batch, self.reverse, self.advance, self.advance, self.other_tiers]
        self.random.choice(acts)()

    def post(self, kind: str, count: int) -> None:
        people = [f"p{self.random.randrange(12)}" for _ in range(count)]
        keys = [self.random.choice([None, None, 7, 8]) for _ in range(count)]
        asked = [Movement(kind, who, self.random.randint(1, 400), api_key_id=key) for who, key in zip(people, keys, strict=True)]
        outcomes = ledger.post(self.database, self.id, asked)
        self.entries += [outcome.transaction_id for outcome in outcomes if isinstance(outcome, Receipt)]

    def award(self) -> None:
        self.post(AWARD, 1)

    def deduct(self) -> None:
        self.post(DEDUCT, 1)

    def batch(self) -> None:
        self.post(AWARD, 9)

    def reverse(self) -> None:
        if self.entries:
            wanted = Reversal(self.random.choice(self.entries), allow_partial=self.random.random() < 0.5)
            with suppress(Conflict, InsufficientPoints):
                reversals.reverse(self.database, self.id, wanted)

    def advance(self) -> None:
        rollups.advance(self.database, self.id, most=self.random.choice([1, 3, 20_000]))

    def other_tiers(self) -> None:
        with self.database.transaction(self.id) as session:
            tiers.replace(session, self.id, self.random.choice(LADDERS), actor=SYSTEM)

    def go_on(self) -> None:
        """Let time pass: no entry is dated before what was planned, so a plan in the future moves the clock on."""
        minutes = self.random.choice([1, 7, 15, 61, 60 * 25])
        moved = self.owner.execute(
            "UPDATE rollup_progress SET planned_until = planned_until + make_interval(mins => %s) WHERE tenant_id = %s",
            [minutes, self.id],
        )
        assert moved.rowcount == 1

    def instant(self) -> datetime | None:
        """An instant between entries, on one, or at the edge of a quarter; or none."""
        query = "SELECT created_at FROM ledger_entries WHERE tenant_id = %s ORDER BY random() LIMIT 1"
        found = self.owner.execute(query, [self.id]).fetchone()
        at = found[0] if found else datetime.now(UTC)
        return self.random.choice(
            [None, at, at + timedelta(seconds=1), at - timedelta(minutes=20), at.replace(minute=15, second=0, microsecond=0)]
        )


def assert_exact(history: History) -> None:
    """Claim that every figure is what the ledger says."""
    tenant_id = history.id
    with history.database.snapshot(tenant_id) as session:
        for key in (None, None, 0, 7, 8):
            since, until = history.instant(), history.instant()
            found = figures.sums(session, tenant_id, since, until, api_key_id=key)
            assert found == plain_sums(session, tenant_id, since, until, key), (since, until, key)
        assert figures.tier_counts(session, tenant_id) == plain_tiers(session, tenant_id)
        assert figures.participant_count(session, tenant_id) == sum(count for _, count, _ in plain_tiers(session, tenant_id))
        assert figures.outstanding(session, tenant_id) == sum(points for _, _, points in plain_tiers(session, tenant_id))
        at = history.instant()
        assert figures.outstanding(session, tenant_id, at=at) == plain_sums(session, tenant_id, None, at).net
        assert_days_are_exact(session, history, ZoneInfo(history.random.choice(ZONES)))


def assert_days_are_exact(session, history: History, zone: ZoneInfo) -> None:
    first = datetime.now(zone).date() - timedelta(days=2)
    last = first + timedelta(days=history.random.randint(0, 9))
    key = history.random.choice([None, 0, 7])
    found = figures.by_day(session, history.id, first, last, zone, api_key_id=key)

    assert [day for day, _ in found] == [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for day, sums in found:
        after = day + timedelta(days=1)
        edges = [datetime(each.year, each.month, each.day, tzinfo=zone).astimezone(UTC) for each in (day, after)]
        assert sums == plain_sums(session, history.id, *edges, key), (day, zone)


@pytest.mark.parametrize("seed", range(5))
def test_every_figure_is_exact_whatever_happens_and_however_much_is_summed(tenant, owner, seed):
    history = History(tenant, owner, seed)
    for n in range(60):
        history.happen()
        if n % 10 == 9:
            history.go_on()
        if n % 6 == 0:
            assert_exact(history)
            assert tenant.differences() == []
    while rollups.advance(tenant.here.database, tenant.id):
        pass
    assert_exact(history)


def test_summed_in_small_shares_nothing_is_left_and_every_figure_stays_exact(tenant, owner):
    history = History(tenant, owner, 99)
    for _ in range(30):
        history.batch()
        history.go_on()
    shares = 0
    while rollups.advance(tenant.here.database, tenant.id, most=4):
        assert_exact(history)
        shares += 1

    assert shares > 30
    with tenant.here.database.transaction(tenant.id) as session:
        planned = session.scalar(text("SELECT planned_until - summed_until FROM rollup_progress"))
    assert planned == timedelta(0)


def test_rebuilding_changes_no_figure(tenant, owner):
    history = History(tenant, owner, 5)
    for _ in range(40):
        history.happen()
    rollups.rebuild(tenant.here.database, tenant.id)

    with tenant.here.database.transaction(tenant.id) as session:
        assert not rollups.has_tail(session, tenant.id)
    assert_exact(history)


def test_days_follow_a_zone_through_its_changes_of_time(tenant, owner):
    zone = ZoneInfo("Europe/Berlin")
    edges = [datetime(2026, 3, day, tzinfo=zone).astimezone(UTC) for day in (28, 29, 30, 31)]

    assert [later - earlier for earlier, later in pairwise(edges)] == [
        timedelta(hours=24),
        timedelta(hours=23),
        timedelta(hours=24),
    ]
    with tenant.here.database.snapshot(tenant.id) as session:
        found = figures.by_day(session, tenant.id, date(2026, 3, 28), date(2026, 3, 30), zone)
    assert [day for day, _ in found] == [date(2026, 3, day) for day in (28, 29, 30)]


def test_a_tenant_without_entries_has_zeros(tenant):
    with tenant.here.database.snapshot(tenant.id) as session:
        assert figures.sums(session, tenant.id, None, None) == Sums()
        assert figures.tier_counts(session, tenant.id) == []
        assert figures.outstanding(session, tenant.id) == 0
    assert rollups.advance(tenant.here.database, tenant.id) is False


def test_a_snapshot_sees_one_moment_and_writes_nothing(tenant, api):
    api.award("p", 100)
    with tenant.here.database.snapshot(tenant.id) as session:
        assert figures.outstanding(session, tenant.id) == 100
        api.award("p", 5)
        rollups.advance(tenant.here.database, tenant.id)
        assert figures.outstanding(session, tenant.id) == 100
        assert figures.sums(session, tenant.id, None, None).net == 100
