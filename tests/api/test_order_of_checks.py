"""A request that is wrong in several ways is told of the first: 401, 429, 404/405, 403, 415/413, 400, 422."""

from typing import Any

import pytest

from tests.harness import BASE, Api, TenantUnderTest

MIB = 1024 * 1024
AWARD = f"{BASE}/points/award"
JSON = {"Content-Type": "application/json"}
INVALID: dict[str, Any] = {"participant_id": "", "amount": 0}


@pytest.fixture
def reader(api: Api, tenant: TenantUnderTest) -> Api:
    """A key without the scope that awards need."""
    return api.with_key(tenant.issue("points:read"))


@pytest.fixture
def spent(api: Api, tenant: TenantUnderTest) -> Api:
    """A key that has no request left and lacks the scope that awards need."""
    limited = api.with_key(tenant.issue("points:read", rate_limit=1))
    limited.points("p")
    return limited


@pytest.mark.parametrize(
    "path", ["", "/", "/nothing", "/points/award", "/points/award/", "/participants/p/points", "/participants"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_key_is_asked_for_before_anything_else(api: Api, method: str, path: str):
    answer = api.with_key(None).request(method, BASE + path, body=b"no json", headers={"Content-Type": "text/plain"})

    assert answer.status == 401


def test_body_too_large_is_second_to_the_key(api: Api):
    assert api.with_key(None).request("POST", AWARD, body=b"x" * (MIB + 1)).status == 401


def test_suspended_tenant_and_unknown_key_is_401(api: Api, tenant: TenantUnderTest):
    tenant.become("suspended")

    assert api.with_key(tenant.key[:-1] + "!").request("POST", AWARD, body=INVALID).status == 401


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("DELETE", "/points/award"), ("POST", "/points/award")])
def test_limit_comes_before_the_address_and_the_right(spent: Api, method: str, path: str):
    assert spent.request(method, BASE + path, body=b"x").status == 429


def test_limit_comes_before_the_suspension(spent: Api, tenant: TenantUnderTest):
    tenant.become("suspended")

    assert spent.points("p").status == 429


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/points/nothing", 404), ("GET", "/points/award", 405), ("PUT", "/points/award", 405)],
)
def test_address_comes_before_the_right_and_the_body(reader: Api, tenant: TenantUnderTest, method: str, path: str, status: int):
    assert reader.request(method, BASE + path, body=b"x" * (MIB + 1)).status == status
    tenant.become("suspended")
    assert reader.request(method, BASE + path, body=b"x").status == status


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"x" * (MIB + 1), "application/json"), (b"x", "text/plain"), (b"no json", "application/json"), (b"{}", "application/json")],
)
def test_right_comes_before_the_body(reader: Api, body: bytes, content_type: str):
    assert reader.request("POST", AWARD, body=body, headers={"Content-Type": content_type}).status == 403


def test_right_comes_before_query_parameters_and_participants(api: Api, tenant: TenantUnderTest):
    writer = api.with_key(tenant.issue("points:write"))

    assert writer.history("nobody", page=0).status == 403


def test_suspension_comes_before_the_body(api: Api, tenant: TenantUnderTest):
    tenant.become("suspended")

    assert api.request("POST", AWARD, body=b"no json").status == 403


@pytest.mark.parametrize(
    ("body", "content_type", "statuses"),
    [
        (b"x" * (MIB + 1), "text/plain", {413, 415}),
        (b"no json", "text/plain", {415}),
        (b"", "text/plain", {415}),
        (b"x" * (MIB + 1), "application/json", {413}),
        (b"no json", "application/json", {400}),
        (b"[]", "application/json", {422}),
    ],
)
def test_body_is_checked_from_outside_in(api: Api, body: bytes, content_type: str, statuses: set[int]):
    headers = {"Content-Type": content_type, "Idempotency-Key": ""}

    assert api.request("POST", f"{AWARD}?typo=1", body=body, headers=headers).status in statuses


def test_query_is_checked_before_the_participant_is_looked_for(api: Api):
    assert api.history("nobody", page=0).status == 422
    assert api.history("nobody", page=1).status == 404
