"""Tiers at their edges: exactly at a threshold, one below, over several at once, and at both ends, whatever counts."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from gamify.services import holds, ladder, profiles, recalculations, tiers
from gamify.services.audit import SYSTEM
from gamify.services.tiers import Policy, Qualification

from tests.clock import BEGINNING, Clock
from tests.harness import Api, TenantUnderTest, new_tenant

USUAL = Policy()

LIFETIME, WINDOW, YEAR = Qualification(), Qualification("window", 30), Qualification("year", None, 40)
STEPS = {"bronze": 0, "silver": 500, "gold": 1500, "black": 4000}
BOUNDARIES = [  # points held, points awarded, from, to
    (0, 499, None),
    (0, 500, ("bronze", "silver")),
    (0, 501, ("bronze", "silver")),
    (0, 1499, ("bronze", "silver")),
    (0, 1500, ("bronze", "gold")),
    (0, 4000, ("bronze", "black")),  # over two
    (499, 1, ("bronze", "silver")),
    (499, 1000, ("bronze", "silver")),
    (499, 1001, ("bronze", "gold")),
    (500, 999, None),
    (500, 1000, ("silver", "gold")),
    (500, 3500, ("silver", "black")),
    (4000, 1_000_000, None),  # nothing is above the top
]


@pytest.fixture
def tenant(clock: Clock) -> Iterator[TenantUnderTest]:
    """A tenant whose clock can be set."""
    made = new_tenant(clock.here)
    yield made
    assert made.differences() == []


@pytest.fixture
def api(clock: Clock, tenant: TenantUnderTest) -> Api:
    return Api(clock.app.test_client(), tenant.key)


@pytest.fixture
def publish(tenant: TenantUnderTest):
    """Puts a ladder in force, and everybody in place if that is its policy."""

    def run(thresholds: dict[str, int], *, by: Qualification = LIFETIME, policy: Policy = USUAL) -> None:
        database = tenant.here.database
        with database.transaction(tenant.id) as session:
            tiers.put(session, tenant.id, thresholds, {}, policy=policy, actor=SYSTEM, qualification=by)
            tiers.shut(session, tenant.id)
            if policy.effect == "now":
                recalculations.begin(session, tenant.id)
        while recalculations.advance(database, tenant.id):
            pass

    return run


def requalify(tenant: TenantUnderTest) -> None:
    with tenant.here.database.transaction(tenant.id) as session:
        recalculations.begin(session, tenant.id, cause="requalified")
    recalculations.advance(tenant.here.database, tenant.id)


def upgrade(answer: Any) -> tuple[str | None, str] | None:
    """From which tier to which an award has led."""
    told = answer.json["tier_upgrade"]
    return told and (told["previous_code"], told["code"])


@pytest.fixture
def code(tenant: TenantUnderTest):
    """Tells which tier somebody is on."""

    def run(who: str = "ana") -> str | None:
        with tenant.here.database.transaction(tenant.id) as session:
            number = profiles.find(session, tenant.id, who).tier
            return ladder.known(session, tenant.id)[number].code if number else None

    return run


@pytest.mark.parametrize(("held", "amount", "expected"), BOUNDARIES)
@pytest.mark.parametrize("by", [LIFETIME, WINDOW, YEAR], ids=lambda by: by.basis)
def test_a_threshold_is_reached_by_exactly_its_points(api, code, publish, by, held, amount, expected):
    publish(STEPS, by=by)
    if held:
        api.award("ana", held)

    assert upgrade(api.award("ana", amount)) == expected
    assert code() == (expected[1] if expected else {0: "bronze", 499: "bronze", 500: "silver", 4000: "black"}[held])


@pytest.mark.parametrize("by", [LIFETIME, WINDOW, YEAR], ids=lambda by: by.basis)
def test_without_a_tier_for_nothing_the_first_is_an_upgrade_from_none(api, code, publish, by):
    publish({"silver": 500}, by=by)

    assert upgrade(api.award("ana", 499)) is None
    assert code() is None
    assert upgrade(api.award("ana", 1)) == (None, "silver")


@pytest.mark.parametrize("by", [LIFETIME, WINDOW, YEAR], ids=lambda by: by.basis)
def test_without_tiers_there_is_nothing_to_reach(api, code, publish, by):
    api.award("bo", 5000)
    publish({}, by=by, policy=Policy("now", "keep"))

    assert upgrade(api.award("ana", 1_000_000)) is None
    assert upgrade(api.award("bo", 1)) is None
    assert (code(), code("bo")) == (None, None)


@pytest.mark.parametrize(
    ("days", "expected"), [(timedelta(days=30) - timedelta(minutes=1), "silver"), (timedelta(days=30), None)]
)
def test_a_point_counts_for_just_as_long_as_the_window(api, code, clock, tenant, publish, days, expected):
    publish({"silver": 500}, by=WINDOW)
    api.award("ana", 499)
    clock.pass_by(days)

    assert upgrade(api.award("ana", 1)) == (expected and (None, expected))
    requalify(tenant)
    assert code() == expected


def test_points_that_have_run_out_take_a_tier_only_when_everybody_is_looked_at_anew(api, code, clock, tenant, publish):
    publish(STEPS, by=WINDOW)
    api.award("ana", 1500)
    clock.pass_by(timedelta(days=31))

    assert upgrade(api.award("ana", 500)) is None
    assert code() == "gold"
    requalify(tenant)
    assert code() == "silver"
    assert upgrade(api.award("ana", 1000)) == ("silver", "gold")


NEW_YEAR = BEGINNING.replace(year=2031, month=1, day=1, hour=0, minute=0)
AN_INSTANT = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NEW_YEAR - AN_INSTANT, "silver"),
        (NEW_YEAR, "silver"),  # in grace
        (NEW_YEAR + timedelta(days=40) - AN_INSTANT, "silver"),
        (NEW_YEAR + timedelta(days=40), "bronze"),
    ],
)
def test_a_year_counts_until_its_grace_is_over(api, code, clock, tenant, publish, at, expected):
    publish(STEPS, by=YEAR)
    api.award("ana", 500)
    clock.set(at)

    requalify(tenant)

    assert code() == expected


def test_in_grace_the_better_of_two_years_counts_never_their_sum(api, clock, publish):
    publish(STEPS, by=YEAR)
    api.award("ana", 1499)
    clock.set(NEW_YEAR)

    assert upgrade(api.award("ana", 1499)) is None
    assert upgrade(api.award("ana", 1)) == ("silver", "gold")


@pytest.mark.parametrize(("amount", "expected"), [(999, None), (1000, None), (1001, ("silver", "gold"))])
def test_a_tier_kept_counts_until_more_is_earned(api, code, publish, amount, expected):
    api.award("ana", 500)
    publish({"bronze": 0, "silver": 1500, "gold": 1501}, policy=Policy("now", "keep"))

    assert upgrade(api.award("ana", amount)) == expected
    assert code() == (expected[1] if expected else "silver")


@pytest.mark.parametrize(("amount", "earned"), [(498, "bronze"), (499, "silver"), (1_000_000, "black")])
def test_a_pin_holds_whatever_is_earned_and_its_end_gives_what_is(api, code, tenant, clock, publish, amount, earned):
    publish(STEPS)
    api.award("ana", 1)
    asked = {"code": "silver", "reason": "a friend", "until": clock.now() + timedelta(days=1), "now": clock.now()}
    with tenant.here.database.transaction(tenant.id) as session:
        holds.pin(session, tenant.id, "ana", **asked, actor=SYSTEM)

    assert upgrade(api.award("ana", amount)) is None
    assert code() == "silver"
    clock.pass_by(timedelta(days=1, minutes=1))
    with tenant.here.database.transaction(tenant.id) as session:
        holds.end_due(session, tenant.id, now=clock.now())
    assert code() == earned


@pytest.mark.parametrize(("amount", "expected"), [(199, None), (200, ("bronze", "silver"))])
def test_at_their_next_award_people_are_measured_by_the_new_ladder(api, code, publish, amount, expected):
    api.award("ana", 499)
    publish({"bronze": 0, "silver": 699}, policy=Policy("next_award", "move_down"))

    assert code() == "bronze"
    assert upgrade(api.award("ana", amount)) == expected


def test_at_their_next_award_people_may_lose_what_a_ladder_takes(api, code, publish):
    api.award("ana", 500)
    publish({"bronze": 0, "silver": 502}, policy=Policy("next_award", "move_down"))

    api.deduct("ana", 1)
    assert code() == "silver"
    assert upgrade(api.award("ana", 1)) is None
    assert code() == "bronze"
    assert upgrade(api.award("ana", 1)) == ("bronze", "silver")
