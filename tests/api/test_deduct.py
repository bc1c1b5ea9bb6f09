"""Deducts: never more than there is, and no tier is lost by spending."""

import uuid

from tests.harness import Api, TenantUnderTest


def test_deduct_has_exactly_the_documented_members(api: Api):
    api.award("p", 10)

    answer = api.deduct("p", 3).json

    assert {n: v for n, v in answer.items() if n != "transaction_id"} == {"participant_id": "p", "amount": 3, "new_balance": 7}
    assert uuid.UUID(answer["transaction_id"]).version == 7


def test_deduct_counts_as_spent_and_not_as_earned(api: Api):
    api.award("p", 10)
    api.deduct("p", 3)

    assert api.points("p").json == {"participant_id": "p", "balance": 7, "total_earned": 10, "total_spent": 3}


def test_everything_can_be_spent_and_not_a_point_more(api: Api):
    api.award("p", 10)

    assert api.deduct("p", 10).json["new_balance"] == 0
    answer = api.deduct("p", 1)
    assert (answer.status, answer.json["detail"]) == (400, "Insufficient points. Available: 0, requested: 1")


def test_refused_deduct_moves_nothing(api: Api, tenant: TenantUnderTest):
    api.award("p", 30)
    rows = tenant.row_count()

    answer = api.deduct("p", 50)

    assert answer.json["detail"] == "Insufficient points. Available: 30, requested: 50"
    assert answer.code == "insufficient_points"
    assert api.balance("p") == 30
    assert tenant.row_count() == rows


def test_deduct_from_someone_never_seen_creates_nobody(api: Api, tenant: TenantUnderTest):
    answer = api.deduct("nobody", 1_000_000)

    assert (answer.status, answer.json["detail"]) == (400, "Insufficient points. Available: 0, requested: 1000000")
    assert api.points("nobody").status == api.history("nobody").status == 404
    assert tenant.row_count() == 0


def test_keyed_deduct_from_someone_never_seen_creates_nobody(api: Api, tenant: TenantUnderTest):
    assert api.deduct("nobody", 1, idempotency_key="k").status == 400

    assert api.points("nobody").status == 404
    assert tenant.row_count() == 1  # what the key has decided


def test_deduct_never_demotes(api: Api):
    api.award("p", 1500)
    api.deduct("p", 1500)

    assert api.award("p", 1).json["tier_upgrade"] is None


def test_deduct_never_tells_of_a_tier(api: Api):
    api.award("p", 499)

    assert "tier_upgrade" not in api.deduct("p", 1).json
