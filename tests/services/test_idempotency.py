"""One key, one effect, one answer: what counts as the same request, and what a key remembers."""

import pytest
from gamify.db import act_as
from gamify.errors import IdempotencyMismatch, InsufficientPoints
from gamify.services import ledger, tiers
from gamify.services.audit import SYSTEM
from gamify.services.idempotency import fingerprint
from gamify.services.ledger import AWARD, DEDUCT, Movement, Receipt

from tests.harness import new_tenant


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"y": 2, "x": 1}]}),
        (1, 1.0),
        (0, -0.0),
        (100, 1e2),
        (2**60, float(2**60)),
        (0.5, 5e-1),
    ],
)
def test_equal_values_are_the_same_request(one, same):
    assert fingerprint("award", {"m": one}) == fingerprint("award", {"m": same})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (1, "1"),
        (None, "null"),
        (None, 0),
        ([1, 2], [2, 1]),
        ([1, [2]], [[1], 2]),
        ({"a": None}, {}),
        ({"a": {"b": 1}}, {"a": 1, "b": {}}),
        ("é", "e\u0301"),
        ("a", "A"),
        (2**53, 2**53 + 1),
        (0.1, 0.10000000000000002),
        ("", None),
    ],
)
def test_different_values_are_different_requests(one, other):
    assert fingerprint("award", one) != fingerprint("award", other)


def test_the_operation_and_the_place_of_a_value_count():
    assert fingerprint("award", "p", 1) != fingerprint("deduct", "p", 1)
    assert fingerprint("award", "a", None) != fingerprint("award", None, "a")


def post(here, tenant_id, kind, amount, *, key="k", who="p", **values):
    [outcome] = ledger.post(here.database, tenant_id, [Movement(kind, who, amount, idempotency_key=key, **values)])
    return outcome


def test_a_replay_tells_the_tier_it_told_at_first_whatever_the_tiers_are_now(here, tenant):
    first = post(here, tenant.id, AWARD, 1500)
    with here.database.transaction(tenant.id) as session:
        tiers.replace(session, tenant.id, {"other": 10_000}, actor=SYSTEM)

    again = post(here, tenant.id, AWARD, 1500)

    assert first.tier_upgrade["code"] == "gold"
    assert again == first
    assert again.is_replay


def test_a_refusal_is_an_answer_even_when_there_are_points_now(here, tenant):
    post(here, tenant.id, AWARD, 10, key=None)
    first = post(here, tenant.id, DEDUCT, 50)
    post(here, tenant.id, AWARD, 100, key=None)

    again = post(here, tenant.id, DEDUCT, 50)

    assert isinstance(first, InsufficientPoints)
    assert isinstance(again, InsufficientPoints)
    assert str(again) == str(first) == "Insufficient points. Available: 10, requested: 50"


@pytest.mark.parametrize(
    "change", [{"amount": 6}, {"who": "q"}, {"kind": DEDUCT}, {"reason": "why"}, {"metadata": {}}, {"reason": ""}]
)
def test_a_key_is_taken_for_every_other_request(here, tenant, api, change):
    asked = {"kind": AWARD, "amount": 5}
    post(here, tenant.id, **asked)

    assert isinstance(post(here, tenant.id, **asked | change), IdempotencyMismatch)
    assert api.balance("p") == 5


def test_who_asks_does_not_make_it_another_request(here, tenant):
    first = post(here, tenant.id, AWARD, 5, api_key_id=1, request_id="a")

    assert post(here, tenant.id, AWARD, 5, api_key_id=2, request_id="b") == first


def test_tenants_and_sandboxes_have_keys_of_their_own(here, tenant):
    other = new_tenant(here)

    outcomes = [post(here, each, AWARD, n + 1) for n, each in enumerate((tenant.id, tenant.sandbox_id, other.id))]

    assert all(isinstance(outcome, Receipt) and not outcome.is_replay for outcome in outcomes)


def test_keys_differ_by_case(here, tenant):
    post(here, tenant.id, AWARD, 5, key="k")

    assert not post(here, tenant.id, AWARD, 5, key="K").is_replay


def test_a_key_survives_a_change_of_every_other_setting(here, tenant):
    with here.database.transaction() as session:
        act_as(session, tenant.id)
        tiers.replace(session, tenant.id, {}, actor=SYSTEM)
    first = post(here, tenant.id, AWARD, 5)

    assert first.tier_upgrade is None
    assert post(here, tenant.id, AWARD, 5) == first


def test_a_key_twice_in_one_batch_behaves_like_two_calls_when_it_has_decided_before(api):
    first = api.award("p", 5, idempotency_key="k").json

    results = api.batch([{"participant_id": "p", "amount": n, "idempotency_key": "k"} for n in (6, 5, 5)]).json["results"]

    assert results[0]["transaction_id"] is None
    assert [result["transaction_id"] for result in results[1:]] == [first["transaction_id"]] * 2
    assert api.balance("p") == 5
