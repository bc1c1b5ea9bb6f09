"""Reports tie to the last point: each is compared with what plain reading of the ledger says, whatever has happened."""

from collections import Counter, defaultdict
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest
from gamify.errors import Conflict, NotFound
from gamify.services import erasures, figures, holds, ladder, ledger, recalculations, rollups, tenants, tiers
from gamify.services.audit import SYSTEM
from gamify.services.figures import Sums
from gamify.services.ledger import AWARD, DEDUCT, Movement, Receipt
from gamify.services.measures import STEPS
from gamify.services.reports import activity, ages, costs, dimensions, liability, roll_forward
from gamify.services.reports.ages import Ages
from gamify.services.reports.span import UNITS, Span
from gamify.services.tiers import Policy
from sqlalchemy import text

from tests.histories import Event, write
from tests.services.test_rollups import LADDERS, ZONES, History, plain_sums

REASONS = [None, "coffee", "Coffee", "=1+1", "campaign " * 40]
CHANNELS = [None, "web", "till", 7]
EVERYTHING = """
    SELECT p.id, e.seq, e.created_at, e.type, e.points, e.balance_after, e.reason, e.metadata ->> 'channel', e.api_key_id,
           COALESCE(l.numbers[e.tier_before], 0), COALESCE(l.numbers[e.tier_after], 0)
    FROM ledger_entries AS e JOIN participants AS p ON p.tenant_id = e.tenant_id AND p.id = e.participant_id
    LEFT JOIN ladders AS l ON l.tenant_id = e.tenant_id AND l.version = e.ladder_version
    WHERE e.tenant_id = :tenant_id ORDER BY p.id, e.seq
"""
CHANGES = "SELECT participant_id, after_seq, id, at, number_after FROM tier_changes WHERE tenant_id = :tenant_id ORDER BY 1, 2, 3"


class Story(History):
    """A history in which words are said, and tiers change in every way."""

    def happen(self) -> None:
        more = [self.publish, self.settle, self.pin, self.erase]
        super().happen() if self.random.random() < 0.7 else self.random.choice(more)()

    def post(self, kind: str, count: int) -> None:
        asked = []
        for _ in range(count):
            channel = self.random.choice(CHANNELS)
            asked.append(
                Movement(
                    kind,
                    f"p{self.random.randrange(12)}",
                    self.random.randint(1, 400),
                    reason=self.random.choice(REASONS),
                    metadata=None if channel is None else {"channel": channel},
                    api_key_id=self.random.choice([None, 7]),
                )
            )
        outcomes = ledger.post(self.database, self.id, asked)
        self.entries += [outcome.transaction_id for outcome in outcomes if isinstance(outcome, Receipt)]

    def other_tiers(self) -> None:
        with self.database.transaction(self.id) as session:
            if recalculations.going_on(session, self.id) is None:
                tiers.replace(session, self.id, self.random.choice(LADDERS), actor=SYSTEM)

    def publish(self) -> None:
        policy = Policy(self.random.choice(["now", "next_award"]), self.random.choice(["keep", "move_down"]))
        with self.database.transaction(self.id) as session:
            if recalculations.going_on(session, self.id) is not None:
                return
            tiers.put(session, self.id, self.random.choice(LADDERS), {}, policy=policy, actor=SYSTEM)
            tiers.shut(session, self.id)
            if policy.effect == "now":
                recalculations.begin(session, self.id)

    def settle(self) -> None:
        recalculations.advance(self.database, self.id, most=self.random.choice([2, 100]))

    def pin(self) -> None:
        who = f"p{self.random.randrange(12)}"
        with suppress(NotFound, Conflict), self.database.transaction(self.id) as session:
            code = self.random.choice(ladder.in_force(session, self.id)).code
            holds.pin(session, self.id, who, code=code, reason="a friend", until=None, now=datetime.now(ZONE), actor=SYSTEM)

    def erase(self) -> None:
        if self.random.random() < 0.3:
            with suppress(NotFound), self.database.transaction(self.id) as session:
                erasures.erase(session, self.id, f"p{self.random.randrange(12)}", actor=SYSTEM)
            erasures.catch_up(self.database, self.id, seconds=5)

    def span(self) -> Span:
        zone = ZoneInfo(self.random.choice(ZONES))
        first = datetime.now(zone).date() - timedelta(days=self.random.randint(0, 2))
        return Span(first, first + timedelta(days=self.random.randint(0, 9)), self.random.choice(UNITS), zone)


ZONE = ZoneInfo("UTC")


class Plain:
    """Everything that has happened, entry by entry and change by change, in Python."""

    def __init__(self, session, tenant_id: int) -> None:
        values = {"tenant_id": tenant_id}
        self.entries = session.execute(text(EVERYTHING), values).all()
        changes = session.execute(text(CHANGES), values).all()
        events = [(e[0], e[1] - 1, 2**63, e) for e in self.entries] + [(c[0], c[1], c[2], c) for c in changes]
        self.flows: list[tuple[datetime, int, int, int]] = []
        self.movements: list[tuple[datetime, int, str, int]] = []
        tier: dict[int, int] = {}
        balance: dict[int, int] = defaultdict(int)
        for who, _, is_entry, row in sorted(events, key=lambda event: event[:3]):
            if is_entry < 2**63:
                self.move(row.at, tier, who, row.number_after, balance[who])
                continue
            is_silent = row.type in {"deduct", "deduct_reversal"} and row[9] == row[10]
            before, after = (tier[who], tier[who]) if is_silent else (row[9], row[10])
            self.move(row.created_at, tier, who, before, balance[who])
            self.movements.append((row.created_at, before, row.type, row.points))
            balance[who] = row.balance_after
            self.move(row.created_at, tier, who, after, balance[who])

    def move(self, at: datetime, tier: dict[int, int], who: int, to: int, points: int) -> None:
        if tier.get(who, -1) != to:
            self.flows.append((at, tier.get(who, -1), to, points))
        tier[who] = to

    def flows_of(self, span: Span):
        found: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        for at, was, to, points in self.flows:
            if span.since <= at < span.until:
                found[was, to][0] += 1
                found[was, to][1] += points
        return [(*pair, *sums) for pair, sums in sorted(found.items())]

    def standing(self, until: datetime) -> dict[int, tuple[int, int]]:
        counts, points = Counter[int](), Counter[int]()
        for at, was, to, moved in self.flows:
            if at < until:
                counts[was] -= 1
                counts[to] += 1
                points[was] -= moved
                points[to] += moved
        for at, tier, _, moved in self.movements:
            if at < until:
                points[tier] += moved
        return {tier: (counts[tier], points[tier]) for tier in counts | points if tier >= 0 and (counts[tier] or points[tier])}

    def sums_by(self, span: Span, column: int) -> dict[str | None, Sums]:
        found: dict[str | None, Sums] = defaultdict(Sums)
        for entry in self.entries:
            if span.since <= entry.created_at < span.until:
                found[entry[column]] += one(entry.type, entry.points)
        return dict(found)


def one(kind: str, points: int) -> Sums:
    return Sums(**{f"{kind}_points": abs(points), f"{kind}_count": 1})


def assert_ties(story: Story) -> None:
    """Claim that every report is what plain reading says."""
    span = story.span()
    with story.database.snapshot(story.id) as session:
        plain = Plain(session, story.id)
        rows = roll_forward.of_tenant(session, story.id, span)
        assert [row.period for row in rows] == span.periods
        for before, row in zip([None, *rows], rows, strict=False):
            assert row.opening == (before.closing if before else plain_sums(session, story.id, None, span.since).net)
            since, until = span.begin_of(row.period.first), span.begin_of(row.period.last + timedelta(days=1))
            assert row.sums == plain_sums(session, story.id, since, until)
            assert row.closing == row.opening + row.sums.net
        assert_tiers_tie(session, story, span, plain)
        assert_groups_tie(session, story, span, plain)
        assert_activity_ties(session, story, plain)


def assert_tiers_tie(session, story: Story, span: Span, plain: Plain) -> None:
    assert [tuple(flow) for flow in roll_forward.flows(session, story.id, span)] == plain.flows_of(span)
    edges = span.edges
    assert roll_forward.standings(session, story.id, span) == [plain.standing(edge) for edge in edges]
    rows = roll_forward.by_tier(session, story.id, span)
    assert sum((row.sums for row in rows), Sums()) == sum(plain.sums_by(span, 6).values(), Sums())
    for row in rows:
        before, after = plain.standing(span.since).get(row.number, (0, 0)), plain.standing(span.until).get(row.number, (0, 0))
        assert (row.participants_before, row.opening) == before
        assert (row.participants_after, row.closing) == after
        assert row.opening + row.sums.net + row.moved_in - row.moved_out == row.closing
        assert row.participants_before + row.came - row.went == row.participants_after
    now = {tier: (count, points) for tier, count, points in figures.tier_counts(session, story.id)}
    assert plain.standing(datetime.max.replace(tzinfo=ZONE)) == now


def assert_groups_tie(session, story: Story, span: Span, plain: Plain) -> None:
    for dimension, column in ((0, 6), (1, 7)):
        found = {
            (group.name, group.is_rest): group.sums
            for group in roll_forward.by_word(session, story.id, span, dimension=dimension)
        }
        expected = plain.sums_by(span, column)
        long = [word for word in expected if word and len(word) > 200]
        rest = sum((expected.pop(word) for word in long), Sums())
        told = {(word, False): sums for word, sums in expected.items()} | ({(None, True): rest} if long else {})
        assert found == told
    keys = [group.sums for group in roll_forward.by_key(session, story.id, span)]
    assert sorted(sums.entry_count for sums in keys) == sorted(sums.entry_count for sums in plain.sums_by(span, 8).values())


def assert_activity_ties(session, story: Story, plain: Plain) -> None:
    span = story.span()
    span = Span(span.first, span.last, span.unit, ZONE)
    for unit in UNITS:
        of_unit = Span(span.first, span.last, unit, ZONE)
        for day, count in activity.active(session, story.id, of_unit):
            last = min(Span(day, day + timedelta(days=40), unit, ZONE).periods[0].last, span.last)
            assert count == len({e[0] for e in plain.entries if day <= e.created_at.date() <= last}), (unit, day)
    begun = {e[0]: e.created_at.date().replace(day=1) for e in plain.entries if e.seq == 1 and e.created_at.date() <= span.last}
    for cohort in activity.cohorts(session, story.id, span):
        assert cohort.size == len([who for who, month in begun.items() if month == cohort.month])
    sizes = activity.award_sizes(session, story.id, span)
    awards = [e.points for e in plain.entries if e.type == "award" and span.first <= e.created_at.date() <= span.last]
    assert {bar.least: (bar.number, bar.points) for bar in sizes if bar.number} == in_steps(awards)
    balances: dict[int, int] = {}
    for entry in plain.entries:
        balances[entry[0]] = entry.balance_after
    assert {bar.least: (bar.number, bar.points) for bar in activity.balances(session, story.id) if bar.number} == in_steps(
        balances.values()
    )


def in_steps(sizes) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    for size in sizes:
        least = max([0, *(bound for bound in STEPS if bound <= size)])
        count, points = found.get(least, (0, 0))
        found[least] = (count + 1, points + size)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_every_report_ties_whatever_happens_and_however_much_is_summed(tenant, owner, seed):
    story = Story(tenant, owner, seed)
    with story.database.transaction(tenant.id) as session:
        dimensions.declare(session, tenant.id, "channel", actor=SYSTEM)
    for n in range(60):
        if 10 <= n < 20:
            dimensions.make_ready(story.database, tenant.id, most=5)
        if n == 20:
            make_ready(story)
        story.happen()
        if n % 10 == 9:
            story.go_on()
        if n >= 20 and n % 8 == 0:
            assert_ties(story)


def make_ready(story: Story) -> None:
    while dimensions.make_ready(story.database, story.id):
        pass


def test_a_dimension_is_made_ready_share_by_share_while_the_ledger_goes_on(here, tenant):
    def post(channel: str) -> None:
        outcomes = ledger.post(
            here.database, tenant.id, [Movement(AWARD, who, 10, metadata={"channel": channel}) for who in ("ana", "bo", "cleo")]
        )
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)

    post("web")
    post("till")
    rollups.catch_up(here.database, tenant.id, seconds=10)
    with here.database.transaction(tenant.id) as session:
        dimensions.declare(session, tenant.id, "channel", actor=SYSTEM)
    shares = 0
    while dimensions.make_ready(here.database, tenant.id, most=2):
        shares += 1
        if shares == 2:
            post("web")
            rollups.catch_up(here.database, tenant.id, seconds=10)
            with here.database.transaction(tenant.id) as session:
                assert not dimensions.ready(session, tenant.id)
            assert tenant.differences() == []
    today = datetime.now(ZONE).date()

    with here.database.snapshot(tenant.id) as session:
        found = roll_forward.by_word(session, tenant.id, Span(today, today, "day", ZONE), dimension=1)
    assert shares == 5
    assert [(group.name, group.sums.awarded) for group in found] == [("web", 60), ("till", 30)]
    assert tenant.differences() == []


def test_changes_of_tiers_without_entries_are_summed_share_by_share(here, tenant):
    ledger.post(here.database, tenant.id, [Movement(AWARD, f"p{n}", 500) for n in range(9)])
    rollups.catch_up(here.database, tenant.id, seconds=10)
    with here.database.transaction(tenant.id) as session:
        tiers.put(session, tenant.id, LADDERS[1], {}, policy=Policy("now", "move_down"), actor=SYSTEM)
        tiers.shut(session, tenant.id)
        recalculations.begin(session, tenant.id)
    while recalculations.advance(here.database, tenant.id, most=3):
        pass

    shares = 1
    while rollups.advance(here.database, tenant.id, most=3):
        shares += 1

    assert shares == 3
    assert tenant.differences() == []


def test_the_cost_of_a_day_is_the_last_one_set_before_it(here, tenant):
    ledger.post(here.database, tenant.id, [Movement(AWARD, "ana", 1000), Movement(DEDUCT, "ana", 250)])
    today = datetime.now(ZONE).date()
    with here.database.transaction(tenant.id) as session:
        costs.put(session, tenant.id, valid_from=date(2020, 1, 1), cost="0.01", currency="eur", actor=SYSTEM)
        costs.put(session, tenant.id, valid_from=today + timedelta(days=1), cost="0.5", currency="EUR", actor=SYSTEM)

    with here.database.snapshot(tenant.id) as session:
        found = liability.of(session, tenant.id, Span(today, today, "day", ZONE))
        over_time = liability.over_time(session, tenant.id, Span(today, today + timedelta(days=1), "day", ZONE))

    assert (found.points, found.amount, found.redemption_rate) == (750, Decimal("7.50"), 0.25)
    assert sum(tier.points for tier in found.tiers) == 750
    assert [amount for _, _, amount in over_time] == [Decimal("7.5"), Decimal(375)]


def test_what_older_rules_have_made_is_derived_anew(here, tenant, owner):
    ledger.post(here.database, tenant.id, [Movement(AWARD, "ana", 10)])
    rollups.advance(here.database, tenant.id)
    for table in (
        "tier_quarters",
        "tier_flow_quarters",
        "word_quarters",
        "activity_days",
        "award_size_days",
        "balance_standings",
    ):
        assert owner.execute(f"DELETE FROM {table} WHERE tenant_id = %s", [tenant.id]).rowcount > 0
    owner.execute("UPDATE rollup_progress SET made_by = 1 WHERE tenant_id = %s", [tenant.id])

    assert rollups.advance(here.database, tenant.id)

    assert not rollups.advance(here.database, tenant.id)
    assert tenant.differences() == []


@pytest.mark.parametrize("seed", range(3))
def test_points_are_as_old_as_spending_the_oldest_first_leaves_them(here, tenant, seed):
    random = Random(seed)
    at, events, balance, awards = datetime(2026, 10, 1, tzinfo=ZONE), [], Counter[str](), []
    when = at - timedelta(days=500)
    for _ in range(120):
        when += timedelta(days=random.choice([0, 1, 9]), seconds=1)
        who, points = random.choice("abc"), random.randint(1, 90)
        if random.random() < 0.1 and awards and balance[(chosen := random.choice(awards))[0]] >= events[chosen[1]].points:
            awards.remove(chosen)
            who, points = chosen[0], -events[chosen[1]].points
            events.append(Event(when, who, points, undoes=chosen[1]))
        elif random.random() < 0.4 and balance[who] >= points:
            points *= -1
            events.append(Event(when, who, points))
        else:
            awards.append((who, len(events)))
            events.append(Event(when, who, points))
        balance[who] += points
    write(here, tenant.id, events)
    rollups.rebuild(here.database, tenant.id)

    found, shares = Ages(at), 0
    with here.database.snapshot(tenant.id) as session:
        while found.done_until is not None:
            found, shares = ages.advance(session, tenant.id, found, most=2), shares + 1

    assert (shares, found.done_count) == (2, 3)
    assert list(found.points) == oldest_first([event for event in events if event.at < at], at)


def oldest_first(events: list[Event], at: datetime) -> list[int]:
    """Play it through with lots: who spends takes from the oldest, what is taken back from the newest."""
    lots: dict[str, list[list]] = defaultdict(list)
    for event in events:
        mine, left = lots[event.participant], abs(event.points)
        if event.points > 0:
            mine.append([event.at, event.points])
            continue
        while left:
            lot = mine[-1] if event.undoes is not None else mine[0]
            taken = min(left, lot[1])
            lot[1] -= taken
            left -= taken
            if not lot[1]:
                mine.remove(lot)
    found = [0] * (len(ages.DAYS) + 1)
    for when, points in (lot for mine in lots.values() for lot in mine):
        found[sum(when < at - timedelta(days=days) for days in ages.DAYS)] += points
    return found


def test_days_are_those_of_the_zone_that_the_tenant_is_in_now(here, tenant):
    ledger.post(here.database, tenant.id, [Movement(AWARD, "ana", 10)])
    rollups.advance(here.database, tenant.id)
    with here.database.transaction() as session:
        tenants.set_profile(session, tenant.slug, name="Acme", time_zone="Pacific/Kiritimati", actor=SYSTEM)

    with here.database.transaction(tenant.id) as session:
        assert not rollups.is_current(session, tenant.id)
    assert rollups.catch_up(here.database, tenant.id, seconds=10)

    zone = ZoneInfo("Pacific/Kiritimati")
    today = datetime.now(zone).date()
    with here.database.snapshot(tenant.id) as session:
        assert rollups.is_current(session, tenant.id)
        assert activity.active(session, tenant.id, Span(today, today, "day", zone)) == [(today, 1)]


def test_of_too_many_words_the_later_ones_are_the_rest(here, tenant, owner):
    owner.execute(
        "INSERT INTO words (tenant_id, dimension, word) SELECT %s, 0, 'order ' || n FROM generate_series(1, 1000) AS n",
        [tenant.id],
    )
    ledger.post(
        here.database, tenant.id, [Movement(AWARD, "ana", 10, reason="order 7"), Movement(AWARD, "ana", 5, reason="late")]
    )
    today = datetime.now(ZONE).date()

    for _ in range(2):  # as the tail, and summed
        with here.database.snapshot(tenant.id) as session:
            found = roll_forward.by_word(session, tenant.id, Span(today, today, "day", ZONE), dimension=0)
        assert [(group.name, group.is_rest, group.sums.awarded) for group in found] == [("order 7", False, 10), (None, True, 5)]
        rollups.advance(here.database, tenant.id)
