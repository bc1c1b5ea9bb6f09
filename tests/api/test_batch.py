"""Batches: independent items, applied in order, in one transaction."""

import json
import uuid
from typing import Any

import pytest

from tests.harness import BASE, Answer, Api, TenantUnderTest, assert_failed, item

KEY = {"Idempotency-Key": "batch-1"}


def post(api: Api, body: Any) -> Answer:
    return api.request("POST", f"{BASE}/points/award-batch", body=body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "awards"),
        ({"awards": None}, "awards"),
        ({"awards": []}, "awards"),
        ({"awards": {}}, "awards"),
        ({"awards": "text"}, "awards"),
        ({"awards": {"0": item()}}, "awards"),
        ({"awards": [item()] * 101}, "awards"),
        ({"awards": [item()], "idempotency_key": "k"}, "idempotency_key"),
        ({"awards": [item()], "json": 1}, "json"),
        ([item()], "body"),
    ],
)
def test_wrong_envelope_is_refused_as_a_whole(api: Api, tenant: TenantUnderTest, body: Any, field: str):
    answer = post(api, body)

    assert (answer.status, answer.fields) == (422, [field])
    assert tenant.row_count() == 0


@pytest.mark.parametrize("size", [1, 100])
def test_batch_may_have_1_to_100_awards(api: Api, size: int):
    answer = api.batch([item(f"p{n}", n + 1) for n in range(size)])

    assert (answer.json["processed"], answer.json["failed"]) == (size, 0)
    assert [r["participant_id"] for r in answer.json["results"]] == [f"p{n}" for n in range(size)]
    assert [r["new_balance"] for r in answer.json["results"]] == [n + 1 for n in range(size)]
    assert api.balance(f"p{size - 1}") == size


def test_result_has_all_members(api: Api):
    [result] = api.batch([item("p", 600)]).json["results"]

    assert set(result) == {"participant_id", "transaction_id", "new_balance", "tier_upgrade", "error"}
    assert uuid.UUID(result["transaction_id"]).version == 7
    assert result["tier_upgrade"]["code"] == "silver"
    assert result["error"] is None


@pytest.mark.parametrize("element", [None, 1, True, "text", [], [item()], {}])
def test_element_that_is_no_award_fails_alone(api: Api, element: Any):
    answer = api.batch([item("a", 5), element, item("b", 6)])

    assert (answer.status, answer.json["processed"], answer.json["failed"]) == (200, 2, 1)
    assert_failed(answer.json["results"][1], None)
    assert (api.balance("a"), api.balance("b")) == (5, 6)


@pytest.mark.parametrize(
    ("bad", "named", "shown"),
    [
        (item("", 1), "participant_id", ""),
        (item("x" * 256, 1), "participant_id", "x" * 256),
        (item(1, 1), "participant_id", None),
        ({"amount": 1}, "participant_id", None),
        (item("p", 0), "amount", "p"),
        (item("p", "1"), "amount", "p"),
        (item("p", 10**30), "amount", "p"),
        (item("p", reason="x" * 501), "reason", "p"),
        (item("p", metadata=[]), "metadata", "p"),
        (item("p", metadata={"a": "\0"}), "metadata", "p"),
        (item("p", metadata={"a": 2**63}), "metadata", "p"),
        (item("p", idempotency_key=""), "idempotency_key", "p"),
        (item("p", idempotencyKey="k"), "idempotencyKey", "p"),
        (item("a\0b"), "participant_id", "a\0b"),
    ],
)
def test_bad_item_fails_alone_and_is_named(api: Api, tenant: TenantUnderTest, bad: Any, named: str, shown: str | None):
    answer = api.batch([bad, item("good")])

    assert answer.status == 200
    assert_failed(answer.json["results"][0], shown)
    assert answer.json["results"][0]["error"].startswith(f"{named}: ")
    assert tenant.row_count() == 2


@pytest.mark.parametrize("headers", [{}, KEY])
@pytest.mark.parametrize(
    "bad",
    [
        '{"participant_id": "p", "amount": 1e400}',
        '{"participant_id": "p", "amount": 1, "metadata": {"n": -1e400}}',
        '{"participant_id": "p", "amount": 1, "metadata": {"a": ' + "[" * 200 + "]" * 200 + "}}",
        '{"participant_id": "p", "amount": 1' + "0" * 4000 + "}",
        '{"participant_id": "p", "amount": 1, "metadata": {"s": "\\ud800"}}',
        "1e400",
    ],
)
def test_odd_json_in_an_item_fails_alone(api: Api, bad: str, headers: dict[str, str]):
    body = f'{{"awards": [{bad}, {{"participant_id": "good", "amount": 3}}]}}'.encode()

    answer = api.request("POST", f"{BASE}/points/award-batch", body=body, headers=headers)

    assert (answer.status, answer.json["processed"], answer.json["failed"]) == (200, 1, 1)
    assert api.balance("good") == 3


def test_all_items_may_fail(api: Api, tenant: TenantUnderTest):
    answer = api.batch([None, item("p", 0)])

    assert (answer.status, answer.json["processed"], answer.json["failed"]) == (200, 0, 2)
    assert tenant.row_count() == 0


def test_items_of_one_participant_apply_in_order(api: Api):
    answer = api.batch([item("a", 300), item("b", 1), item("a", 300), item("a", 0), item("a", 900)])

    assert [r["new_balance"] for r in answer.json["results"]] == [300, 1, 600, None, 1500]
    assert [r["tier_upgrade"] and r["tier_upgrade"]["code"] for r in answer.json["results"]] == [
        None,
        None,
        "silver",
        None,
        "gold",
    ]
    amounts = [t["amount"] for t in api.history("a").json["transactions"]]
    assert amounts == [900, 300, 300]


def test_a_hundred_awards_to_one_participant_each_have_their_balance(api: Api):
    answer = api.batch([item("p", 1, reason=str(n)) for n in range(100)])

    assert [r["new_balance"] for r in answer.json["results"]] == list(range(1, 101))
    assert len({r["transaction_id"] for r in answer.json["results"]}) == 100
    assert [t["reason"] for t in api.history("p", page_size=100).json["transactions"]] == [str(n) for n in reversed(range(100))]


def test_large_batch_is_taken(api: Api):
    metadata = {"a": "x" * 16_000}

    answer = api.batch([item(f"p{n}", metadata=metadata, reason="\U0001f600" * 500) for n in range(100)])

    assert answer.json["processed"] == 100
    assert len(json.dumps(api.history("p99").json["transactions"][0]["metadata"])) > 16_000


@pytest.mark.parametrize("headers", [{}, KEY])
@pytest.mark.parametrize("bad", [item("\ud800"), item("p", **{"\ud800": 1})])
def test_lone_surrogate_fails_alone(api: Api, bad: dict[str, Any], headers: dict[str, str]):
    answer = api.batch([bad, item("good", 3)], headers=headers)

    assert (answer.status, answer.json["processed"], answer.json["failed"]) == (200, 1, 1)
    assert_failed(answer.json["results"][0], bad["participant_id"])
    assert api.balance("good") == 3
