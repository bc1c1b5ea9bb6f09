"""Keys of batches: an item's is that of a single award, and the header's stands for the whole."""

from typing import Any

import pytest

from tests.harness import BASE, Api, TenantUnderTest, assert_failed, item

REPLAYED = "Idempotent-Replayed"
KEY = {"Idempotency-Key": "batch-1"}


def test_item_replays_what_a_single_award_did(api: Api):
    single = api.award("p", 600, idempotency_key="k").json

    answer = api.batch([item("p", 1), item("p", 600, idempotency_key="k")])

    replayed = answer.json["results"][1]
    assert {name: replayed[name] for name in ("transaction_id", "new_balance", "tier_upgrade", "error")} == {
        "transaction_id": single["transaction_id"],
        "new_balance": 600,
        "tier_upgrade": single["tier_upgrade"],
        "error": None,
    }
    assert (answer.json["processed"], answer.json["failed"]) == (2, 0)
    assert REPLAYED not in answer.headers
    assert api.balance("p") == 601


def test_single_award_replays_what_an_item_did(api: Api):
    [result] = api.batch([item("p", 600, idempotency_key="k", reason="r")]).json["results"]

    again = api.award("p", 600, idempotency_key="k", reason="r")

    assert again.headers[REPLAYED] == "true"
    assert (again.json["transaction_id"], again.json["tier_upgrade"]) == (result["transaction_id"], result["tier_upgrade"])
    assert api.award("p", 601, idempotency_key="k").code == "idempotency_mismatch"


def test_item_with_a_key_of_another_request_fails_alone(api: Api):
    api.award("p", 10, idempotency_key="award")
    api.deduct("p", 1, idempotency_key="deduct")
    api.deduct("p", 99, idempotency_key="refused")

    answer = api.batch(
        [
            item("p", 11, idempotency_key="award"),
            item("p", 1, idempotency_key="deduct"),
            item("p", 99, idempotency_key="refused"),
            item("p", 5),
        ]
    )

    assert (answer.json["processed"], answer.json["failed"]) == (1, 3)
    for result in answer.json["results"][:3]:
        assert_failed(result, "p")
        assert "idempotency_key" in result["error"]
    assert api.balance("p") == 14


def test_key_twice_in_one_batch_behaves_like_two_calls(api: Api):
    same, other = item("p", 5, idempotency_key="k"), item("q", 6, idempotency_key="k")

    first, again, mismatch = api.batch([same, same, other]).json["results"]

    assert again == first
    assert_failed(mismatch, "q")
    assert api.balance("p") == 5
    assert api.points("q").status == 404


def test_bad_item_does_not_take_its_key(api: Api):
    first, second = api.batch([item("p", 0, idempotency_key="k"), item("p", 5, idempotency_key="k")]).json["results"]

    assert_failed(first, "p")
    assert second["new_balance"] == 5


def test_header_stands_for_the_whole_batch(api: Api):
    awards = [item("a", 600), None, item("b", 0), item("a", 1, idempotency_key="k"), item("\U0001f600\n")]
    first = api.batch(awards, headers=KEY)
    api.award("a", 7)

    again = api.batch(awards, headers=KEY)

    assert again.body == first.body
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert api.balance("a") == 608


def test_replay_of_a_batch_keeps_its_failures(api: Api):
    api.award("p", 1, idempotency_key="k")
    awards = [item("p", 2, idempotency_key="k")]
    first = api.batch(awards, headers=KEY)

    assert first.json["failed"] == 1
    assert api.batch(awards, headers=KEY).body == first.body


@pytest.mark.parametrize("others", [[item("a", 2)], [item("a"), item("a")], [item("b")], [item("a", reason="")], [None]])
def test_other_batch_under_the_header_is_refused(api: Api, tenant: TenantUnderTest, others: list[Any]):
    api.batch([item("a")], headers=KEY)
    rows = tenant.row_count()

    answer = api.batch(others, headers=KEY)

    assert (answer.status, answer.code, answer.fields) == (422, "idempotency_mismatch", ["idempotency_key"])
    assert tenant.row_count() == rows


def test_order_of_awards_makes_another_batch(api: Api):
    api.batch([item("a"), item("b")], headers=KEY)

    assert api.batch([item("b"), item("a")], headers=KEY).code == "idempotency_mismatch"


def test_equal_batch_is_the_same_however_it_is_written(api: Api):
    api.batch([item("a", metadata={"n": 1, "m": 2})], headers=KEY)
    body = b'{ "awards" : [{"metadata":{"m":2.0,"n":1e0},"reason":null,"amount":1,"participant_id":"\\u0061"}]}'

    again = api.request("POST", f"{BASE}/points/award-batch", body=body, headers=KEY)

    assert again.headers[REPLAYED] == "true"


def test_keys_of_batches_and_of_singles_are_the_same_keys(api: Api):
    api.award("p", 1, headers=KEY)
    assert api.batch([item("p", 1)], headers=KEY).code == "idempotency_mismatch"

    api.batch([item("p", 1)], headers={"Idempotency-Key": "other"})
    assert api.award("p", 1, idempotency_key="other").code == "idempotency_mismatch"
    assert api.deduct("p", 1, idempotency_key="other").code == "idempotency_mismatch"
    [result] = api.batch([item("p", 1, idempotency_key="other")]).json["results"]
    assert_failed(result, "p")
    assert api.balance("p") == 2


def test_item_with_the_batches_own_key_fails(api: Api):
    awards = [item("p", 1, idempotency_key="batch-1"), item("p", 2)]
    first = api.batch(awards, headers=KEY)

    assert_failed(first.json["results"][0], "p")
    assert first.json["results"][1]["new_balance"] == 2
    assert api.batch(awards, headers=KEY).body == first.body
    assert api.award("p", 1, idempotency_key="batch-1").code == "idempotency_mismatch"


def test_sandbox_has_batch_keys_of_its_own(api: Api, tenant: TenantUnderTest):
    api.batch([item("p", 1)], headers=KEY)

    assert api.with_key(tenant.test_key).batch([item("p", 2)], headers=KEY).json["processed"] == 1
