"""Every request of the API's founding document, over TCP, answered as it shows."""

import uuid

from tests.harness import Api


def without_id(answer: dict) -> dict:
    assert uuid.UUID(answer["transaction_id"]).version == 7
    return {name: value for name, value in answer.items() if name != "transaction_id"}


def test_award_answers_with_the_balance_and_the_tier_it_led_to(tcp: Api):
    tcp.award("user_123", 1400)

    answer = tcp.award(
        "user_123",
        100,
        reason="Purchase completed",
        metadata={"order_id": "ord_abc", "amount_usd": 49.99},
        idempotency_key="purchase_ord_abc",
    )

    assert answer.status == 200
    assert without_id(answer.json) == {
        "participant_id": "user_123",
        "amount": 100,
        "new_balance": 1500,
        "tier_upgrade": {
            "code": "gold",
            "name": "Gold Tier",
            "level": 3,
            "previous_code": "silver",
            "previous_level": 2,
        },
    }


def test_deduct_answers_with_the_balance(tcp: Api):
    tcp.award("user_123", 1500)

    answer = tcp.deduct("user_123", 50, reason="Reward redemption")

    assert answer.status == 200
    assert without_id(answer.json) == {"participant_id": "user_123", "amount": 50, "new_balance": 1450}


def test_deduct_of_too_much_says_what_there_is(tcp: Api):
    tcp.award("user_123", 30)

    answer = tcp.deduct("user_123", 50)

    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["detail"] == "Insufficient points. Available: 30, requested: 50"
    assert answer.code == "insufficient_points"


def test_batch_answers_item_by_item(tcp: Api):
    for participant, points in (("user_1", 400), ("user_2", 250), ("user_3", 150)):
        tcp.award(participant, points)

    answer = tcp.batch(
        [
            {"participant_id": "user_1", "amount": 100, "reason": "Weekly bonus"},
            {"participant_id": "user_2", "amount": 100, "reason": "Weekly bonus"},
            {"participant_id": "user_3", "amount": 50, "reason": "Referral bonus"},
        ]
    )

    assert answer.status == 200
    assert (answer.json["processed"], answer.json["failed"]) == (3, 0)
    results = [(r["participant_id"], r["new_balance"], r["error"]) for r in answer.json["results"]]
    assert results == [("user_1", 500, None), ("user_2", 350, None), ("user_3", 200, None)]


def test_balance_and_history_tell_what_happened(tcp: Api):
    tcp.award("user_123", 5000, reason="Purchase completed")
    tcp.deduct("user_123", 3500)

    assert tcp.points("user_123").json == {
        "participant_id": "user_123",
        "balance": 1500,
        "total_earned": 5000,
        "total_spent": 3500,
    }
    history = tcp.history("user_123", page=1, page_size=20).json
    assert {name: history[name] for name in ("total", "page", "page_size")} == {"total": 2, "page": 1, "page_size": 20}
    newest, first = history["transactions"]
    assert (newest["type"], newest["amount"], newest["balance_after"]) == ("deduct", 3500, 1500)
    assert (first["type"], first["amount"], first["balance_after"]) == ("award", 5000, 5000)
    assert first["reason"] == "Purchase completed"
    assert first["created_at"].endswith("Z")
