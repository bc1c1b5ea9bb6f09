"""A reversal takes an award back or gives a deduct back, once, and says so on both entries."""

import uuid

import pytest

from tests.harness import BASE, Answer, Api


def reverse(api: Api, transaction_id: str, headers: dict[str, str] | None = None, **members) -> Answer:
    return api.request("POST", f"{BASE}/points/transactions/{transaction_id}/reverse", body=members, headers=headers)


def test_a_reversed_award_leaves_balance_and_total_earned(api: Api):
    award = api.award("ann", 600).json

    answer = reverse(api, award["transaction_id"], reason="Order cancelled")

    assert answer.status == 200
    assert uuid.UUID(answer.json.pop("transaction_id")).version == 7
    assert {name: value for name, value in answer.json.items() if name != "transaction_id"} == {
        "participant_id": "ann",
        "amount": 600,
        "new_balance": 0,
        "reverses": award["transaction_id"],
        "requested": 600,
    }
    assert api.points("ann").json == {"participant_id": "ann", "balance": 0, "total_earned": 0, "total_spent": 0}


def test_a_reversed_deduct_gives_points_back_and_lowers_total_spent(api: Api):
    api.award("ann", 600)
    deduct = api.deduct("ann", 200).json

    assert reverse(api, deduct["transaction_id"]).json["new_balance"] == 600
    assert api.points("ann").json == {"participant_id": "ann", "balance": 600, "total_earned": 600, "total_spent": 0}


def test_points_already_spent_cannot_be_taken_back(api: Api):
    award = api.award("ann", 600).json
    api.deduct("ann", 500)

    answer = reverse(api, award["transaction_id"])

    assert (answer.status, answer.code) == (400, "insufficient_points")
    assert answer.json["detail"] == "Insufficient points. Available: 100, requested: 600"
    assert api.balance("ann") == 100


def test_a_partial_reversal_takes_what_is_there(api: Api):
    award = api.award("ann", 600).json
    api.deduct("ann", 500)

    answer = reverse(api, award["transaction_id"], allow_partial=True)

    assert (answer.json["amount"], answer.json["requested"], answer.json["new_balance"]) == (100, 600, 0)
    assert api.points("ann").json == {"participant_id": "ann", "balance": 0, "total_earned": 500, "total_spent": 500}


def test_a_partial_reversal_of_nothing_is_refused(api: Api):
    award = api.award("ann", 600).json
    api.deduct("ann", 600)

    assert reverse(api, award["transaction_id"], allow_partial=True).json["detail"] == (
        "Insufficient points. Available: 0, requested: 600"
    )


def test_an_entry_is_reversed_once_only(api: Api):
    award = api.award("ann", 600).json["transaction_id"]
    reverse(api, award)

    again = reverse(api, award)

    assert (again.status, again.code) == (409, "conflict")
    assert api.history("ann").json["total"] == 2


def test_a_reversal_cannot_be_reversed(api: Api):
    reversal = reverse(api, api.award("ann", 600).json["transaction_id"]).json["transaction_id"]

    assert reverse(api, reversal).status == 409


def test_the_same_key_replays_the_reversal(api: Api):
    award = api.award("ann", 600).json["transaction_id"]
    first = reverse(api, award, idempotency_key="r1", metadata={"ticket": 1})

    again = reverse(api, award, headers={"Idempotency-Key": "r1"}, metadata={"ticket": 1.0})

    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("other", [{"reason": "x"}, {"allow_partial": True}, {"metadata": {}}])
def test_a_key_stands_for_one_reversal_only(api: Api, other: dict):
    award = api.award("ann", 600).json["transaction_id"]
    reverse(api, award, idempotency_key="r1")

    assert reverse(api, award, idempotency_key="r1", **other).code == "idempotency_mismatch"


def test_a_key_spans_awards_and_reversals(api: Api):
    award = api.award("ann", 600, idempotency_key="k").json["transaction_id"]

    assert reverse(api, award, idempotency_key="k").code == "idempotency_mismatch"
    assert api.balance("ann") == 600


def test_a_refused_reversal_is_refused_again_even_when_points_have_come(api: Api):
    award = api.award("ann", 600).json["transaction_id"]
    api.deduct("ann", 600)
    first = reverse(api, award, idempotency_key="r")
    api.award("ann", 900)

    again = reverse(api, award, idempotency_key="r")

    assert again.json["detail"] == first.json["detail"]
    assert again.headers["Idempotent-Replayed"] == "true"


def test_tiers_follow_down(api: Api):
    api.award("ann", 400)
    lifted = api.award("ann", 200).json
    assert lifted["tier_upgrade"]["code"] == "silver"

    reverse(api, lifted["transaction_id"])

    assert api.award("ann", 100).json["tier_upgrade"]["previous_code"] == "bronze"


def test_history_links_both_ways(api: Api):
    award = api.award("ann", 600).json["transaction_id"]
    reversal = reverse(api, award, reason="Oops").json["transaction_id"]

    newest, first = api.history("ann").json["transactions"]

    assert (newest["transaction_id"], newest["type"], newest["amount"]) == (reversal, "award_reversal", 600)
    assert (newest["reverses"], newest["reversed_by"], newest["reason"]) == (award, None, "Oops")
    assert (first["reverses"], first["reversed_by"]) == (None, reversal)


@pytest.mark.parametrize("unknown", ["0198f0c2-a1b2-7c3d-9e4f-5a6b7c8d9e0f", "not-a-uuid", "0"])
def test_unknown_transactions_are_404(api: Api, unknown: str):
    assert reverse(api, unknown).status == 404


def test_another_tenants_transaction_is_404(api: Api, tenant):
    award = api.award("ann", 600).json["transaction_id"]

    assert reverse(api.with_key(tenant.test_key), award).status == 404
    assert api.balance("ann") == 600


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"allow_partial": 1}, "allow_partial"),
        ({"allow_partial": "true"}, "allow_partial"),
        ({"reason": 5}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"metadata": []}, "metadata"),
        ({"amount": 5}, "amount"),
        ({"idempotency_key": ""}, "idempotency_key"),
    ],
)
def test_bad_members_are_named_and_nothing_moves(api: Api, members: dict, field: str):
    award = api.award("ann", 600).json["transaction_id"]

    answer = reverse(api, award, **members)

    assert (answer.status, answer.fields) == (422, [field])
    assert api.balance("ann") == 600
