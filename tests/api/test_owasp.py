"""OWASP API Security Top 10 (2023), item by item: what each is about, tried."""

import json
import re
import select
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from gamify.api.guard import GUARDED, scope_of
from gamify.services.api_keys import SCOPES, new_secret

from tests.harness import BASE, Api, TenantUnderTest, item, new_tenant

ROOT = Path(__file__).parents[2]
AWARD, TRANSACTIONS = f"{BASE}/points/award", f"{BASE}/points/transactions"


@pytest.fixture
def stranger(api: Api, tenant: TenantUnderTest) -> Api:
    """Another tenant's key, good for everything of its own."""
    return api.with_key(new_tenant(tenant.here).key)


def guarded(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Every path (with something for each variable), method and endpoint that needs a key."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(GUARDED):
            path = rule.rule.replace("<uuid:transaction_id>", str(uuid.uuid4())).replace("<int:version>", "1")
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield re.sub(r"<[^>]+>", "p", path), method, rule.endpoint


# API1:2023 Broken Object Level Authorization


def test_api1_an_object_of_another_tenant_is_as_unknown_as_one_that_never_was(api: Api, stranger: Api):
    made = api.award("ann", 100).json["transaction_id"]

    for one in (made, str(uuid.uuid4())):
        look, undo = (
            stranger.request("GET", f"{TRANSACTIONS}/{one}"),
            stranger.request("POST", f"{TRANSACTIONS}/{one}/reverse", body={}),
        )
        assert [(a.status, a.code, a.json["detail"]) for a in (look, undo)] == [
            (404, "not_found", f"There is no transaction {one}.")
        ] * 2
    assert stranger.points("ann").status == stranger.history("ann").status == 404
    assert api.balance("ann") == 100


def test_api1_no_value_in_a_request_chooses_the_tenant(api: Api, stranger: Api, tenant: TenantUnderTest):
    api.award("ann", 100)
    hints = {"X-Tenant-ID": str(tenant.id), "X-Tenant": tenant.slug, "Cookie": f"tenant={tenant.slug}"}

    assert stranger.request("GET", f"{BASE}/participants/ann/points", headers=hints).status == 404
    for name, value in (("tenant_id", tenant.id), ("tenant", tenant.slug)):
        assert stranger.request("GET", f"{BASE}/participants/ann/points?{name}={value}").fields == [name]
        assert stranger.award("ann", 1, **{name: value}).fields == [name]
    assert api.balance("ann") == 100


# API2:2023 Broken Authentication


def test_api2_a_key_that_does_not_work_is_told_nothing(api: Api, tenant: TenantUnderTest):
    revoked = tenant.issue()
    tenant.revoke(revoked)
    wrong = (None, "", "x", new_secret("live"), revoked, tenant.key[:-1] + "!", tenant.key.lower(), f"Bearer {tenant.key}")

    answers = [api.with_key(key).award("p") for key in wrong]

    assert {answer.status for answer in answers} == {401}
    assert len({json.dumps(answer.json | {"request_id": ""}) for answer in answers}) == 1


def test_api2_a_key_cannot_be_read_back_from_what_is_stored(tenant: TenantUnderTest, owner: psycopg.Connection):
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    for (table,) in owner.execute(tables).fetchall():
        for part in (tenant.key, tenant.key[16:], tenant.key.encode().hex()):
            found = owner.execute(f"SELECT count(*) FROM {table} AS t WHERE position(%s IN t::text) > 0", [part])
            assert found.fetchone() == (0,), table


def test_api2_keys_cannot_be_guessed():
    made = {new_secret("live") for _ in range(1_000)}

    assert len(made) == 1_000
    assert all(re.fullmatch(r"gk_live_[0-9A-Za-z]{38}", key) for key in made)  # 32 of them random: 190 bits


def test_api2_no_route_forgets_to_ask_for_the_key(app: Flask, api: Api):
    routes = list(guarded(app))
    assert routes
    for path, method, _ in routes:
        assert api.with_key(None).request(method, path).status == 401, path


# API3:2023 Broken Object Property Level Authorization


@pytest.mark.parametrize(
    "member",
    [
        *("balance", "new_balance", "total_earned", "tier", "tier_after", "seq", "created_at", "id", "transaction_id"),
        *("tenant_id", "api_key_id", "type", "balance_after", "reverses", "role", "is_admin", "__class__"),
    ],
)
def test_api3_a_member_that_is_not_the_callers_to_set_is_refused_by_name(api: Api, tenant: TenantUnderTest, member: str):
    refused = api.award("p", 1, **{member: 1})

    assert (refused.status, refused.fields) == (422, [member])
    assert api.batch([item("p", 1, **{member: 1})]).json["failed"] == 1
    assert tenant.row_count() == 0


def test_api3_answers_hold_nothing_but_what_is_documented(api: Api):
    made = api.award("ann", 600, metadata={"a": 1})
    entry = {"transaction_id", "type", "amount", "reason", "metadata", "balance_after", "created_at", "reverses", "reversed_by"}

    assert set(made.json) == {"transaction_id", "participant_id", "amount", "new_balance", "tier_upgrade"}
    assert set(api.deduct("ann", 1).json) == {"transaction_id", "participant_id", "amount", "new_balance"}
    assert set(api.points("ann").json) == {"participant_id", "balance", "total_earned", "total_spent"}
    assert set(api.history("ann").json["transactions"][0]) == entry
    assert set(api.request("GET", f"{TRANSACTIONS}/{made.json['transaction_id']}").json) == entry | {"participant_id"}


# API4:2023 Unrestricted Resource Consumption


def test_api4_requests_are_limited_for_each_key_and_each_tenant(api: Api, tenant: TenantUnderTest):
    first, second = (api.with_key(tenant.issue(rate_limit=3)) for _ in range(2))
    assert [first.points("p").status for _ in range(4)] == [404, 404, 404, 429]
    tenant.limit_to(4)

    assert [second.points("p").status for _ in range(2)] == [404, 429]


def test_api4_what_one_request_may_carry_and_ask_for_is_bounded(api: Api):
    api.award("p", 1)
    deep: Any = {}
    for _ in range(40):
        deep = {"in": deep}

    assert api.request("POST", AWARD, body=b"{" + b" " * 1024 * 1024 + b"}").status == 413
    assert api.batch([item("p", 1)] * 101).fields == ["awards"]
    assert api.award("p", 1, metadata=deep).fields == ["metadata"]
    assert api.award("p", 1, metadata={"x": "y" * 16_384}).fields == ["metadata"]
    assert api.award("p", 1, reason="r" * 501).fields == ["reason"]
    assert api.history("p", page_size=101).fields == ["page_size"]
    assert api.request("GET", f"{TRANSACTIONS}?limit=101").fields == ["limit"]
    assert api.request("POST", AWARD, body=b"[" * 100_000).status == 400
    assert api.balance("p") == 1


# API5:2023 Broken Function Level Authorization


def test_api5_every_function_has_a_right_of_its_own_and_is_shut_without_it(app: Flask, api: Api, tenant: TenantUnderTest):
    for path, method, endpoint in guarded(app):
        scope = scope_of(app, endpoint, method)
        assert scope in SCOPES, path
        others = api.with_key(tenant.issue(*(other for other in SCOPES if other != scope)))
        refused = others.request(method, path)
        assert (refused.status, refused.code) == (403, "missing_scope"), path
        assert str(scope) in refused.json["detail"]


def test_api5_reading_rights_change_nothing_whatever_the_method(api: Api, tenant: TenantUnderTest):
    reader = api.with_key(tenant.issue(*(scope for scope in SCOPES if scope.endswith(":read"))))
    override = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST", "X-HTTP-Method": "POST"}

    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert reader.request(method, AWARD, body={"participant_id": "p", "amount": 1}).status in {403, 405}
        assert reader.request(method, f"{BASE}/participants/p/points", body={}).status == 405
    assert reader.request("GET", AWARD, headers=override).status == 405
    assert tenant.row_count() == 0


def test_api5_a_key_of_the_sandbox_does_nothing_to_the_shop(api: Api, tenant: TenantUnderTest):
    made = api.award("p", 5).json["transaction_id"]
    sandbox = api.with_key(tenant.test_key)
    sandbox.award("p", 100)

    assert sandbox.request("POST", f"{TRANSACTIONS}/{made}/reverse", body={}).status == 404
    assert api.balance("p") == 5


# API6:2023 Unrestricted Access to Sensitive Business Flows


def test_api6_what_is_sent_again_is_not_awarded_again(api: Api):
    answers = [api.award("p", 50, idempotency_key="order-1") for _ in range(5)]

    assert len({answer.json["transaction_id"] for answer in answers}) == 1
    assert api.balance("p") == 50


def test_api6_points_are_spent_once_however_many_try_at_the_same_instant(tcp: Api):
    tcp.award("p", 5)

    with ThreadPoolExecutor(12) as pool:
        statuses = sorted(pool.map(lambda _: tcp.deduct("p", 1).status, range(12)))

    assert statuses == [200] * 5 + [400] * 7
    assert tcp.balance("p") == 0


def test_api6_an_award_is_taken_back_once(api: Api):
    path = f"{TRANSACTIONS}/{api.award('p', 5).json['transaction_id']}/reverse"

    assert [api.request("POST", path, body={}).status for _ in range(2)] == [200, 409]
    assert api.balance("p") == 0


@pytest.mark.parametrize("amount", [0, -1, 1_000_001, 1.5, True, "100", 10**40])
def test_api6_an_amount_nobody_means_is_refused(api: Api, tenant: TenantUnderTest, amount: Any):
    assert api.award("p", amount).fields == api.deduct("p", amount).fields == ["amount"]
    assert tenant.row_count() == 0


# API7:2023 Server Side Request Forgery


def test_api7_an_address_in_a_request_is_never_gone_to(tcp: Api):
    with socket.create_server(("127.0.0.1", 0)) as trap:
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/"
        named = {"Referer": url, "Origin": url, "X-Forwarded-Host": url, "Forwarded": f"host={url}", "Location": url}

        assert tcp.award(url, 1, reason=url, metadata={"callback": url, "$ref": url}, headers=named).status == 200
        assert tcp.points(url).status == tcp.history(url).status == 200
        assert tcp.request("GET", f"{TRANSACTIONS}?reason={url}&metadata.callback={url}", headers=named).status == 200
        assert tcp.request("GET", f"{TRANSACTIONS}?cursor={url}").status == 422
        assert select.select([trap], [], [], 0.5)[0] == []


# API8:2023 Security Misconfiguration


def test_api8_answers_are_hardened_and_no_other_origin_is_let_in(api: Api):
    for answer in (api.award("p"), api.points("nobody"), api.with_key(None).points("p"), api.request("GET", "/api/v1/nothing")):
        names = {str(name).lower() for name in answer.headers}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert not [name for name in names if name.startswith("access-control-")]
        assert "set-cookie" not in names


def test_api8_only_the_hosts_that_are_ours_are_served(api: Api):
    assert api.request("GET", f"{BASE}/participants/p/points", headers={"Host": "evil.example"}).code == "host_not_served"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_api8_methods_nobody_offers_are_refused(api: Api, method: str):
    assert api.request(method, AWARD).status == 405


def test_api8_no_refusal_shows_how_it_is_made(api: Api, app: Flask):
    assert not app.debug
    assert not app.testing
    bodies = (b"{", b"\xff", b"[" * 5_000, b'{"amount": 1e999}', b'{"participant_id": "\\ud800", "amount": 1}')
    for answer in (*(api.request("POST", AWARD, body=body) for body in bodies), api.points("'; DROP TABLE participants --")):
        assert answer.status in {400, 404, 422}
        assert not re.search(r"Traceback|File \"|psycopg|sqlalchemy|SELECT |INSERT |werkzeug|marshmallow", answer.body.decode())


# API9:2023 Improper Inventory Management


def test_api9_every_address_is_documented_and_none_but_those(app: Flask, api: Api):
    document = api.request("GET", "/api/v1/openapi.json").json
    documented = {
        (re.sub(r"{[^}]+}", "{}", path), method.upper())
        for path, operations in document["paths"].items()
        for method in set(operations) - {"parameters"}
    }
    served = {
        (re.sub(r"<[^>]+>", "{}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and rule.rule != "/api/v1/openapi.json"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert documented == served


@pytest.mark.parametrize("version", ["v0", "v2", "beta", "internal", "debug"])
def test_api9_there_is_one_version(api: Api, version: str):
    assert api.request("POST", f"/api/{version}/gamify/points/award", body={"participant_id": "p", "amount": 1}).status == 404


# API10:2023 Unsafe Consumption of APIs


def test_api10_serving_loads_no_client_of_other_apis():
    """Nothing is asked of third parties, so nothing of theirs is believed."""
    clients = ("httpx", "requests", "urllib3", "aiohttp", "pycurl", "grpc", "boto3")
    loaded = f"import sys, gamify.app; print([name for name in {clients} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_api10_what_proxies_claim_is_not_believed_unless_they_are_trusted(app: Flask, api: Api):
    with app.test_request_context("/docs", headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}) as context:
        app.preprocess_request()
        assert (context.request.remote_addr, context.request.scheme) == (None, "http")
    assert api.request("GET", "/docs", headers={"X-Forwarded-Host": "evil.example"}).status == 200


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.lock")), ids=lambda lock: lock.name)
def test_api10_what_is_installed_is_pinned_by_its_content(lock: Path):
    pinned = re.findall(r"^(\S+==\S+[^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+)", lock.read_text(), re.MULTILINE)

    assert pinned
    assert len(pinned) == len(re.findall(r"^[A-Za-z0-9]", lock.read_text(), re.MULTILINE))


def test_api10_what_browsers_get_from_others_is_pinned_by_its_content():
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]

    assert [name for name, package in packages.items() if name and not package.get("integrity", "").startswith("sha512-")] == []
