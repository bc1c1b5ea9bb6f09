"""API keys: who they speak for, what they may do, and how little a refusal tells."""

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from gamify.config import Settings
from gamify.services import api_keys
from gamify.services.callers import FRESH

from tests.harness import BASE, NO_TLS, Api, TenantUnderTest, Valkey, new_tenant, start_server, stop

REQUESTS = [
    ("POST", f"{BASE}/points/award", "points:write"),
    ("POST", f"{BASE}/points/deduct", "points:write"),
    ("POST", f"{BASE}/points/award-batch", "points:write"),
    ("GET", f"{BASE}/participants/p/points", "points:read"),
    ("GET", f"{BASE}/participants/p/points/transactions", "points:read"),
    ("GET", f"{BASE}/participants/p/tier", "tiers:read"),
    ("POST", f"{BASE}/tiers/assign", "tiers:write"),
    ("POST", f"{BASE}/tiers/unassign", "tiers:write"),
]


def expire(owner: psycopg.Connection, key: str) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    owner.execute("UPDATE api_keys SET expires_at = %s WHERE prefix = %s", [past, key[: api_keys.PREFIX_LENGTH]])


def test_every_key_that_does_not_work_gets_the_same_answer(api: Api, tenant: TenantUnderTest, owner: psycopg.Connection):
    revoked, expired = tenant.issue(), tenant.issue()
    tenant.revoke(revoked)
    expire(owner, expired)
    wrong = [
        None,
        "x",
        " ",
        "Bearer x",
        "gk_live_",
        api_keys.new_secret("live"),
        api_keys.new_secret("test"),
        revoked,
        expired,
        tenant.key[:-1] + ("0" if tenant.key[-1] != "0" else "1"),
        tenant.key.replace("gk_live_", "gk_test_"),
        tenant.key.swapcase(),
        tenant.key.upper(),
        tenant.key + "0",
        tenant.key[:-1],
        tenant.key + "\xe9",
        tenant.key + "," + tenant.key,
        "gk_live_" + "é" * 38,
        "x" * 10_000,
    ]

    answers = [api.with_key(key).award("p") for key in wrong]

    assert {answer.status for answer in answers} == {401}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'ApiKey realm="gamify"'}
    bodies = {answer.body.replace(answer.json["request_id"].encode(), b"") for answer in answers}
    assert len(bodies) == 1
    assert len({frozenset(answer.headers.keys()) for answer in answers}) == 1
    assert tenant.row_count() == 0


@pytest.mark.parametrize(("method", "path", "scope"), REQUESTS)
def test_every_address_refuses_a_missing_key(api: Api, method: str, path: str, scope: str):
    answer = api.with_key(None).request(method, path)

    assert (answer.status, answer.code) == (401, "unauthenticated")


@pytest.mark.parametrize("key", [b"\xff\xfe", b"gk_live_\xc3\xa9"])
def test_bytes_that_are_no_text_are_no_key(tcp: Api, key: bytes):
    assert tcp.client.request("GET", f"{BASE}/participants/p/points", headers=[(b"X-API-Key", key)]).status_code == 401  # type: ignore[arg-type]


def test_key_in_another_place_is_no_key(api: Api, tenant: TenantUnderTest):
    anyone = api.with_key(None)

    assert anyone.request("GET", f"{BASE}/participants/p/points?api_key={tenant.key}").status == 401
    assert anyone.award("p", headers={"Authorization": f"Bearer {tenant.key}"}).status == 401
    assert anyone.award("p", headers={"Cookie": f"X-API-Key={tenant.key}"}).status == 401


def test_name_of_the_header_has_no_case(api: Api, tenant: TenantUnderTest):
    assert api.with_key(None).award("p", headers={"x-api-key": tenant.key}).status == 200


def test_revoked_key_is_refused_at_once(api: Api, tenant: TenantUnderTest):
    key = api.with_key(tenant.issue())
    assert key.award("p").status == 200

    tenant.revoke(str(key.key))

    assert key.award("p").status == 401
    assert api.balance("p") == 100


def test_revoked_key_is_refused_at_once_by_every_process(tcp: Api, tenant: TenantUnderTest):
    key = tcp.with_key(tenant.issue())
    assert {key.award("p", 1).status for _ in range(10)} == {200}

    tenant.revoke(str(key.key))

    assert {key.award("p", 1).status for _ in range(10)} == {401}


@pytest.mark.long
def test_revoked_key_is_refused_within_5_seconds_by_every_process_while_redis_is_dead(
    settings: Settings, tenant: TenantUnderTest, tmp_path: Path
):
    valkey = Valkey(tmp_path)
    valkey.start()
    server = start_server(dataclasses.replace(settings, redis_url=valkey.url))
    key = tenant.issue()

    def statuses() -> set[int]:
        """What twenty new connections are told: workers take turns at them."""
        sent = {"url": f"{server.url}{BASE}/participants/p/points", "headers": {"X-API-Key": key}, "verify": NO_TLS}
        return {httpx.get(**sent, timeout=5).status_code for _ in range(20)}

    try:
        assert statuses() == {404}
        valkey.kill()
        assert statuses() == {404}
        tenant.revoke(key)
        revoked_at = time.monotonic()
        asked_at = time.monotonic()
        while 404 in statuses():
            assert asked_at - revoked_at < FRESH  # what is asked later is refused
            asked_at = time.monotonic()
        assert statuses() == {401}
    finally:
        stop(server)
        valkey.kill()


def test_unlimited_key_is_revoked_at_once_too(api: Api, tenant: TenantUnderTest):
    assert api.award("p").status == 200

    tenant.revoke(tenant.key)

    assert api.award("p").status == 401


def test_key_expires_while_it_is_known(api: Api, tenant: TenantUnderTest, owner: psycopg.Connection):
    key = tenant.issue()
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    owner.execute("UPDATE api_keys SET expires_at = %s WHERE prefix = %s", [soon, key[: api_keys.PREFIX_LENGTH]])

    while datetime.now(UTC) < soon:
        status = api.with_key(key).points("p").status
        assert status == 404 or datetime.now(UTC) >= soon

    assert api.with_key(key).points("p").status == 401


@pytest.mark.parametrize(("method", "path", "scope"), REQUESTS)
def test_key_needs_the_scope_and_no_other(api: Api, tenant: TenantUnderTest, method: str, path: str, scope: str):
    others = set(api_keys.SCOPES) - {scope}

    refused = api.with_key(tenant.issue(*others)).request(method, path)
    let_in = api.with_key(tenant.issue(scope)).request(method, path)

    assert (refused.status, refused.code) == (403, "missing_scope")
    assert scope in refused.json["detail"]
    assert let_in.status in {404, 415}


def test_suspended_tenant_is_refused_until_it_is_resumed(api: Api, tenant: TenantUnderTest):
    sandbox = api.with_key(tenant.test_key)
    api.award("p", 1)
    sandbox.award("p", 1)
    tenant.become("suspended")

    for key in (api, sandbox):
        for answer in (key.award("p"), key.deduct("p"), key.batch([]), key.points("p"), key.history("p")):
            assert (answer.status, answer.code) == (403, "tenant_suspended")

    tenant.become("active")
    assert (api.balance("p"), sandbox.balance("p")) == (1, 1)


def test_missing_scope_of_a_suspended_tenant_is_still_named(api: Api, tenant: TenantUnderTest):
    tenant.become("suspended")

    assert "points:write" in api.with_key(tenant.issue("points:read")).award("p").json["detail"]


@pytest.mark.parametrize(
    ("networks", "address", "status"),
    [
        (["192.0.2.0/24"], "192.0.2.7", 200),
        (["198.51.100.1", "192.0.2.7"], "192.0.2.7", 200),
        (["2001:db8::/32"], "2001:db8::1", 200),
        (["192.0.2.0/24"], "::ffff:192.0.2.7", 200),
        (["192.0.2.0/24"], "192.0.3.7", 403),
        (["2001:db8::/32"], "192.0.2.7", 403),
    ],
)
def test_key_works_from_its_networks_only(api: Api, tenant: TenantUnderTest, networks: list[str], address: str, status: int):
    answer = api.with_key(tenant.issue(networks=networks)).request(
        "POST",
        f"{BASE}/points/award",
        body={"participant_id": "p", "amount": 1},
        environ_overrides={"REMOTE_ADDR": address},
    )

    assert answer.status == status
    if status == 403:
        assert answer.code == "address_not_allowed"
        assert address in answer.json["detail"]
        assert tenant.row_count() == 0


def test_networks_are_looked_at_after_the_limits_and_the_address_and_before_the_body(api: Api, tenant: TenantUnderTest):
    key = api.with_key(tenant.issue(rate_limit=4, networks=["192.0.2.0/24"]))

    assert key.request("GET", f"{BASE}/nothing").status == 404
    assert key.request("DELETE", f"{BASE}/points/award").status == 405
    assert key.request("POST", f"{BASE}/points/award", body=b"x").code == "address_not_allowed"
    assert key.award("p").code == "address_not_allowed"
    assert key.award("p").status == 429


def test_networks_hold_over_tcp(tcp: Api, tenant: TenantUnderTest):
    inside, outside = tenant.issue(networks=["127.0.0.0/8"]), tenant.issue(networks=["192.0.2.0/24"])

    assert tcp.with_key(inside).award("p", 1).status == 200
    refused = tcp.with_key(outside).award("p", 1)
    assert (refused.status, refused.code) == (403, "address_not_allowed")
    assert "127.0.0.1" in refused.json["detail"]


def test_test_key_works_on_the_sandbox_only(api: Api, tenant: TenantUnderTest):
    sandbox = api.with_key(tenant.test_key)
    tenant.put_tiers(only=10)
    api.award("p", 5)

    assert sandbox.award("p", 600).json["tier_upgrade"]["code"] == "silver"
    assert (api.balance("p"), sandbox.balance("p")) == (5, 600)
    assert (api.history("p").json["total"], sandbox.history("p").json["total"]) == (1, 1)
    assert sandbox.deduct("p", 600).json["new_balance"] == 0
    assert api.balance("p") == 5


def test_tenants_know_nothing_of_each_other(api: Api, tenant: TenantUnderTest):
    other = api.with_key(new_tenant(tenant.here).key)
    api.award("p", 5, idempotency_key="k")

    assert other.points("p").status == other.history("p").status == 404
    assert other.deduct("p", 1).json["detail"] == "Insufficient points. Available: 0, requested: 1"
    answer = other.award("p", 7, idempotency_key="k")
    assert (answer.json["new_balance"], "Idempotent-Replayed" in answer.headers) == (7, False)
    assert api.balance("p") == 5


def test_no_answer_repeats_the_key(api: Api, tenant: TenantUnderTest):
    limited = api.with_key(tenant.issue(rate_limit=1))
    for answer in (
        api.award("p", 0),
        api.points("p"),
        limited.points("p"),
        limited.points("p"),
        api.with_key(tenant.key + "x").award("p"),
    ):
        shown = answer.body.decode() + str(answer.headers)
        assert tenant.key not in shown
        assert "gk_" not in shown
