"""One key, one effect, one answer, for ever."""

import json
from typing import Any

import pytest

from tests.harness import BASE, Answer, Api, TenantUnderTest

REPLAYED = "Idempotent-Replayed"
KEY = {"Idempotency-Key": "k"}
WHOLE = {"reason": "Purchase", "metadata": {"order": 1}, "idempotency_key": "k"}


def assert_replayed(again: Answer, first: Answer) -> None:
    assert (again.status, again.body) == (first.status, first.body)
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"


def assert_mismatch(answer: Answer) -> None:
    assert (answer.status, answer.code, answer.fields) == (422, "idempotency_mismatch", ["idempotency_key"])
    assert REPLAYED not in answer.headers


def award_raw(api: Api, metadata: str) -> Answer:
    body = f'{{"participant_id": "p", "amount": 1, "idempotency_key": "k", "metadata": {metadata}}}'
    return api.request("POST", f"{BASE}/points/award", body=body.encode())


def test_same_award_again_is_replayed_member_for_member(api: Api):
    first = api.award("p", 600, **WHOLE)
    api.award("p", 5)

    assert first.json["tier_upgrade"]["code"] == "silver"
    for _ in range(3):
        assert_replayed(api.award("p", 600, **WHOLE), first)
    assert api.balance("p") == 605


def test_same_deduct_again_is_replayed_member_for_member(api: Api):
    api.award("p", 100)
    first = api.deduct("p", 60, **WHOLE)
    api.award("p", 5)

    assert_replayed(api.deduct("p", 60, **WHOLE), first)
    assert api.balance("p") == 45


def test_replay_tells_of_the_tiers_as_they_were(api: Api, tenant: TenantUnderTest):
    first = api.award("p", 600, **WHOLE)
    tenant.put_tiers(copper=0, iron=1)

    assert_replayed(api.award("p", 600, **WHOLE), first)


@pytest.mark.parametrize(
    "change",
    [
        {"participant_id": "q"},
        {"amount": 2},
        {"reason": "Other"},
        {"reason": None},
        {"reason": ""},
        {"metadata": None},
        {"metadata": {}},
        {"metadata": {"order": 2}},
        {"metadata": {"order": "1"}},
        {"metadata": {"order": 1, "more": None}},
    ],
)
def test_other_request_with_the_key_is_refused(api: Api, tenant: TenantUnderTest, change: dict[str, Any]):
    api.award("p", 1, **WHOLE)
    rows = tenant.row_count()

    assert_mismatch(api.award(**{"participant_id": "p", "amount": 1} | WHOLE | change))
    assert tenant.row_count() == rows


def test_absent_differs_from_empty(api: Api):
    api.award("p", 1, idempotency_key="k")

    assert_mismatch(api.award("p", 1, idempotency_key="k", metadata={}))
    assert_mismatch(api.award("p", 1, idempotency_key="k", reason=""))
    assert api.award("p", 1, idempotency_key="k", reason=None, metadata=None).headers[REPLAYED] == "true"


def test_key_of_an_award_is_taken_for_a_deduct_and_the_reverse(api: Api):
    api.award("p", 10, idempotency_key="a")
    api.deduct("p", 1, idempotency_key="d")

    assert_mismatch(api.deduct("p", 10, idempotency_key="a"))
    assert_mismatch(api.award("p", 1, idempotency_key="d"))
    assert api.balance("p") == 9


@pytest.mark.parametrize("key", ["K", "k:", "k1"])
def test_keys_are_compared_exactly(api: Api, key: str):
    api.award("p", 1, idempotency_key="k")

    assert REPLAYED not in api.award("p", 1, idempotency_key=key).headers
    assert api.balance("p") == 2


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ('{"n": 1}', '{"n": 1.0}'),
        ('{"n": 1}', '{"n": 1e0}'),
        ('{"n": 10.0}', '{"n": 100E-1}'),
        ('{"n": 0}', '{"n": -0.0}'),
        ('{"n": 0.1}', '{"n": 1e-1}'),
        ('{"n": [1, {"m": 2.0}]}', '{"n": [1.0, {"m": 2}]}'),
        ('{"a": 1, "b": {"c": 2, "d": 3}}', ' {"b":{"d":3,"c":2},\n"a":1} '),
        ('{"s": "\\u00e9\\/"}', '{"s": "é/"}'),
        ('{"n": 9007199254740992}', '{"n": 9007199254740992.0}'),
    ],
)
def test_equal_json_is_the_same_request(api: Api, first: str, again: str):
    original = award_raw(api, first)

    assert_replayed(award_raw(api, again), original)
    assert api.balance("p") == 1


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ('{"n": 1}', '{"n": true}'),
        ('{"n": 0}', '{"n": false}'),
        ('{"n": 1}', '{"n": "1"}'),
        ('{"n": null}', "{}"),
        ('{"n": null}', '{"n": false}'),
        ('{"n": [1, 2]}', '{"n": [2, 1]}'),
        ('{"n": []}', '{"n": {}}'),
        ('{"n": [[]]}', '{"n": []}'),
        ('{"n": "e\u0301"}', '{"n": "é"}'),
        ('{"N": 1}', '{"n": 1}'),
        ('{"n": 9007199254740993}', '{"n": 9007199254740992}'),
        ('{"n": 9007199254740993}', '{"n": 9007199254740992.0}'),
        ('{"n": 1}', '{"n": 1.0000000000000002}'),
        ('{"n": "a\\",\\"b"}', '{"n": "a", "b": ""}'),
    ],
)
def test_unequal_json_is_another_request(api: Api, first: str, other: str):
    award_raw(api, first)

    assert_mismatch(award_raw(api, other))
    assert api.balance("p") == 1


@pytest.mark.parametrize(
    "members", ["participant_id amount idempotency_key reason", "reason idempotency_key amount participant_id"]
)
def test_order_of_members_does_not_matter(api: Api, members: str):
    values = {"participant_id": "p", "amount": 1, "reason": "r", "idempotency_key": "k"}
    api.award("p", 1, reason="r", idempotency_key="k")
    body = json.dumps({name: values[name] for name in members.split()}, indent=8).encode()

    assert api.request("POST", f"{BASE}/points/award", body=body).headers[REPLAYED] == "true"


def test_refusal_is_remembered_even_if_the_balance_has_grown(api: Api):
    api.award("p", 30)
    first = api.deduct("p", 50, idempotency_key="k")
    api.award("p", 1000)

    again = api.deduct("p", 50, idempotency_key="k")

    assert again.json | {"request_id": ""} == first.json | {"request_id": ""}
    assert again.json["detail"] == "Insufficient points. Available: 30, requested: 50"
    assert again.json["request_id"] == again.headers["X-Request-ID"] != first.json["request_id"]
    assert (again.headers[REPLAYED], api.balance("p")) == ("true", 1030)


def test_refusal_takes_its_key(api: Api):
    api.deduct("p", 50, idempotency_key="k")

    assert_mismatch(api.award("p", 50, idempotency_key="k"))
    assert_mismatch(api.deduct("p", 49, idempotency_key="k"))


def test_header_and_member_are_the_same_key(api: Api):
    by_header = api.award("p", 1, headers=KEY)

    assert_replayed(api.award("p", 1, idempotency_key="k"), by_header)
    assert_replayed(api.award("p", 1, idempotency_key="k", headers=KEY), by_header)
    assert_replayed(api.award("p", 1, idempotency_key=None, headers=KEY), by_header)


@pytest.mark.parametrize("operation", ["award", "deduct"])
def test_header_and_member_must_be_equal(api: Api, tenant: TenantUnderTest, operation: str):
    answer = getattr(api, operation)("p", 1, idempotency_key="other", headers=KEY)

    assert (answer.status, answer.fields) == (422, ["idempotency_key"])
    assert tenant.row_count() == 0


@pytest.mark.parametrize("header", ["", "a b", "caf\xe9", "a,b", '"k"', "k" * 256])
def test_unusable_header_is_never_taken_as_absent(api: Api, tenant: TenantUnderTest, header: str):
    for answer in (
        api.award("p", headers={"Idempotency-Key": header}),
        api.deduct("p", headers={"Idempotency-Key": header}),
        api.award("p", idempotency_key="k", headers={"Idempotency-Key": header}),
        api.batch([{"participant_id": "p", "amount": 1}], headers={"Idempotency-Key": header}),
    ):
        assert (answer.status, answer.fields) == (422, ["Idempotency-Key"])
    assert tenant.row_count() == 0


@pytest.mark.parametrize("header", [b"caf\xc3\xa9", b"\xff", b"", b"a\tb"])
def test_unusable_header_is_refused_over_tcp(tcp: Api, tenant: TenantUnderTest, header: bytes):
    headers = [(b"X-API-Key", str(tcp.key).encode()), (b"Content-Type", b"application/json"), (b"Idempotency-Key", header)]
    answer = tcp.client.request("POST", f"{BASE}/points/award", headers=headers, content=b'{"participant_id":"p","amount":1}')  # type: ignore[arg-type]

    assert answer.status_code == 422
    assert tenant.row_count() == 0


def test_two_headers_are_not_one_key(tcp: Api, tenant: TenantUnderTest):
    headers = [("X-API-Key", str(tcp.key)), ("Content-Type", "application/json"), *[("Idempotency-Key", key) for key in "ab"]]
    answer = tcp.client.request("POST", f"{BASE}/points/award", headers=headers, content=b'{"participant_id":"p","amount":1}')  # type: ignore[arg-type]

    assert answer.status_code == 422
    assert tenant.row_count() == 0


def test_what_decided_nothing_is_not_remembered(api: Api, tenant: TenantUnderTest):
    reader = api.with_key(tenant.issue("points:read"))
    limited = api.with_key(tenant.issue(rate_limit=1))
    limited.points("p")
    text = {"Content-Type": "text/plain"}

    refused = [
        api.with_key(None).award("p", headers=KEY),
        reader.award("p", headers=KEY),
        limited.award("p", headers=KEY),
        api.award("p", 0, headers=KEY),
        api.award("p", idempotency_key="other", headers=KEY),
        api.award("p", headers=KEY | text),
        api.request("POST", f"{BASE}/points/award", body=b"{", headers=KEY),
        api.request("POST", f"{BASE}/points/award", body=b"x" * (1024 * 1024 + 1), headers=KEY),
        api.request("PUT", f"{BASE}/points/award", headers=KEY),
    ]
    assert [answer.status for answer in refused] == [401, 403, 429, 422, 422, 415, 400, 413, 405]
    assert tenant.row_count() == 0
    assert REPLAYED not in api.award("p", headers=KEY).headers


def test_sandbox_has_keys_of_its_own(api: Api, tenant: TenantUnderTest):
    sandbox = api.with_key(tenant.test_key)
    first = api.award("p", 1, idempotency_key="k")

    other = sandbox.award("p", 2, idempotency_key="k")

    assert other.status == 200
    assert REPLAYED not in other.headers
    assert_replayed(api.award("p", 1, idempotency_key="k"), first)


def test_key_belongs_to_the_tenant_and_not_to_the_api_key(api: Api, tenant: TenantUnderTest):
    first = api.award("p", 1, idempotency_key="k")

    assert_replayed(api.with_key(tenant.issue()).award("p", 1, idempotency_key="k"), first)


def test_reads_ignore_the_header(api: Api):
    api.award("p", 1)

    assert api.request("GET", f"{BASE}/participants/p/points", headers={"Idempotency-Key": ""}).status == 200
