"""Nobody meets anything of another tenant's: every route of the API, with B's key and A's ids."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from flask import Flask
from gamify.api.guard import GUARDED
from gamify.services.reports import age_steps
from gamify.services.reports.age_steps import Progress
from gamify.services.reports.ages import Ages

from tests.harness import BASE, Answer, Api, TenantUnderTest, item, new_tenant, quote

TENANT_TABLES = "SELECT relname FROM pg_class WHERE relforcerowsecurity AND relkind IN ('r', 'p') ORDER BY 1"
AS_STORED = "to_jsonb(t) - '{last_used_at,last_used_address}'::text[]"
ANN, BOB, CAT = "ann@shop.example", "bob", "cat"  # of both tenants, of A alone, of nobody
KEY, BATCH_KEY = "order-1", "week-7"  # idempotency keys that A has used
A_BATCH = [item(BOB, 1)]


@dataclass
class Neighbours:
    """Tenant A with a history, and its neighbour B, who has one participant with A's id; `api` is B's."""

    a: TenantUnderTest
    as_a: Api
    api: Api
    award: str  # A's transactions
    deduct: str
    cursor: str

    def stored_of_a(self, owner: Any) -> dict[str, list[str]]:
        """Every row of A's, its sandbox included, but for when its keys were used."""
        found = {}
        for (table,) in owner.execute(TENANT_TABLES).fetchall():
            rows = f"SELECT ({AS_STORED})::text FROM {table} AS t WHERE tenant_id = ANY(%s) ORDER BY 1"
            found[table] = [row for (row,) in owner.execute(rows, [[self.a.id, self.a.sandbox_id]])]
        return found


@pytest.fixture
def neighbours(api: Api, tenant: TenantUnderTest) -> Neighbours:
    made = api.award(ANN, 700, reason="A's own reason", metadata={"of": "A"}, idempotency_key=KEY)
    spent = api.deduct(ANN, 100)
    api.award(BOB, 40)
    for who, name in ((ANN, "Ann of A"), (BOB, "Bob of A")):
        api.request("POST", f"{BASE}/participants", body={"participant_id": who, "display_name": name})
    api.batch(A_BATCH, headers={"Idempotency-Key": BATCH_KEY})
    api.with_key(tenant.test_key).award(ANN, 5)
    cursor = api.request("GET", f"{BASE}/points/transactions?limit=1").json["next_cursor"]
    as_b = api.with_key(new_tenant(tenant.here).key)
    as_b.award(ANN, 3)
    return Neighbours(tenant, api, as_b, made.json["transaction_id"], spent.json["transaction_id"], cursor)


def same_as_unknown(answer_to: Callable[[str], Answer], ids: list[str], unknown: str, *, status: int = 404) -> None:
    """Claim that each id is answered as one that never existed, word for word but for the id and the request's own."""
    never = answer_to(unknown)
    for one in ids:
        answer = answer_to(one)
        assert (answer.status, never.status) == (status, status)
        assert without_ids(answer, one) == without_ids(never, unknown)
        assert set(answer.headers.keys()) == set(never.headers.keys())


def without_ids(answer: Answer, one: str) -> str:
    return re.sub(r'"request_id":"[^"]*"', "", answer.body.decode()).replace(one, "ID")


def award(n: Neighbours) -> None:
    assert n.api.award(ANN, 1).json["new_balance"] == 4
    assert n.api.award(BOB, 1).json["new_balance"] == 1
    fresh = n.api.award(ANN, 700, reason="A's own reason", metadata={"of": "A"}, idempotency_key=KEY)
    assert "Idempotent-Replayed" not in fresh.headers
    assert (fresh.json["new_balance"], fresh.json["transaction_id"] == n.award) == (704, False)


def deduct(n: Neighbours) -> None:
    same_as_unknown(lambda who: n.api.deduct(who, 1), [BOB], CAT, status=400)
    assert n.api.deduct(ANN, 4).json["detail"] == "Insufficient points. Available: 3, requested: 4"
    assert n.api.deduct(ANN, 1, idempotency_key=KEY).json["new_balance"] == 2


def award_batch(n: Neighbours) -> None:
    answer = n.api.batch([item(ANN, 1), item(BOB, 2), item(ANN, 700, idempotency_key=KEY)], headers={"Idempotency-Key": "batch"})

    assert [result["new_balance"] for result in answer.json["results"]] == [4, 2, 704]
    again = n.api.batch(A_BATCH, headers={"Idempotency-Key": BATCH_KEY})
    assert "Idempotent-Replayed" not in again.headers
    assert again.json["results"][0]["new_balance"] == 3


def search(n: Neighbours) -> None:
    path = f"{BASE}/points/transactions"
    queries = (
        "",
        f"?cursor={n.cursor}",
        f"?participant_id={quote(ANN)}",
        "?metadata.of=A",
        "?type=deduct",
        "?reason=A's own reason",
    )
    for query in queries:
        found = n.api.request("GET", path + query).json["transactions"]
        assert {entry["participant_id"] for entry in found} <= {ANN}
        assert {entry["amount"] for entry in found} <= {3}
    same_as_unknown(lambda who: n.api.request("GET", f"{path}?participant_id={who}"), [BOB], CAT, status=200)


def transaction(n: Neighbours) -> None:
    look = lambda one: n.api.request("GET", f"{BASE}/points/transactions/{one}")  # noqa: E731  # it is the question itself

    same_as_unknown(look, [n.award, n.deduct], str(uuid.uuid4()))


def reverse(n: Neighbours) -> None:
    for body in ({}, {"allow_partial": True}, {"idempotency_key": KEY}):
        same_as_unknown(
            lambda one, body=body: n.api.request("POST", f"{BASE}/points/transactions/{one}/reverse", body=body),  # type: ignore[misc]
            [n.award, n.deduct],
            str(uuid.uuid4()),
        )


def points(n: Neighbours) -> None:
    assert n.api.points(ANN).json == {"participant_id": ANN, "balance": 3, "total_earned": 3, "total_spent": 0}
    same_as_unknown(n.api.points, [BOB], CAT)
    at = "?at=2100-01-01T00:00:00Z"
    same_as_unknown(lambda who: n.api.request("GET", f"{BASE}/participants/{who}/points{at}"), [BOB], CAT)


def history(n: Neighbours) -> None:
    own = n.api.history(ANN).json
    assert (own["total"], [entry["amount"] for entry in own["transactions"]]) == (1, [3])
    same_as_unknown(n.api.history, [BOB], CAT)


def ladder_routes(method: str, path: str, body: Any = None) -> Callable[[Neighbours], None]:
    """B's ladder is B's: whatever is done there is answered of B's own version and draft, of which A knows nothing."""

    def recipe(n: Neighbours) -> None:
        n.as_a.request("GET", f"{BASE}/tiers/draft")
        revision = n.api.request("GET", f"{BASE}/tiers/draft").json["revision"]
        sent = {"revision": revision, "tiers": [{"code": "b", "threshold": 2}]}
        saved = n.api.request("PUT", f"{BASE}/tiers/draft", body=sent).json
        asked = body and {name: saved["revision"] if name == "revision" else value for name, value in body.items()}
        answer = n.api.request(method, f"{BASE}/tiers{path}".replace("REVISION", str(saved["revision"])), body=asked)
        assert answer.status in (200, 409), answer.body
        assert BOB not in answer.body.decode()
        assert n.as_a.request("GET", f"{BASE}/tiers").json["version"] == 1
        assert not n.as_a.request("GET", f"{BASE}/tiers/draft").json["is_saved"]

    return recipe


def preview(n: Neighbours) -> None:
    body = {"tiers": [{"code": "high", "threshold": 5_000}], "falling": "move_down", "movers": {}}
    seen = n.api.request("POST", f"{BASE}/tiers/preview", body=body).json
    assert (seen["total"], seen["fall"]) == (1, 1)
    assert [row["participant_id"] for row in seen["movers"]["participants"]] == [ANN]


def people(n: Neighbours) -> None:
    path = f"{BASE}/participants"
    for query in ("", f"?q={ANN[:4]}", "?q=Bob of A", "?tier=bronze", f"?participant_id={quote(ANN)}", "?limit=1"):
        found = n.api.request("GET", path + query).json
        assert {(one["participant_id"], one["balance"]) for one in found["participants"]} <= {(ANN, 3)}
        assert found["next_cursor"] is None
    same_as_unknown(lambda who: n.api.request("GET", f"{path}?participant_id={who}"), [BOB], CAT, status=200)


def register(n: Neighbours) -> None:
    for who in (ANN, BOB):
        made = n.api.request("POST", f"{BASE}/participants", body={"participant_id": who, "display_name": "of B"}).json
        assert (made["balance"], made["attributes"]) == (3 if who == ANN else 0, {})


def person(n: Neighbours) -> None:
    assert n.api.request("GET", f"{BASE}/participants/{quote(ANN)}").json["balance"] == 3
    same_as_unknown(lambda who: n.api.request("GET", f"{BASE}/participants/{who}"), [BOB], CAT)


def change(n: Neighbours) -> None:
    body = {"display_name": "of B", "attributes": {"of": "B"}}
    for address in ("/{}", "?participant_id={}"):
        same_as_unknown(
            lambda who, address=address: n.api.request("PATCH", f"{BASE}/participants{address.format(who)}", body=body),  # type: ignore[misc]
            [BOB],
            CAT,
        )
        path = f"{BASE}/participants{address.format(quote(ANN))}"
        assert n.api.request("PATCH", path, body=body).json["attributes"] == {"of": "B"}


def erase(n: Neighbours) -> None:
    for address in ("/{}", "?participant_id={}"):
        same_as_unknown(
            lambda who, address=address: n.api.request("DELETE", f"{BASE}/participants{address.format(who)}"),  # type: ignore[misc]
            [BOB],
            CAT,
        )
    assert n.api.request("DELETE", f"{BASE}/participants/{quote(ANN)}").status == 200
    assert n.as_a.request("GET", f"{BASE}/participants/{quote(ANN)}").json["display_name"] == "Ann of A"


def tier(n: Neighbours) -> None:
    look = lambda who: n.api.request("GET", f"{BASE}/participants/{quote(who)}/tier")  # noqa: E731  # it is the question itself

    assert look(ANN).json["qualifying"]["points"] == 3
    same_as_unknown(look, [BOB], CAT)


def assign(n: Neighbours) -> None:
    pin = lambda who: n.api.request("POST", f"{BASE}/tiers/assign", body={"participant_id": who, "tier": "gold", "reason": "r"})  # noqa: E731

    same_as_unknown(pin, [BOB], CAT)
    assert pin(ANN).json["current"]["code"] == "gold"


def unassign(n: Neighbours) -> None:
    unpin = lambda who: n.api.request("POST", f"{BASE}/tiers/unassign", body={"participant_id": who})  # noqa: E731

    same_as_unknown(unpin, [BOB], CAT)
    assert unpin(ANN).json["pinned"] is None


def reports(name: str, *queries: str) -> Callable[[Neighbours], None]:
    """B's report is that of a tenant without any neighbour."""

    def recipe(n: Neighbours) -> None:
        alone = n.api.with_key(new_tenant(n.a.here).key)
        alone.award(ANN, 3)
        for query in ("", "?period=all&compare=year", *queries):
            for accept in ("application/json", "text/csv"):
                path, headers = f"{BASE}/reports/{name}{query}", {"Accept": accept}
                found, expected = (api.request("GET", path, headers=headers) for api in (n.api, alone))
                assert found.status == 200
                assert without_keys(found) == without_keys(expected)
        assert n.api.request("GET", f"{BASE}/reports/roll-forward?by=metadata.of").fields == ["by"]

    return recipe


def ages(n: Neighbours) -> None:
    """B's ages are of B's points, and a cursor of A's is none of B's."""
    path = f"{BASE}/reports/liability/ages"
    day = date(2026, 1, 1)
    begun = Progress(day, "UTC", Ages(datetime(2026, 1, 2, tzinfo=UTC), (9, 0, 0, 0, 0), 1, 1))
    theirs = age_steps.seal(n.a.here.vault, n.a.id, begun, now=datetime.now(UTC))

    assert n.as_a.request("GET", f"{path}?cursor={theirs}").status == 200
    same_as_unknown(lambda cursor: n.api.request("GET", f"{path}?cursor={cursor}"), [theirs], "zzz", status=422)
    found = n.api.request("GET", path).json
    assert (found["outstanding"], found["participants_done"], found["next_cursor"]) == (3, 1, None)


def without_keys(answer: Answer) -> str:
    return re.sub(r"gk_live_\w+", "gk_live_", answer.body.decode())


# What B tries on each route. A route without an entry here fails the test below: say how it keeps tenants apart.
RECIPES: dict[tuple[str, str], Callable[[Neighbours], None]] = {
    ("POST", "/points/award"): award,
    ("POST", "/points/deduct"): deduct,
    ("POST", "/points/award-batch"): award_batch,
    ("GET", "/points/transactions"): search,
    ("GET", "/points/transactions/<uuid:transaction_id>"): transaction,
    ("POST", "/points/transactions/<uuid:transaction_id>/reverse"): reverse,
    ("GET", "/tiers"): ladder_routes("GET", ""),
    ("GET", "/tiers/draft"): ladder_routes("GET", "/draft"),
    ("PUT", "/tiers/draft"): ladder_routes("PUT", "/draft", {"revision": 0, "tiers": []}),
    ("DELETE", "/tiers/draft"): ladder_routes("DELETE", "/draft?revision=REVISION"),
    ("POST", "/tiers/preview"): preview,
    ("POST", "/tiers/publish"): ladder_routes("POST", "/publish", {"revision": 0, "falling": "move_down"}),
    ("POST", "/tiers/publish/cancel"): ladder_routes("POST", "/publish/cancel", {"revision": 0}),
    ("GET", "/tiers/versions"): ladder_routes("GET", "/versions"),
    ("POST", "/tiers/versions/<int:version>/restore"): ladder_routes("POST", "/versions/1/restore", {"revision": 0}),
    ("GET", "/participants"): people,
    ("POST", "/participants"): register,
    ("PATCH", "/participants"): change,
    ("DELETE", "/participants"): erase,
    ("GET", "/participants/<bare_participant_id:participant_id>"): person,
    ("PATCH", "/participants/<bare_participant_id:participant_id>"): change,
    ("DELETE", "/participants/<bare_participant_id:participant_id>"): erase,
    ("GET", "/participants/<participant_id:participant_id>/points"): points,
    ("GET", "/participants/<participant_id:participant_id>/points/transactions"): history,
    ("GET", "/participants/<participant_id:participant_id>/tier"): tier,
    ("POST", "/tiers/assign"): assign,
    ("POST", "/tiers/unassign"): unassign,
    ("GET", "/reports/roll-forward"): reports("roll-forward", "?by=tier", "?by=key", "?by=reason"),
    ("GET", "/reports/liability"): reports("liability"),
    ("GET", "/reports/liability/ages"): ages,
    ("GET", "/reports/tiers"): reports("tiers"),
    ("GET", "/reports/activity"): reports("activity"),
}


def test_every_route_of_the_api_has_its_recipe(app: Flask):
    routes = {
        (method, rule.rule.removeprefix(BASE))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(GUARDED)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert routes == set(RECIPES)


@pytest.mark.parametrize("route", RECIPES, ids=" ".join)
def test_a_neighbour_meets_nothing_of_anothers_and_changes_nothing(neighbours: Neighbours, owner: Any, route: tuple[str, str]):
    before = neighbours.stored_of_a(owner)
    assert all(before[table] for table in ("participants", "ledger_entries", "idempotency_keys", "api_keys", "audit_entries"))

    RECIPES[route](neighbours)

    assert neighbours.stored_of_a(owner) == before


def test_a_neighbours_sandbox_is_as_strange_as_its_shop(neighbours: Neighbours, tenant: TenantUnderTest):
    """A's own test key meets nothing of A's live side, and the reverse."""
    sandbox = neighbours.as_a.with_key(tenant.test_key)
    [tried] = sandbox.history(ANN).json["transactions"]

    tried_id = tried["transaction_id"]
    for client, one in ((sandbox, neighbours.award), (neighbours.as_a, tried_id), (neighbours.api, tried_id)):
        assert client.request("GET", f"{BASE}/points/transactions/{one}").status == 404
    assert sandbox.points(BOB).status == 404
    assert sandbox.balance(ANN) == 5
