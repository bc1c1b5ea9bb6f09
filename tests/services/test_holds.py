"""Holds: a pin is above all until it ends, what is kept is kept until it is earned, and the figures follow."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gamify.errors import Invalid, NotFound
from gamify.models import Participant
from gamify.services import (
    counting,
    figures,
    holds,
    ladder,
    ledger,
    participants,
    profiles,
    recalculations,
    rollups,
    tier_history,
    tier_words,
    tiers,
)
from gamify.services.audit import Actor
from gamify.services.bounds import LONGEST_REASON
from gamify.services.ledger import AWARD, Movement
from gamify.services.listing import Wanted
from gamify.services.tiers import Policy, Qualification
from sqlalchemy import func, select

from tests.harness import TenantUnderTest, new_tenant

ANA = Actor("user", "ana@shop.example", 7)
NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=3)
NEXT_YEAR = NOW + timedelta(days=400)
LADDER = {"bronze": 0, "silver": 500, "gold": 1500}


def pin(t, pid: str = "p", code: str = "gold", *, until: datetime | None = None, reason: str = "A friend") -> None:
    with t.here.database.transaction(t.id) as session:
        holds.pin(session, t.id, pid, code=code, reason=reason, until=until, now=NOW, actor=ANA)


def unpin(t, pid: str = "p", **said: str) -> bool:
    with t.here.database.transaction(t.id) as session:
        return holds.unpin(session, t.id, pid, actor=ANA, **said)


def end_due(t, *, now: datetime) -> int:
    with t.here.database.transaction(t.id) as session:
        return holds.end_due(session, t.id, now=now)


def profile(t, pid: str = "p", *, now: datetime = NOW) -> profiles.Profile:
    with t.here.database.transaction(t.id) as session:
        return profiles.profile(session, t.id, pid, now=now)


def tier(t, pid: str = "p") -> str | None:
    held = profile(t, pid).place.held
    return held and held.code


def told(t, pid: str = "p") -> list[str]:
    return [tier_words.because(change) for change in profile(t, pid).changes]


def publish(t, thresholds: dict[str, int], policy: Policy, *, qualification: Qualification | None = None) -> None:
    """Put a ladder in force and, where it is to have effect now, everybody in their place."""
    with t.here.database.transaction(t.id) as session:
        tiers.put(session, t.id, thresholds, {}, policy=policy, qualification=qualification, reason="Spring", actor=ANA)
        tiers.shut(session, t.id)
        if policy.effect == "now":
            recalculations.begin(session, t.id)
    while recalculations.advance(t.here.database, t.id):
        pass


def assert_exact(t) -> None:
    """The tiers' figures are what counting everybody gives, summed or not, and verify finds nothing."""
    for is_summed in (False, True):
        if is_summed:
            rollups.rebuild(t.here.database, t.id)
        with t.here.database.transaction(t.id) as session:
            plainly = select(Participant.tier, func.count(), func.sum(Participant.balance)).where(Participant.tenant_id == t.id)
            counted = [tuple(row) for row in session.execute(plainly.group_by(Participant.tier).order_by(Participant.tier))]
            assert [tuple(each) for each in figures.tier_counts(session, t.id)] == counted
        assert t.differences() == []


def test_a_pin_lifts_at_once_and_awards_and_deducts_leave_it(tenant, api):
    api.award("p", 100)
    pin(tenant)
    assert tier(tenant) == "gold"
    assert_exact(tenant)

    assert api.award("p", 500).json["tier_upgrade"] is None
    api.deduct("p", 300)

    assert tier(tenant) == "gold"
    assert_exact(tenant)


def test_a_pin_below_what_is_earned_holds_down_and_no_award_lifts(tenant, api):
    api.award("p", 1000)
    pin(tenant, code="bronze")

    assert api.award("p", 2000).json["tier_upgrade"] is None
    assert tier(tenant) == "bronze"
    assert_exact(tenant)


@pytest.mark.parametrize("is_summed", [True, False])
def test_standings_follow_a_pin_whether_they_are_summed_yet_or_not(tenant, api, is_summed):
    for n in range(5):
        api.award(f"p{n}", 400 * n + 1)
    if is_summed:
        rollups.rebuild(tenant.here.database, tenant.id)
    pin(tenant, "p0", "gold")
    pin(tenant, "p4", "silver")

    assert_exact(tenant)


def test_unpinned_they_stand_on_what_they_have_earned_meanwhile(tenant, api):
    api.award("p", 100)
    pin(tenant)
    api.award("p", 450)

    assert profile(tenant).unpinned.code == "silver"
    assert unpin(tenant, reason="The contract has ended")
    assert tier(tenant) == "silver"
    assert told(tenant) == [
        "Unpinned by ana@shop.example: The contract has ended",
        "Pinned by ana@shop.example: A friend",
    ]
    assert not unpin(tenant)
    assert len(told(tenant)) == 2
    assert_exact(tenant)


def test_the_end_of_a_pin_returns_to_the_earned_tier_and_not_before(tenant, api):
    api.award("p", 600)
    pin(tenant, until=SOON)

    assert end_due(tenant, now=SOON - timedelta(seconds=1)) == 0
    assert tier(tenant) == "gold"
    assert end_due(tenant, now=SOON) == 1
    assert tier(tenant) == "silver"
    assert told(tenant)[0] == "The pin came to its end"
    assert end_due(tenant, now=SOON) == 0
    assert_exact(tenant)


def test_the_same_pin_again_changes_nothing_and_another_takes_its_place(tenant, api):
    api.award("p", 1)
    pin(tenant, until=SOON)
    pin(tenant, until=SOON)
    assert len(told(tenant)) == 1

    pin(tenant, code="silver", reason="Less of a friend")

    assert tier(tenant) == "silver"
    assert (profile(tenant).holds["pin"].until, profile(tenant).holds["pin"].reason) == (None, "Less of a friend")
    assert end_due(tenant, now=NEXT_YEAR) == 0
    assert_exact(tenant)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"code": "ruby"}, "tier"),
        ({"code": ""}, "tier"),
        ({"reason": " \t"}, "reason"),
        ({"reason": "r" * (LONGEST_REASON + 1)}, "reason"),
        ({"reason": "a\0b"}, "reason"),
        ({"until": NOW}, "expires_at"),
        ({"until": NOW - timedelta(days=1)}, "expires_at"),
    ],
)
def test_a_pin_that_makes_no_sense_is_refused_by_name(tenant, api, asked, field):
    api.award("p", 1)

    with pytest.raises(Invalid) as refused:
        pin(tenant, **asked)

    assert [error.field for error in refused.value.errors] == [field]
    assert (tier(tenant), told(tenant)) == ("bronze", [])


def test_nobody_can_be_pinned_or_unpinned_who_is_not_there(tenant):
    for act in (pin, unpin):
        with pytest.raises(NotFound):
            act(tenant, "nobody")


@pytest.mark.parametrize("effect", ["now", "next_award"])
@pytest.mark.parametrize("falling", ["keep", "keep_until", "move_down"])
def test_a_pin_outlives_every_publication_and_verify_finds_nothing(tenant, api, effect, falling):
    for who, points in (("p", 100), ("kept", 600), ("risen", 1400)):
        api.award(who, points)
    pin(tenant)
    policy = Policy(effect, falling, NEXT_YEAR if falling == "keep_until" else None)
    publish(tenant, {"bronze": 0, "silver": 700, "gold": 1450}, policy)
    assert (tier(tenant), tenant.differences()) == ("gold", [])

    for who in ("p", "kept", "risen"):
        api.award(who, 50)

    assert tier(tenant) == "gold"
    assert tier(tenant, "kept") == ("bronze" if falling == "move_down" else "silver")
    assert tier(tenant, "risen") == "gold"
    assert_exact(tenant)
    unpin(tenant)
    assert tier(tenant) == "bronze"
    assert_exact(tenant)


def test_a_pin_to_a_tier_that_goes_is_one_to_the_next_below_and_comes_back_with_the_tier(tenant, api):
    api.award("p", 1)
    pin(tenant)

    publish(tenant, {"bronze": 0, "silver": 500}, Policy("now", "move_down"))
    assert tier(tenant) == "silver"
    api.award("p", 1)
    assert tier(tenant) == "silver"
    assert_exact(tenant)

    publish(tenant, LADDER, Policy("now", "move_down"))
    api.award("p", 1)
    assert tenant.differences() == []
    unpin(tenant)
    assert tier(tenant) == "bronze"
    assert_exact(tenant)


def test_a_tier_is_kept_until_its_day_or_until_it_is_earned(tenant, api):
    for who in ("p", "earns"):
        api.award(who, 600)
    publish(tenant, {"bronze": 0, "silver": 1000}, Policy("now", "keep_until", NEXT_YEAR))
    assert (tier(tenant), profile(tenant).holds["keep"].until) == ("silver", NEXT_YEAR)
    assert told(tenant)[0] == "Kept, though version 2 of the tiers asks for more, published by ana@shop.example: Spring"

    api.award("earns", 400)
    assert "keep" not in profile(tenant, "earns").holds
    assert end_due(tenant, now=NEXT_YEAR) == 1

    assert (tier(tenant), tier(tenant, "earns")) == ("bronze", "silver")
    assert told(tenant)[0] == "The time for which the tier was kept is over"
    assert_exact(tenant)


def test_who_moves_with_new_tiers_is_told_by_which(tenant, api):
    api.award("p", 600)
    publish(tenant, {"bronze": 0, "silver": 1000}, Policy("now", "move_down"))

    assert told(tenant) == [
        "Moved by version 2 of the tiers, published by ana@shop.example: Spring",
        "Earned by an award",
    ]


def test_a_history_goes_on_change_by_change(tenant, api):
    api.award("p", 600)
    for n in range(3):
        pin(tenant, reason=f"n{n}")
        api.award("p", 1)
    unpin(tenant)
    api.award("p", 1000)
    whole = profile(tenant).changes
    found: list[Any] = []

    with tenant.here.database.transaction(tenant.id) as session:
        person = profiles.find(session, tenant.id, "p")
        while page := tier_history.changes(session, tenant.id, person, before=found[-1].position if found else None, most=2):
            found += page

    assert [change.position for change in found] == [change.position for change in whole]
    assert [change.cause for change in found] == ["award", "unpinned", "pinned", "pinned", "pinned", "award"]


@pytest.mark.parametrize("sort", participants.SORTS)
def test_those_who_are_pinned_are_found_in_any_order_and_with_any_other_filter(tenant, api, sort):
    for n in range(12):
        api.award(f"p{n:02}", 100 * (n + 1))
    publish(tenant, {"bronze": 0, "silver": 800}, Policy("now", "keep"))
    for n in (1, 3, 5, 7):
        pin(tenant, f"p{n:02}", "silver" if n > 3 else "bronze")
    rollups.rebuild(tenant.here.database, tenant.id)
    order = ["p01", "p03", "p05", "p07"][:: -1 if sort.startswith("-") else 1]

    def found(**asked: Any) -> list[str]:
        names, after = [], None
        while True:
            with tenant.here.database.transaction(tenant.id) as session:
                page = participants.search(session, tenant.id, Wanted(is_pinned=True, sort=sort, **asked), after=after, limit=3)
            names += [row.external_id for row in page.rows]
            if not (after := page.cursor):
                return names

    assert found() == order
    assert found(fragment="p0") == found(fragment="p") == order
    assert found(fragment="p03") == ["p03"]
    with tenant.here.database.transaction(tenant.id) as session:
        [silver] = [each.number for each in ladder.in_force(session, tenant.id) if each.code == "silver"]
        assert [row.external_id for row in participants.every(session, tenant.id, Wanted(is_pinned=True, sort=sort))] == order
    assert found(tiers=(silver,)) == [name for name in order if name > "p03"]
    assert found(quiet_since=NOW - timedelta(days=1)) == []


def test_pins_that_end_soon_are_told_the_nearest_first(tenant, api):
    for n, days in enumerate((9, 3, 1, 5)):
        api.award(f"p{n}", 1)
        pin(tenant, f"p{n}", until=NOW + timedelta(days=days))
    api.award("for-good", 1)
    pin(tenant, "for-good")

    with tenant.here.database.transaction(tenant.id) as session:
        found = holds.ending(session, tenant.id, within=timedelta(days=7), now=NOW, most=2)

    assert [row.external_id for row in found] == ["p2", "p1"]


def place_after(t, earning: int) -> tuple[Any, ...]:
    """The codes of the tiers held and to come, and how far it is."""
    with t.here.database.transaction(t.id) as session:
        person = profiles.find(session, t.id, "p")
        held, following, *way = ladder.place_of(session, t.id, person, now=datetime.now(UTC), earning=earning)
        return held and (held.code, held.level), following and following.code, *way


@pytest.mark.parametrize("effect", ["now", "next_award"])
@pytest.mark.parametrize("falling", ["keep", "keep_until", "move_down"])
@pytest.mark.parametrize("amount", [1, 99, 100, 899, 900])
def test_an_award_leads_where_it_was_foreseen_to_lead(tenant, api, effect, falling, amount):
    api.award("p", 600)
    publish(
        tenant, {"bronze": 0, "silver": 700, "gold": 1500}, Policy(effect, falling, NEXT_YEAR if "until" in falling else None)
    )
    foreseen = place_after(tenant, amount)

    api.award("p", amount)

    assert foreseen == place_after(tenant, 0)


def test_an_award_to_somebody_pinned_leads_nowhere_as_foreseen(tenant, api):
    api.award("p", 1)
    pin(tenant, code="silver")
    foreseen = place_after(tenant, 2000)

    api.award("p", 2000)

    assert foreseen == place_after(tenant, 0)
    assert foreseen[0] == ("silver", 2)


def test_points_of_the_last_days_count_and_how_many_are_missing_is_true(tenant, api, owner):
    api.award("p", 400)
    owner.execute("ALTER TABLE ledger_entries DISABLE TRIGGER USER")
    past = [NOW - timedelta(days=40), tenant.id]
    owner.execute("UPDATE ledger_entries SET created_at = %s, id = entry_id(%s) WHERE tenant_id = %s", [past[0], *past])
    owner.execute("ALTER TABLE ledger_entries ENABLE TRIGGER USER")
    api.award("p", 300)
    publish(tenant, LADDER, Policy("now", "move_down"), qualification=Qualification("window", 30))
    found = profile(tenant, now=datetime.now(UTC))

    assert (found.counting.basis, found.counting.points, found.place.missing) == ("window", 300, 200)
    assert found.counting.until is None
    assert api.award("p", 199).json["tier_upgrade"] is None
    assert api.award("p", 1).json["tier_upgrade"]["code"] == "silver"


@pytest.fixture
def two_years(here, owner, request) -> TenantUnderTest:
    """A tenant whose p has earned something last year and this; times are not those of the writing, so nothing is verified."""
    made = new_tenant(here)
    ledger.post(here.database, made.id, [Movement(AWARD, "p", amount) for amount in request.param])
    owner.execute("ALTER TABLE ledger_entries DISABLE TRIGGER USER")
    for seq, at in ((1, datetime(2025, 7, 1, tzinfo=UTC)), (2, datetime(2026, 1, 2, tzinfo=UTC))):
        owner.execute("UPDATE ledger_entries SET created_at = %s WHERE tenant_id = %s AND seq = %s", [at, made.id, seq])
    owner.execute("ALTER TABLE ledger_entries ENABLE TRIGGER USER")
    publish(made, LADDER, Policy("next_award", "keep"), qualification=Qualification("year", None, 31))
    return made


@pytest.mark.parametrize(
    ("two_years", "at", "expected"),
    [
        ((800, 300), datetime(2026, 6, 1, tzinfo=UTC), (300, 2026, 200)),  # the days of grace are over
        ((800, 300), datetime(2026, 1, 10, tzinfo=UTC), (800, 2025, 1200)),  # of this year's points 500 only catch up
        ((200, 300), datetime(2026, 1, 10, tzinfo=UTC), (300, 2026, 200)),  # this year's are more already
    ],
    indirect=["two_years"],
)
def test_in_days_of_grace_the_better_year_counts_and_what_is_missing_is_earned_this_year(two_years, at, expected):
    points, year, missing = expected
    with two_years.here.database.transaction(two_years.id) as session:
        newest, person = ladder.newest(session, two_years.id), profiles.find(session, two_years.id, "p")
        session.expunge(person)  # whose total is only supposed to be more
        counted = counting.of(session, newest, person, now=at)
        place = ladder.place(counted.points, ladder.in_force(session, two_years.id), behind=counted.behind)

        assert (counted.points, counted.since, place.missing) == (points, datetime(year, 1, 1, tzinfo=UTC), missing)
        assert counted.until == datetime(year + 1, 1, 1, tzinfo=UTC)
        assert counted.lasts_until == datetime(year + 1, 2, 1, tzinfo=UTC)
        total = person.total_earned
        for more in (1, 199, 200, 500, 501, 1200, 5000):
            person.total_earned = total + more
            assert counting.of(session, newest, person, now=at).points == counted.after(more).points
