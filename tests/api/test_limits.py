"""Rate limits: of the key and of the tenant, told in headers."""

import time

import pytest

from tests.harness import BASE, Answer, Api, TenantUnderTest

LIMIT, REMAINING, RESET = "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"


def left(answer: Answer) -> tuple[int, int]:
    return int(answer.headers[LIMIT]), int(answer.headers[REMAINING])


def limited(api: Api, tenant: TenantUnderTest, requests: int, *, mode: str = "live") -> Api:
    return api.with_key(tenant.issue(rate_limit=requests, mode=mode))


def test_key_may_send_its_requests_and_not_one_more(api: Api, tenant: TenantUnderTest):
    key = limited(api, tenant, 3)

    assert [key.award("p", 1).status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert api.balance("p") == 3


def test_refusal_says_when_to_come_back(api: Api, tenant: TenantUnderTest):
    key = limited(api, tenant, 1)
    key.award("p")

    answer = key.award("p")

    assert (answer.status, answer.code) == (429, "rate_limited")
    wait = int(answer.headers["Retry-After"])
    assert 1 <= wait <= 60
    assert f"{wait} s" in answer.json["detail"]
    assert left(answer) == (1, 0)
    assert abs(int(answer.headers[RESET]) - time.time() - wait) < 5


def test_headers_count_down(api: Api, tenant: TenantUnderTest):
    key = limited(api, tenant, 4)

    answers = [key.points("p") for _ in range(4)]

    assert [left(answer) for answer in answers] == [(4, 3), (4, 2), (4, 1), (4, 0)]
    assert len({answer.headers[RESET] for answer in answers}) == 1
    assert 50 <= int(answers[0].headers[RESET]) - time.time() <= 62


def test_headers_are_on_every_answer_to_a_valid_key(api: Api, tenant: TenantUnderTest):
    key = limited(api, tenant, 100)
    reader = api.with_key(tenant.issue("points:read", rate_limit=100))

    for answer in (
        key.award("p"),
        key.award("p", 0),
        key.deduct("q"),
        key.points("nobody"),
        key.request("GET", f"{BASE}/nothing"),
        key.request("DELETE", f"{BASE}/points/award"),
        key.request("POST", f"{BASE}/points/award", body=b"x"),
        key.request("POST", f"{BASE}/points/award"),
        reader.award("p"),
    ):
        assert {LIMIT, REMAINING, RESET} <= {*answer.headers.keys()}


@pytest.mark.parametrize("path", ["/docs", "/healthz", "/api/v1/openapi.json"])
def test_what_needs_no_key_counts_for_none(api: Api, tenant: TenantUnderTest, path: str):
    key = limited(api, tenant, 1)

    assert LIMIT not in key.request("GET", path).headers
    assert key.award("p").status == 200


def test_unlimited_key_has_no_such_headers(api: Api):
    assert not {LIMIT, REMAINING, RESET} & {*api.award("p").headers.keys()}


def test_invalid_key_has_no_such_headers(api: Api):
    assert LIMIT not in api.with_key("gk_live_wrong").award("p").headers


def test_key_has_a_thousand_requests_unless_set_otherwise(api: Api, tenant: TenantUnderTest):
    assert left(limited(api, tenant, 1000).points("p")) == (1000, 999)


def test_tenant_has_five_thousand_requests_unless_set_otherwise(api: Api, tenant: TenantUnderTest):
    assert left(limited(api, tenant, 6000).points("p")) == (5000, 4999)


def test_headers_tell_of_whichever_has_fewer_left(api: Api, tenant: TenantUnderTest):
    tenant.limit_to(5)
    small, large = limited(api, tenant, 2), limited(api, tenant, 100)

    told = [left(key.points("p")) for key in (small, large, large, small)]

    assert told == [(2, 1), (5, 3), (5, 2), (2, 0)]


def test_tenants_limit_binds_all_its_keys_together(api: Api, tenant: TenantUnderTest):
    tenant.limit_to(3)
    one, other = limited(api, tenant, 100), limited(api, tenant, 100)

    assert [key.points("p").status for key in (one, other, one, other)] == [404, 404, 404, 429]
    assert "tenant" in other.points("p").json["detail"]


def test_refused_request_costs_nothing(api: Api, tenant: TenantUnderTest):
    tenant.limit_to(3)
    small, large = limited(api, tenant, 1), limited(api, tenant, 100)
    small.points("p")

    assert [small.points("p").status for _ in range(5)] == [429] * 5
    assert left(large.points("p")) == (3, 1)


def test_batch_counts_once(api: Api, tenant: TenantUnderTest):
    key = limited(api, tenant, 5)

    assert left(key.batch([{"participant_id": "p", "amount": 1}] * 100)) == (5, 4)


def test_refused_requests_of_other_kinds_count(api: Api, tenant: TenantUnderTest):
    key = limited(api, tenant, 5)
    key.award("p", 0)
    key.request("GET", f"{BASE}/nothing")

    assert left(key.points("p")) == (5, 2)


def test_unlimited_key_does_not_count_against_its_tenant(api: Api, tenant: TenantUnderTest):
    tenant.limit_to(2)
    for _ in range(5):
        assert api.award("p").status == 200

    assert left(limited(api, tenant, 100).points("p")) == (2, 1)


def test_unlimited_key_is_not_bound_by_its_tenant(api: Api, tenant: TenantUnderTest):
    tenant.limit_to(1)
    other = limited(api, tenant, 100)

    assert [other.points("p").status for _ in range(2)] == [404, 429]
    assert api.award("p").status == 200


def test_tenant_without_a_limit_leaves_the_keys(api: Api, tenant: TenantUnderTest):
    tenant.limit_to(0)

    assert left(limited(api, tenant, 6000).points("p")) == (6000, 5999)


def test_changed_limit_is_in_force_at_once(api: Api, tenant: TenantUnderTest):
    key = limited(api, tenant, 100)
    key.points("p")
    tenant.limit_to(1)
    assert key.points("p").status == 429

    tenant.limit_to(50)
    assert left(key.points("p")) == (50, 48)


def test_sandbox_has_limits_of_its_own(api: Api, tenant: TenantUnderTest):
    tenant.limit_to(1)
    live, sandbox = limited(api, tenant, 100), limited(api, tenant, 100, mode="test")

    assert [live.points("p").status for _ in range(2)] == [404, 429]
    assert left(sandbox.points("p")) == (100, 99)

    tenant.limit_to(3, mode="test")
    assert left(sandbox.points("p")) == (3, 1)


def test_keys_have_limits_of_their_own(api: Api, tenant: TenantUnderTest):
    one, other = limited(api, tenant, 1), limited(api, tenant, 1)

    assert [key.points("p").status for key in (one, other, one, other)] == [404, 404, 429, 429]


def test_limit_holds_across_the_servers_processes(tcp: Api, tenant: TenantUnderTest):
    key = tcp.with_key(tenant.issue(rate_limit=10))

    statuses = [key.points("p").status for _ in range(30)]

    assert (statuses.count(404), statuses.count(429)) == (10, 20)
