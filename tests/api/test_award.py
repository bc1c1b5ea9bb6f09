"""Awards: the balance they lead to, and the tier."""

import itertools
import uuid

import pytest

from tests.harness import Api, TenantUnderTest


def test_first_award_creates_the_participant(api: Api):
    assert api.points("p").status == 404

    answer = api.award("p", 7)

    assert answer.json["new_balance"] == 7
    assert api.points("p").json == {"participant_id": "p", "balance": 7, "total_earned": 7, "total_spent": 0}


def test_award_has_exactly_the_documented_members(api: Api):
    answer = api.award("p", 7).json

    assert set(answer) == {"transaction_id", "participant_id", "amount", "new_balance", "tier_upgrade"}
    assert uuid.UUID(answer["transaction_id"]).version == 7


def test_transaction_ids_are_in_the_order_of_awards(api: Api):
    ids = [api.award("p", 1).json["transaction_id"] for _ in range(20)]

    assert ids == sorted(set(ids))


def test_award_below_the_next_threshold_lifts_nobody(api: Api):
    assert api.award("p", 499).json["tier_upgrade"] is None


def test_award_that_reaches_the_threshold_exactly_lifts(api: Api):
    api.award("p", 499)

    assert api.award("p", 1).json["tier_upgrade"] == {
        "code": "silver",
        "name": "Silver Tier",
        "level": 2,
        "previous_code": "bronze",
        "previous_level": 1,
    }


def test_tier_is_reported_by_the_award_that_led_to_it_only(api: Api):
    upgrades = [api.award("p", 250).json["tier_upgrade"] for _ in range(7)]

    assert [upgrade and upgrade["code"] for upgrade in upgrades] == [None, "silver", None, None, None, "gold", None]


def test_jump_over_tiers_reports_the_final_one_and_the_one_held_before(api: Api, tenant: TenantUnderTest):
    tenant.put_tiers(bronze=0, silver=10, gold=20, platinum=30, diamond=1000)

    upgrade = api.award("p", 30).json["tier_upgrade"]

    assert (upgrade["code"], upgrade["level"]) == ("platinum", 4)
    assert (upgrade["previous_code"], upgrade["previous_level"]) == ("bronze", 1)


def test_tier_with_threshold_0_is_held_from_the_start(api: Api, tenant: TenantUnderTest):
    tenant.put_tiers(bronze=0)

    assert api.award("p", 1_000_000).json["tier_upgrade"] is None


@pytest.mark.parametrize("first", [10, 25])
def test_first_tier_above_0_has_none_before_it(api: Api, tenant: TenantUnderTest, first: int):
    tenant.put_tiers(silver=10, gold=20)
    assert api.award("other", 9).json["tier_upgrade"] is None

    upgrade = api.award("p", first).json["tier_upgrade"]

    assert upgrade["code"] == ("silver" if first == 10 else "gold")
    assert upgrade["previous_code"] is upgrade["previous_level"] is None


def test_without_tiers_nobody_is_lifted(api: Api, tenant: TenantUnderTest):
    tenant.put_tiers()

    assert api.award("p", 1_000_000).json["tier_upgrade"] is None


def test_threshold_1_is_reached_by_one_point(api: Api, tenant: TenantUnderTest):
    tenant.put_tiers(one=1)

    assert api.award("p", 1).json["tier_upgrade"]["code"] == "one"


def test_adjacent_thresholds_are_told_apart(api: Api, tenant: TenantUnderTest):
    tenant.put_tiers(**{f"t{n}": n for n in range(20)})

    codes = [(upgrade := api.award("p", 1).json["tier_upgrade"]) and upgrade["code"] for _ in range(20)]

    assert codes == [*(f"t{n}" for n in range(1, 20)), None]


def test_tiers_follow_what_was_earned_and_not_the_balance(api: Api):
    api.award("p", 499)
    api.deduct("p", 499)

    assert api.award("p", 1).json["tier_upgrade"]["code"] == "silver"


def test_tier_that_new_tiers_gave_is_no_upgrade_by_the_next_award(api: Api, tenant: TenantUnderTest):
    api.award("p", 100)
    tenant.put_tiers(bronze=0, silver=50, gold=102)

    assert api.award("p", 1).json["tier_upgrade"] is None
    assert api.award("p", 1).json["tier_upgrade"]["previous_code"] == "silver"


def test_tier_that_new_tiers_took_can_be_reached_again(api: Api, tenant: TenantUnderTest):
    api.award("p", 500)
    tenant.put_tiers(bronze=0, silver=501)

    assert api.award("p", 1).json["tier_upgrade"]["code"] == "silver"


def test_participants_are_lifted_each_for_themselves(api: Api):
    lifted = [bool(api.award(p, 250).json["tier_upgrade"]) for p, _ in itertools.product("ab", range(2))]

    assert lifted == [False, True, False, True]
