"""Every bound of every member: what is just inside is taken, what is just outside is named and leaves nothing behind."""

import json
from typing import Any

import pytest

from tests.harness import BASE, Answer, Api, TenantUnderTest

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
INVISIBLE_BUT_TEXT = "\x1c\x1f\u180e\u200b\u200d\u2060\ufeff\u0001"
KEY_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-:."
LONE = "\ud800"

BAD_IDS = {
    "empty": "",
    "256": "x" * 256,
    "256 astral": "\U0001f600" * 256,
    "dot": ".",
    "dots": "..",
    "nul": "\0",
    "nul inside": "a\0b",
    "lone surrogate": LONE,
    "lone low surrogate": "a\udfff",
    "number": 1,
    "true": True,
    "null": None,
    "list": ["a"],
    "object": {"id": "a"},
    "all white space": WHITE_SPACE,
    **{f"white space {ord(c):04x}": c for c in WHITE_SPACE},
}
BAD_AMOUNTS = {
    "zero": 0,
    "negative": -1,
    "too much": 1_000_001,
    "int64": 2**63,
    "huge": 10**400,
    "true": True,
    "false": False,
    "string": "100",
    "empty string": "",
    "fraction": 1.5,
    "whole float": 100.0,
    "null": None,
    "list": [1],
    "object": {},
}
BAD_REASONS = {
    "501": "x" * 501,
    "501 astral": "\U0001f600" * 501,
    "number": 1,
    "false": False,
    "list": [],
    "nul": "\0",
    "lone": LONE,
}
BAD_KEYS = {
    "empty": "",
    "256": "k" * 256,
    "space": "a b",
    "slash": "a/b",
    "line feed at the end": "a\n",
    "umlaut": "é",
    "Arabic digit": "\u0661",
    "nul": "a\0",
    "number": 1,
    "true": True,
    "list": ["a"],
    "lone": LONE,
}
BAD_MEMBERS = ("idempotencyKey", "Amount", "participantId", "json", "query", "_schema", "a.b", ".", "\n", "тест")

BAD = [
    pytest.param({field: value}, field, id=f"{field}-{name}")
    for field, values in (
        ("participant_id", BAD_IDS),
        ("amount", BAD_AMOUNTS),
        ("reason", BAD_REASONS),
        ("idempotency_key", BAD_KEYS),
    )
    for name, value in values.items()
] + [pytest.param({name: "x"}, name, id=f"unknown-{name}") for name in BAD_MEMBERS]

BAD_NUMBERS = ("100.0", "1e3", "1E2", "1.5", "-0", "-1", "0", "1e400", "-1e400", "1000001", "9" * 400)
NO_JSON_NUMBERS = ("NaN", "Infinity", "-Infinity", "01", "+1", "0x10", "1_000", ".5", "1.", "\uff19", "9" * 5000)


def assert_refused(answer: Answer, field: str) -> None:
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.code == "invalid_request"
    assert answer.fields == [field]
    assert answer.json["detail"].startswith(f"{field}: ")


def raw(api: Api, operation: str, text: str) -> Answer:
    return api.request("POST", f"{BASE}/points/{operation}", body=text.encode())


@pytest.mark.parametrize("operation", ["award", "deduct"])
@pytest.mark.parametrize(("members", "field"), BAD)
def test_bad_value_is_named_and_nothing_is_stored(
    api: Api, tenant: TenantUnderTest, operation: str, members: dict[str, Any], field: str
):
    body = {"participant_id": "p", "amount": 1} | members

    answer = api.request("POST", f"{BASE}/points/{operation}", body=body)

    assert_refused(answer, field)
    assert tenant.row_count() == 0


@pytest.mark.parametrize("operation", ["award", "deduct"])
@pytest.mark.parametrize("field", ["participant_id", "amount"])
def test_required_member_is_named_when_it_is_missing(api: Api, tenant: TenantUnderTest, operation: str, field: str):
    body = {"participant_id": "p", "amount": 1}
    del body[field]

    assert_refused(api.request("POST", f"{BASE}/points/{operation}", body=body), field)
    assert tenant.row_count() == 0


def test_bad_values_fail_alone_in_a_batch(api: Api, tenant: TenantUnderTest):
    bad = [
        {"participant_id": "p", "amount": 1} | p.values[0] for p in BAD if LONE not in json.dumps(p.values[0], ensure_ascii=False)
    ]
    bad = [item for item in bad if "\udfff" not in str(item["participant_id"])][:99]

    answer = api.batch([*bad, {"participant_id": "good", "amount": 7}])

    assert (answer.json["processed"], answer.json["failed"]) == (1, len(bad))
    assert all(r["error"] and r["transaction_id"] is r["new_balance"] is None for r in answer.json["results"][:-1])
    assert api.balance("good") == 7
    assert tenant.row_count() == 2


@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_amount_is_not_converted_from_another_number(api: Api, tenant: TenantUnderTest, number: str):
    assert_refused(raw(api, "award", f'{{"participant_id": "p", "amount": {number}}}'), "amount")
    assert tenant.row_count() == 0


@pytest.mark.parametrize("number", NO_JSON_NUMBERS)
def test_what_is_no_json_number_is_no_json(api: Api, tenant: TenantUnderTest, number: str):
    answer = raw(api, "award", f'{{"participant_id": "p", "amount": {number}}}')

    assert (answer.status, answer.code) == (400, "malformed_json")
    assert tenant.row_count() == 0


@pytest.mark.parametrize("text", ['"\ud83d"', '"\\ud83d"', '"\\ude00\\ud83d"'])
def test_half_a_surrogate_pair_is_refused(api: Api, tenant: TenantUnderTest, text: str):
    body = f'{{"participant_id": {text}, "amount": 1}}'.encode("utf-8", "surrogatepass")

    answer = api.request("POST", f"{BASE}/points/award", body=body)

    assert answer.status in {400, 422}
    assert tenant.row_count() == 0


def test_escaped_surrogate_pair_is_one_code_point(api: Api):
    raw(api, "award", '{"participant_id": "\\ud83d\\ude00", "amount": 1}')

    assert api.points("\U0001f600").json["participant_id"] == "\U0001f600"


@pytest.mark.parametrize("amount", [1, 2, 999_999, 1_000_000])
def test_amount_within_bounds_is_taken(api: Api, amount: int):
    assert api.award("p", amount).json["amount"] == amount
    assert api.deduct("p", amount).json["new_balance"] == 0


@pytest.mark.parametrize("participant_id", ["x" * 255, "\U0001f600" * 255, *INVISIBLE_BUT_TEXT, " a ", "...", "\n."])
def test_id_within_bounds_is_stored_exactly_as_sent(api: Api, participant_id: str):
    assert api.award(participant_id).json["participant_id"] == participant_id
    assert api.points(participant_id).json["participant_id"] == participant_id


def test_ids_that_only_look_alike_are_different_participants(api: Api):
    alike = ["é", "e\u0301", "É", "a", "A", "a ", " a", "a\n", "\uff41"]
    for points, participant_id in enumerate(alike, start=1):
        api.award(participant_id, points)

    assert [api.balance(participant_id) for participant_id in alike] == list(range(1, len(alike) + 1))


@pytest.mark.parametrize("reason", ["", " ", "x" * 500, "\U0001f600" * 500, "line\nfeed", "\ufeff", None])
def test_reason_comes_back_exactly(api: Api, reason: str | None):
    api.award("p", reason=reason)

    assert api.history("p").json["transactions"][0]["reason"] == reason


@pytest.mark.parametrize("key", [*KEY_CHARACTERS, KEY_CHARACTERS, "k" * 255])
def test_idempotency_key_may_have_all_its_characters(api: Api, key: str):
    assert api.award("p", idempotency_key=key).status == 200
    assert api.award("p", idempotency_key=key).headers["Idempotent-Replayed"] == "true"


def test_null_is_the_same_as_absent(api: Api):
    for operation in (api.award, api.deduct):
        assert operation("p", reason=None, metadata=None, idempotency_key=None).status == 200

    for transaction in api.history("p").json["transactions"]:
        assert transaction["reason"] is transaction["metadata"] is None


def test_every_wrong_member_is_named_at_once(api: Api):
    answer = api.award("", 0, reason=1, metadata=[], idempotency_key="", typo=1)

    assert set(answer.fields) == {"participant_id", "amount", "reason", "metadata", "idempotency_key", "typo"}


@pytest.mark.parametrize("operation", ["award", "deduct", "award-batch"])
def test_query_parameter_of_a_post_is_refused_by_name(api: Api, tenant: TenantUnderTest, operation: str):
    award = {"participant_id": "p", "amount": 1}
    body = {"awards": [award]} if operation == "award-batch" else award

    answer = api.request("POST", f"{BASE}/points/{operation}?dry_run=1", body=body)

    assert_refused(answer, "dry_run")
    assert tenant.row_count() == 0
