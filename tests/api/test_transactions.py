"""The tenant's ledger can be searched, page by page, and looked at as of any instant."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from gamify.api.reading_schemas import FoundSchema, OwnedTransactionSchema
from gamify.services import entries
from gamify.services.entries import Filter

from tests.harness import BASE, Answer, Api

PATH = f"{BASE}/points/transactions"


def search(api: Api, **query) -> Answer:
    names = {name.replace("__", "."): value for name, value in query.items()}
    return api.request("GET", f"{PATH}?{urlencode(names)}")


def ids(answer: Answer) -> list[str]:
    return [transaction["transaction_id"] for transaction in answer.json["transactions"]]


@pytest.fixture
def made(api: Api) -> dict[str, str]:
    """Five entries, oldest first, by name."""
    return {
        "small": api.award("ann", 10, reason="Bonus").json["transaction_id"],
        "order": api.award("ann", 500, reason="Purchase", metadata={"order_id": "o1", "vip": True}).json["transaction_id"],
        "other": api.award("bob", 70, reason="Purchase", metadata={"order_id": "o2"}).json["transaction_id"],
        "spent": api.deduct("ann", 20, reason="Reward").json["transaction_id"],
        "last": api.award("bob", 1, metadata={"n": 7}).json["transaction_id"],
    }


def test_everything_newest_first(api: Api, made: dict):
    assert ids(search(api)) == list(reversed(made.values()))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"participant_id": "bob"}, ["last", "other"]),
        ({"participant_id": "nobody"}, []),
        ({"type": "deduct"}, ["spent"]),
        ({"reason": "Purchase"}, ["other", "order"]),
        ({"min_amount": 70}, ["other", "order"]),
        ({"max_amount": 20}, ["last", "spent", "small"]),
        ({"min_amount": 20, "max_amount": 70}, ["spent", "other"]),
        ({"metadata__order_id": "o1"}, ["order"]),
        ({"metadata__n": "7"}, ["last"]),
        ({"metadata__vip": "true", "metadata__order_id": "o1"}, ["order"]),
        ({"participant_id": "ann", "type": "award", "reason": "Bonus"}, ["small"]),
    ],
)
def test_a_filter_finds_just_what_it_names(api: Api, made: dict, query: dict, names: list[str]):
    assert ids(search(api, **query)) == [made[name] for name in names]


def test_times_are_from_inclusive_to_exclusive_to_the_microsecond(api: Api, made: dict):
    at = {t["transaction_id"]: t["created_at"] for t in search(api).json["transactions"]}

    found = search(api, **{"from": at[made["order"]], "to": at[made["spent"]]})

    assert ids(found) == [made["other"], made["order"]]


def test_pages_follow_each_other_without_gap_or_overlap(api: Api, made: dict):
    seen: list[str] = []
    cursor = None
    while True:
        page = search(api, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += ids(page)
        cursor = page.json["next_cursor"]
        if cursor is None:
            break
    assert seen == list(reversed(made.values()))


def test_one_transaction_says_whose_it_is(api: Api, made: dict):
    answer = api.request("GET", f"{PATH}/{made['order']}")

    assert answer.status == 200
    assert answer.json["participant_id"] == "ann"
    assert answer.json["metadata"] == {"order_id": "o1", "vip": True}


@pytest.mark.parametrize("unknown", ["0198f0c2-a1b2-7c3d-9e4f-5a6b7c8d9e0f", "x", "0"])
def test_unknown_transactions_are_404(api: Api, unknown: str):
    assert api.request("GET", f"{PATH}/{unknown}").status == 404


def test_other_tenants_see_nothing(api: Api, made: dict, tenant):
    sandbox = api.with_key(tenant.test_key)

    assert ids(search(sandbox)) == []
    assert sandbox.request("GET", f"{PATH}/{made['order']}").status == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01T00:00:00Z"}, "to"),
        ({"from": "2026-02-14"}, "from"),
        ({"type": "gift"}, "type"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"min_amount": "ten"}, "min_amount"),
        ({"cursor": "!"}, "cursor"),
        ({"cursor": "abc"}, "cursor"),
        ({"page": "1"}, "page"),
        ({"reason": "a\0b"}, "reason"),
        ({"metadata.a": "\0"}, "metadata.a"),
        ({"participant_id": "\0"}, "participant_id"),
    ],
)
def test_bad_parameters_are_named(api: Api, query: dict, field: str):
    answer = search(api, **query)

    assert (answer.status, answer.fields) == (422, [field])


def test_what_is_sent_is_what_the_schemas_would_send(api: Api, made: dict, here, tenant):
    found = entries.search(here.database, tenant.id, Filter(), before=None, limit=3)
    sent = search(api, limit=3).json

    assert FoundSchema().validate(sent) == {}
    assert [t["transaction_id"] for t in sent["transactions"]] == [str(entry.id) for entry in found.entries]
    assert set(sent["transactions"][0]) == set(OwnedTransactionSchema().fields)


def test_points_at_an_instant_are_those_after_the_last_entry_until_then(api: Api, made: dict):
    first, second, *_ = [t["created_at"] for t in reversed(api.history("ann").json["transactions"])]
    just_before = (datetime.fromisoformat(second) - timedelta(microseconds=1)).astimezone(UTC).isoformat()

    def at(instant: str) -> tuple[int, int, int]:
        found = api.request("GET", f"{BASE}/participants/ann/points?{urlencode({'at': instant})}").json
        return found["balance"], found["total_earned"], found["total_spent"]

    assert at("2020-01-01T00:00:00Z") == (0, 0, 0)
    assert at(first) == (10, 10, 0)
    assert at(just_before) == (10, 10, 0)
    assert at(second) == (510, 510, 0)
    assert at("2099-01-01T00:00:00+02:00") == (490, 510, 20)


def test_points_at_an_instant_of_somebody_unknown_are_404(api: Api):
    assert api.request("GET", f"{BASE}/participants/nobody/points?at=2026-01-01T00:00:00Z").status == 404


def test_points_at_an_instant_take_one_probe_of_an_index(api: Api, made: dict, owner, tenant):
    owner.execute("SET enable_seqscan = off")
    plan = owner.execute(
        "EXPLAIN SELECT * FROM ledger_entries WHERE tenant_id = %s AND participant_id = 1 AND created_at <= now()"
        " ORDER BY created_at DESC LIMIT 1",
        [tenant.id],
    ).fetchall()

    assert any("ledger_entries_tenant_id_participant_id_created_at_idx" in line for (line,) in plan)
    assert not any("Sort" in line for (line,) in plan)
