"""Balances and histories: whatever award took is found again, page by page."""

import itertools
import json
import re
import uuid

import pytest
from gamify.api.reading_schemas import HistorySchema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import BASE, Api, TenantUnderTest

ODD_IDS = [
    "a/b",
    "/a",
    "//a",
    "a/",
    "a//b",
    "/",
    "//",
    "/points",
    "a/points",
    "a/points/",
    "a/points/transactions",
    "points/transactions",
    "/points/transactions",
    "a/tier",
    "award",
    "../..",
    "./a",
    "a/../b",
    "...",
    "50%",
    "%2F",
    "%252F",
    "%",
    "a?page=1",
    "a#b",
    "a&b=c;d",
    "a+b",
    "a b",
    " a",
    "a\n",
    "\na",
    "a\r\nb",
    "a\tb",
    "me@example.com",
    "日本語/ключ",
    "e\u0301",
    "\U0001f600",
    "\ufeffa",
    "\x01\x7f",
    "\\",
    "'\"<&>",
    "{id}",
    "None",
    "\U0010ffff",
]
NEVER_TAKEN = ["", " ", ".", "..", "\0", "a\0b", "x" * 256, "x" * 3000, "\u2003\n"]


@pytest.mark.parametrize("participant_id", ODD_IDS)
def test_whatever_award_took_is_found_again(api: Api, participant_id: str):
    assert api.award(participant_id, 3, reason="r").status == 200

    assert api.points(participant_id).json == {
        "participant_id": participant_id,
        "balance": 3,
        "total_earned": 3,
        "total_spent": 0,
    }
    assert api.history(participant_id, page_size=1).json["transactions"][0]["reason"] == "r"


def test_odd_ids_are_found_over_tcp(tcp: Api):
    tcp.batch([{"participant_id": participant_id, "amount": n} for n, participant_id in enumerate(ODD_IDS, start=1)])

    for n, participant_id in enumerate(ODD_IDS, start=1):
        assert tcp.points(participant_id).json["participant_id"] == participant_id
        assert tcp.history(participant_id).json["transactions"][0]["amount"] == n


@given(participant_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_id_is_either_refused_and_unknown_or_found_again(api: Api, participant_id: str):
    award = api.award(participant_id, 1)

    assert (award.status, api.points(participant_id).status) in {(200, 200), (422, 404)}
    assert award.status == 422 or api.points(participant_id).json["participant_id"] == participant_id


def test_ids_that_end_like_routes_are_kept_apart(api: Api):
    for points, participant_id in enumerate(("a", "a/points", "a/points/transactions"), start=1):
        api.award(participant_id, points)

    assert [api.balance(p) for p in ("a", "a/points", "a/points/transactions")] == [1, 2, 3]
    assert [api.history(p).json["transactions"][0]["amount"] for p in ("a", "a/points")] == [1, 2]


@pytest.mark.parametrize("participant_id", NEVER_TAKEN)
def test_id_that_award_refuses_is_unknown(api: Api, participant_id: str):
    for answer in (api.points(participant_id), api.history(participant_id)):
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("path", ["%FF", "%C0%AF", "%ED%A0%80", "%", "%ZZ"])
def test_path_that_is_no_text_is_unknown(tcp: Api, path: str):
    assert tcp.request("GET", f"{BASE}/participants/{path}/points").status == 404


def test_unknown_participant_is_named(api: Api):
    assert "user_9" in api.points("user_9").json["detail"]


def test_participants_of_the_sandbox_are_unknown_to_live(api: Api, tenant: TenantUnderTest):
    api.with_key(tenant.test_key).award("p", 1)

    assert api.points("p").status == api.history("p").status == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(
            (f"page={page}", "page")
            for page in ("0", "-1", "1.0", "1e0", "a", "", "+1", "%201", "1_0", "0x1", "9" * 30, "%D9%A1")
        ),
        *((f"page_size={size}", "page_size") for size in ("0", "101", "-1", "", "ten", "1" * 5000)),
        ("page=1&page=1", "page"),
        ("page=1&page=2", "page"),
        ("page_size=5&page_size=5", "page_size"),
        ("limit=5", "limit"),
        ("Page=1", "Page"),
        ("page=1&pageSize=5", "pageSize"),
        ("page[]=1", "page[]"),
        ("json=1", "json"),
        ("%FF=1", "%FF"),
    ],
)
def test_query_parameter_out_of_bounds_is_named(api: Api, query: str, field: str):
    api.award("p")

    answer = api.request("GET", f"{BASE}/participants/p/points/transactions?{query}")

    assert (answer.status, answer.code, answer.fields) == (422, "invalid_request", [field])


@pytest.mark.parametrize("query", ["page=1", "at=now", "json=1"])
def test_balance_takes_no_parameters(api: Api, query: str):
    api.award("p")

    answer = api.request("GET", f"{BASE}/participants/p/points?{query}")

    assert (answer.status, answer.fields) == (422, [query.partition("=")[0]])


@pytest.mark.parametrize("query", ["", "?", "?page=1", "?page_size=20", "?page=01&page_size=020"])
def test_first_20_are_shown_unless_asked_otherwise(api: Api, query: str):
    api.batch([{"participant_id": "p", "amount": n} for n in range(1, 26)])

    history = api.request("GET", f"{BASE}/participants/p/points/transactions{query}").json

    assert (history["page"], history["page_size"], history["total"]) == (1, 20, 25)
    assert [t["amount"] for t in history["transactions"]] == list(range(25, 5, -1))


@pytest.mark.parametrize("page_size", [1, 3, 24, 25, 26, 100])
def test_pages_put_together_are_the_whole_history(api: Api, page_size: int):
    api.batch([{"participant_id": "p", "amount": n} for n in range(1, 26)])

    pages = [api.history("p", page=page, page_size=page_size).json for page in range(1, 27)]

    assert [t["amount"] for page in pages for t in page["transactions"]] == list(range(25, 0, -1))
    assert {page["total"] for page in pages} == {25}


@pytest.mark.parametrize("page", [2, 50_000, 2**31, 2**63 - 1])
def test_past_the_end_is_empty_with_the_true_total(api: Api, page: int):
    api.award("p")

    assert api.history("p", page=page, page_size=100).json == {"transactions": [], "total": 1, "page": page, "page_size": 100}


def test_transaction_has_the_documented_members(api: Api):
    answer = api.award("p", 5, reason="r", metadata={"a": 1}).json

    [transaction] = api.history("p").json["transactions"]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", transaction.pop("created_at"))
    assert (
        transaction.items()
        >= {
            "transaction_id": answer["transaction_id"],
            "type": "award",
            "amount": 5,
            "reason": "r",
            "metadata": {"a": 1},
            "balance_after": 5,
        }.items()
    )


def test_history_tells_every_movement_once_newest_first(api: Api):
    awarded = api.award("p", 10, idempotency_key="a").json
    api.award("p", 10, idempotency_key="a")
    api.deduct("p", 11)
    deducted = api.deduct("p", 4).json

    shown = [(t["transaction_id"], t["type"], t["amount"], t["balance_after"]) for t in api.history("p").json["transactions"]]

    assert shown == [(deducted["transaction_id"], "deduct", 4, 6), (awarded["transaction_id"], "award", 10, 10)]


def test_time_never_runs_backwards(api: Api):
    for _ in range(5):
        api.batch([{"participant_id": "p", "amount": 2}] * 5)
        api.deduct("p", 1)

    transactions = api.history("p", page_size=100).json["transactions"]

    assert all(later["created_at"] > earlier["created_at"] for later, earlier in itertools.pairwise(transactions))
    ids = [uuid.UUID(t["transaction_id"]) for t in transactions]
    assert ids == sorted(ids, reverse=True)


def test_history_is_what_its_schema_would_make_of_it(api: Api):
    api.award("p", 10, reason="r", metadata={"b": [1, 1.5, None], "a": {}})
    api.deduct("p", 3)
    history = api.history("p", page_size=2).json
    schema = HistorySchema()

    dumped = json.dumps(schema.dump(schema.load(history)))

    assert json.loads(dumped.replace("+00:00", "Z")) == history  # two ways to write UTC; the API writes Z


def test_balance_is_what_was_earned_less_what_was_spent(api: Api):
    api.award("p", 100)
    api.deduct("p", 30)
    api.deduct("p", 71)
    api.batch([{"participant_id": "p", "amount": 5}, {"participant_id": "p", "amount": 0}])

    assert api.points("p").json == {"participant_id": "p", "balance": 75, "total_earned": 105, "total_spent": 30}
