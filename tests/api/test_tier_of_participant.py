"""A participant's tier: what they hold, since when and why, what comes next, and pins by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness import BASE, Answer, Api, quote
from tests.people import log_of

LATER = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
LATER_TEXT = f"{LATER:%Y-%m-%dT%H:%M:%SZ}"
ODD_IDS = (
    "a/b",
    "/a/",
    "a//b",
    "100%",
    "a?b=c",
    "a#b",
    "über 日本",
    "a\nb",
    "a/points",
    "a/points/transactions",
    "a/tier",
    "tier",
)


def tier(api: Api, pid: str = "p", query: str = "") -> Answer:
    return api.request("GET", f"{BASE}/participants/{quote(pid)}/tier{query}")


def assign(api: Api, pid: Any = "p", **values: Any) -> Answer:
    body = {"participant_id": pid, "tier": "gold", "reason": "Partner of the house"} | values
    return api.request("POST", f"{BASE}/tiers/assign", body={name: value for name, value in body.items() if value != "absent"})


def unassign(api: Api, pid: Any = "p", **values: Any) -> Answer:
    return api.request("POST", f"{BASE}/tiers/unassign", body={"participant_id": pid} | values)


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in ("at", "since", "transaction_id")}


def test_the_tier_is_told_with_its_cause_what_comes_next_and_the_history(api: Api):
    api.award("p", 100)
    led_to = api.award("p", 500, reason="A large order").json["transaction_id"]
    found = tier(api).json

    since = api.history("p").json["transactions"][0]["created_at"]
    assert found["current"] == {
        "code": "silver",
        "name": "Silver Tier",
        "level": 2,
        "since": since,
        "cause": "award",
        "explanation": "Earned by an award",
    }
    assert (found["pinned"], found["kept"]) == (None, None)
    assert found["next"] == {
        "code": "gold",
        "name": "Gold Tier",
        "level": 3,
        "points_required": 1500,
        "points_remaining": 900,
    }
    assert found["qualifying"] == {"basis": "lifetime", "points": 600, "from": None, "to": None, "lasts_until": None}
    [change] = found["history"]
    assert (change["at"], change["transaction_id"], change["reason"]) == (since, led_to, "A large order")
    assert (change["before"]["code"], change["after"]["code"]) == ("bronze", "silver")
    assert found["next_cursor"] is None


def test_the_tier_of_the_beginning_is_held_from_the_start_and_the_highest_has_no_next(api: Api):
    api.award("low", 1)
    api.award("high", 9_999)

    low, high = tier(api, "low").json, tier(api, "high").json

    assert (low["current"]["code"], low["current"]["cause"], low["history"]) == ("bronze", "beginning", [])
    assert low["current"]["since"] == api.history("low").json["transactions"][0]["created_at"]
    assert (high["current"]["code"], high["next"]) == ("gold", None)


def test_who_has_no_tier_is_told_so(api: Api, tenant):
    tenant.put_tiers(silver=500)
    api.award("p", 20)

    found = tier(api).json

    assert (found["current"], found["history"]) == (None, [])
    assert (found["next"]["code"], found["next"]["points_remaining"]) == ("silver", 480)


def test_without_any_tiers_there_is_nothing_to_tell(api: Api, tenant):
    tenant.put_tiers()
    api.award("p", 20)

    found = tier(api).json

    assert (found["current"], found["next"], found["qualifying"]["points"]) == (None, None, 20)


def test_a_pin_is_told_with_when_why_and_by_whom_and_no_award_moves_it(api: Api):
    api.award("p", 600)
    made = assign(api, expires_at=LATER_TEXT)
    api.award("p", 10)
    found = tier(api).json

    assert made.status == 200
    assert {name: value for name, value in found.items() if name in made.json} == made.json | {"qualifying": found["qualifying"]}
    assert (found["current"]["code"], found["current"]["cause"]) == ("gold", "pinned")
    assert found["current"]["explanation"] == f"Pinned by {api.key[:16]}: Partner of the house"
    assert without_times(found["pinned"]) == {"until": LATER_TEXT, "reason": "Partner of the house", "by": api.key[:16]}
    assert without_times(found["history"][0]) == {
        "cause": "pinned",
        "explanation": f"Pinned by {api.key[:16]}: Partner of the house",
        "before": {"code": "silver", "name": "Silver Tier", "level": 2},
        "after": {"code": "gold", "name": "Gold Tier", "level": 3},
        "is_kept": False,
        "reason": "Partner of the house",
        "by": api.key[:16],
        "ladder_version": 1,
    }


def test_the_same_pin_again_answers_the_same_and_is_one_pin(api: Api, tenant):
    api.award("p", 1)

    answers = [assign(api, expires_at=LATER_TEXT) for _ in range(3)]

    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.body for answer in answers}) == 1
    assert len(tier(api).json["history"]) == 1
    assert [entry.action for entry in log_of(tenant.here, tenant.id)].count("tier.pin") == 1


def test_a_pin_ends_by_hand_and_to_end_it_again_answers_the_same(api: Api, tenant):
    api.award("p", 600)
    assign(api)

    answers = [unassign(api, reason="The contract has ended") for _ in range(3)]

    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.body for answer in answers}) == 1
    assert (answers[0].json["current"]["code"], answers[0].json["pinned"]) == ("silver", None)
    assert [change["cause"] for change in tier(api).json["history"]] == ["unpinned", "pinned", "award"]
    assert tier(api).json["history"][0]["explanation"] == f"Unpinned by {api.key[:16]}: The contract has ended"
    entries = [entry for entry in log_of(tenant.here, tenant.id) if entry.action.startswith("tier.")]
    assert [(entry.action, entry.actor_kind, entry.actor) for entry in entries] == [
        ("tier.pin", "key", api.key[:16]),
        ("tier.unpin", "key", api.key[:16]),
    ]


@pytest.mark.parametrize("pid", ODD_IDS)
def test_any_id_has_a_tier_and_can_be_pinned(api: Api, pid: str):
    api.award(pid, 1)

    assert assign(api, pid).json["participant_id"] == pid
    assert tier(api, pid).json["participant_id"] == pid
    assert tier(api, pid).json["current"]["code"] == "gold"
    assert unassign(api, pid).json["current"]["code"] == "bronze"


def test_odd_ids_are_found_over_tcp(tcp: Api):
    for pid in ODD_IDS:
        tcp.award(pid, 1)
        assert tier(tcp, pid).json["participant_id"] == pid


def test_who_is_unknown_is_404(api: Api):
    for answer in (tier(api), tier(api, "\0"), assign(api), unassign(api)):
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"tier": "ruby"}, "tier"),
        ({"tier": ""}, "tier"),
        ({"tier": 3}, "tier"),
        ({"tier": None}, "tier"),
        ({"tier": "absent"}, "tier"),
        ({"tier": "a\0"}, "tier"),
        ({"reason": "absent"}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "r" * 501}, "reason"),
        ({"reason": "a\0"}, "reason"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2100-01-01"}, "expires_at"),
        ({"expires_at": 4102444800}, "expires_at"),
        ({"expires_at": True}, "expires_at"),
        ({"expiresAt": LATER_TEXT}, "expiresAt"),
        ({"idempotency_key": "k"}, "idempotency_key"),
        ({"participant_id": "."}, "participant_id"),
        ({"participant_id": 5}, "participant_id"),
        ({"participant_id": "absent"}, "participant_id"),
    ],
)
def test_a_pin_that_makes_no_sense_is_refused_by_name_and_nothing_is_stored(api: Api, values: dict[str, Any], field: str):
    api.award("p", 1)

    answer = assign(api, **values)

    assert (answer.status, answer.code, answer.fields) == (422, "invalid_request", [field])
    assert (tier(api).json["pinned"], tier(api).json["history"]) == (None, [])


@pytest.mark.parametrize(("values", "field"), [({"reason": "r" * 501}, "reason"), ({"tier": "gold"}, "tier")])
def test_to_unpin_says_no_more_than_whom_and_why(api: Api, values: dict[str, Any], field: str):
    api.award("p", 1)
    assign(api)

    assert (unassign(api, **values).status, unassign(api, **values).fields) == (422, [field])
    assert tier(api).json["pinned"] is not None


def test_an_absent_end_is_the_same_as_null(api: Api):
    api.award("p", 1)

    assert assign(api).body == assign(api, expires_at=None).body
    assert tier(api).json["pinned"]["until"] is None


def test_the_history_goes_on_by_its_cursor_and_misses_nothing(api: Api):
    api.award("p", 600)
    for n in range(4):
        assign(api, reason=f"n{n}")
        unassign(api)
    whole = tier(api, query="?limit=100").json["history"]
    found, cursor = [], ""
    while cursor is not None:
        page = tier(api, query=f"?limit=2{cursor and f'&cursor={cursor}'}").json
        found += page["history"]
        cursor = page["next_cursor"]

    assert found == whole
    assert [change["cause"] for change in found] == ["unpinned", "pinned"] * 4 + ["award"]
    assert page["current"]["code"] == "silver"


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor"), ("cursor=WyJhIiwxXQ", "cursor"),
     ("page=1", "page"), ("limit=1&limit=2", "limit")],
)  # fmt: skip
def test_query_parameter_out_of_bounds_is_named(api: Api, query: str, field: str):
    api.award("p", 1)

    answer = tier(api, query=f"?{query}")

    assert (answer.status, answer.fields) == (422, [field])


def test_checks_come_in_the_order_of_the_contract(api: Api, tenant):
    reader = api.with_key(tenant.issue("tiers:read"))
    path = f"{BASE}/tiers/assign"

    assert api.with_key(None).request("POST", path, body=b"{").status == 401
    assert reader.request("GET", path).status == 405
    assert reader.request("POST", path, body=b"{").status == 403
    assert api.request("POST", path, body=b"{", headers={"Content-Type": "text/plain"}).status == 415
    assert api.request("POST", path, body=b'{"reason": "' + b"x" * 1024 * 1024).status == 413
    assert api.request("POST", path, body=b"{").status == 400
    assert api.request("POST", path, body=[]).status == 422
    assert assign(api, tier="ruby").status == 422  # though the participant is unknown too


def test_a_test_key_pins_in_the_sandbox_only(api: Api, tenant):
    sandbox = api.with_key(tenant.test_key)
    for each in (api, sandbox):
        each.award("p", 1)

    assert assign(sandbox).json["current"]["code"] == "gold"
    assert tier(api).json["current"]["code"] == "bronze"
